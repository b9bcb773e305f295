"""Instructions whose every element depends on the one before."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.isa.activation import ReduceCmd
from trnlab.isa.instruction import (
    Instruction,
    Rule,
    column,
    column_rules,
    float32_rules,
    in_psum,
    same_rows,
)
from trnlab.isa.limits import binary_rules
from trnlab.isa.ops import Op
from trnlab.isa.reduce import UFUNCS, load
from trnlab.isa.tile import Tile
from trnlab.machine.chip import Core

RUNNING = ("add", "subtract", "multiply", "maximum", "minimum")


class TensorTensorScan(Instruction, engines=("vector",), page="nki.isa.tensor_tensor_scan"):
    """dst[i] = (data0[i] <op0> dst[i - 1]) <op1> data1[i], starting from initial, in fp32."""

    dst: Tile
    data0: Tile
    data1: Tile
    initial: Tile | float
    op0: Op
    op1: Op
    reverse0: bool = False
    reverse1: bool = False

    def rules(self, core: Core) -> Iterator[Rule]:
        yield (
            "dst and both inputs span the same partitions, with equally long rows",
            same_rows(self.dst, self.data0, self.data1),
        )
        yield "not both inputs are in PSUM", not (in_psum(self.data0) and in_psum(self.data1))
        bitwise = "bitvec" in (self.op0.kind, self.op1.kind)
        yield "both operators are arithmetic", not bitwise
        yield from binary_rules(op0=self.op0, op1=self.op1)
        yield from column_rules("initial", self.initial, self.data0)

    def passes(self, core: Core) -> float:
        return 2  # NKI API reference 2.21 to 2.26, cost note

    def operations(self) -> float:
        return 2.0 * self.data0.size

    def value(self, data0: np.ndarray, data1: np.ndarray, *initial: np.ndarray) -> np.ndarray:
        rows = data0.shape[0]
        first = np.ascontiguousarray(data0.reshape(rows, -1).T)
        second = np.ascontiguousarray(data1.reshape(rows, -1).T)
        out = np.empty_like(first)
        state = np.empty(rows, first.dtype)
        state[:] = initial[0].reshape(-1) if initial else self.initial
        inner, outer = into(self.op0), into(self.op1)
        for left, right, result in zip(first, second, out, strict=True):
            if self.reverse0:
                inner(state, left, out=result)
            else:
                inner(left, state, out=result)
            if self.reverse1:
                outer(right, result, out=result)
            else:
                outer(result, right, out=result)
            state = result
        return out.T.reshape(data0.shape)


class TensorScalarCumulative(
    Instruction, engines=("vector",), page="nki.isa.tensor_scalar_cumulative"
):
    """dst[i] = (src[i] <op0> imm0) <op1> dst[i - 1], in fp32.

    It starts from the reduction registers of the engine, which are reset, kept or loaded from
    ``imm1`` first and hold the last element after.
    """

    dst: Tile
    src: Tile
    op0: Op
    op1: Op
    imm0: Tile | float
    imm1: Tile | float | None = None
    reduce_cmd: ReduceCmd = ReduceCmd.reset_reduce

    indirect = frozenset({"dst", "src"})
    accumulator = "vector"

    def rules(self, core: Core) -> Iterator[Rule]:
        yield (
            "dst and src span the same partitions, with equally long rows",
            same_rows(self.dst, self.src),
        )
        yield "op0 is arithmetic", self.op0.kind != "bitvec"
        yield f"op1 is one of {', '.join(RUNNING)}", self.op1.name in RUNNING
        unknown = ("int32", "uint32", "tfloat32")
        known = all(formats.name(t.dtype) not in unknown for t in (self.dst, self.src))
        yield f"dst and src are not {' or '.join(unknown)}", known
        starts = self.reduce_cmd not in (ReduceCmd.idle, ReduceCmd.reset)
        yield "reduce_cmd is reset_reduce, reduce or load_reduce", starts
        loads = self.reduce_cmd is ReduceCmd.load_reduce
        yield "load_reduce comes with imm1", self.imm1 is not None or not loads
        for name in ("imm0", "imm1"):
            yield from column_rules(name, getattr(self, name), self.src)
            yield from float32_rules(name, getattr(self, name))

    def overhead(self, core: Core) -> float:
        return core.timing.scalar_operand

    def operations(self) -> float:
        return 2.0 * self.src.size

    def value(self, src: np.ndarray, *vectors: np.ndarray, registers: np.ndarray) -> np.ndarray:
        given = iter(vectors)
        imm0: Any = next(given) if isinstance(self.imm0, Tile) else src.dtype.type(self.imm0)
        imm1 = next(given) if isinstance(self.imm1, Tile) else self.imm1
        rows = src.shape[0]
        mine = registers[:rows]
        if self.reduce_cmd is ReduceCmd.reset_reduce:
            mine[:] = self.op1.identity
        load(mine, self.reduce_cmd, imm1)
        flat = self.op0.value(src, column(imm0, src)).reshape(rows, -1)
        out = self._running(flat, mine)
        mine[:] = out[:, -1]
        return out.reshape(src.shape)

    def _running(self, flat: np.ndarray, start: np.ndarray) -> np.ndarray:
        if self.op1.name != "subtract":
            whole = np.concatenate([start[:, None].astype(flat.dtype), flat], axis=1)
            return UFUNCS[self.op1.name].accumulate(whole, axis=1)[:, 1:]
        out = np.empty_like(flat)
        state = start
        for i in range(flat.shape[1]):  # subtract does not commute: element minus state
            state = out[:, i] = flat[:, i] - state
        return out


def into(op: Op) -> Callable[..., Any]:
    """Returns the operator as a function that writes its result into ``out``."""
    if op.name in ("add", "subtract", "multiply", "maximum", "minimum"):
        return UFUNCS[op.name]

    def write(left: np.ndarray, right: np.ndarray, *, out: np.ndarray) -> None:
        out[...] = op.value(left, right)

    return write
