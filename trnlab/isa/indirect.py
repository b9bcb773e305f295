"""Transfers whose addresses are data: `nki.isa.dma_copy` on a tensor that a tile indexes.

The indexed tensor comes as a view whose first dimension is the one that the tile picks from and
whose others are those of the data, with size 1 where the address does not depend on them.
"""

from collections.abc import Iterator
from math import prod
from typing import Any, ClassVar, NoReturn

import numpy as np

from trnlab import formats
from trnlab.errors import OutOfBounds
from trnlab.isa.dma import DgeMode, Transfer
from trnlab.isa.instruction import Rule, in_psum, in_sbuf
from trnlab.isa.tile import Tile
from trnlab.machine.chip import Core


class DmaGather(Transfer, engines=("dma",), page="nki.isa.dma_copy", listed=False):
    """dst = the rows of src that index lists; with ``skip`` those outside leave dst as it is.

    Stored only where `listed_rows` says.
    """

    dst: Tile
    src: Tile
    index: Tile
    skip: bool = False

    dge_mode: ClassVar[DgeMode] = DgeMode.swdge  # only software descriptors take indices
    raw = frozenset({"index"})
    partial = frozenset({"src"})

    def rules(self, core: Core) -> Iterator[Rule]:
        yield "dst is not in PSUM: DMA cannot reach it", not in_psum(self.dst)
        yield "the tensor that is indexed is in HBM", not self.src.layout.on_chip
        yield from _index_rules(self.index)

    def sides(self) -> tuple[Tile, ...]:
        return (self.dst,)

    def touched(self, name: str) -> int:
        return self.index.size if name == "index" else self.dst.size

    @property
    def keeps_bits(self) -> bool:
        return self.dst.dtype == self.src.dtype

    def value(self, src: np.ndarray, index: np.ndarray) -> np.ndarray:
        places, _ = address(index, self.dst.shape, src.shape, self.skip)
        return src[places]


class DmaScatter(Transfer, engines=("dma",), page="nki.isa.dma_copy", listed=False):
    """The rows of dst that index lists = src, or with ``add`` the sum of both.

    Stored only where `written_rows` says.
    """

    dst: Tile
    src: Tile
    index: Tile
    skip: bool = False
    add: bool = False

    dge_mode: ClassVar[DgeMode] = DgeMode.swdge
    raw = frozenset({"index"})

    def rules(self, core: Core) -> Iterator[Rule]:
        yield "src is not in PSUM: DMA cannot reach it", not in_psum(self.src)
        yield "the tensor that is indexed is in HBM", not self.dst.layout.on_chip
        yield "an index outside is an error when sums are made", not (self.skip and self.add)
        yield from _index_rules(self.index)

    @property
    def updates(self) -> bool:  # type: ignore[override]
        """A sum takes what is in dst."""
        return self.add

    def sides(self) -> tuple[Tile, ...]:
        return (self.src,)

    def share(self, core: Core) -> float:
        return core.dma.compute if self.add else 1.0

    def touched(self, name: str) -> int:
        return self.index.size if name == "index" else self.src.size

    @property
    def keeps_bits(self) -> bool:
        return self.dst.dtype == self.src.dtype and not self.add

    def value(self, *arrays: np.ndarray) -> np.ndarray:
        *old, src, index = arrays
        places, inside = address(index, src.shape, self.dst.shape, self.skip)
        taken = tuple(np.broadcast_to(p, src.shape)[inside] for p in places)
        if self.add:
            out = old[0].copy()
            np.add.at(out, taken, src[inside])
            return out
        out = np.zeros(self.dst.shape, src.dtype)
        out[taken] = src[inside]
        return out


def listed_rows(index: np.ndarray, shape: tuple[int, ...], rows: int) -> np.ndarray:
    """Which elements of data of this shape a gather from that many rows reads."""
    listed = np.broadcast_to(index.astype(np.int64), shape)
    return (listed >= 0) & (listed < rows)


def contested(places: np.ndarray, values: np.ndarray) -> bool:
    """Whether a place is listed twice with different values, a number or a row of them each."""
    order = np.argsort(places, kind="stable")
    again = np.flatnonzero(places[order][1:] == places[order][:-1])
    kept = np.ascontiguousarray(values)
    bits = kept.view(np.dtype(f"u{kept.itemsize}")).reshape(len(places), -1)
    return bool((bits[order[again]] != bits[order[again + 1]]).any())


def contest(name: str, tensor: str) -> tuple[str, dict[str, str], str, str, str]:
    """What to say of it: what, given, limit, fix, see."""
    return (
        f"{name}: one transfer writes different values to the same place",
        {"tensor": tensor},
        "each index once: the DMA engines write rows in no order",
        "make the indices distinct, or add up what belongs to one row",
        "nki.isa.dma_copy",
    )


def written_rows(
    index: np.ndarray, shape: tuple[int, ...], target: tuple[int, ...], *, skip: bool
) -> np.ndarray:
    """Which elements of ``target`` a scatter of data of this shape writes."""
    places, inside = address(index, shape, target, skip)
    out = np.zeros(target, bool)
    out[tuple(np.broadcast_to(p, shape)[inside] for p in places)] = True
    return out


def address(
    index: np.ndarray, shape: tuple[int, ...], target: tuple[int, ...], skip: bool
) -> tuple[tuple[Any, ...], np.ndarray]:
    """Where in ``target`` each element of data of this shape is, and whether it is inside."""
    rows = np.broadcast_to(index.astype(np.int64), shape)
    inside = listed_rows(index, shape, target[0])
    if not skip and not inside.all():
        _refuse(index, target)
    others = [
        np.minimum(place, size - 1)
        for place, size in zip(np.ogrid[tuple(slice(n) for n in shape)], target[1:], strict=True)
    ]
    return (np.clip(rows, 0, target[0] - 1), *others), inside


def _refuse(index: np.ndarray, target: tuple[int, ...]) -> NoReturn:
    """A row that is not there; the cause says it as NumPy does of the flattened tensor."""
    wrong = (index < 0) | (index >= target[0])
    where = [int(n) for n in np.argwhere(wrong)[0]]
    row, size = int(index[tuple(where)]), prod(target[1:])
    raise OutOfBounds(
        f"an index has the value {row}",
        {"where": f"index{where}, and {int(wrong.sum()) - 1} more are outside"},
        limit=f"0 to {target[0] - 1}",
        fix="oob_mode.skip leaves out what is outside",
        see="nki.isa.dma_copy",
    ) from IndexError(
        f"index {row * size} is out of bounds for axis 0 with size {target[0] * size}"
    )


def _index_rules(index: Tile) -> Iterator[Rule]:
    yield "index is in SBUF", in_sbuf(index)
    yield "index is an integer", formats.is_integer(index.dtype)
