"""Instructions of the tensor engine."""

import enum
from collections.abc import Iterator
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.isa.instruction import Instruction, Queue, Rule, in_psum, in_sbuf
from trnlab.isa.rules import ALLOCATED, before, only, since
from trnlab.isa.tile import Tile
from trnlab.machine.chip import Core

INPUTS = ("bfloat16", "float16", "float8_e4m3", "float8_e5m2", "tfloat32", "float32")
WIDE = ("float32", "tfloat32")
WIDE_ONCE = 4096  # columns, also of bfloat16, before nki 0.5


class PerfMode(enum.Enum):
    """Fast modes of the tensor engine."""

    none = 0
    double_row = 1


class NcMatmul(Instruction, engines=("tensor",), page="nki.isa.nc_matmul"):
    """dst (+)= stationary.T @ moving, accumulated in fp32.

    Shapes: stationary [K, M], moving [K, N], dst [M, N]; with ``perf_mode`` double_row
    [K, 2, M] and [K, 2, N]. ``accumulate`` None overwrites what no matmul has written and adds
    to what one has.
    """

    dst: Tile
    stationary: Tile
    moving: Tile
    is_stationary_onezero: bool = False
    is_moving_onezero: bool = False
    is_transpose: bool = False
    accumulate: bool | None = None
    tile_position: tuple[int, ...] = ()
    tile_size: tuple[int, ...] = ()
    perf_mode: Any = PerfMode.none

    indirect = frozenset({"dst", "stationary", "moving"})

    def rules(self, core: Core) -> Iterator[Rule]:
        yield "dst is in PSUM", in_psum(self.dst)
        yield "stationary is in SBUF", in_sbuf(self.stationary)
        yield "moving is in SBUF", in_sbuf(self.moving)
        same = self.stationary.partitions == self.moving.partitions
        yield "both inputs span the same partitions", same
        rows, columns = self.tile_size or (core.array.rows, core.array.columns)
        yield f"stationary spans at most {rows} partitions", self.stationary.partitions <= rows
        yield f"stationary is at most {columns} columns wide", self._m <= columns
        yield "dst has a row for every stationary column", self.dst.partitions == self._m
        yield "dst has a column for every moving column", self.dst.free == self._n
        yield from self._size_rules(core)
        yield from self._dtype_rules(core)
        yield from self._mode_rules(core)

    def _size_rules(self, core: Core) -> Iterator[Rule]:
        if "wide_psum" in core.can:
            limit = core.psum.size // self.dst.itemsize
            yield f"moving streams at most {limit} columns", self._n <= limit
            yield f"moving streams at most {WIDE_ONCE} columns", self._n <= WIDE_ONCE, before("0.5")
            return
        limit = core.array.moving_max
        yield f"moving streams at most {limit} columns", self._n <= limit
        first, last = self.dst.psum_banks
        yield f"dst stays inside one PSUM bank of {core.psum.bank} bytes", first == last

    def _dtype_rules(self, core: Core) -> Iterator[Rule]:
        legal = (*INPUTS, "float8_e4m3fn") if "ocp_fp8" in core.can else INPUTS
        names = [formats.name(t.dtype) for t in (self.stationary, self.moving)]
        for operand, name in zip(("stationary", "moving"), names, strict=True):
            yield f"{operand} is one of {', '.join(legal)}", name in legal
        yield "if one input is fp32 the other is too", (names[0] in WIDE) == (names[1] in WIDE)
        yield "OCP float8_e4m3 came with nki 0.4", "float8_e4m3fn" not in names, only("0.2", "0.4")
        mixed = {"float8_e4m3", "float8_e4m3fn"} <= set(names)
        yield "legacy and OCP float8_e4m3 are not mixed", not mixed
        results = ("float32", "bfloat16") if "psum_bf16" in core.can else ("float32",)
        copied = self.is_transpose and "exact_transpose" in core.can
        results = (*results, names[0], names[1]) if copied else results
        yield f"dst is {' or '.join(results)}", formats.name(self.dst.dtype) in results

    def _mode_rules(self, core: Core) -> Iterator[Rule]:
        known = self.perf_mode is None or hasattr(self.perf_mode, "name")
        yield "perf_mode is one of nki.isa.matmul_perf_mode", known
        if self.double:
            yield "double_row needs a core that has it", "double_row" in core.can
            fp8 = all(t.itemsize == 1 for t in (self.stationary, self.moving))
            yield "double_row takes fp8 inputs", fp8
            yield "double_row does not transpose", not self.is_transpose
            split = bool(self.tile_size) and self.tile_size[1:] != (core.array.columns,)
            yield "double_row goes with all columns of the array", not split
            pairs = all(t.ndim == 3 and t.shape[1] == 2 for t in (self.stationary, self.moving))
            yield "double_row inputs have 2 as their first free dimension", pairs
        both = bool(self.tile_position) == bool(self.tile_size)
        yield "tile_position and tile_size are given together", both
        if self.tile_size and self.tile_position:
            yield from self._tile_rules(core)
        given = self.accumulate is not None
        yield "accumulate came with nki 0.3", not given, only("0.2", "0.3")

    def _tile_rules(self, core: Core) -> Iterator[Rule]:
        (row, column), (start, left) = self.tile_size, self.tile_position
        sizes = (32, 64, 128) if "column_tiling" in core.can else (64, 128)
        yield f"a row tile is one of {sizes} high", row in sizes
        yield "a row tile starts at a multiple of its height", start % row == 0
        yield "a row tile ends inside the array", start + row <= core.array.rows
        yield f"a column tile is one of {sizes} wide", column in sizes
        yield "a column tile starts at a multiple of its width", left % column == 0
        yield "a column tile ends inside the array", left + column <= core.array.columns

    @property
    def double(self) -> bool:
        """Whether two rows of fp8 data go through at once."""
        return getattr(self.perf_mode, "name", None) == "double_row"

    @property
    def _m(self) -> int:
        return self.stationary.free // (2 if self.double else 1)

    @property
    def _n(self) -> int:
        return self.moving.free // (2 if self.double else 1)

    def passes(self, core: Core) -> float:
        """fp32 goes through several times; half as often where one side is known to be 0 or 1."""
        if formats.name(self.moving.dtype) != "float32":
            return 1
        onezero = self.is_stationary_onezero or self.is_moving_onezero
        fast = self.is_transpose and "fast_transpose" in core.can
        return core.array.fp32_passes / (2 if onezero or fast else 1)

    def elements(self) -> float:
        """One moving column a cycle, and never fewer than the array needs to turn round."""
        return max(self._n, min(64, self._m))

    def operations(self) -> float:
        return 2.0 * self.stationary.size * self._n

    def value(self, stationary: np.ndarray, moving: np.ndarray) -> np.ndarray:
        if self.double:
            rows = stationary.shape[0] * 2
            return stationary.reshape(rows, -1).T @ moving.reshape(rows, -1)
        left = stationary.reshape(stationary.shape[0], -1)
        return left.T @ moving.reshape(moving.shape[0], -1)


class NcTranspose(Instruction, engines=("tensor", "vector"), page="nki.isa.nc_transpose"):
    """dst = data with partition and free dimension exchanged.

    On the tensor engine up to [128, 128] from SBUF to PSUM, on the vector engine up to [32, 32].
    """

    dst: Tile
    data: Tile
    engine: Queue = Queue.unknown

    @property
    def queue(self) -> str:
        if self.engine is not Queue.unknown:
            return self.engine.value
        return "tensor" if in_psum(self.dst) else "vector"

    def rules(self, core: Core) -> Iterator[Rule]:
        swapped = (self.data.free, self.data.partitions)
        yield "dst is shaped as data transposed", (self.dst.partitions, self.dst.free) == swapped
        yield "dst and data have one dtype", self.dst.dtype == self.data.dtype, since("0.2")
        if self.queue == "tensor":
            yield (
                "the tensor engine needs an identity: nc_matmul with is_transpose takes one",
                False,
                before("0.2", mode=ALLOCATED),
            )
            yield "the tensor engine reads data from SBUF", in_sbuf(self.data)
            yield "the tensor engine writes to PSUM", in_psum(self.dst)
            yield "data is at most [128, 128]", max(swapped) <= core.array.rows
        else:
            yield "the vector engine transposes at most [32, 32]", max(swapped) <= 32

    def passes(self, core: Core) -> float:
        wide = self.queue == "tensor" and formats.name(self.data.dtype) == "float32"
        return core.array.fp32_passes / 2 if wide else 1

    def elements(self) -> float:
        if self.queue == "tensor":
            return max(self.data.partitions, min(64, self.data.free))
        return self.data.free

    def operations(self) -> float:
        return 2.0 * self.data.size * self.data.partitions if self.queue == "tensor" else 0.0

    @property
    def keeps_bits(self) -> bool:
        return True

    def value(self, data: np.ndarray) -> np.ndarray:
        return data.reshape(data.shape[0], -1).T
