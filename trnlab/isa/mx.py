"""Block-scaled formats: instructions that make them and multiply them.

A group of 32 numbers, four in each of eight partitions, shares one power of two. The scales of 32
partitions lie in the first four of the same 32, or 4, 8 or 12 partitions below.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.isa.instruction import Instruction, Rule, in_psum, in_sbuf
from trnlab.isa.rules import before, only
from trnlab.isa.tile import Tile
from trnlab.machine.chip import Core

GROUP, PACKED, QUADRANT = 8, 4, 32
BIAS = 127  # of the exponent that stands for a scale
LARGEST = {"float8_e4m3fn_x4": 8, "float8_e5m2_x4": 15}  # exponent
PACKS = ("float8_e5m2_x4", "float8_e4m3fn_x4", "float4_e2m1fn_x4")


class QuantizeMx(Instruction, engines=("vector",), page="nki.isa.quantize_mx", needs="mx"):
    """dst [P, F / 4] = src [P, F] in packed fp8, dst_scale = the scale of each group of 32.

    The scale is 2 ** (floor(log2 of the largest magnitude) - largest exponent + 1).
    """

    dst: Tile
    src: Tile
    dst_scale: Tile

    writes = ("dst_scale", "dst")  # the scale comes first because most of its rows stay as they are
    updates = True
    unaligned = frozenset({"dst_scale"})

    def rules(self, core: Core) -> Iterator[Rule]:
        for name, tile in self.tiles().items():
            yield f"{name} is in SBUF", in_sbuf(tile)
        yield "src is float16 or bfloat16", _name(self.src) in ("float16", "bfloat16")
        yield f"dst is {' or '.join(LARGEST)}", _name(self.dst) in LARGEST
        yield "src spans a multiple of 32 partitions", self.src.partitions % QUADRANT == 0
        yield "src has a multiple of 4 elements a partition", self.src.free % PACKED == 0
        shape = (self.src.partitions, self.src.free // PACKED)
        yield f"dst has shape {list(shape)}", (self.dst.partitions, self.dst.free) == shape
        yield from _scale_rules("dst_scale", self.dst_scale, *shape)

    def passes(self, core: Core) -> float:
        return 0.25  # Trainium3 architecture guide: four elements a partition and cycle

    def elements(self) -> float:
        return self.src.free

    def operations(self) -> float:
        return 2.0 * self.src.size

    @property
    def keeps_bits(self) -> bool:
        return True

    def value(self, src: np.ndarray, dst_scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = src.shape[0]
        data = src.reshape(rows // GROUP, GROUP, -1, PACKED).astype(np.float32)
        largest = np.abs(data).max(axis=(1, 3))
        exponent = np.frexp(largest)[1] - LARGEST[_name(self.dst)]
        exponent = np.where(largest == 0, -BIAS, np.clip(exponent, -BIAS, BIAS))
        scaled = data * np.ldexp(np.float32(1), -exponent)[:, None, :, None]
        packed = formats.narrow(scaled.reshape(rows, -1), self.dst.dtype)
        scales = dst_scale.reshape(dst_scale.shape[0], -1).copy()
        codes = (exponent + BIAS).astype(np.uint8).view(scales.dtype)
        scales[_scale_rows(rows), : codes.shape[1]] = codes
        return scales, packed


class NcMatmulMx(Instruction, engines=("tensor",), page="nki.isa.nc_matmul_mx", needs="mx"):
    """dst [M, N] (+)= stationary [K, M].T @ moving [K, N], of packed data times their scales.

    It contracts over 4 K numbers. ``accumulate`` None overwrites what no matmul has written and
    adds to what one has.
    """

    dst: Tile
    stationary: Tile
    moving: Tile
    stationary_scale: Tile
    moving_scale: Tile
    tile_position: tuple[int, ...] | None = None
    tile_size: tuple[int, ...] | None = None
    accumulate: bool | None = None

    indirect = frozenset({"dst", "stationary", "moving", "stationary_scale", "moving_scale"})
    unaligned = frozenset({"stationary_scale", "moving_scale"})
    packed = frozenset({"stationary", "moving"})
    partial = frozenset({"stationary_scale", "moving_scale"})

    def rules(self, core: Core) -> Iterator[Rule]:
        yield "dst is in PSUM", in_psum(self.dst)
        given = self.accumulate is not None
        yield "accumulate came with nki 0.3", not given, only("0.2", "0.3")
        yield "dst is float32 or bfloat16", _name(self.dst) in ("float32", "bfloat16")
        for name in ("stationary", "moving", "stationary_scale", "moving_scale"):
            yield f"{name} is in SBUF", in_sbuf(getattr(self, name))
        for name in ("stationary", "moving"):
            yield f"{name} is one of {', '.join(PACKS)}", _name(getattr(self, name)) in PACKS
        yield from self._shape_rules(core)
        yield from self._tile_rules(core)
        for side in (self.stationary, self.moving):
            name = "stationary_scale" if side is self.stationary else "moving_scale"
            yield from _scale_rules(name, getattr(self, name), side.partitions, side.free)

    def _shape_rules(self, core: Core) -> Iterator[Rule]:
        rows, columns = self.stationary.partitions, self.stationary.free
        yield "both inputs span the same partitions", rows == self.moving.partitions
        yield "both inputs span a multiple of 32 partitions", rows % QUADRANT == 0
        width = core.array.columns
        yield f"stationary is at most {width} columns wide", columns <= width
        yield "stationary has an even number of columns", columns % 2 == 0
        limit = core.psum.size // self.dst.itemsize
        yield f"moving streams at most {limit} columns", self.moving.free <= limit
        shape = (columns, self.moving.free)
        yield f"dst has shape {list(shape)}", (self.dst.partitions, self.dst.free) == shape

    def _tile_rules(self, core: Core) -> Iterator[Rule]:
        size, position = self.tile_size, self.tile_position
        yield "tile_position and tile_size are given together", bool(size) == bool(position)
        if size and position:
            yield "a row tile is 32, 64 or 128 high", size[0] in (32, 64, 128)
            yield "a row tile starts at a multiple of its height", position[0] % size[0] == 0
            yield "a row tile ends inside the array", position[0] + size[0] <= core.array.rows
            whole = (size[1], position[1]) == (core.array.columns, 0)
            yield "a row tile takes all columns", whole
            yield "stationary fits the row tile", self.stationary.partitions <= size[0]

    def elements(self) -> float:
        """One moving column a cycle, and never fewer than the array needs to turn round."""
        return max(self.moving.free, min(64, self.stationary.free))

    def operations(self) -> float:
        return 2.0 * PACKED * self.stationary.size * self.moving.free

    def value(
        self,
        stationary: np.ndarray,
        moving: np.ndarray,
        stationary_scale: np.ndarray,
        moving_scale: np.ndarray,
    ) -> np.ndarray:
        left = _unpacked(stationary, stationary_scale, self.stationary_scale)
        right = _unpacked(moving, moving_scale, self.moving_scale)
        return left.T @ right


def _name(tile: Tile) -> str:
    return formats.name(tile.dtype)


def _scale_rows(partitions: int) -> np.ndarray:
    """Where the scales of that many partitions lie, counted from the first."""
    group = np.arange(partitions // GROUP)
    return group // PACKED * QUADRANT + group % PACKED


def _scale_rules(name: str, scale: Tile, partitions: int, columns: int) -> Iterator[Rule]:
    yield f"{name} is float8_e8m0fnu or uint8", _name(scale) in ("float8_e8m0fnu", "uint8")
    yield f"{name} is uint8", _name(scale) == "uint8", before("0.5")
    rows = (partitions - 1) // QUADRANT * QUADRANT + PACKED
    yield f"{name} spans at least {rows} partitions", scale.partitions >= rows
    yield f"{name} has at least {columns} elements a partition", scale.free >= columns
    start = scale.start_partition % QUADRANT
    yield f"{name} starts 0, 4, 8 or 12 partitions into a quadrant", start in (0, 4, 8, 12)


def _unpacked(data: np.ndarray, scale: np.ndarray, kind: Tile) -> np.ndarray:
    """Packed data, widened to [K, 4 N], times its scales, as [4 K, N]."""
    rows = data.shape[0]
    values = data.reshape(rows, -1, PACKED)
    factors: Any = scale.reshape(scale.shape[0], -1)[_scale_rows(rows), : values.shape[1]]
    if _name(kind) == "uint8":
        factors = np.ldexp(np.float32(1), factors.astype(np.int32) - BIAS)
    scaled = values * np.repeat(factors, GROUP, axis=0)[:, :, None]
    return scaled.transpose(0, 2, 1).reshape(rows * PACKED, -1)
