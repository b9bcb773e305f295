"""Transfers: what the DMA engines do between HBM and on-chip memory."""

import enum
from collections.abc import Iterator
from math import ceil
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.isa.instruction import (
    Instruction,
    Queue,
    Rule,
    in_psum,
    in_sbuf,
)
from trnlab.isa.limits import priority_rules
from trnlab.isa.ops import op_of
from trnlab.isa.rules import only, since
from trnlab.isa.tile import Tile
from trnlab.machine.chip import Core


class DgeMode(enum.Enum):
    """Who writes the descriptors of a transfer."""

    unknown = 0
    swdge = 1
    hwdge = 2
    none = 3

    __hash__ = object.__hash__  # by identity: enum's own is slow, and every call is looked up by it


class OobMode(enum.Enum):
    """What a transfer does with an index outside its tensor."""

    error = 0
    skip = 1

    __hash__ = object.__hash__


AXES = {2: (1, 0), 3: (2, 1, 0), 4: (3, 1, 2, 0)}  # what a transpose does, by dimensions
BLOCK = 16  # rows that hardware descriptors transpose together


def hardware_rules(core: Core) -> Iterator[Rule]:
    """The rule that a core writes its own descriptors."""
    yield "hardware descriptors need a core that writes them", "hardware_dge" in core.can


def cast_rules(dst: Tile, *srcs: Tile) -> Iterator[Rule]:
    """The rule that the DMA engines cast through fp32, which packed numbers do not survive."""
    names = {formats.name(tile.dtype) for tile in (dst, *srcs)}
    packed = any(name.endswith("_x4") for name in names)
    yield (
        "packed numbers are moved, not cast: dst and src have one dtype",
        len(names) == 1 or (not packed),
    )


class Transfer(Instruction):
    """A DMA instruction: triggered on a queue, moved by the DMA engines as packets."""

    @property
    def queue(self) -> str:
        """The queue that triggers it: GpSimd when it writes the descriptors, else Sync."""
        if getattr(self, "dge_mode", None) is DgeMode.swdge:
            return "gpsimd"
        chosen = getattr(self, "engine", Queue.unknown)
        return "sync" if chosen in (Queue.unknown, Queue.dma) else chosen.value

    def _shared_rules(self, core: Core) -> Iterator[Rule]:
        for name, tile in self.tiles().items():
            if tile.layout.on_chip:
                height = tile.start_partition + tile.partitions
                yield f"{name} spans at most {core.lanes} partitions", height <= core.lanes

    def operations(self) -> float:
        return 0.0

    def share(self, core: Core) -> float:
        """The part of the copy rate that this kind of transfer reaches."""
        return 1.0

    def sides(self) -> tuple[Tile, ...]:
        """The tiles between which bytes move."""
        return tuple(self.tiles().values())

    def packets(self, core: Core) -> tuple[int, float]:
        """Packets in all, and bytes in each: contiguous runs, cut at the largest packet."""
        runs, length = max((t.layout.runs for t in self.sides()), key=lambda r: r[0])
        bytes_each = length * self.sides()[0].itemsize
        cuts = ceil(bytes_each / core.dma.packet_max)
        return runs * cuts, bytes_each / cuts

    def lanes(self, core: Core) -> int:
        """DMA engines used: each serves 8 partitions of the on-chip side."""
        heights = [t.partitions for t in self.sides() if t.layout.on_chip]
        if not heights:
            return min(core.dma.engines, self.packets(core)[0])
        return min(core.dma.engines, ceil(max(heights) / (core.lanes / core.dma.engines)))


class DmaCopy(Transfer, engines=("dma",), page="nki.isa.dma_copy"):
    """dst = src between HBM and SBUF in any direction, cast through fp32 when dtypes differ."""

    dst: Tile
    src: Tile
    priority: int | None = None
    oob_mode: OobMode = OobMode.error
    dge_mode: DgeMode = DgeMode.unknown
    engine: Queue = Queue.unknown

    def rules(self, core: Core) -> Iterator[Rule]:
        yield "dst and src have equally many elements", self.dst.size == self.src.size
        there = not in_psum(self.src)
        yield "src is not in PSUM: DMA cannot reach it", there, since("0.3")
        yield "dst is not in PSUM: DMA cannot reach it", not in_psum(self.dst)
        yield from cast_rules(self.dst, self.src)
        yield from priority_rules(self.priority, core)
        if self.dge_mode is DgeMode.hwdge:
            yield from hardware_rules(core)
            same = self.dst.dtype == self.src.dtype
            yield "hardware descriptors move bytes: dst and src have one dtype", same, since("0.3")
            able = self.engine in (Queue.unknown, Queue.scalar, Queue.sync)
            yield "scalar or sync triggers hardware descriptors", able
        legal = (Queue.unknown, Queue.scalar, Queue.sync, Queue.gpsimd, Queue.dma)
        yield "transfers are triggered on scalar, sync or gpsimd", self.engine in legal
        chosen = self.engine in (Queue.unknown, Queue.dma) or self.dge_mode is DgeMode.hwdge
        yield "engine comes with dge_mode.hwdge", chosen, since("0.3")

    @property
    def keeps_bits(self) -> bool:
        return self.dst.dtype == self.src.dtype

    def value(self, src: np.ndarray) -> np.ndarray:
        return src


class DmaTranspose(Transfer, engines=("dma",), page="nki.isa.dma_transpose"):
    """dst = src with its axes reversed: (1, 0), (2, 1, 0) or (3, 1, 2, 0)."""

    dst: Tile
    src: Tile
    axes: tuple[int, ...] | None = None
    priority: int | None = None
    dge_mode: DgeMode = DgeMode.unknown
    oob_mode: OobMode = OobMode.error

    def rules(self, core: Core) -> Iterator[Rule]:
        yield "dst is in SBUF", in_sbuf(self.dst)
        yield "src is not in PSUM: DMA cannot reach it", not in_psum(self.src)
        yield "dst and src have one dtype", self.dst.dtype == self.src.dtype
        yield "src has 2 to 4 dimensions", 2 <= self.src.ndim <= 4
        yield "the last dimension of src is at most 128", self.src.shape[-1] <= 128
        known = self._axes == AXES.get(self.src.ndim)
        yield f"axes are one of {', '.join(map(str, AXES.values()))}", known
        turned = tuple(self.src.shape[axis] for axis in self._axes)
        yield "dst is shaped as src transposed", self.dst.shape == turned, since("0.4")
        yield "dst and src have equally many elements", self.dst.size == self.src.size
        yield from priority_rules(self.priority, core)
        yield from self._mode_rules(core)

    def _mode_rules(self, core: Core) -> Iterator[Rule]:
        direct = self.dge_mode in (DgeMode.unknown, DgeMode.hwdge)
        yield "dge_mode is unknown or hwdge, or swdge for an indexed src", direct
        yield "only an indexed src skips what is outside", self.oob_mode is not OobMode.skip
        if self.dge_mode is DgeMode.hwdge:
            yield from hardware_rules(core)
            yield from self._block_rules()

    def _block_rules(self) -> Iterator[Rule]:
        """Hardware descriptors exchange blocks of 16 rows of 2-byte elements."""
        first, *_, last = self.src.shape
        yield "hardware descriptors transpose 2-byte elements", self.src.itemsize == 2
        if self.src.ndim == 2:
            yield "src has 16 rows for hardware descriptors", first == BLOCK
            return
        yield "src has 1, 2, 4, 8 or 16 rows for hardware descriptors", first in (1, 2, 4, 8, BLOCK)
        blocks = first * self.src.shape[-2] % BLOCK == 0
        yield "first times last but one dimension of src is a multiple of 16", blocks
        yield "src has 16 rows for hardware descriptors", first == BLOCK, only("0.2", "0.6")
        yield "the last dimension of src is 128", last == 128, only("0.2", "0.6")

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(self.axes) if self.axes else AXES.get(self.src.ndim, (0,))

    def share(self, core: Core) -> float:
        return core.dma.transpose

    def sides(self) -> tuple[Tile, ...]:
        """Only the dense side counts: the engines exchange blocks among themselves."""
        return (self.src,) if "dma_transpose" in self._fast else (self.dst, self.src)

    @property
    def _fast(self) -> tuple[str, ...]:
        return ("dma_transpose",) if self.src.itemsize == 2 else ()

    @property
    def keeps_bits(self) -> bool:
        return True

    def value(self, src: np.ndarray) -> np.ndarray:
        return src.transpose(self._axes)


class GatherTranspose(DmaTranspose, engines=("dma",), page="nki.isa.dma_transpose", listed=False):
    """A transpose of the rows of src that a tile lists, by software descriptors."""

    def _mode_rules(self, core: Core) -> Iterator[Rule]:
        yield "gathering transposes need a core that has them", "dma_transpose" in core.can
        yield "an indexed src is in HBM", not self.src.layout.on_chip
        yield "an indexed src has 2-byte elements", self.src.itemsize == 2
        yield "an indexed src has a multiple of 16 rows", self.src.shape[0] % BLOCK == 0
        flat = self.src.ndim < 4 or 1 in self.src.shape[1:3]
        yield "an indexed src of 4 dimensions has 1 in the second or third", flat


class DmaCompute(Transfer, engines=("dma",), page="nki.isa.dma_compute"):
    """dst = the sum of srcs, computed in fp32 by the DMA engines."""

    dst: Tile
    srcs: list[Tile]
    reduce_op: Any
    scales: tuple[float, ...] | None = None
    unique_indices: bool = True
    oob_mode: OobMode = OobMode.error

    def rules(self, core: Core) -> Iterator[Rule]:
        yield "there are 1 to 16 srcs", 1 <= len(self.srcs) <= 16
        sizes = {t.size for t in self.srcs} | {self.dst.size}
        yield "dst and every src have equally many elements", len(sizes) == 1
        yield "every scale is 1", all(s == 1 for s in self.scales or ())
        matched = self.scales is None or len(self.scales) == len(self.srcs)
        yield "there is a scale for every src", matched
        yield "reduce_op is add", op_of(self.reduce_op).name == "add"
        yield "unique_indices is True", self.unique_indices is True
        skips = self.oob_mode is OobMode.skip
        yield "only an indexed tensor skips what is outside", not skips
        yield from cast_rules(self.dst, *self.srcs)
        yield "no side is in PSUM: DMA cannot reach it", not any(map(in_psum, self.sides()))

    def share(self, core: Core) -> float:
        return core.dma.compute

    def sides(self) -> tuple[Tile, ...]:
        return (self.dst, *self.srcs)

    def operations(self) -> float:
        return float(self.dst.size * (len(self.srcs) - 1))

    def value(self, *srcs: np.ndarray) -> np.ndarray:
        return sum((s.reshape(srcs[0].shape) for s in srcs[1:]), start=srcs[0])


def moved_bytes(transfer: Transfer) -> float:
    """Bytes that cross the DMA engines: the larger side counts."""
    return float(max(t.size * formats.itemsize(t.dtype) for t in transfer.sides()))
