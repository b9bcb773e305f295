"""A loop variable that nobody has looked at.

While a loop is watched, its variable stands for the value of every iteration. Sums, differences and
multiples of it do too, and they may say where a view begins. Whoever asks for anything else (a
comparison, an item of a list, a number to print) gets it, and the loop knows that it was asked.
"""

import operator
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

NKI = Path(__file__).parents[1]
# What only says where a view begins, and refuses what leaves the tensor.
PLACING = {
    str(NKI / name)
    for name in (
        "tensor.py", "legacy/tensor.py", "legacy/index.py", "legacy/subscript.py",
        "legacy/blocks.py", "legacy/masking.py",
    )
}  # fmt: skip


class Watch:
    """Whether a loop's variable was looked at, and whether the first iteration is another.

    ``bends`` says that what is recorded may not grow evenly, because of a bound or a mask.
    """

    __slots__ = ("begins", "bends", "first", "looked")

    def __init__(self) -> None:
        self.looked = self.begins = self.bends = False
        self.first = True  # this is the first iteration


class Unread:
    """A whole number, and by how much it grows with every iteration of which loops."""

    __slots__ = ("slopes", "value")
    __array_ufunc__ = None  # NumPy's numbers leave arithmetic to this class

    def __init__(self, value: int, slopes: dict[Watch, int]) -> None:
        self.value, self.slopes = value, slopes

    @property
    def __class__(self) -> type:  # type: ignore[override]
        return int

    def read(self) -> int:
        """The value; the loops know that it was looked at."""
        for watch in self.slopes:
            watch.looked = True
        return self.value

    @property
    def first(self) -> bool:
        """Whether this is the first iteration: of all others it says the same."""
        if len(self.slopes) > 1:
            return self.read() == 0
        (watch,) = self.slopes
        watch.begins = True
        return watch.first

    def __add__(self, other: Any) -> Any:
        if type(other) is Unread:
            return _grown(self.value + other.value, self.slopes, other.slopes, 1)
        if _is_number(other):
            return Unread(self.value + int(other), self.slopes)
        return NotImplemented if _takes(other) else self.read() + other

    def __radd__(self, other: Any) -> Any:
        return self + other if _is_number(other) else other + self.read()

    def __sub__(self, other: Any) -> Any:
        if type(other) is Unread:
            return _grown(self.value - other.value, self.slopes, other.slopes, -1)
        if _is_number(other):
            return Unread(self.value - int(other), self.slopes)
        return NotImplemented if _takes(other) else self.read() - other

    def __rsub__(self, other: Any) -> Any:
        return -self + other if _is_number(other) else other - self.read()

    def __mul__(self, other: Any) -> Any:
        if _is_number(other):
            return _grown(self.value * int(other), {}, self.slopes, int(other))
        return NotImplemented if _takes(other) else self.read() * plain(other)

    def __rmul__(self, other: Any) -> Any:
        return self * other if _is_number(other) else other * self.read()

    def __neg__(self) -> Any:
        return self * -1

    def __pos__(self) -> Any:
        return self

    def __index__(self) -> int:
        if sys._getframe(1).f_code.co_filename not in PLACING:
            self.read()
        elif self.value < 0:  # counts from the end
            for watch in self.slopes:
                watch.bends = True
        return self.value

    __int__ = __index__

    def __getattr__(self, name: str) -> Any:
        return getattr(self.read(), name)


def plain(value: Any) -> Any:
    """A value that is looked at, as everybody knows it."""
    return value.read() if type(value) is Unread else value


def measured(part: slice) -> None:
    """A slice is taken: whoever gets it may see how long it is."""
    start, stop = part.start, part.stop
    if type(start) is not Unread and type(stop) is not Unread and type(part.step) is not Unread:
        return
    if start is None or stop is None or type(stop - start) is Unread or type(part.step) is Unread:
        for each in (start, stop, part.step):
            plain(each)


def _is_number(other: Any) -> bool:
    return issubclass(type(other), int)


def _takes(other: Any) -> bool:
    """Whether the other operand is of ours, and works out by itself what a number does to it."""
    return type(other).__module__.startswith("trnlab.")


def _grown(value: int, one: dict[Watch, int], other: dict[Watch, int], times: int) -> Any:
    slopes = dict(one)
    for watch, slope in other.items():
        slopes[watch] = slopes.get(watch, 0) + times * slope
    slopes = {watch: slope for watch, slope in slopes.items() if slope}
    return Unread(value, slopes) if slopes else value


def _asking(function: Callable[..., Any], *, turned: bool = False) -> Callable[..., Any]:
    def method(self: Unread, *others: Any) -> Any:
        placing = sys._getframe(1).f_code.co_filename in PLACING
        values = [
            (v.value if placing else v.read()) if type(v) is Unread else v for v in (self, *others)
        ]
        return function(*reversed(values)) if turned else function(*values)

    return method


for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Unread, f"__{_name}__", _asking(getattr(operator, _name)))
for _name in ("floordiv", "mod", "truediv", "pow", "lshift", "rshift", "and_", "or_", "xor"):
    _function = getattr(operator, _name)
    setattr(Unread, f"__{_name.rstrip('_')}__", _asking(_function))
    setattr(Unread, f"__r{_name.rstrip('_')}__", _asking(_function, turned=True))
for _name, _function in {
    "divmod": divmod, "abs": abs, "round": round, "invert": operator.invert, "hash": hash,
    "bool": bool, "float": float, "str": str, "repr": repr, "format": format,
    "floor": int.__floor__, "ceil": int.__ceil__, "trunc": int.__trunc__,
}.items():  # fmt: skip
    setattr(Unread, f"__{_name}__", _asking(_function))
Unread.__rdivmod__ = _asking(divmod, turned=True)  # type: ignore[attr-defined]
