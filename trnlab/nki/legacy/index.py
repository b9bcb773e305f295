"""Index expressions: `nl.arange`, `nl.mgrid`, arithmetic on them, and the masks they compare to."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from trnlab.errors import NotModelled


@dataclass(frozen=True, eq=False)
class Index:
    """offset + sum(step[d] * i[d]) over a broadcast shape; a dimension of size 1 has step 0."""

    offset: int
    sizes: tuple[int, ...]
    steps: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the dimensions this varies over."""
        return self.sizes

    def __getitem__(self, key: Any) -> "Index":
        """Adds dimensions with None; a slice of a dimension takes a part of it."""
        parts = iter(zip(self.sizes, self.steps, strict=True))
        offset, sizes, steps = self.offset, [], []
        for item in key if isinstance(key, tuple) else (key,):
            if item is None:
                sizes.append(1)
                steps.append(0)
                continue
            size, step = next(parts)
            start, stop, stride = item.indices(size)
            offset += start * step
            sizes.append(max(0, -(-(stop - start) // stride)))
            steps.append(step * stride)
        rest = list(parts)
        return Index(
            offset, (*sizes, *(n for n, _ in rest)), (*steps, *(s for _, s in rest))
        )

    def _join(self, other: Any, sign: int) -> "Index":
        if not isinstance(other, Index):
            return Index(self.offset + sign * int(other), self.sizes, self.steps)
        mine, theirs = align(self, other)
        sizes = tuple(max(a, b) for a, b in zip(mine.sizes, theirs.sizes, strict=True))
        steps = tuple(a + sign * b for a, b in zip(mine.steps, theirs.steps, strict=True))
        return Index(mine.offset + sign * theirs.offset, sizes, steps)

    def __add__(self, other: Any) -> "Index":
        return self._join(other, 1)

    __radd__ = __add__

    def __sub__(self, other: Any) -> "Index":
        return self._join(other, -1)

    def __rsub__(self, other: Any) -> "Index":
        return (-self)._join(other, 1)

    def __neg__(self) -> "Index":
        return self * -1

    def __mul__(self, factor: Any) -> "Index":
        if isinstance(factor, Index):
            raise NotModelled("the product of two indices", "addresses that are not affine")
        scale = int(factor)
        return Index(self.offset * scale, self.sizes, tuple(s * scale for s in self.steps))

    __rmul__ = __mul__

    def __floordiv__(self, factor: int) -> "Index":
        if all(s % factor == 0 for s in self.steps) and self.offset % factor == 0:
            return Index(self.offset // factor, self.sizes, tuple(s // factor for s in self.steps))
        raise NotModelled("dividing an index", "addresses that are not affine: split the dimension")

    def __mod__(self, factor: int) -> "Index":
        low, high = self.bounds()
        if low // factor == high // factor:
            return self - (low // factor) * factor
        raise NotModelled("an index modulo a number", "addresses that are not affine")

    def __ge__(self, other: Any) -> "Mask":
        return Mask((self - other,))

    def __gt__(self, other: Any) -> "Mask":
        return Mask((self - other - 1,))

    def __le__(self, other: Any) -> "Mask":
        return Mask((-(self - other),))

    def __lt__(self, other: Any) -> "Mask":
        return Mask((-(self - other) - 1,))

    def __eq__(self, other: object) -> "Mask":  # type: ignore[override]
        return Mask((self - other, -(self - other)))

    __hash__ = None  # type: ignore[assignment]

    def bounds(self) -> tuple[int, int]:
        """The smallest and the largest value."""
        reach = [s * (n - 1) for s, n in zip(self.steps, self.sizes, strict=True)]
        return (
            self.offset + sum(r for r in reach if r < 0),
            self.offset + sum(r for r in reach if r > 0),
        )

    def permuted(self, order: list[int]) -> "Index":
        """The index with its dimensions in another order."""
        padded = _padded(self, len(order))
        sizes, steps = padded.sizes, padded.steps
        return Index(self.offset, tuple(sizes[a] for a in order), tuple(steps[a] for a in order))

    def array(self) -> np.ndarray:
        """Every value, as integers of the index's shape."""
        out = np.full((1,) * len(self.sizes), self.offset, np.int64)
        for axis, (size, step) in enumerate(zip(self.sizes, self.steps, strict=True)):
            along = [1] * len(self.sizes)
            along[axis] = size
            out = out + (np.arange(size) * step).reshape(along)
        return out

    def __iter__(self) -> Iterator[int]:
        raise NotModelled("a Python loop over nl.arange", "loop with range() or nl.affine_range")

    def __index__(self) -> int:
        if all(n == 1 for n in self.sizes):
            return self.offset
        raise NotModelled("an index tile used as a number", "a loop over its values")


def align(a: Index, b: Index) -> tuple[Index, Index]:
    """Both with equally many dimensions, new ones in front, as NumPy broadcasts."""
    pairs = list(zip_longest(reversed(a.sizes), reversed(b.sizes), fillvalue=1))
    if any(m != n and 1 not in (m, n) for m, n in pairs):
        raise NotModelled(f"indices of shapes {a.sizes} and {b.sizes} together", "equal sizes")
    return _padded(a, len(pairs)), _padded(b, len(pairs))


def _padded(index: Index, ndim: int) -> Index:
    lead = ndim - len(index.sizes)
    return Index(index.offset, (1,) * lead + index.sizes, (0,) * lead + index.steps)


@dataclass(frozen=True, eq=False)
class Mask:
    """Affine conditions, each ``term >= 0``, that hold together."""

    terms: tuple[Index, ...]

    def __and__(self, other: Any) -> "Mask":
        if other is True or other is None:
            return self
        if other is False:
            return Mask((Index(-1, (1,), (0,)),))
        return Mask(self.terms + other.terms)

    __rand__ = __and__

    @property
    def shape(self) -> tuple[int, ...]:
        """The broadcast shape of the conditions."""
        return np.broadcast_shapes(*(t.sizes for t in self.terms))

    def permuted(self, order: list[int], ndim: int) -> "Mask":
        """The mask for a tile whose dimensions are in another order."""
        return Mask(tuple(_padded(t, ndim).permuted(order) for t in self.terms))

    def box(self, shape: tuple[int, ...]) -> tuple[list[tuple[int, int]], tuple[Index, ...]]:
        """Ranges of each dimension that the mask leaves, and the terms a range cannot express."""
        ranges = [(0, n) for n in shape]
        rest = []
        for term in self.terms:
            term = _padded(term, len(shape)) if len(term.sizes) < len(shape) else term
            moving = [d for d, s in enumerate(term.steps) if s and shape[d] > 1]
            if not moving:
                if term.offset < 0:
                    ranges = [(0, 0) for _ in ranges]
                continue
            if len(moving) > 1:
                rest.append(term)
            axis, step = moving[0], term.steps[moving[0]]
            others = sum(max(0, term.steps[d] * (shape[d] - 1)) for d in moving[1:])
            low, high = ranges[axis]
            if step > 0:
                low = max(low, -((term.offset + others) // step))
            else:
                high = min(high, (term.offset + others) // -step + 1)
            ranges[axis] = (low, max(low, high))
        return ranges, tuple(rest)


def where_all(terms: tuple[Index, ...], shape: tuple[int, ...], low: list[int]) -> np.ndarray:
    """Where all terms hold, over a part of the mask's shape that starts at ``low``."""
    out = np.ones((1,) * len(shape), bool)
    for term in terms:
        term = _padded(term, len(shape))
        offset = term.offset + sum(s * a for s, a in zip(term.steps, low, strict=True))
        out = out & (Index(offset, shape, term.steps).array() >= 0)
    return np.broadcast_to(out, shape)


def arange(*args: int) -> Index:
    """The integers of a range along one new dimension; add the others with None."""
    values = range(*(int(a) for a in args))
    return Index(values.start, (len(values),), (values.step,))


class Grid(tuple[Index, ...]):
    """The indices of `nl.mgrid`, with names for the first ones."""

    p = property(lambda self: self[0])
    x = property(lambda self: self[1])
    y = property(lambda self: self[2])
    z = property(lambda self: self[3])


class _MGrid:
    """`nl.mgrid[0:128, 0:512]`: one index a dimension, each varying along its own."""

    def __getitem__(self, key: Any) -> Grid:
        parts = key if isinstance(key, tuple) else (key,)
        found = []
        for axis, part in enumerate(parts):
            values = range(int(part.start or 0), int(part.stop), int(part.step or 1))
            sizes, steps = [1] * len(parts), [0] * len(parts)
            sizes[axis], steps[axis] = len(values), values.step
            found.append(Index(values.start, tuple(sizes), tuple(steps)))
        return Grid(found)


mgrid = _MGrid()
