"""The exponential function of the vector engine."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.isa.activation import ReduceCmd, accumulate
from trnlab.isa.instruction import (
    READ_OUT,
    Instruction,
    Rule,
    column,
    column_rules,
    float32_rules,
    same_rows,
)
from trnlab.isa.limits import NUMBERS, dtype_rules
from trnlab.isa.ops import op_of
from trnlab.isa.reduce import load
from trnlab.isa.tile import Tile
from trnlab.machine.chip import Core

ADD = op_of("add")


class Exponential(
    Instruction, engines=("vector",), page="nki.isa.exponential", needs="exponential"
):
    """dst = exp(src - max_value), and on request the sum of each row.

    ``max_value`` is one number or fp32 [P, 1]. With a ``reduce_cmd`` the reduction registers of the
    engine are reset, kept or loaded from ``reduce_init`` and accumulated; ``reduce_res`` [P, 1]
    reads them out.
    """

    dst: Tile
    src: Tile
    max_value: Tile | float = 0.0
    reduce_res: Tile | None = None
    reduce_cmd: ReduceCmd = ReduceCmd.idle
    reduce_init: Tile | float = 0.0

    indirect = frozenset({"dst", "src"})
    writes = ("dst", "reduce_res")
    accumulator = "vector"

    def rules(self, core: Core) -> Iterator[Rule]:
        yield (
            "dst and src span the same partitions, with equally long rows",
            same_rows(self.dst, self.src),
        )
        yield "dst and src have at most 4 dimensions", max(self.dst.ndim, self.src.ndim) <= 4
        yield from dtype_rules("src", self.src, (*NUMBERS, "uint32"))
        yield from dtype_rules("dst", self.dst, (*NUMBERS, "tfloat32"))
        for name in ("max_value", "reduce_res", "reduce_init"):
            yield from column_rules(name, getattr(self, name), self.src)
        for name in ("max_value", "reduce_init"):
            yield from float32_rules(name, getattr(self, name))
        if self.reduce_res is not None:
            yield "reduce_res is a float", formats.is_float(self.reduce_res.dtype)
        yield "reduce_cmd is not reset", self.reduce_cmd is not ReduceCmd.reset
        starts = isinstance(self.reduce_init, Tile) or self.reduce_init != 0
        loads = self.reduce_cmd is ReduceCmd.load_reduce
        yield "reduce_init comes with load_reduce", loads or not starts

    def passes(self, core: Core) -> float:
        """A quarter for data of 16 bits and fewer, half for others: 512 and 256 lanes.

        Source: Trainium3 architecture guide, which promises 4 times the scalar engine.
        """
        return 0.25 if max(self.dst.itemsize, self.src.itemsize) <= 2 else 0.5

    def overhead(self, core: Core) -> float:
        return READ_OUT / core.engine("vector").hz if self.reduce_res is not None else 0.0

    def operations(self) -> float:
        return 2.0 * self.src.size

    def value(self, src: np.ndarray, *vectors: np.ndarray, registers: np.ndarray) -> Any:
        given = iter(vectors)
        shift: Any = next(given) if isinstance(self.max_value, Tile) else self.max_value
        init = next(given) if isinstance(self.reduce_init, Tile) else self.reduce_init
        if not isinstance(shift, np.ndarray):
            shift = src.dtype.type(shift)
        out = np.exp(src - column(shift, src))
        mine = registers[: len(out)]
        load(mine, self.reduce_cmd, init)
        accumulate(mine, out.reshape(len(out), -1).sum(axis=1), self.reduce_cmd, ADD)
        return out if self.reduce_res is None else (out, mine.copy())
