"""How far results are from what is right, and how far they may be."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from trnlab import formats

# Relative to a value and to all of its tensor, by bits of the coarsest input that is a float.
TOLERANCES = {32: 1e-3, 16: 2e-2, 8: 1.5e-1}
MARK = 1e4  # times all others is no value of a result but a mark, such as a mask of -1e9


def tolerance_of(asked: dict[str, Any], arrays: Sequence[np.ndarray]) -> float:
    """The largest error that a request lets pass, for these inputs."""
    if asked["tolerance"] is not None:
        return asked["tolerance"]
    floats = [formats.bits(a.dtype) for a in arrays if formats.is_float(a.dtype)]
    return TOLERANCES[max(8, min(floats, default=32))]


def compare(outputs: Sequence[np.ndarray], want: Sequence[np.ndarray]) -> float | str:
    """The largest error, relative to a value and to the root mean square of its tensor.

    Integers that are wanted are compared exactly. Text where results cannot be compared at all.
    """
    if len(outputs) != len(want):
        return f"{len(outputs)} outputs, and the reference has {len(want)}"
    worst = 0.0
    for number, (given, wanted) in enumerate(zip(outputs, want, strict=True)):
        if given.shape != wanted.shape:
            return f"output {number} is {list(given.shape)}, not {list(wanted.shape)}"
        if wanted.dtype.kind in "iub":
            if not np.array_equal(given, wanted):
                return f"output {number} differs, and integers are compared exactly"
            continue
        wide = formats.widen(given) if formats.is_float(given.dtype) else given
        error = _relative(wide.astype(np.float64), np.asarray(wanted, np.float64))
        if error is None:
            return f"output {number} is infinite or NaN where the reference is not, or other"
        worst = max(worst, error)
    return worst


def _relative(given: np.ndarray, wanted: np.ndarray) -> float | None:
    finite = np.isfinite(wanted)
    if not np.array_equal(given[~finite], wanted[~finite], equal_nan=True):
        return None
    given, wanted = given[finite], wanted[finite]
    if not np.isfinite(given).all():
        return None
    if not wanted.size:
        return 0.0
    scale = np.abs(wanted) + _usual(np.abs(wanted))
    off = np.abs(given - wanted)
    with np.errstate(over="ignore"):
        worst = float(np.max(off / np.where(scale > 0, scale, 1.0)))
    return min(worst, sys.float_info.max)  # JSON has no infinity


def _usual(sizes: np.ndarray) -> float:
    """The root mean square of sizes, without marks that would drown all others."""
    top = sizes.max()
    others = sizes[sizes < top / 2]
    if others.size and 0 < others.max() < top / MARK:
        sizes, top = others, others.max()
    return float(top * np.sqrt(np.mean((sizes / top) ** 2))) if top else 0.0
