"""Loops of the older API, run one iteration after the other with whole numbers."""

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

from trnlab.nki.jit import launch
from trnlab.nki.legacy.declared import unrolled
from trnlab.nki.loops.repeats import followed
from trnlab.nki.loops.steady import body_at
from trnlab.nki.loops.unread import plain
from trnlab.sim.program import Loop
from trnlab.sim.progression import LEAST


class LoopIndex(int):
    """A loop variable that knows whether this is the first iteration."""

    first: bool


def affine_range(*args: Any, precise_schedule: Any = None, name: Any = None) -> Iterator[int]:
    """A loop whose iterations do not depend on each other.

    They run one after the other: in order, or in the one that `Settings.shuffle` gives.
    """
    return _loop(_numbers(args), sys._getframe(1), parallel=True)


def sequential_range(*args: Any, directives: Any = None, name: Any = None) -> Iterator[int]:
    """A loop whose iterations depend on each other."""
    return _loop(_numbers(args), sys._getframe(1), parallel=False)


def static_range(*args: Any, name: Any = None) -> Iterator[int]:
    """A loop that is unrolled."""
    return _unrolled(_numbers(args), sys._getframe(1))


def _numbers(args: tuple[Any, ...]) -> range:
    return range(*(int(plain(a)) for a in args))


def _loop(values: range, frame: FrameType, *, parallel: bool) -> Iterator[int]:
    here = launch()
    program = here.run.program
    _settle()
    loop = Loop(here.run.place(), parallel)
    program.loops.append(loop)
    body = body_at(frame) if here.follows and len(values) >= LEAST else None
    try:
        if body is not None:
            yield from followed(values, frame, body, loop, _index)
        else:
            yield from _turns(values, loop, parallel)
        _settle()
    finally:
        loop.starts.append(program.count)
        loop.tensors.append(len(program.buffers))


def _turns(values: range, loop: Loop, parallel: bool) -> Iterator[int]:
    here = launch()
    program, order = here.run.program, list(values)
    if parallel and here.order is not None:
        here.order.shuffle(order)
        here.run.note("iterations of parallel loops ran in another order, as asked")
    for number, value in enumerate(order):
        _settle()
        loop.starts.append(program.count)
        loop.tensors.append(len(program.buffers))
        yield _index(number, value)


def _index(number: int, value: int) -> LoopIndex:
    index = LoopIndex(value)
    index.first = number == 0
    return index


def _unrolled(values: range, frame: FrameType) -> Iterator[int]:
    for number, value in enumerate(unrolled(values, frame)):
        _settle()
        yield _index(number, value)


def _settle() -> None:
    here = launch()
    if here.settle is not None:
        here.settle()
