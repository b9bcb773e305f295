"""Matmuls that nobody has read yet.

An accumulation group may be computed late, and together with its neighbours, as long as nobody
sees the difference: that is a matter of speed, never of result. A group is the list of matmuls that
add up in one PSUM tile, with the copies that were made of the sum since. It is computed when
anything else touches one of these tensors, or overwrites one that its inputs live in.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import ReferenceType, ref

import numpy as np

from trnlab import formats
from trnlab.isa.tile import HBM_SPACES, SBUF, Buffer, Layout, Tile
from trnlab.sim import memory, sums
from trnlab.sim.rows import Rows, join_below, join_beside, rows_of

Rounding = Callable[[Any, Any], np.ndarray]  # fp32 values in a format

WAITING = 64  # groups; more only cost memory, they do not get faster
WAITING_BYTES = 64 * 2**20  # of inputs that are held only for them


@dataclass(eq=False)
class Spot:
    """A tile that does not keep its tensor alive."""

    storage: ReferenceType[Buffer]
    layout: Layout
    offset: int

    @classmethod
    def of(cls, tile: Tile) -> "Spot":
        return cls(ref(tile.storage), tile.layout, tile.offset)

    def tile(self) -> Tile | None:
        """The tile, if its tensor still exists."""
        buffer = self.storage()
        return None if buffer is None else Tile(buffer, self.layout, self.offset)

    def is_at(self, tile: Tile) -> bool:
        """Whether a tile is this one."""
        return self.offset == tile.offset and self.layout is tile.layout


@dataclass(eq=False)
class Group:
    """Matmuls that add up in one PSUM tile, and the copies that were made of the sum."""

    dst: Spot
    base: Tile | None  # what the sum starts from, if not from nothing
    accumulate: bool | None  # of the first matmul
    pairs: list[tuple[Rows, Rows]] = field(default_factory=list)
    copies: list[Spot] = field(default_factory=list)
    stores: list[Tile] = field(default_factory=list)  # in HBM, which outlives the tiles


@dataclass(eq=False)
class Groups:
    """The groups that wait, by the number of the PSUM tensor that they write: at most one each.

    ``shown`` and ``inputs`` say which groups a tensor has a copy of, and which take it as input.
    """

    waiting: dict[int, Group] = field(default_factory=dict)
    shown: dict[int, dict[int, Tile | None]] = field(default_factory=dict)
    inputs: dict[int, dict[int, None]] = field(default_factory=dict)
    held: int = 0
    narrow: Rounding = formats.narrow

    def add(self, dst: Tile, stationary: Tile, moving: Tile, accumulate: bool | None) -> None:
        """Takes over a matmul, to be computed when somebody asks."""
        number = dst.storage.index
        group = self.waiting.get(number)
        if group and (
            accumulate is False
            or group.copies
            or not group.dst.is_at(dst)
            or dst.itemsize < 4  # rounded after every matmul
        ):
            self.flush_for(dst.storage)
            group = None
        if group is None:
            if len(self.waiting) >= WAITING or self.held > WAITING_BYTES:
                self.flush()
            group = self.waiting[number] = Group(
                Spot.of(dst), dst if sums.adds_to(dst, accumulate) else None, accumulate
            )
        group.pairs.append((rows_of(stationary), rows_of(moving)))
        for tile in (stationary, moving):
            buffer = tile.storage
            lent = buffer.borrowed is not None
            if buffer.index not in self.inputs and not lent:  # else the bytes are the caller's
                self.held += buffer.nbytes
            self.inputs.setdefault(buffer.index, {})[number] = None
            if lent:
                self.inputs.setdefault(buffer.lender, {})[number] = None

    def copy(self, dst: Tile, src: Tile) -> bool:
        """Takes over copying a sum to a new SBUF tensor; False when it must be done now."""
        group = self.waiting.get(src.storage.index)
        fresh = dst.storage.data is None and dst.storage.borrowed is None
        if group is None or not group.dst.is_at(src) or dst.storage.index in self.shown:
            return False
        if not fresh or dst.space is not SBUF or dst.shape != src.shape:
            return False
        if not memory.in_order(dst) or dst.dtype != dst.storage.dtype:
            return False
        group.copies.append(Spot.of(dst))
        self.shown[dst.storage.index] = {src.storage.index: None}
        return True

    def store(self, dst: Tile, src: Tile) -> bool:
        """Takes over storing such a copy to HBM; False when it must be done now."""
        numbers = self.shown.get(src.storage.index)
        if numbers is None or dst.space not in HBM_SPACES or not memory.in_order(src):
            return False
        if dst.shape != src.shape or dst.storage.index in self.inputs:
            return False
        if src.dtype != src.storage.dtype:  # reads the copy's bytes as something else
            return False
        number = next(iter(numbers))
        held = self.shown.setdefault(dst.storage.index, {})
        if any(tile is None or not _apart(tile, dst) for tile in held.values()):
            self.flush_for(dst.storage)
            return False
        self.waiting[number].stores.append(dst)
        held[number] = dst
        return True

    def flush_for(self, buffer: Buffer, *, writing: bool = False) -> None:
        """Computes the groups that a tensor shows and, before it changes, those that read it."""
        number = buffer.index
        wanted = dict.fromkeys(self.shown.get(number, ()))
        if number in self.waiting:
            wanted[number] = None
        if writing:
            wanted |= dict.fromkeys(n for n in self.inputs.get(number, ()) if n in self.waiting)
        if wanted:
            self._compute(list(wanted))

    def flush(self) -> None:
        """Computes everything that waits."""
        self._compute(list(self.waiting))

    def _compute(self, numbers: list[int]) -> None:
        groups = [self.waiting.pop(number) for number in numbers]
        self._forget(numbers)
        alive = [g for g in groups if g.stores or any(s.tile() for s in (g.dst, *g.copies))]
        with np.errstate(all="ignore"):
            for cluster in _clusters([(g, join_below(g.pairs)) for g in alive]):
                _compute_together(cluster, self.narrow)

    def _forget(self, numbers: list[int]) -> None:
        if not self.waiting:
            self.shown.clear()
            self.inputs.clear()
            self.held = 0
            return
        gone = set(numbers)
        for shown in list(self.shown):
            left = {n: t for n, t in self.shown[shown].items() if n not in gone}
            if left:
                self.shown[shown] = left
            else:
                del self.shown[shown]


def _apart(a: Tile, b: Tile) -> bool:
    """Whether two tiles of one shape in one tensor surely have no element in common."""
    if a.layout is not b.layout or a.offset == b.offset:
        return False
    rows, columns, step = a.layout.extent
    if step != 1 or rows * columns != a.size:
        return False
    row, column = divmod(abs(a.offset - b.offset), a.layout.pitch)
    return row % rows == 0 and (column % columns == 0) and (row > 0 or column >= columns)


Ready = tuple[Group, list[tuple[Rows, Rows]]]


def _clusters(ready: list[Ready]) -> list[list[Ready]]:
    """Neighbouring groups with one operand in common whose others lie side by side."""
    clusters: list[list[Ready]] = []
    for group in ready:
        if clusters and _continues(clusters[-1], group):
            clusters[-1].append(group)
        else:
            clusters.append([group])
    return clusters


def _continues(cluster: list[Ready], group: Ready) -> bool:
    if len(cluster[-1][1]) != 1 or len(group[1]) != 1:
        return False
    shared = _shared_side(cluster[0], cluster[-1] if len(cluster) > 1 else group)
    if shared is None:
        return False
    last, new = cluster[-1][1][0], group[1][0]
    return last[shared].same_as(new[shared]) and last[1 - shared].beside(new[1 - shared])


def _shared_side(a: Ready, b: Ready) -> int | None:
    """Which operand two groups have in common: 0 for stationary, 1 for moving."""
    sides = [side for side in (0, 1) if a[1][0][side].same_as(b[1][0][side])]
    return sides[0] if len(sides) == 1 else None


def _compute_together(cluster: list[Ready], narrow: Rounding) -> None:
    if len(cluster) == 1:
        group, pairs = cluster[0]
        _finish(group, _product(pairs), narrow)
        return
    shared = _shared_side(cluster[0], cluster[1])
    common = cluster[0][1][0][shared]  # type: ignore[index]
    parts = [pairs[0][1 - shared] for _, pairs in cluster]  # type: ignore[operator]
    joined = join_beside(parts)
    wide = _product([(common, joined) if shared == 0 else (joined, common)])
    start = 0
    for (group, _), part in zip(cluster, parts, strict=True):
        stop = start + part.shape[1]
        _finish(group, wide[:, start:stop] if shared == 0 else wide[start:stop], narrow)
        start = stop


def _product(pairs: list[tuple[Rows, Rows]]) -> np.ndarray:
    left, right = pairs[0]
    total = np.matmul(left.wide().T, right.wide())
    part = np.empty_like(total) if len(pairs) > 1 else None
    for left, right in pairs[1:]:
        total += np.matmul(left.wide().T, right.wide(), out=part)
    return total


def _finish(group: Group, total: np.ndarray, narrow: Rounding) -> None:
    """Writes a sum to its tile and to the copies of it whose tensors still exist."""
    if group.base is not None:
        total = total + sums.addend(group.base, group.accumulate).reshape(total.shape)
    held = narrow(total, group.dst.layout.dtype)
    dst = group.dst.tile()
    if dst is not None:
        memory.write(dst, held)
        sums.mark(dst, True)
    values = formats.widen(held, group.dst.layout.dtype)
    for tile in [*(s.tile() for s in group.copies), *group.stores]:
        if tile is not None:
            memory.write(tile, narrow(values, tile.dtype)[...])  # a view is never adopted
