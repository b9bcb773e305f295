"""Instructions that visit every element once."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.isa.instruction import (
    Instruction,
    Queue,
    Rule,
    column,
    in_psum,
    in_sbuf,
    same_rows,
)
from trnlab.isa.limits import binary_rules, operand_rules
from trnlab.isa.ops import Op
from trnlab.isa.rules import since
from trnlab.isa.tile import Tile
from trnlab.machine.chip import Core

COMPOSED = ("divide", "mod", "fmod")  # known issues of nki 0.3 and 0.4: no such instruction
GPSIMD_OPS = ("rsqrt", "power")  # that tensor_scalar does there


def fast_passes(core: Core, *tiles: Tile) -> float:
    """Passes of a one-input vector instruction: 1/4 or 1/2 for 16-bit data on newer cores.

    Source: Trainium2 architecture guide, performance modes; fp8 counts as 16-bit from Trainium3.
    """
    small = (1, 2) if "fp8_fast_modes" in core.can else (2,)
    if "fast_modes" not in core.can or any(t.itemsize not in small for t in tiles):
        return 1
    dense = all(in_sbuf(t) and t.layout.inner_contiguous for t in tiles)
    return 0.25 if dense else 0.5


class TensorTensor(Instruction, engines=("vector", "gpsimd"), page="nki.isa.tensor_tensor"):
    """dst = data1 <op> data2, element by element.

    Arithmetic is fp32; bitwise operators keep bits; int32 and uint32 add, subtract and multiply
    are exact on GpSimd.
    """

    dst: Tile
    data1: Tile
    data2: Tile
    op: Op
    engine: Queue = Queue.unknown

    indirect = frozenset({"dst", "data1"})

    @property
    def queue(self) -> str:
        if self.engine is not Queue.unknown:
            return self.engine.value
        return "gpsimd" if self.op.name == "power" or self._integer else "vector"

    @property
    def _integer(self) -> bool:
        tiles = (self.dst, self.data1, self.data2)
        whole = all(formats.name(t.dtype) in ("int32", "uint32") for t in tiles)
        return whole and self.op.name in ("add", "subtract", "multiply") and not self._touches_psum

    @property
    def _touches_psum(self) -> bool:
        return any(in_psum(t) for t in (self.dst, self.data1, self.data2))

    def rules(self, core: Core) -> Iterator[Rule]:
        yield (
            "dst and both inputs span the same partitions, with equally long rows",
            same_rows(self.dst, self.data1, self.data2),
        )
        yield "not both inputs are in PSUM", not (in_psum(self.data1) and in_psum(self.data2))
        yield _runs_on(self.op, self.queue)
        yield from binary_rules(op=self.op)
        yield from hardware_rules(op=self.op)
        if self.op.kind == "bitvec":
            tiles = (self.dst, self.data1, self.data2)
            yield "bitwise operators take integers", all(formats.is_integer(t.dtype) for t in tiles)

    def passes(self, core: Core) -> float:
        """Two inputs from SBUF share a port; 16-bit ones can be paired."""
        if in_psum(self.data1) != in_psum(self.data2):
            return 1
        return 1 if all(t.itemsize == 2 for t in (self.data1, self.data2)) else 2

    @property
    def keeps_bits(self) -> bool:
        return self.op.kind == "bitvec" or (self._integer and self.queue == "gpsimd")

    def value(self, data1: np.ndarray, data2: np.ndarray) -> np.ndarray:
        return self.op.value(data1.reshape(data2.shape), data2)


class TensorScalar(
    Instruction, engines=("vector", "scalar", "gpsimd"), page="nki.isa.tensor_scalar"
):
    """dst = (data <op0> operand0) <op1> operand1, operands one number or one a partition."""

    dst: Tile
    data: Tile
    op0: Op
    operand0: Tile | float | None
    reverse0: bool = False
    op1: Op | None = None
    operand1: Tile | float | None = None
    reverse1: bool = False
    engine: Queue = Queue.unknown

    indirect = frozenset({"dst", "data"})

    @property
    def queue(self) -> str:
        if self.engine is not Queue.unknown:
            return self.engine.value
        able = [op.engines for op in (self.op0, self.op1) if op is not None]
        return "vector" if all("vector" in engines for engines in able) else "gpsimd"

    def rules(self, core: Core) -> Iterator[Rule]:
        yield (
            "dst and data span the same partitions, with equally long rows",
            same_rows(self.dst, self.data),
        )
        for op in (self.op0, self.op1):
            if op is not None and self.queue in ("vector", "gpsimd"):
                yield _runs_on(op, self.queue)
        yield from hardware_rules(op0=self.op0, op1=self.op1)
        yield "operand1 comes with op1", self.op1 is not None or self.operand1 is None
        kinds = {op.kind == "bitvec" for op in (self.op0, self.op1) if op}
        yield "both operators are arithmetic or both are bitwise", len(kinds) == 1
        alone = self.op1 is None or self.op1.alone
        yield "op1 comes with operand1", alone or self.operand1 is not None
        for name, tile in self._vectors():
            fits = tile.partitions == self.data.partitions and tile.free == 1
            yield f"{name} is one number or has shape [{self.data.partitions}, 1]", fits
            if kinds == {False}:
                yield f"{name} is float32", formats.name(tile.dtype) == "float32"
        if kinds == {True}:
            whole = all(formats.is_integer(t.dtype) for t in (self.dst, self.data))
            yield "bitwise operators take integers", whole
        yield from operand_rules(self.op0, self.operand0)
        if self.queue == "gpsimd":
            only_these = all(op.name in GPSIMD_OPS for op in (self.op0, self.op1) if op)
            yield f"GpSimd does {' and '.join(GPSIMD_OPS)}", only_these, since("0.2")
        if self.queue == "scalar":
            names = (self.op0.name, getattr(self.op1, "name", ""))
            able = names in (("multiply", "add"), ("multiply", ""), ("add", ""))
            yield (
                "the scalar engine does multiply-add, multiply or add",
                (able and "scalar_tensor_scalar" in core.can) or "scalar_alu" in core.can,
            )

    def _vectors(self) -> list[tuple[str, Tile]]:
        pairs = (("operand0", self.operand0), ("operand1", self.operand1))
        return [(name, tile) for name, tile in pairs if isinstance(tile, Tile)]

    def passes(self, core: Core) -> float:
        if self.queue != "vector":
            return 1
        wide = all(t.itemsize == 4 and in_sbuf(t) for t in (self.dst, self.data))
        if wide and "fast_modes" in core.can:
            return 1 / 3  # measured on trn2: 0.34 ns an element, fp32, SBUF to SBUF
        return fast_passes(core, self.dst, self.data)

    def overhead(self, core: Core) -> float:
        return core.timing.scalar_operand if self.queue == "vector" else 0.0

    def operations(self) -> float:
        return self.data.size * (2.0 if self.op1 else 1.0)

    @property
    def keeps_bits(self) -> bool:
        return self.op0.kind == "bitvec"

    def value(self, data: np.ndarray, *vectors: np.ndarray) -> np.ndarray:
        given = iter(vectors)
        operand0 = next(given) if isinstance(self.operand0, Tile) else self.operand0
        out = _apply(self.op0, data, column(operand0, data), self.reverse0)
        if self.op1 is None:
            return out
        operand1 = next(given) if isinstance(self.operand1, Tile) else self.operand1
        return _apply(self.op1, out, column(operand1, data), self.reverse1)


class ScalarTensorTensor(Instruction, engines=("vector",), page="nki.isa.scalar_tensor_tensor"):
    """dst = (data <op0> operand0) <op1> operand1, operand0 one number or one a partition."""

    dst: Tile
    data: Tile
    op0: Op
    operand0: Tile | float
    op1: Op
    operand1: Tile
    reverse0: bool = False
    reverse1: bool = False

    def rules(self, core: Core) -> Iterator[Rule]:
        yield (
            "dst, data and operand1 span the same partitions, with equally long rows",
            same_rows(self.dst, self.data, self.operand1),
        )
        yield (
            "data and operand1 are not both in PSUM",
            not (in_psum(self.data) and in_psum(self.operand1)),
        )
        bitwise = "bitvec" in (self.op0.kind, self.op1.kind)
        yield "both operators are arithmetic", not bitwise
        yield from binary_rules(op1=self.op1)
        yield from hardware_rules(op0=self.op0, op1=self.op1)
        if isinstance(self.operand0, Tile):
            fits = self.operand0.partitions == self.data.partitions and self.operand0.free == 1
            yield f"operand0 is one number or has shape [{self.data.partitions}, 1]", fits

    def passes(self, core: Core) -> float:
        """As tensor_tensor: two inputs from SBUF share a port unless both are 16-bit."""
        if in_psum(self.data) != in_psum(self.operand1):
            return 1
        return 1 if all(t.itemsize == 2 for t in (self.data, self.operand1)) else 2

    def operations(self) -> float:
        return 2.0 * self.data.size

    def value(self, data: np.ndarray, *rest: np.ndarray) -> np.ndarray:
        operand0: Any = rest[0] if isinstance(self.operand0, Tile) else self.operand0
        out = _apply(self.op0, data, column(operand0, data), self.reverse0)
        return _apply(self.op1, out, rest[-1].reshape(data.shape), self.reverse1)


class Reciprocal(Instruction, engines=("vector",), page="nki.isa.reciprocal"):
    """dst = 1 / data, in fp32."""

    dst: Tile
    data: Tile

    def rules(self, core: Core) -> Iterator[Rule]:
        yield (
            "dst and data span the same partitions, with equally long rows",
            same_rows(self.dst, self.data),
        )

    def passes(self, core: Core) -> float:
        return core.timing.reciprocal

    def value(self, data: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.float32(1) / data


def hardware_rules(**operators: Op | None) -> Iterator[Rule]:
    """The rule that the device has an operator; the older compiler made some out of others."""
    for name, op in operators.items():
        if op is not None and op.name in COMPOSED:
            yield f"{name} is one the device has: {op} is not", False, since("0.2")


def _runs_on(op: Op, queue: str) -> Rule:
    return (
        f"the operator runs on this engine: {op} on {' or '.join(op.engines)}",
        queue in op.engines,
    )


def _apply(op: Op, data: np.ndarray, operand: Any, reverse: bool) -> np.ndarray:
    if data.dtype.kind in "iu" and isinstance(operand, int):
        operand = np.int64(operand).astype(data.dtype)  # a bit pattern, such as 0xFFFFFFFF
    elif not isinstance(operand, np.ndarray):
        operand = data.dtype.type(operand or 0)
    return op.value(operand, data) if reverse else op.value(data, operand)
