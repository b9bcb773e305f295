"""Loops of the older API, run one iteration after the other with whole numbers."""

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

from trnlab.nki.jit import launch
from trnlab.nki.legacy.declared import unrolled


class LoopIndex(int):
    """A loop variable that knows whether this is the first iteration."""

    first: bool


def _loop(*args: Any, frame: FrameType | None = None) -> Iterator[int]:
    values = range(*(int(a) for a in args))
    here = launch()
    for number, value in enumerate(values if frame is None else unrolled(values, frame)):
        if here.settle is not None:
            here.settle()
        index = LoopIndex(value)
        index.first = number == 0
        yield index


def affine_range(*args: Any, **_: Any) -> Iterator[int]:
    """A loop whose iterations do not depend on each other; run one after the other here."""
    return _loop(*args)


def sequential_range(*args: Any, **_: Any) -> Iterator[int]:
    """A loop whose iterations depend on each other."""
    return _loop(*args)


def static_range(*args: Any, **_: Any) -> Iterator[int]:
    """A loop that is unrolled."""
    return _loop(*args, frame=sys._getframe(1))
