"""The pass of `schedule` compiled by numba, which is the `fast` extra.

The functions are those that run as Python where numba is absent: nothing is written twice. What is
compiled is kept on disk, next to the source or, where that is read-only, in the user's cache.
"""

import sys
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from inspect import getsource, isfunction
from operator import attrgetter
from types import ModuleType
from typing import Any
from zlib import crc32

import numpy as np
from numba import njit
from numba.extending import overload, register_jitable

from trnlab.sim.timing import engines, pipe, ports, rooms, schedule, state

MODULES = state, pipe, ports, engines, rooms, schedule
PRICE = np.dtype([(f.name, np.dtype(f.type)) for f in fields(state.Price)], align=True)
AS_ROW = attrgetter(*(f.name for f in fields(state.Price)))


@overload(bisect_left)
def _bisect_left(items: Any, item: Any) -> Callable[..., int]:
    def found(items: Any, item: Any) -> int:
        low, high = 0, len(items)
        while low < high:
            middle = (low + high) // 2
            if items[middle] < item:
                low = middle + 1
            else:
                high = middle
        return low

    return found


@overload(bisect_right)
def _bisect_right(items: Any, item: Any) -> Callable[..., int]:
    def found(items: Any, item: Any) -> int:
        low, high = 0, len(items)
        while low < high:
            middle = (low + high) // 2
            if item < items[middle]:
                high = middle
            else:
                low = middle + 1
        return low

    return found


@overload(insort)
def _insort(items: Any, item: Any) -> Callable[..., None]:
    def put(items: Any, item: Any) -> None:
        items.insert(bisect_right(items, item), item)

    return put


def run(
    flat: state.Flat, prices: list[state.Price], callers: list[int], rules: state.Rules
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The columns of a trace, and of how long tensors were held."""
    table = np.array(list(map(AS_ROW, prices)), PRICE)
    rows, stays = _run(flat, table, np.array(callers, np.int64), rules)
    return list(rows), list(stays)


def _compiled() -> Callable[..., Any]:
    """The pass as machine code, made when it is first called."""
    for module in MODULES:
        _register(module)
    stamp = crc32("".join(map(getsource, MODULES)).encode())  # what is kept is for this source

    def passed(flat: Any, prices: Any, callers: Any, rules: Any) -> Any:
        rows, stays = schedule.scheduled(flat, state.started(prices, callers, rules))
        count = len(rows) if stamp else 0
        lane, name = np.empty(count, np.int32), np.empty(count, np.int32)
        where, blocker = np.empty(count, np.int32), np.empty(count, np.int32)
        start, busy, stop = np.empty(count), np.empty(count), np.empty(count)
        cause = np.empty(count, np.int8)
        for i, row in enumerate(rows):
            lane[i], name[i], where[i], start[i], busy[i], stop[i], cause[i], blocker[i] = row
        tensor = np.empty(len(stays), np.int64)
        since, until = np.empty(len(stays)), np.empty(len(stays))
        for i, stay in enumerate(stays):
            tensor[i], since[i], until[i] = stay
        return (lane, name, where, start, busy, stop, cause, blocker), (tensor, since, until)

    return _kept(passed)


def _register(module: ModuleType) -> None:
    """Lets compiled functions call those of a module."""
    for function in vars(module).values():
        if isfunction(function) and function.__module__ == module.__name__:
            register_jitable(function)


def _kept(function: Callable[..., Any]) -> Callable[..., Any]:
    try:
        return njit(cache=True)(function)
    except RuntimeError:  # nowhere to keep it
        return njit(function)


@cache
def of(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that calls none but those of its own file, compiled."""
    _register(sys.modules[function.__module__])
    return _kept(function)


_run = _compiled()
