"""Functions of flat sequences, which run as Python or, where numba was loaded, compiled."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

COMPILED = "trnlab.sim.timing.compiled"


def quick(function: Callable[..., Any], *given: Any) -> Any:
    """What a function gives: of lists in Python, of arrays where it can be compiled.

    ``given`` are numbers, arrays and named tuples of arrays.
    """
    compiled = sys.modules.get(COMPILED)
    if compiled is not None:
        return compiled.of(function)(*given)
    return function(*map(listed, given))


def listed(given: Any) -> Any:
    """The same with lists in the place of arrays."""
    if isinstance(given, np.ndarray):
        return given.tolist()
    return type(given)(*map(listed, given)) if isinstance(given, tuple) else given
