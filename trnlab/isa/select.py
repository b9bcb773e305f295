"""Instructions that make a pattern of numbers, or choose between two values by one."""

from collections.abc import Iterator, Sequence
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
    in_psum,
    in_sbuf,
    same_rows,
)
from trnlab.isa.limits import int32_rules
from trnlab.isa.ops import Op, op_of
from trnlab.isa.rules import before
from trnlab.isa.tile import Tile
from trnlab.machine.chip import Core

Pattern = tuple[tuple[int, int], ...]  # (step, number of elements) for each free dimension
FP32_MIN = float(np.finfo(np.float32).min)
COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")


class Iota(Instruction, engines=("gpsimd",), page="nki.isa.iota"):
    """dst = offset + partition * channel_multiplier + the index in each dimension times its step.

    ``pattern`` has up to four (step, size); the arithmetic is int32.
    """

    dst: Tile
    pattern: Pattern
    offset: int = 0
    channel_multiplier: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "pattern", as_pattern(self.pattern))

    def rules(self, core: Core) -> Iterator[Rule]:
        yield from pattern_rules(self.pattern, self.dst)
        yield from int32_rules(offset=self.offset, channel_multiplier=self.channel_multiplier)

    @property
    def keeps_bits(self) -> bool:
        return formats.is_integer(self.dst.dtype)

    def value(self) -> np.ndarray:
        out = affine(self.pattern, self.offset, self.channel_multiplier, self.dst.partitions)
        out = out.reshape(self.dst.shape)
        return saturated(out, self.dst.dtype) if self.keeps_bits else out.astype(np.float32)


class AffineSelect(Instruction, engines=("gpsimd",), page="nki.isa.affine_select"):
    """dst = on_true_tile where an affine pattern compares with 0, on_false_value elsewhere."""

    dst: Tile
    pattern: Pattern
    channel_multiplier: int
    on_true_tile: Tile
    on_false_value: float
    cmp_op: Op = op_of("equal")
    offset: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "pattern", as_pattern(self.pattern))

    def rules(self, core: Core) -> Iterator[Rule]:
        yield (
            "dst and on_true_tile span the same partitions, with equally long rows",
            same_rows(self.dst, self.on_true_tile),
        )
        yield f"cmp_op is one of {', '.join(COMPARISONS)}", self.cmp_op.name in COMPARISONS
        yield from pattern_rules(self.pattern, self.dst)
        yield from int32_rules(offset=self.offset, channel_multiplier=self.channel_multiplier)
        wide = _named(self.on_true_tile, ("int32", "uint32"))
        yield "on_true_tile is a float or an integer of 8 or 16 bits", not wide, before("0.2")

    def value(self, on_true: np.ndarray) -> np.ndarray:
        rows = on_true.shape[0]
        pattern = affine(self.pattern, self.offset, self.channel_multiplier, rows)
        chosen = _compare(self.cmp_op, pattern, 0).reshape(on_true.shape)
        return np.where(chosen, on_true, on_true.dtype.type(self.on_false_value))


class TensorCopyPredicated(Instruction, engines=("vector",), page="nki.isa.tensor_copy_predicated"):
    """dst = src, one tile or one number, where predicate is not 0 (0 with reverse_pred)."""

    dst: Tile
    src: Tile | float
    predicate: Tile
    reverse_pred: bool = False

    indirect = frozenset({"dst", "predicate"})
    updates = True

    def rules(self, core: Core) -> Iterator[Rule]:
        tiles = (self.dst, self.predicate, *self._source)
        yield (
            "dst, src and predicate span the same partitions, with equally long rows",
            same_rows(*tiles),
        )
        legal = ("uint8", "uint16", "uint32", "bool_")
        yield f"predicate is one of {', '.join(legal)}", _named(self.predicate, legal)
        yield "src and dst have one dtype", all(t.dtype == self.dst.dtype for t in self._source)
        in_one = in_psum(self.predicate) and any(in_psum(t) for t in self._source)
        yield "not both src and predicate are in PSUM", not in_one

    @property
    def _source(self) -> tuple[Tile, ...]:
        return (self.src,) if isinstance(self.src, Tile) else ()

    def passes(self, core: Core) -> float:
        """Two inputs from SBUF share a port."""
        both = in_sbuf(self.predicate) and any(in_sbuf(t) for t in self._source)
        return 2 if both else 1

    def operations(self) -> float:
        return 0.0

    @property
    def keeps_bits(self) -> bool:
        return True

    def value(self, dst: np.ndarray, *rest: np.ndarray) -> np.ndarray:
        chosen = (rest[-1] == 0 if self.reverse_pred else rest[-1] != 0).reshape(dst.shape)
        if isinstance(self.src, Tile):
            return np.where(chosen, rest[0].reshape(dst.shape), dst)
        return np.where(chosen, formats.constant(self.src, self.dst.dtype), dst)


class SelectReduce(Instruction, engines=("vector",), page="nki.isa.select_reduce"):
    """dst = on_true where predicate is not 0, else on_false; on request the largest of each row.

    ``on_false`` is one number or [P, 1]. With a ``reduce_cmd`` the reduction registers of the
    engine keep the maximum; ``reduce_res`` [P, 1] reads them out.
    """

    dst: Tile
    predicate: Tile
    on_true: Tile
    on_false: Tile | float
    reduce_res: Tile | None = None
    reduce_cmd: ReduceCmd = ReduceCmd.idle
    reduce_op: Op = op_of("maximum")
    reverse_pred: bool = False

    writes = ("dst", "reduce_res")
    accumulator = "vector"

    def rules(self, core: Core) -> Iterator[Rule]:
        yield (
            "dst, predicate and on_true span the same partitions, with equally long rows",
            same_rows(self.dst, self.predicate, self.on_true),
        )
        legal = ("int8", "uint8", "int16", "uint16", "bool_")
        yield f"predicate is one of {', '.join(legal)}", _named(self.predicate, legal)
        wide = _named(self.on_true, ("tfloat32", "int32", "uint32"))
        yield "on_true is not tfloat32, int32 or uint32", not wide
        both = in_psum(self.predicate) and in_psum(self.on_true)
        yield "not both predicate and on_true are in PSUM", not both
        yield "reduce_op is maximum", self.reduce_op.name == "maximum"
        known = self.reduce_cmd not in (ReduceCmd.reset, ReduceCmd.load_reduce)
        yield "reduce_cmd is idle, reduce or reset_reduce", known
        yield from column_rules("on_false", self.on_false, self.on_true)
        yield from column_rules("reduce_res", self.reduce_res, self.on_true)
        if self.reduce_res is not None:
            yield "reduce_res is a float", formats.is_float(self.reduce_res.dtype)

    def passes(self, core: Core) -> float:
        """No cost is published: as tensor_copy_predicated."""
        return 2 if in_sbuf(self.predicate) and in_sbuf(self.on_true) else 1

    def overhead(self, core: Core) -> float:
        return READ_OUT / core.engine("vector").hz if self.reduce_res is not None else 0.0

    def value(
        self, predicate: np.ndarray, on_true: np.ndarray, *rest: np.ndarray, registers: np.ndarray
    ) -> Any:
        on_false = rest[0] if rest else on_true.dtype.type(self.on_false)
        chosen = (predicate == 0 if self.reverse_pred else predicate != 0).reshape(on_true.shape)
        out = np.where(chosen, on_true, column(on_false, on_true))
        mine = _keep_largest(registers, out, self.reduce_cmd, self.reduce_op)
        return out if self.reduce_res is None else (out, mine)


class RangeSelect(
    Instruction, engines=("vector",), page="nki.isa.range_select", needs="range_select"
):
    """dst = on_true_tile where its column, counted from range_start, is within both bounds.

    Elsewhere it is the lowest fp32 number. ``bound0`` and ``bound1`` are fp32 [P, 1]; the
    reduction registers of the engine keep the maximum, and ``reduce_res`` [P, 1] reads them out.
    """

    dst: Tile
    on_true_tile: Tile
    comp_op0: Op
    comp_op1: Op
    bound0: Tile
    bound1: Tile
    reduce_cmd: ReduceCmd = ReduceCmd.reset_reduce
    reduce_res: Tile | None = None
    reduce_op: Op = op_of("maximum")
    range_start: int = 0
    on_false_value: float = FP32_MIN

    writes = ("dst", "reduce_res")
    accumulator = "vector"

    def rules(self, core: Core) -> Iterator[Rule]:
        yield (
            "dst and on_true_tile span the same partitions, with equally long rows",
            same_rows(self.dst, self.on_true_tile),
        )
        yield "on_true_tile is a float", formats.is_float(self.on_true_tile.dtype)
        legal = tuple(name for name in COMPARISONS if name != "not_equal")
        for name, op in (("comp_op0", self.comp_op0), ("comp_op1", self.comp_op1)):
            yield f"{name} is one of {', '.join(legal)}", op.name in legal
        for name in ("bound0", "bound1", "reduce_res"):
            yield from column_rules(name, getattr(self, name), self.on_true_tile)
        for name in ("bound0", "bound1"):
            yield from float32_rules(name, getattr(self, name))
        yield "reduce_op is maximum", self.reduce_op.name == "maximum"
        loads = self.reduce_cmd is ReduceCmd.load_reduce
        yield "reduce_cmd is not load_reduce: there is nothing to load", not loads
        lowest = np.float32(self.on_false_value) == np.float32(FP32_MIN)
        yield f"on_false_value is {FP32_MIN:.8g}", bool(lowest)
        inside = self.range_start + self.on_true_tile.free <= 2**24
        yield "columns are counted below 2**24, where fp32 is exact", inside

    def overhead(self, core: Core) -> float:
        return READ_OUT / core.engine("vector").hz if self.reduce_res is not None else 0.0

    def operations(self) -> float:
        return 2.0 * self.on_true_tile.size

    def value(
        self, on_true: np.ndarray, bound0: np.ndarray, bound1: np.ndarray, *, registers: np.ndarray
    ) -> Any:
        flat = on_true.reshape(on_true.shape[0], -1)
        columns = np.arange(flat.shape[1], dtype=np.float32) + np.float32(self.range_start)
        low = _compare(self.comp_op0, columns, bound0.reshape(-1, 1))
        high = _compare(self.comp_op1, columns, bound1.reshape(-1, 1))
        out = np.where(low & high, flat, flat.dtype.type(self.on_false_value))
        out = out.reshape(on_true.shape)
        mine = _keep_largest(registers, out, self.reduce_cmd, self.reduce_op)
        return out if self.reduce_res is None else (out, mine)


def as_pattern(given: Sequence[Sequence[int]]) -> Pattern:
    """A pattern in a form that can be hashed."""
    return tuple((int(step), int(size)) for step, size in given)


def pattern_rules(pattern: Pattern, dst: Tile) -> Iterator[Rule]:
    """The rules of an affine pattern over the free dimensions of dst."""
    yield "pattern has 1 to 4 dimensions", 1 <= len(pattern) <= 4
    count = prod(size for _, size in pattern)
    yield f"pattern has {dst.free} elements, as a row of dst", count == dst.free


def affine(pattern: Pattern, offset: int, multiplier: int, partitions: int) -> np.ndarray:
    """An affine pattern as int32 [partitions, elements], wrapping as 32-bit arithmetic does."""
    row = np.zeros(1, np.int64)
    for step, size in pattern:
        row = np.add.outer(row, step * np.arange(size, dtype=np.int64)).reshape(-1)
    channels = offset + multiplier * np.arange(partitions, dtype=np.int64)
    return np.add.outer(channels, row).astype(np.int32)


def saturated(whole: np.ndarray, dtype: Any) -> np.ndarray:
    """Integers as another integer dtype, clipped to its range."""
    stored = formats.storage(dtype)
    limits = np.iinfo(stored)
    return np.clip(whole.astype(np.int64), limits.min, limits.max).astype(stored)


def _named(tile: Tile, names: tuple[str, ...]) -> bool:
    return formats.name(tile.dtype) in names


def _compare(op: Op, left: np.ndarray, right: Any) -> np.ndarray:
    return np.asarray(op.value(left, right)) != 0


def _keep_largest(registers: np.ndarray, out: np.ndarray, cmd: ReduceCmd, op: Op) -> np.ndarray:
    mine = registers[: out.shape[0]]
    accumulate(mine, out.reshape(out.shape[0], -1).max(axis=1), cmd, op)
    return mine.copy()
