"""Sizes and steps of index expressions, apart from where they start.

Kernels write the same few expressions in loops, so a pattern and what becomes of it in arithmetic
are looked up: equal patterns are one object, and an index is a pattern with an offset.
"""

from itertools import zip_longest
from typing import Any

from trnlab.errors import BadArguments

_known: "dict[tuple[tuple[int, ...], tuple[int, ...]], Pattern]" = {}
ALL = slice(None)


class Pattern:
    """sum(steps[d] * i[d]) over a shape; a dimension of size 1 has step 0.

    ``low`` and ``high`` are the smallest and the largest value.
    """

    __slots__ = ("_made", "high", "low", "ndim", "sizes", "steps")

    def __init__(self, sizes: tuple[int, ...], steps: tuple[int, ...]) -> None:
        self.sizes, self.steps, self.ndim = sizes, steps, len(sizes)
        reach = [s * (n - 1) for s, n in zip(steps, sizes, strict=True)]
        self.low, self.high = sum(r for r in reach if r < 0), sum(r for r in reach if r > 0)
        self._made: dict[Any, Pattern] = {}

    def plus(self, other: "Pattern") -> "Pattern":
        """The pattern of a sum, over the shape that both broadcast to."""
        found = self._made.get(other)
        if found is None:
            mine, theirs = aligned(self, other)
            sizes = tuple(max(a, b) for a, b in zip(mine.sizes, theirs.sizes, strict=True))
            steps = tuple(a + b for a, b in zip(mine.steps, theirs.steps, strict=True))
            found = self._made[other] = pattern(sizes, steps)
        return found

    def times(self, factor: int) -> "Pattern":
        """The pattern with every step multiplied."""
        found = self._made.get(factor)
        if found is None:
            found = pattern(self.sizes, tuple(s * factor for s in self.steps))
            self._made[factor] = found
        return found

    def expanded(self, new: tuple[bool, ...]) -> "Pattern":
        """The pattern with dimensions of size 1 where ``new`` is true."""
        found = self._made.get(new)
        if found is None:
            parts = iter(zip(self.sizes, self.steps, strict=True))
            taken = [(1, 0) if is_new else next(parts) for is_new in new]
            sizes, steps = zip(*taken, *parts, strict=True)
            found = self._made[new] = pattern(sizes, steps)
        return found

    def padded(self, ndim: int) -> "Pattern":
        """The pattern with new dimensions of size 1 in front."""
        lead = ndim - self.ndim
        return pattern((1,) * lead + self.sizes, (0,) * lead + self.steps) if lead else self


def pattern(sizes: tuple[int, ...], steps: tuple[int, ...]) -> Pattern:
    """The pattern with these sizes and steps."""
    found = _known.get((sizes, steps))
    if found is None:
        still = tuple(s if n > 1 else 0 for n, s in zip(sizes, steps, strict=True))
        found = _known.get((sizes, still)) or Pattern(sizes, still)
        _known[sizes, steps] = _known[sizes, still] = found
    return found


def aligned(a: Pattern, b: Pattern) -> tuple[Pattern, Pattern]:
    """Both with equally many dimensions, new ones in front, as NumPy broadcasts."""
    pairs = list(zip_longest(reversed(a.sizes), reversed(b.sizes), fillvalue=1))
    if any(m != n and 1 not in (m, n) for m, n in pairs):
        raise BadArguments(
            f"indices of shapes {a.sizes} and {b.sizes} do not broadcast",
            fix="give each index expression its own dimension, with None in the others",
        )
    return a.padded(len(pairs)), b.padded(len(pairs))
