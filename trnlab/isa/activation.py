"""Instructions of the scalar engine that evaluate a function from its table."""

import enum
from collections.abc import Iterator
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.isa.instruction import (
    READ_OUT,
    Instruction,
    Rule,
    column,
    column_rules,
    float32_rules,
    same_rows,
)
from trnlab.isa.ops import Activation, Op
from trnlab.isa.rules import ALLOCATED, all_but, before, since
from trnlab.isa.tile import Tile
from trnlab.machine.chip import Core


class ReduceCmd(enum.Enum):
    """What an instruction does with the reduction registers of its engine."""

    idle = 0
    reset = 1
    reduce = 2
    reset_reduce = 3
    load_reduce = 4


class Activate(Instruction, engines=("scalar",), page="nki.isa.activation"):
    """dst = op(data * scale + bias), and on request the sum over the free dimension.

    ``scale`` is one number or fp32 [P, 1]; ``bias`` is [P, 1]. With a ``reduce_cmd`` the 128 fp32
    registers of the engine are reset or accumulated; ``reduce_res`` [P, 1] reads them out.
    """

    dst: Tile
    op: Activation
    data: Tile
    bias: Tile | float | None = None
    scale: Tile | float = 1.0
    reduce_op: Op | None = None
    reduce_res: Tile | None = None
    reduce_cmd: ReduceCmd = ReduceCmd.idle

    indirect = frozenset({"dst", "data"})
    writes = ("dst", "reduce_res")
    accumulator = "scalar"

    def rules(self, core: Core) -> Iterator[Rule]:
        yield (
            "dst and data span the same partitions, with equally long rows",
            same_rows(self.dst, self.data),
        )
        for name in ("scale", "bias"):
            yield from column_rules(name, getattr(self, name), self.data)
        # The vendor's router of NKI 0.2 reads out all 128 registers; that of 0.3 does not.
        yield from column_rules("reduce_res", self.reduce_res, self.data, taller=all_but("0.2"))
        if isinstance(self.bias, Tile) and self.op.bias_needs:
            able = self.op.bias_needs in core.can
            yield f"{self.op} with a bias needs a core with '{self.op.bias_needs}'", able
        yield from float32_rules("scale", self.scale)
        yield from self._bias_rules(core)
        yield "prelu is a function of activate2", self.op.name != "prelu"
        loads = self.reduce_cmd is ReduceCmd.load_reduce
        yield "reduce_cmd is idle, reset, reduce or reset_reduce", not loads
        if self.reduce_op is not None:
            yield "reduce_op is add", self.reduce_op.name == "add"
        if self.reduce_res is not None:
            yield "reduce_res comes with reduce_op", self.reduce_op is not None

    def _bias_rules(self, core: Core) -> Iterator[Rule]:
        if isinstance(self.bias, Tile):
            name = formats.name(self.bias.dtype)
            short = ("float32", "float16", "bfloat16")
            yield f"bias is one of {', '.join(short)}", name in short, before("0.6")
            yield "bias is not tfloat32", name != "tfloat32"
        elif self.bias is not None:
            able = "scalar_bias_immediate" in core.can
            yield (
                "a bias that is a number needs a core with 'scalar_bias_immediate'",
                able,
                since("0.2"),
            )
            yield "bias is a tile", False, before("0.2")
        else:
            yield "bias is given", False, before("0.2", mode=ALLOCATED)

    def overhead(self, core: Core) -> float:
        lookup = core.timing.function if self.op.table else 0.0
        read_out = READ_OUT / core.engine("scalar").hz if self.reduce_res is not None else 0.0
        return lookup + read_out

    def argument(self, data: np.ndarray, *rest: np.ndarray) -> np.ndarray:
        """What the function is taken of."""
        given = iter(rest)
        bias = next(given) if isinstance(self.bias, Tile) else self.bias
        scale = next(given) if isinstance(self.scale, Tile) else self.scale
        return _scaled(data, scale, bias)

    def value(self, data: np.ndarray, *rest: np.ndarray, registers: np.ndarray) -> Any:
        out = self.op.value(self.argument(data, *rest))
        if self.reduce_op is None:
            return out
        total = out.reshape(out.shape[0], -1).sum(axis=1, dtype=out.dtype)
        accumulate(registers[: len(total)], total, self.reduce_cmd, self.reduce_op)
        if self.reduce_res is None:
            return out
        return out, registers[: self.reduce_res.partitions].copy()


class ActivationReduce(Instruction, engines=("scalar",), page="nki.isa.activation_reduce"):
    """dst = op(data * scale + bias), and reduce_res = its sum over the free dimension."""

    dst: Tile
    op: Activation
    data: Tile
    reduce_op: Op
    reduce_res: Tile
    bias: Tile | float | None = None
    scale: Tile | float = 1.0

    indirect = frozenset({"dst", "data"})
    writes = ("dst", "reduce_res")

    def rules(self, core: Core) -> Iterator[Rule]:
        yield from self._activate.rules(core)

    @property
    def _activate(self) -> Activate:
        return Activate(
            self.dst,
            self.op,
            self.data,
            self.bias,
            self.scale,
            self.reduce_op,
            self.reduce_res,
            ReduceCmd.reset_reduce,
        )

    def overhead(self, core: Core) -> float:
        return self._activate.overhead(core)

    def argument(self, data: np.ndarray, *rest: np.ndarray) -> np.ndarray:
        """What the function is taken of."""
        return self._activate.argument(data, *rest)

    def value(self, data: np.ndarray, *rest: np.ndarray) -> Any:
        registers = np.zeros(max(data.shape[0], self.reduce_res.partitions), data.dtype)
        return self._activate.value(data, *rest, registers=registers)


def accumulate(registers: np.ndarray, values: np.ndarray, cmd: ReduceCmd, op: Op) -> None:
    """Brings the reduction registers of an engine up to date, in place."""
    if cmd in (ReduceCmd.reset, ReduceCmd.reset_reduce):
        registers[:] = op.identity
    if cmd in (ReduceCmd.reduce, ReduceCmd.reset_reduce, ReduceCmd.load_reduce):
        registers[:] = op.value(registers, values)


def _scaled(data: np.ndarray, scale: Any, bias: Any) -> np.ndarray:
    if not isinstance(scale, np.ndarray) and scale == 1.0:
        out = data
    else:
        out = data * (column(scale, data) if isinstance(scale, np.ndarray) else np.float32(scale))
    if bias is None:
        return out
    return out + (column(bias, data) if isinstance(bias, np.ndarray) else np.float32(bias))
