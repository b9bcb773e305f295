"""Tensors with block dimensions: the ones before ``par_dim`` number logical tiles."""

from collections.abc import Callable, Iterator
from functools import partial
from math import prod
from typing import Any
from weakref import WeakMethod

import numpy as np

from trnlab import formats
from trnlab.errors import BadArguments
from trnlab.isa.tile import Buffer, Space, whole
from trnlab.nki.jit import running
from trnlab.nki.legacy.declared import once
from trnlab.nki.legacy.index import Index
from trnlab.nki.legacy.loops import LoopIndex
from trnlab.nki.legacy.placing import Placement
from trnlab.nki.legacy.subscript import without_ellipsis
from trnlab.nki.legacy.tensor import OldTensor
from trnlab.nki.loops.unread import plain
from trnlab.nki.tensor import DynamicSlice

NUMBERS = (int, LoopIndex)


class Blocks:
    """Logical tiles by number; each is a tensor of its own, wherever it lies.

    A tile is what instructions take, so the block dimensions have to be indexed first. Where there
    are thousands, ``maker`` makes each when it is first asked for.
    """

    __array_ufunc__ = None

    def __init__(
        self,
        tiles: np.ndarray,
        maker: Callable[[tuple[int, ...]], OldTensor] | None = None,
        whole: "Blocks | None" = None,
    ) -> None:
        self.tiles, self.maker, self.whole = tiles, maker, whole
        first = tiles.flat[0]
        self.dtype, self.space = first.dtype, first.space
        self.shape: tuple[int, ...] = (*tiles.shape, *first.shape)
        self.ndim, self.counts = len(self.shape), tiles.shape

    def __getitem__(self, key: Any) -> Any:
        counts = self.counts
        if key.__class__ is tuple and len(key) == self.ndim:
            numbers = key[: len(counts)]
            for number, count in zip(numbers, counts, strict=True):
                if number.__class__ not in NUMBERS or not 0 <= number < count:
                    break
            else:
                return self._tile(numbers)[key[len(counts) :]]
        self.fill()
        parts = without_ellipsis(key if isinstance(key, tuple) else (key,), self.ndim)
        block = len(counts)
        picked = self.tiles[tuple(_number(p, n) for p, n in zip(parts, counts, strict=False))]
        rest = parts[block:]
        if isinstance(picked, OldTensor):
            return picked[rest] if rest else picked
        if rest:
            picked = _each(picked, lambda tile: tile[rest])
        return Blocks(picked, whole=self)

    def __setitem__(self, key: Any, value: Any) -> None:
        from trnlab.nki.legacy.pending import assign

        assign(self[key], value)

    def fill(self) -> None:
        """Makes all tiles that are not there yet."""
        if self.maker is not None:
            for numbers in np.ndindex(*self.counts):
                self._tile(numbers)
            self.maker = None

    def view(self, dtype: Any) -> "Blocks":
        """The same bytes read as another dtype."""
        self.fill()
        return Blocks(_each(self.tiles, lambda tile: tile.view(dtype)), whole=self)

    def find(self, number: int) -> Buffer | None:
        """The tensor with that number, where it is one of these tiles, which were made in order."""
        at = number - self.tiles.flat[0].storage.index
        if not 0 <= at < self.tiles.size:
            return None
        return self._tile(tuple(map(int, np.unravel_index(at, self.counts)))).storage

    def _tile(self, numbers: tuple[int, ...]) -> Any:
        tile = self.tiles[numbers]
        if tile is None and self.maker is not None:
            tile = self.tiles[numbers] = self.maker(numbers)
        return tile

    def assert_shape(self, shape: Any) -> "Blocks":
        """Raises BadArguments unless the tensor has this shape."""
        if tuple(shape) != self.shape:
            raise BadArguments(f"a tensor has shape {self.shape}, not {tuple(shape)}")
        return self

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<{self.tiles.size} logical tiles {list(self.shape)}: index the block dimensions>"


def _number(part: Any, size: int) -> Any:
    """The number of a logical tile, or a slice of numbers."""
    if isinstance(part, DynamicSlice):
        return slice(int(plain(part.start)), int(plain(part.start)) + int(plain(part.size)))
    if isinstance(part, slice):
        return slice(plain(part.start), plain(part.stop), plain(part.step))
    number = int(part) if isinstance(part, Index) else part.__index__()
    if not -size <= number < size:
        raise BadArguments(
            f"there is no logical tile {number}", limit=f"0 to {size - 1}", place=running().here()
        )
    return number


def _each(tiles: np.ndarray, change: Any) -> np.ndarray:
    made = np.empty(tiles.shape, object)
    for place in np.ndindex(*tiles.shape):
        made[place] = change(tiles[place])
    return made


def blocked(
    sizes: tuple[int, ...], block: int, dtype: Any, space: Space, name: str = "",
    placed: Placement | None = None,
) -> Any:  # fmt: skip
    """A tensor whose first ``block`` dimensions number logical tiles; a plain tile if 0."""
    kind, shape, run = formats.format_of(dtype), sizes[block:], running()
    row = prod(shape[1:]) * kind.itemsize
    tiles = np.empty(sizes[:block], object)
    places = once(lambda: _places(sizes[:block], shape[0], row, placed)) if placed else {}
    names = [f"{name}{list(i)}" if name and block else name for i in np.ndindex(tiles.shape)]
    for index, label in zip(np.ndindex(tiles.shape), names, strict=True):
        buffer = run.buffer(space, kind, shape, label, places.get(index))
        tiles[index] = whole(buffer, OldTensor)
        if block and not placed and run.more(buffer, names[1:]):
            return _known(Blocks(tiles, partial(_tile, buffer, names, tiles.shape)))
    return _known(Blocks(tiles)) if block else tiles[()]


def _known(made: Blocks) -> Blocks:
    """Lets the run find the tensors of logical tiles by number, as long as a kernel has them."""
    run = running()
    if run.values:
        run.families.append(WeakMethod(made.find))
    return made


def _tile(
    first: Buffer, names: list[str], counts: tuple[int, ...], numbers: tuple[int, ...]
) -> OldTensor:
    """A logical tile of which so far only the run knows."""
    at = 0
    for number, count in zip(numbers, counts, strict=True):
        at = at * count + int(number)
    index = first.index + at
    made = Buffer(
        index, names[at] or f"t{index}", first.space, first.dtype, first.shape, None, first.place,
        first.pitch,
    )  # fmt: skip
    return whole(made, OldTensor)


def _places(
    counts: tuple[int, ...], rows: int, size: int, placed: Placement
) -> dict[tuple[int, ...], Any]:
    """Where the kernel puts each logical tile."""
    return {index: placed.where(index, rows, size) for index in np.ndindex(*counts)}


def each_tile(tensor: Any) -> list[OldTensor]:
    """The logical tiles of a tensor; a tile is its own only one."""
    if not isinstance(tensor, Blocks):
        return [tensor]
    tensor.fill()
    return list(tensor.tiles.flat)
