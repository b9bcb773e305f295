"""Which places in PSUM hold sums: what a matmul adds to, unless told otherwise.

A buffer's ``summed`` is None before anything is written, True or False when all that is written are
sums or none of it, else one flag a byte.
"""

import numpy as np

from trnlab.isa.tile import Tile
from trnlab.sim import memory


def mark(tile: Tile, sums: bool) -> None:
    """Remembers whether what was just written to a tile are sums."""
    buffer = tile.storage
    if buffer.summed is sums:
        return
    if buffer.summed is None or memory.covers_all(tile):
        buffer.summed = sums
        return
    if not isinstance(buffer.summed, np.ndarray):
        buffer.summed = np.full(max(1, buffer.nbytes), buffer.summed)
    memory.flags_of(tile, buffer.summed)[...] = sums


def holds_sums(tile: Tile) -> bool:
    """Whether matmuls wrote all of a tile."""
    held = tile.storage.summed
    return bool(memory.flags_of(tile, held).all() if isinstance(held, np.ndarray) else held)


def adds_to(dst: Tile, accumulate: bool | None) -> bool:
    """Whether a matmul adds to what its destination holds, rather than overwriting it."""
    if accumulate is not None:
        return accumulate and dst.storage.written is not False
    held = dst.storage.summed
    return bool(memory.flags_of(dst, held).any() if isinstance(held, np.ndarray) else held)


def addend(dst: Tile, accumulate: bool | None, held: np.ndarray | None = None) -> np.ndarray:
    """What a matmul adds to, in fp32 or as ``held`` gives it, with 0 where it overwrites."""
    values, sums = memory.known(dst) if held is None else held, dst.storage.summed
    if accumulate is None and isinstance(sums, np.ndarray):
        return np.where(memory.flags_of(dst, sums).all(axis=-1), values, values.dtype.type(0))
    return values
