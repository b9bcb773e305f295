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
from trnlab.isa.tile import HBM_SPACES, SBUF, Buffer, Layout, Tile, layout
from trnlab.sim import memory, sums
from trnlab.sim.values.ahead import Ahead, products, worth_it
from trnlab.sim.values.blocks import Block, blocks_of, piece_of
from trnlab.sim.values.lending import on_floor
from trnlab.sim.values.rows import Pair, rows_of

Rounding = Callable[[Any, Any], np.ndarray]  # fp32 values in a format

WAITING = 64  # groups; more only cost memory, they do not get faster
WAITING_BYTES = 64 * 2**20  # of inputs that are held only for them
WORTH = 4  # a product is kept, not copied from, if one in so many of its elements is shown


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
    pairs: list[Pair] = field(default_factory=list)
    copies: list[Spot] = field(default_factory=list)
    stores: list[Tile] = field(default_factory=list)  # in HBM, which outlives the tiles
    ahead: bool = False  # whether its product is being computed

    @property
    def alive(self) -> bool:
        """Whether anybody can still see the sum."""
        return bool(self.stores) or any(spot.tile() for spot in (self.dst, *self.copies))

    def add(self, left: Any, right: Any) -> None:
        """One more matmul; rows that follow those of the last one make it deeper."""
        if self.pairs:
            over, beside = self.pairs[-1]
            if over.above(left) and beside.above(right):
                over.grow(left)
                beside.grow(right)
                return
        self.pairs.append((left, right))


@dataclass(eq=False)
class Copied:
    """Tiles of one tensor that will show sums: of one layout, side by side, if several."""

    layout: Layout
    at: dict[int, int] = field(default_factory=dict)  # the group, by offset
    paved: bool = True

    def takes(self, tile: Tile) -> bool:
        """Whether a tile is apart from those that are here."""
        if not self.at:
            return True
        fits = self.paved and tile.layout is self.layout and tile.offset not in self.at
        return fits and on_floor(tile)

    def put(self, tile: Tile, number: int) -> None:
        """Adds a tile."""
        self.paved = self.paved and on_floor(tile)
        self.at[tile.offset] = number


@dataclass(eq=False)
class Groups:
    """The groups that wait, by the number of the PSUM tensor that they write: at most one each.

    ``shown`` says which groups a tensor has copies of, ``inputs`` which take it as input.
    """

    waiting: dict[int, Group] = field(default_factory=dict)
    shown: dict[int, Copied] = field(default_factory=dict)
    inputs: dict[int, dict[int, None]] = field(default_factory=dict)
    held: int = 0
    fresh: int = 0  # groups whose product is not being computed
    ahead: Ahead[Group] | None = None
    narrow: Rounding = formats.narrow

    def add(self, dst: Tile, stationary: Tile, moving: Tile, accumulate: bool | None) -> None:
        """Takes over a matmul, to be computed when somebody asks."""
        number = dst.storage.index
        group = self.waiting.get(number)
        if group and (
            accumulate is False
            or group.copies
            or group.ahead
            or not group.dst.is_at(dst)
            or dst.itemsize < 4  # rounded after every matmul
        ):
            self.flush_for(dst.storage)
            group = None
        if group is None:
            if self.fresh >= WAITING or self.held > WAITING_BYTES:
                self.start()
            self.fresh += 1
            adds = sums.adds_to(dst, accumulate) and not memory.is_nothing(dst)
            group = self.waiting[number] = Group(Spot.of(dst), dst if adds else None, accumulate)
        left, mine = rows_of(stationary)
        right, yours = rows_of(moving)
        group.add(left, right)
        self._take(mine, number)
        self._take(yours, number)

    def _take(self, owner: Buffer | None, number: int) -> None:
        """Remembers whose bytes a group needs."""
        if owner is None:
            return
        users = self.inputs.get(owner.index)
        if users is None:
            users = self.inputs[owner.index] = {}
            if owner.on_chip:  # else the bytes are there anyway
                self.held += owner.nbytes
        users[number] = None

    def copy(self, dst: Tile, src: Tile) -> bool:
        """Takes over copying a sum to SBUF; False when it must be done now."""
        group = self.waiting.get(src.storage.index)
        if group is None or not group.dst.is_at(src) or dst.space is not SBUF:
            return False
        if dst.shape != src.shape or dst.layout.floor is None or dst.dtype != dst.storage.dtype:
            return False
        number = dst.storage.index
        if number in self.inputs:
            return False
        if not self._show(dst, src.storage.index):
            return False
        group.copies.append(Spot.of(dst))
        return True

    def store(self, dst: Tile, src: Tile) -> bool:
        """Takes over storing such copies to HBM; False when it must be done now."""
        copied = self.shown.get(src.storage.index)
        if copied is None or dst.space not in HBM_SPACES or dst.shape != src.shape:
            return False
        if src.dtype != src.storage.dtype:  # reads the copy's bytes as something else
            return False
        if dst.storage.index in self.inputs:
            return False
        parts = _parts(dst, src, copied)
        if not parts or not all(self._show(part, number) for part, number in parts):
            return False
        for part, number in parts:
            self.waiting[number].stores.append(part)
            if part.storage.written is not True:
                memory.mark_written(part, memory.covers_all(part))
        return True

    def _show(self, tile: Tile, number: int) -> bool:
        """Remembers that a tile will show a group's sum, unless it does not fit to others."""
        copied = self.shown.get(tile.storage.index)
        if copied is None:
            copied = self.shown[tile.storage.index] = Copied(tile.layout)
        elif not copied.takes(tile):
            self.flush_for(tile.storage)
            return False
        copied.put(tile, number)
        return True

    def flush_for(self, buffer: Buffer, *, writing: bool = False) -> None:
        """Computes the groups that a tensor shows and, before it changes, those that read it."""
        number = buffer.index
        wanted: dict[int, None] = {}
        copied = self.shown.get(number)
        if copied is not None:
            wanted = dict.fromkeys(copied.at.values())
        if number in self.waiting:
            wanted[number] = None
        if writing and number in self.inputs:
            wanted |= dict.fromkeys(n for n in self.inputs[number] if n in self.waiting)
        if wanted:
            self._compute(list(wanted))

    def flush(self) -> None:
        """Computes everything that waits."""
        self._compute(list(self.waiting))

    def start(self) -> None:
        """Begins to compute everything that waits, once what was begun before is done."""
        if self.ahead is not None:
            self._compute([n for n, group in self.waiting.items() if group.ahead])
        self._compute([n for n, group in self.waiting.items() if not group.alive])
        groups = list(self.waiting.values())
        blocks = blocks_of([(group, group.pairs) for group in groups])
        if not worth_it(blocks):
            self.flush()
            return
        for block in blocks:
            block.target = _target(block)
        for group in groups:
            group.ahead = True
        self.ahead = Ahead(blocks)
        self.fresh = self.held = 0

    def _compute(self, numbers: list[int]) -> None:
        if self.ahead is not None and any(self.waiting[n].ahead for n in numbers):
            begun = [n for n, group in self.waiting.items() if group.ahead]
            numbers = list(dict.fromkeys([*numbers, *begun]))
        groups = [self.waiting.pop(number) for number in numbers]
        self._forget(numbers)
        done: list[tuple[Block[Group], np.ndarray]] = []
        if any(group.ahead for group in groups) and self.ahead is not None:
            done += self.ahead.results()
            self.ahead = None
        blocks = blocks_of([(g, g.pairs) for g in groups if g.alive and not g.ahead])
        for block in blocks:
            block.target = _target(block)
        done += zip(blocks, products(blocks), strict=True)
        with np.errstate(all="ignore"):
            for block, total in done:
                _share_out(block, total, self.narrow)

    def _forget(self, numbers: list[int]) -> None:
        self.fresh = sum(not group.ahead for group in self.waiting.values())
        if not self.waiting:
            self.shown.clear()
            self.inputs.clear()
            self.held = 0
            return
        gone = set(numbers)
        for owner, users in list(self.inputs.items()):
            if not gone.isdisjoint(users):
                self.inputs[owner] = {n: None for n in users if n not in gone}
        for shown, copied in list(self.shown.items()):
            if not gone.isdisjoint(copied.at.values()):
                copied.at = {o: n for o, n in copied.at.items() if n not in gone}
                if not copied.at:
                    del self.shown[shown]


def _parts(dst: Tile, src: Tile, copied: Copied) -> list[tuple[Tile, int]]:
    """A store in as many parts as there are sums in its source; none if it shows other bytes."""
    here = copied.layout
    if src.layout is here and src.offset in copied.at:
        return [(dst, copied.at[src.offset])]
    filled = copied.paved and len(copied.at) * here.size == src.size
    if not filled or dst.ndim != 2 or here.floor is None or not memory.in_order(src):
        return []
    there = dst.layout
    shape = layout(there.space, there.dtype, here.floor, there.strides, there.pitch)
    parts = []
    for offset, number in copied.at.items():
        row, column = divmod(offset, here.pitch)
        start = dst.offset + row * there.strides[0] + column * there.strides[1]
        parts.append((Tile(dst.storage, shape, start), number))
    return parts


def _target(block: Block[Group]) -> np.ndarray | None:
    """Where in HBM all of a block is stored, if that is one place and takes sums as they are."""
    groups = [group for group, *_ in block.members]
    if any(group.base is not None or len(group.stores) != 1 for group in groups):
        return None
    stores = [group.stores[0] for group in groups]
    first, buffer = stores[0].offset, stores[0].storage
    strides = stores[0].layout.strides
    for store, (group, row, column, *shape) in zip(stores, block.members, strict=True):
        here = store.layout
        fp32 = here.dtype == group.dst.layout.dtype == np.float32
        in_place = store.storage is buffer and store.offset == first + row * strides[0] + column
        lies = here.strides == strides and strides[1:] == (1,) and here.shape == tuple(shape)
        if not (fp32 and in_place and lies):
            return None
    corner, *_ = [memory.open_for(store) for store in stores]
    return np.ndarray(
        (block.rows, block.columns), np.float32, buffer.data, 4 * first, corner.strides
    )


def _share_out(block: Block[Group], total: np.ndarray, narrow: Rounding) -> None:
    """Gives each group of a block its part of the product."""
    shown = sum(
        rows * columns
        for group, _, _, rows, columns in block.members
        if any(spot.tile() for spot in (group.dst, *group.copies))
    )
    keep = block.target is None and shown * WORTH >= total.size
    for group, row, column, rows, columns in block.members:
        part = total[row : row + rows, column : column + columns]
        if group.base is not None:
            part = part + sums.addend(group.base, group.accumulate).reshape(part.shape)
        _finish(group, part, narrow, keep)
        if block.target is None:
            _store(group, part, narrow)


def _finish(group: Group, total: np.ndarray, narrow: Rounding, keep: bool) -> None:
    """Writes a sum to its tile and to the copies of it whose tensors still exist."""
    held = narrow(total, group.dst.layout.dtype)
    dst = group.dst.tile()
    if dst is not None:
        _put(dst, held, keep)
        sums.mark(dst, True)
    values = formats.widen(held, group.dst.layout.dtype)
    for spot in group.copies:
        tile = spot.tile()
        if tile is not None:
            _put(tile, narrow(values, tile.dtype), keep)


def _store(group: Group, total: np.ndarray, narrow: Rounding) -> None:
    """Writes a sum to where it was stored in HBM."""
    values = formats.widen(narrow(total, group.dst.layout.dtype), group.dst.layout.dtype)
    for tile in group.stores:
        memory.write(tile, narrow(values, tile.dtype)[...])  # a view is never adopted


def _put(tile: Tile, values: np.ndarray, keep: bool) -> None:
    """A tile shows values where they are, or gets a copy."""
    if not keep or not memory.lend(tile, piece_of(values)):
        memory.write(tile, values[...])
