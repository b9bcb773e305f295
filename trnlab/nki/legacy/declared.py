"""Where a kernel declares things: the older compiler runs the body of a loop once.

What a declaration in a loop says the first time holds for all iterations, though Python here runs
them all. Only `nl.static_range` is unrolled there too.
"""

import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from trnlab.nki.jit import launch
from trnlab.sim.core import PACKAGE


def once(make: Callable[[], Any]) -> Any:
    """What ``make`` gave when this declaration of the kernel ran first."""
    known, key = launch().declared, _call_path()
    if key not in known:
        known[key] = make()
    return known[key]


def unrolled(values: range, frame: FrameType) -> Iterator[int]:
    """A loop in this frame whose iterations declare things of their own."""
    turns = launch().declared.setdefault(id(frame), [])
    turns.append(0)
    try:
        for value in values:
            turns[-1] = value
            yield value
    finally:
        turns.pop()


def _call_path() -> tuple[Any, ...]:
    """Which calls led here, without the iterations they happened in unless those are unrolled."""
    path, frame = [], sys._getframe(2)
    known = launch().declared
    while frame is not None:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            path.append((frame.f_code, frame.f_lasti, tuple(known.get(id(frame), ()))))
        frame = frame.f_back
    return tuple(path)
