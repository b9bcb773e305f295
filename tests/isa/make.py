"""Operands and cores for tests of instructions."""

from typing import Any

import numpy as np

from trnlab.formats import format_of
from trnlab.isa.tile import Buffer, Space, Tile, whole
from trnlab.machine.catalogue import chip

TRN1, TRN2, TRN3 = (chip(name).core for name in ("trn1", "trn2", "trn3"))


def tile(
    shape: tuple[int, ...], dtype: str = "float32", space: str = "sbuf", start: int = 0
) -> Tile:
    """A tile that covers a fresh buffer, placed at partition ``start``."""
    address = (start, 0) if start else None
    return whole(Buffer(0, "t", Space[space], format_of(dtype), shape, address))


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    """Normally distributed fp32 numbers, the same every time."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def same(left: Any, right: Any) -> bool:
    """Whether arrays are equal in shape, dtype and every bit."""
    left, right = np.asarray(left), np.asarray(right)
    whole = left.shape == right.shape and left.dtype == right.dtype
    return whole and left.tobytes() == right.tobytes()
