"""Instructions that look for elements and return where they are."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.isa.instruction import Instruction, Rule, same_rows
from trnlab.isa.limits import int32_rules
from trnlab.isa.tile import Tile
from trnlab.machine.chip import Core

GROUP = 16  # partitions that one of the eight GpSimd cores reaches
NOWHERE = np.float32(2**32)  # saturates to all ones in every unsigned index dtype


class NcFindIndex8(Instruction, engines=("vector",), page="nki.isa.nc_find_index8"):
    """dst [P, 8] = the column where each of eight values first occurs in its partition of data.

    A value listed again gets the next occurrence; one that does not occur gets all ones.
    """

    dst: Tile
    data: Tile
    vals: Tile

    def rules(self, core: Core) -> Iterator[Rule]:
        yield from _eight_rules(self.data, self.vals)
        same = self.dst.partitions == self.data.partitions
        yield "dst has shape [P, 8]", same and self.dst.ndim == 2 and self.dst.free == 8
        yield "dst is uint16 or uint32", formats.name(self.dst.dtype) in ("uint16", "uint32")

    def elements(self) -> float:
        return self.data.free

    def value(self, data: np.ndarray, vals: np.ndarray) -> np.ndarray:
        flat, wanted = data.reshape(data.shape[0], -1), vals.reshape(vals.shape[0], 8)
        return np.where((found := occurrences(flat, wanted)) < 0, NOWHERE, found)


class NcMatchReplace8(Instruction, engines=("vector",), page="nki.isa.nc_match_replace8"):
    """dst = data with the first occurrence of each of eight values replaced by imm.

    ``dst_idx`` [P, 8] takes their columns. A value listed again replaces its next occurrence, the
    first one going to the last slot; one that does not occur gets all ones.
    """

    dst: Tile
    data: Tile
    vals: Tile
    imm: float
    dst_idx: Tile | None = None

    writes = ("dst", "dst_idx")

    def rules(self, core: Core) -> Iterator[Rule]:
        yield from _eight_rules(self.data, self.vals)
        yield (
            "dst and data span the same partitions, with equally long rows",
            same_rows(self.dst, self.data),
        )
        if self.dst_idx is not None:
            same = self.dst_idx.partitions == self.data.partitions
            yield "dst_idx has shape [P, 8]", same and self.dst_idx.free == 8
            whole = formats.name(self.dst_idx.dtype) in ("uint16", "uint32")
            yield "dst_idx is uint16 or uint32", whole

    def elements(self) -> float:
        return self.data.free

    def value(self, data: np.ndarray, vals: np.ndarray) -> Any:
        rows = data.shape[0]
        out = data.reshape(rows, -1).copy()
        wanted = vals.reshape(rows, 8)
        found = occurrences(out, wanted[:, ::-1])[:, ::-1]
        row, slot = np.nonzero(found >= 0)
        out[row, found[row, slot]] = self.imm
        out = out.reshape(data.shape)
        return out if self.dst_idx is None else (out, np.where(found < 0, NOWHERE, found))


class SequenceBounds(Instruction, engines=("gpsimd",), page="nki.isa.sequence_bounds"):
    """dst [1, 2, n] = where the segment of each element begins, and where it has ended.

    Segments are runs of equal numbers in segment_ids [1, n]; elements of segment 0 get n and -1.
    """

    dst: Tile
    segment_ids: Tile

    def rules(self, core: Core) -> Iterator[Rule]:
        yield "segment_ids spans one partition", self.segment_ids.partitions == 1
        length = self.segment_ids.free
        yield f"dst has shape [1, 2, {length}]", self.dst.shape == (1, 2, length)
        for name, tile in self.tiles().items():
            legal = formats.name(tile.dtype) in ("float32", "int32")
            yield f"{name} is float32 or int32", legal

    def elements(self) -> float:
        return self.segment_ids.free

    def value(self, segment_ids: np.ndarray) -> np.ndarray:
        ids = segment_ids.reshape(-1)
        edge = np.flatnonzero(ids[1:] != ids[:-1]) + 1
        starts = np.concatenate([[0], edge])
        stops = np.concatenate([edge, [len(ids)]])
        lengths = stops - starts
        bounds = np.stack([np.repeat(starts, lengths), np.repeat(stops, lengths)])
        bounds[:, ids == 0] = [[len(ids)], [-1]]
        return bounds[None].astype(np.float32)


class NonzeroWithCount(
    Instruction,
    engines=("gpsimd",),
    page="nki.isa.nonzero_with_count",
    needs="nonzero_with_count",
):
    """dst = the columns of src that are not 0, padding, and last how many there are.

    Only partitions 0, 16, 32, ... take part; the others of dst stay as they are.
    """

    dst: Tile
    src: Tile
    index_offset: int = 0
    padding_val: int = -1

    updates = True

    def rules(self, core: Core) -> Iterator[Rule]:
        yield "dst and src span the same partitions", self.dst.partitions == self.src.partitions
        longer = self.src.free + 1
        yield f"dst has {longer} elements a partition", self.dst.free == longer
        yield "src is float32 or int32", formats.name(self.src.dtype) in ("float32", "int32")
        yield "dst is int32", formats.name(self.dst.dtype) == "int32"
        yield from int32_rules(index_offset=self.index_offset, padding_val=self.padding_val)

    def elements(self) -> float:
        return self.src.free

    @property
    def keeps_bits(self) -> bool:
        return True

    def value(self, dst: np.ndarray, src: np.ndarray) -> np.ndarray:
        out = dst.reshape(dst.shape[0], -1).copy()
        flat = src.reshape(src.shape[0], -1)
        for row in range(0, len(flat), GROUP):
            found = np.flatnonzero(flat[row])
            out[row, :-1] = self.padding_val
            out[row, : len(found)] = found + self.index_offset
            out[row, -1] = len(found)
        return out.reshape(dst.shape)


class Topk(Instruction, engines=("gpsimd",), page="nki.isa.topk", needs="topk", since="0.6"):
    """val_dst [P, K] = the K largest of n elements in ascending order, idx_dst their indices.

    Sixteen partitions of src hold one sequence, element i at partition i % 16 and column i // 16;
    each of the sixteen gets its result. Among equal elements the first counts as larger.
    """

    val_dst: Tile
    idx_dst: Tile
    src: Tile
    n: int

    writes = ("val_dst", "idx_dst")

    def rules(self, core: Core) -> Iterator[Rule]:
        for name in ("val_dst", "src"):
            tile = getattr(self, name)
            yield f"{name} is bfloat16", formats.name(tile.dtype) == "bfloat16"
        yield "idx_dst is uint32", formats.name(self.idx_dst.dtype) == "uint32"
        yield "val_dst and idx_dst have one shape", self.val_dst.shape == self.idx_dst.shape
        yield (
            "val_dst and src span the same partitions",
            (self.val_dst.partitions == self.src.partitions),
        )
        yield f"src spans a multiple of {GROUP} partitions", self.src.partitions % GROUP == 0
        yield "n is 8 to 65535", 8 <= self.n < 65536
        count = self.val_dst.free
        yield "K is 1 to 32767, and at most n", 1 <= count < 32768 and count <= self.n
        yield f"src holds n elements in {GROUP} partitions", self.src.free * GROUP >= self.n

    def elements(self) -> float:
        return 4.0 * self.n + self.val_dst.free  # NKI API reference 2.32, cost note

    def value(self, src: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows, count = src.shape[0], self.val_dst.free
        snakes = src.reshape(rows // GROUP, GROUP, -1).transpose(0, 2, 1)
        snakes = snakes.reshape(rows // GROUP, -1)[:, : self.n]
        order = np.argsort(-snakes, axis=1, kind="stable")[:, :count][:, ::-1]
        values = np.take_along_axis(snakes, order, axis=1)
        return np.repeat(values, GROUP, axis=0), np.repeat(order, GROUP, axis=0)


def occurrences(data: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Columns of data [P, N] where wanted [P, 8] occur, -1 for nowhere.

    A value wanted again, further right, gets its next occurrence.
    """
    found = np.empty(wanted.shape, np.int64)
    rows, columns = np.arange(len(data)), np.arange(data.shape[1])
    for slot in range(wanted.shape[1]):
        sought = wanted[:, slot : slot + 1]
        hits = data == sought
        earlier = wanted[:, :slot] == sought
        again = np.flatnonzero(earlier.any(axis=1))
        if len(again):
            last = np.where(earlier[again], found[again, :slot], -1).max(axis=1)
            hits[again] &= columns > last[:, None]
        first = hits.argmax(axis=1)
        found[:, slot] = np.where(hits[rows, first], first, -1)
    return found


def _eight_rules(data: Tile, vals: Tile) -> Iterator[Rule]:
    yield "data and vals span the same partitions", data.partitions == vals.partitions
    yield "vals has 8 elements a partition", vals.free == 8
    yield "data and vals have at most 3 dimensions", max(data.ndim, vals.ndim) <= 3
    yield "data has 8 to 16384 elements a partition", 8 <= data.free <= 16384
