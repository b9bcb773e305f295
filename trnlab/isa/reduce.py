"""Instructions that fold many elements into one."""

from collections.abc import Iterator
from math import prod
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
from trnlab.isa.limits import operand_rules
from trnlab.isa.ops import Op
from trnlab.isa.rules import all_but, before, only
from trnlab.isa.tile import Tile
from trnlab.machine.chip import Core

UFUNCS = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
    "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor,
}
RUNNING = ("add", "multiply", "maximum", "minimum")  # what the reduction registers hold
PARTITION_OPS = ("add", "average", "maximum", "bitwise_or", "bitwise_and")


class TensorReduce(Instruction, engines=("vector",), page="nki.isa.tensor_reduce"):
    """dst = the elements of data along its last free axes, combined with op.

    ``axis`` is one axis or several, ending at the last; ``negate`` flips the sign of the result.
    subtract takes the elements from the first, in order.
    """

    dst: Tile
    op: Op
    data: Tile
    axis: int | tuple[int, ...]
    negate: bool = False
    keepdims: bool = False

    indirect = frozenset({"dst", "data"})

    @property
    def axes(self) -> tuple[int, ...]:
        """The reduced axes, counted from the partition axis."""
        return tuple(sorted(a % self.data.ndim for a in self._given))

    @property
    def _given(self) -> tuple[int, ...]:
        many = (self.axis,) if isinstance(self.axis, int | np.integer) else tuple(self.axis)
        return tuple(int(a) for a in many)

    def rules(self, core: Core) -> Iterator[Rule]:
        rank = self.data.ndim
        yield "op can reduce", self.op.name in UFUNCS
        yield f"axis is from 0 to {rank - 1}", all(-rank <= a < rank for a in self._given)
        trailing = self.axes == tuple(range(rank - len(self.axes), rank))
        drifts = rank > 2 and self._given == (1,)
        last = drifts or (trailing and 0 not in self.axes)
        yield "axis names the last free axes, up to the last", last
        yield "axis 1 is the last of two dimensions", not drifts, all_but("0.2")
        unclear = drifts and self.data.shape[1] == self.data.shape[-1]
        yield (
            "axis 1 of more dimensions means the last in nki 0.2",
            not unclear,
            only("0.2", "0.3"),
        )
        kept = prod(self.data.shape[1 : rank - len(self.axes)])
        yield "dst has a row for every row of data", self.dst.partitions == self.data.partitions
        yield f"dst has {kept} elements a partition", self.dst.free == kept
        if self.op.kind == "bitvec":
            whole = all(formats.is_integer(t.dtype) for t in (self.dst, self.data))
            yield "bitwise operators take integers", whole
            yield "negate comes with an arithmetic operator", not self.negate

    def passes(self, core: Core) -> float:
        """Half for bf16 sums and maxima (NKI API reference 2.21 to 2.26, cost note)."""
        small = all(formats.name(t.dtype) == "bfloat16" for t in (self.dst, self.data))
        return 0.5 if small and self.op.name in ("add", "maximum") else 1

    @property
    def keeps_bits(self) -> bool:
        return self.op.kind == "bitvec"

    def value(self, data: np.ndarray) -> np.ndarray:
        out = fold(self.op, data, len(self.axes))
        return -out if self.negate else out


class TensorPartitionReduce(
    Instruction, engines=("gpsimd",), page="nki.isa.tensor_partition_reduce"
):
    """dst [1, ...] = the partitions of data, combined with op.

    No cost is published: as long as a reduction tree with one pass a level.
    """

    dst: Tile
    op: Op
    data: Tile

    def rules(self, core: Core) -> Iterator[Rule]:
        yield f"op is one of {', '.join(PARTITION_OPS)}", self.op.name in PARTITION_OPS
        yield "dst spans one partition", self.dst.partitions == 1
        yield "dst and data have equally long rows", self.dst.free == self.data.free
        if self.op.kind == "bitvec":
            whole = all(formats.is_integer(t.dtype) for t in (self.dst, self.data))
            yield "bitwise operators take integers", whole

    def passes(self, core: Core) -> float:
        return max(1, (self.data.partitions - 1).bit_length())

    @property
    def keeps_bits(self) -> bool:
        return self.op.kind == "bitvec"

    def value(self, data: np.ndarray) -> np.ndarray:
        if self.op.name == "average":
            return data.mean(axis=0, keepdims=True, dtype=data.dtype)
        return UFUNCS[self.op.name].reduce(data, axis=0, keepdims=True)


class TensorScalarReduce(Instruction, engines=("vector",), page="nki.isa.tensor_scalar_reduce"):
    """dst = data <op0> operand0, and reduce_res [P, 1] = its rows combined with reduce_op.

    The 128 fp32 registers of the engine are reset, kept or loaded from ``reduce_init`` first.
    """

    dst: Tile
    data: Tile
    op0: Op
    operand0: Tile | float | None
    reduce_op: Op
    reduce_res: Tile | None = None
    reverse0: bool = False
    reduce_cmd: ReduceCmd = ReduceCmd.reset_reduce
    reduce_init: Tile | float | None = None
    reduce_res_negate: bool = False

    indirect = frozenset({"dst", "data"})
    writes = ("dst", "reduce_res")
    accumulator = "vector"

    def rules(self, core: Core) -> Iterator[Rule]:
        yield (
            "dst and data span the same partitions, with equally long rows",
            same_rows(self.dst, self.data),
        )
        yield "op0 is arithmetic", self.op0.kind != "bitvec"
        yield from operand_rules(self.op0, self.operand0)
        yield "reverse0 is not supported", not self.reverse0
        yield f"reduce_op is one of {', '.join(RUNNING)}", self.reduce_op.name in RUNNING
        starts = self.reduce_cmd not in (ReduceCmd.idle, ReduceCmd.reset)
        yield "reduce_cmd is reset_reduce, reduce or load_reduce", starts
        loads = self.reduce_cmd is ReduceCmd.load_reduce
        yield "reduce_init comes with load_reduce", loads == (self.reduce_init is not None)
        resets = self.reduce_cmd is ReduceCmd.reset_reduce
        yield "reduce_cmd came with nki 0.4", resets, only("0.2", "0.4")
        given = self.reduce_res is not None
        yield "reduce_res is given", given, before("0.6")
        yield "reduce_res_negate came with nki 0.6", not self.reduce_res_negate, only("0.2", "0.6")
        for name in ("operand0", "reduce_res", "reduce_init"):
            yield from column_rules(name, getattr(self, name), self.data)
        for name in ("operand0", "reduce_init"):
            yield from float32_rules(name, getattr(self, name))

    def overhead(self, core: Core) -> float:
        read_out = READ_OUT / core.engine("vector").hz if self.reduce_res is not None else 0.0
        return core.timing.scalar_operand + read_out

    def operations(self) -> float:
        return 2.0 * self.data.size

    def value(self, data: np.ndarray, *vectors: np.ndarray, registers: np.ndarray) -> Any:
        given = iter(vectors)
        operand0 = next(given) if isinstance(self.operand0, Tile) else self.operand0
        init = next(given) if isinstance(self.reduce_init, Tile) else self.reduce_init
        if not isinstance(operand0, np.ndarray):
            operand0 = data.dtype.type(operand0 or 0)
        out = self.op0.value(data, column(operand0, data))
        totals = fold(self.reduce_op, out, out.ndim - 1)
        mine = registers[: len(totals)]
        load(mine, self.reduce_cmd, init)
        accumulate(mine, totals, self.reduce_cmd, self.reduce_op)
        if self.reduce_res is None:
            return out
        return out, -mine if self.reduce_res_negate else mine.copy()


def fold(op: Op, data: np.ndarray, count: int) -> np.ndarray:
    """Combines the last ``count`` axes with a reduction operator, in the dtype of ``data``."""
    kept = data.shape[: data.ndim - count]
    flat = data.reshape(*kept, -1)
    return UFUNCS[op.name].reduce(flat, axis=-1).astype(data.dtype, copy=False)


def load(registers: np.ndarray, cmd: ReduceCmd, init: Any) -> None:
    """Puts ``init``, one number or one a partition, in the registers if ``cmd`` says so."""
    if cmd is ReduceCmd.load_reduce:
        registers[:] = init.reshape(-1) if isinstance(init, np.ndarray) else init
