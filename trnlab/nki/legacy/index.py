"""Index expressions: `nl.arange`, `nl.mgrid`, arithmetic on them, and the masks they compare to."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from trnlab.errors import BadArguments, NotModelled
from trnlab.nki.jit import running
from trnlab.nki.legacy.pattern import ALL, Pattern, pattern
from trnlab.nki.loops.repeats import bend, look
from trnlab.nki.loops.unread import Unread, plain

Ranges = list[tuple[int, int]]  # first and past the last element of each dimension


class Index:
    """offset + sum(steps[d] * i[d]) over a broadcast shape."""

    __slots__ = ("offset", "pattern")
    __array_ufunc__ = None  # NumPy's numbers leave arithmetic to this class

    def __init__(self, offset: int, pattern: Pattern) -> None:
        self.offset, self.pattern = offset, pattern

    @classmethod
    def over(cls, offset: int, sizes: Any, steps: Any) -> "Index":
        """An index with these sizes and steps."""
        return cls(offset, pattern(tuple(sizes), tuple(steps)))

    @classmethod
    def number(cls, value: int, ndim: int = 1) -> "Index":
        """An index that is the same everywhere."""
        return cls(value, pattern((1,) * ndim, (0,) * ndim))

    @classmethod
    def along(cls, values: range, axis: int, ndim: int) -> "Index":
        """A range along one of several dimensions; the others have size 1."""
        sizes, steps = [1] * ndim, [0] * ndim
        sizes[axis], steps[axis] = len(values), values.step
        return cls.over(values.start, sizes, steps)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of the dimensions this varies over."""
        return self.pattern.sizes

    shape = sizes

    @property
    def steps(self) -> tuple[int, ...]:
        """How much the value grows along each dimension."""
        return self.pattern.steps

    @property
    def ndim(self) -> int:
        """How many dimensions this has."""
        return self.pattern.ndim

    def __getitem__(self, key: Any) -> "Index":
        """Adds dimensions with None; a slice of a dimension takes a part of it."""
        key = key if isinstance(key, tuple) else (key,)
        new = tuple([part is None for part in key])
        for part in key:
            if part is not None and (part.__class__ is not slice or part != ALL):
                return self._part(key)
        return Index(self.offset, self.pattern.expanded(new))

    def _part(self, key: tuple[Any, ...]) -> "Index":
        parts = iter(zip(self.sizes, self.steps, strict=True))
        spare = self.ndim - sum(k is not None and k is not Ellipsis for k in key)
        offset, sizes, steps = self.offset, [], []
        for item in key:
            if item is None:
                sizes.append(1)
                steps.append(0)
                continue
            if item is Ellipsis:
                for _ in range(spare):
                    size, step = next(parts)
                    sizes.append(size)
                    steps.append(step)
                continue
            size, step = next(parts)
            if not isinstance(item, slice):
                offset += range(size)[int(item)] * step
                continue
            taken = range(size)[item]
            offset += taken.start * step
            sizes.append(len(taken))
            steps.append(step * taken.step)
        rest = list(parts)
        return Index.over(offset, (*sizes, *(n for n, _ in rest)), (*steps, *(s for _, s in rest)))

    def __add__(self, other: Any) -> "Index":
        if other.__class__ is Index:
            return Index(self.offset + other.offset, self.pattern.plus(other.pattern))
        if not hasattr(other, "__index__"):
            return NotImplemented
        return Index(self.offset + other.__index__(), self.pattern)

    __radd__ = __add__

    def __sub__(self, other: Any) -> "Index":
        if other.__class__ is Index:
            return self + -other
        if not hasattr(other, "__index__"):
            return NotImplemented
        return Index(self.offset - other.__index__(), self.pattern)

    def __rsub__(self, other: Any) -> "Index":
        return -self + other

    def __neg__(self) -> "Index":
        return Index(-self.offset, self.pattern.times(-1))

    def __mul__(self, factor: Any) -> "Index":
        if factor.__class__ is Index:
            one, other = (self, factor) if factor.constant is not None else (factor, self)
            if other.constant is None:
                raise NotModelled("the product of two indices", "addresses that are not affine")
            bend()
            return (one + other * 0) * other.constant
        if not hasattr(factor, "__index__"):
            return NotImplemented
        if type(factor) is Unread:
            bend()
        scale = factor.__index__()
        return Index(self.offset * scale, self.pattern.times(scale))

    __rmul__ = __mul__

    def __floordiv__(self, factor: int) -> "Index":
        look()
        low, high = self.bounds()
        if low // factor == high // factor:
            return Index(low // factor, self.pattern.times(0))
        if all(s % factor == 0 for s in self.steps):
            return Index.over(self.offset // factor, self.sizes, [s // factor for s in self.steps])
        raise NotModelled("dividing an index", "addresses that are not affine: split the dimension")

    def __mod__(self, factor: int) -> "Index":
        look()
        low, high = self.bounds()
        if low // factor == high // factor:
            return self - (low // factor) * factor
        if all(s % factor == 0 for s in self.steps):
            return Index(self.offset % factor, self.pattern.times(0))
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

    @property
    def constant(self) -> int | None:
        """The value, if there is only one."""
        return None if any(self.steps) else self.offset

    def bounds(self) -> tuple[int, int]:
        """The smallest and the largest value."""
        return self.offset + self.pattern.low, self.offset + self.pattern.high

    def padded(self, ndim: int) -> "Index":
        """With new dimensions of size 1 in front."""
        return Index(self.offset, self.pattern.padded(ndim))

    def permuted(self, order: list[int]) -> "Index":
        """The index with its dimensions in another order."""
        full = self.pattern.padded(len(order))
        sizes, steps = [full.sizes[a] for a in order], [full.steps[a] for a in order]
        return Index.over(self.offset, sizes, steps)

    def cut(self, ranges: Ranges) -> "Index":
        """The part in these ranges of the dimensions."""
        full = self.pattern.padded(len(ranges))
        offset = self.offset + sum(s * low for s, (low, _) in zip(full.steps, ranges, strict=True))
        sizes = [
            high - low if n > 1 else 1 for n, (low, high) in zip(full.sizes, ranges, strict=True)
        ]
        return Index.over(offset, sizes, full.steps)

    def array(self) -> np.ndarray:
        """Every value, as integers of the index's shape."""
        out = np.full(self.sizes, self.offset, np.int64)
        for axis, (size, step) in enumerate(zip(self.sizes, self.steps, strict=True)):
            along = [1] * self.ndim
            along[axis] = size
            out += (np.arange(size) * step).reshape(along)
        return out

    def __setitem__(self, key: Any, value: Any) -> None:
        raise BadArguments(
            "something is assigned to an index",
            limit="indices are no memory",
            place=running().here(),
            fix="make a tile of it: tile = nisa.iota(index, dtype=nl.int32)",
            see="nki.isa.iota",
        )

    def __iter__(self) -> Iterator[int]:
        raise NotModelled("a Python loop over nl.arange", "loop with range() or nl.affine_range")

    def __index__(self) -> int:
        if all(n == 1 for n in self.sizes):
            return self.offset
        raise NotModelled("an index tile used as a number", "a loop over its values")

    __int__ = __index__

    def __bool__(self) -> bool:
        raise BadArguments(
            "a branch depends on nl.arange or nl.mgrid", fix="pass the condition as mask="
        )


@dataclass(frozen=True, eq=False)
class Mask:
    """Affine conditions, each ``term >= 0``, that hold together."""

    terms: tuple[Index, ...]

    def __and__(self, other: Any) -> "Mask":
        if other is None:
            return self
        if isinstance(other, Mask):
            return Mask(self.terms + other.terms)
        return self if other else Mask((Index.number(-1),))

    __rand__ = __and__

    def __or__(self, other: Any) -> "Mask":
        raise BadArguments(
            "masks are joined with |", limit="comparisons joined with & only", see="nki.language"
        )

    __ror__ = __or__

    def __bool__(self) -> bool:
        """Python's ``and`` asks, and then takes the second mask alone."""
        running().report(
            BadArguments,
            "a branch depends on a mask",
            {"of `a and b`": "only b holds"},
            "comparisons joined with & only",
            "pass the condition as mask=; join masks with &",
            "nki.language",
        )
        return True

    @property
    def always(self) -> bool | None:
        """True where it holds everywhere, False where nowhere, else None."""
        bounds = [t.bounds() for t in self.terms]
        if any(high < 0 for _, high in bounds):
            return False
        return True if all(low >= 0 for low, _ in bounds) else None

    @property
    def is_equality(self) -> bool:
        """Whether this is what ``==`` makes: a term and its opposite."""
        if len(self.terms) != 2:
            return False
        both = self.terms[0] + self.terms[1]
        return both.constant == 0

    @property
    def shape(self) -> tuple[int, ...]:
        """The broadcast shape of the conditions."""
        return np.broadcast_shapes(*(t.sizes for t in self.terms))

    def permuted(self, order: list[int]) -> "Mask":
        """The mask for a tile whose dimensions are in another order."""
        return Mask(tuple(t.permuted(order) for t in self.terms))

    def fitted(self, shape: tuple[int, ...]) -> "Mask | None":
        """The mask for tiles of this shape, None where it does not fit.

        Missing dimensions are added in front, or else behind the partition dimension; surplus ones
        are dropped where they have size 1.
        """
        mine = self.shape
        full = self if len(mine) >= len(shape) else self._padded(len(shape))
        if full is self and len(mine) > len(shape):
            spare = [d for d, n in enumerate(mine) if n == 1 and d][: len(mine) - len(shape)]
            full = self.permuted([d for d in range(len(mine)) if d not in spare])
        if _fits(full.shape, shape):
            return full
        gap = len(shape) - len(mine)
        if gap <= 0:
            return None
        order = [gap, *range(gap), *range(gap + 1, len(shape))]
        behind = full.permuted(order)
        return behind if _fits(behind.shape, shape) else None

    def _padded(self, ndim: int) -> "Mask":
        return Mask(tuple(t.padded(ndim) for t in self.terms))

    def box(self, shape: tuple[int, ...]) -> tuple[Ranges, tuple[Index, ...]]:
        """Ranges of each dimension that the mask leaves, and the terms a range cannot express."""
        ranges = [(0, n) for n in shape]
        rest = []
        for term in self.terms:
            term = term.padded(len(shape))
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


def _fits(mine: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return len(mine) == len(shape) and all(m in (1, n) for m, n in zip(mine, shape, strict=True))


def where_all(terms: tuple[Index, ...], ranges: Ranges) -> np.ndarray:
    """Where all terms hold, over these ranges of the mask's dimensions."""
    shape = tuple(high - low for low, high in ranges)
    out = np.ones(shape, bool)
    for term in terms:
        part = term.cut(ranges)
        out &= part.array() >= 0
    return out


_aranges: dict[tuple[Any, ...], Index] = {}  # those that start at 0


def arange(*args: Any) -> Index:
    """The integers of a range along one new dimension; add the others with None."""
    args = tuple(map(plain, args))
    found = _aranges.get(args)
    if found is None:
        found = Index.along(range(*[int(a) for a in args]), 0, 1)
        if len(args) == 1:
            _aranges[args] = found
    return found


class Grid(tuple[Index, ...]):
    """The indices of `nl.mgrid`, with names for the first ones."""

    p = property(lambda self: self[0])
    x = property(lambda self: self[1])
    y = property(lambda self: self[2])
    z = property(lambda self: self[3])
    w = property(lambda self: self[4])


class _MGrid:
    """`nl.mgrid[0:128, 0:512]`: one index a dimension, each over the shape of all together."""

    def __getitem__(self, key: Any) -> Grid:
        parts = key if isinstance(key, tuple) else (key,)
        bounds = [(plain(p.start) or 0, plain(p.stop), plain(p.step) or 1) for p in parts]
        values = [range(int(start), int(stop), int(step)) for start, stop, step in bounds]
        sizes = tuple(len(v) for v in values)
        found = []
        for axis, each in enumerate(values):
            steps = tuple(each.step if a == axis else 0 for a in range(len(sizes)))
            found.append(Index.over(each.start, sizes, steps))
        return Grid(found)


mgrid = _MGrid()
