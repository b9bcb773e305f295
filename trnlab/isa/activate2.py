"""The activation instruction of newer cores, with a choice of operators before and after."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from trnlab.isa.activation import ReduceCmd, accumulate
from trnlab.isa.instruction import READ_OUT, Instruction, Rule, column, column_rules, same_rows
from trnlab.isa.ops import Activation, Op
from trnlab.isa.reduce import UFUNCS
from trnlab.isa.tile import Tile
from trnlab.machine.chip import Core

PAIRS = (
    ("multiply", "add"),
    ("multiply", "subtract"),
    ("multiply", "bypass"),
    ("add", "bypass"),
    ("subtract", "bypass"),
    ("bypass", "bypass"),
)
REDUCTIONS = ("add", "maximum", "minimum", "abs_max", "abs_min")


class Activate2(
    Instruction,
    engines=("scalar",),
    page="nki.isa.activate2",
    needs="activate2",
    since="0.4",
):
    """dst = op((data <op0> imm0) <op1> imm1), and on request its rows combined with reduce_op.

    ``imm0`` and ``imm1`` are one number or [P, 1]; ``relu_param`` is the slope of prelu. With a
    ``reduce_cmd`` the reduction registers of the engine are reset or accumulated; ``reduce_res``
    [P, 1] reads them out.
    """

    dst: Tile
    op: Activation
    data: Tile
    imm0: Tile | float
    imm1: Tile | float
    op0: Op
    op1: Op
    relu_param: Tile | float = 0.0
    reverse0: bool = False
    reverse1: bool = False
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
        pairs = "; ".join(f"{first}, {second}" for first, second in PAIRS)
        yield f"op0 and op1 are one of {pairs}", (self.op0.name, self.op1.name) in PAIRS
        yield "reverse0 comes with op0", self.op0.name != "bypass" or not self.reverse0
        yield "reverse1 comes with op1", self.op1.name != "bypass" or not self.reverse1
        for name in ("imm0", "imm1", "relu_param", "reduce_res"):
            yield from column_rules(name, getattr(self, name), self.data)
        if isinstance(self.imm0, Tile) and isinstance(self.imm1, Tile):
            yield "imm0 and imm1 have one dtype", self.imm0.dtype == self.imm1.dtype
        if self.reduce_op is not None:
            yield f"reduce_op is one of {', '.join(REDUCTIONS)}", self.reduce_op.name in REDUCTIONS
        loads = self.reduce_cmd is ReduceCmd.load_reduce
        yield "reduce_cmd is idle, reset, reduce or reset_reduce", not loads
        together = self.reduce_res is None or self.reduce_op is not None
        yield "reduce_res comes with reduce_op", together

    def overhead(self, core: Core) -> float:
        lookup = core.timing.function if self.op.table else 0.0
        read_out = READ_OUT / core.engine("scalar").hz if self.reduce_res is not None else 0.0
        return lookup + read_out

    def operations(self) -> float:
        return self.data.size * (1.0 + sum(op.name != "bypass" for op in (self.op0, self.op1)))

    def argument(self, data: np.ndarray, *vectors: np.ndarray) -> np.ndarray:
        """What the function is taken of."""
        imm0, imm1, _ = self._given(data, vectors)
        out = _apply(self.op0, data, imm0, self.reverse0)
        return _apply(self.op1, out, imm1, self.reverse1)

    def _given(self, data: np.ndarray, vectors: tuple[np.ndarray, ...]) -> list[Any]:
        given = iter(vectors)
        return [
            next(given) if isinstance(value, Tile) else data.dtype.type(value)
            for value in (self.imm0, self.imm1, self.relu_param)
        ]

    def value(self, data: np.ndarray, *vectors: np.ndarray, registers: np.ndarray) -> Any:
        out, slope = self.argument(data, *vectors), self._given(data, vectors)[2]
        sloped = self.op.name == "prelu"
        out = self.op.value(out, column(slope, data)) if sloped else self.op.value(out)
        if self.reduce_op is None:
            return out
        mine = registers[: len(out)]
        accumulate(mine, _combined(self.reduce_op, out), self.reduce_cmd, self.reduce_op)
        return out if self.reduce_res is None else (out, mine.copy())


def _apply(op: Op, data: np.ndarray, operand: Any, reverse: bool) -> np.ndarray:
    if op.name == "bypass":
        return data
    operand = column(operand, data)
    return op.value(operand, data) if reverse else op.value(data, operand)


def _combined(op: Op, data: np.ndarray) -> np.ndarray:
    flat = data.reshape(len(data), -1)
    if op.name in UFUNCS:
        return UFUNCS[op.name].reduce(flat, axis=1)
    size = np.abs(flat[:, ::-1])  # of equal magnitudes the last one stays
    best = size.argmax(axis=1) if op.name == "abs_max" else size.argmin(axis=1)
    return flat[np.arange(len(flat)), flat.shape[1] - 1 - best]
