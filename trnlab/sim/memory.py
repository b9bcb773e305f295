"""What memories hold: bytes, and which of them somebody has written.

Bytes appear when first touched. Fresh memory shows NaN, or 4 for integers; a tensor that is filled
by its first write never gets that pattern.
"""

from typing import Any

import numpy as np

from trnlab import formats
from trnlab.isa.tile import Buffer, Tile


def adopt(buffer: Buffer, array: np.ndarray) -> None:
    """Lets a buffer hold the bytes of a C-contiguous array, without a copy."""
    buffer.data = array.reshape(-1).view(np.uint8)
    buffer.written = True


def array(tile: Tile, *, writable: bool = False) -> np.ndarray:
    """The bytes of a tile as an array of its shape and dtype; a view, never a copy."""
    data = tile.buffer.data
    if data is None:
        data = _fresh(tile.buffer)
    here = tile.layout
    size = here.itemsize
    view = np.ndarray(
        here.shape,
        formats.storage(here.dtype),
        data,
        tile.offset * size,
        tuple(s * size for s in here.strides),
    )
    if not writable:
        view.flags.writeable = False
    return view


def write(tile: Tile, values: np.ndarray) -> None:
    """Stores values of the tile's dtype and marks the bytes as written."""
    buffer = tile.buffer
    covers = covers_all(tile)
    if buffer.data is None:
        buffer.data = np.empty(buffer.nbytes, np.uint8) if covers else _fresh(buffer)
    target = array(tile, writable=True)
    target[...] = values if values.shape == target.shape else values.reshape(target.shape)
    if buffer.written is not True:
        mark_written(tile, covers)


def write_where(tile: Tile, values: np.ndarray, chosen: np.ndarray) -> None:
    """Stores values where ``chosen`` holds; the other bytes stay as they are."""
    target = array(tile, writable=True)
    chosen = np.broadcast_to(chosen, target.shape)
    np.copyto(target, values.reshape(target.shape), where=chosen)
    if tile.buffer.written is not True:
        mask = _mask(tile)
        mask |= chosen


def covers_all(tile: Tile) -> bool:
    """Whether a tile is all of its buffer, each element once."""
    if tile.offset or tile.layout.size * tile.layout.itemsize != tile.buffer.nbytes:
        return False
    rows, columns, _ = tile.layout.extent
    return rows * columns == tile.layout.size or rows == 1


def mark_written(tile: Tile, covers: bool = False) -> None:
    """Remembers that somebody wrote these bytes."""
    buffer = tile.buffer
    if covers:
        buffer.written = True
        return
    _mask(tile)[...] = True
    buffer.written_count += tile.size
    flat = buffer.written
    if isinstance(flat, np.ndarray) and buffer.written_count >= flat.size:
        buffer.written_count = 0
        if flat.all():
            buffer.written = True


def is_written(tile: Tile) -> bool:
    """Whether every byte of a tile was written by somebody."""
    state = tile.buffer.written
    if isinstance(state, np.ndarray):
        return bool(_mask(tile).all())
    return state


def written_mask(tile: Tile) -> np.ndarray:
    """Which elements of a tile somebody wrote."""
    state = tile.buffer.written
    return _mask(tile) if isinstance(state, np.ndarray) else np.full(tile.shape, state)


def known(tile: Tile) -> np.ndarray:
    """A tile's contents in fp32, with 0 where nobody wrote."""
    values = formats.widen(array(tile), tile.layout.dtype)
    return values if is_written(tile) else np.where(written_mask(tile), values, np.float32(0))


def forget(tile: Tile, where: np.ndarray) -> None:
    """Marks elements of a tile as not written."""
    if tile.buffer.written is True:
        tile.buffer.written = np.ones(tile.buffer.nbytes // tile.buffer.dtype.itemsize, bool)
    tile.buffer.written_count = 0
    flags = _mask(tile)
    flags[where.reshape(flags.shape)] = False


def _mask(tile: Tile) -> np.ndarray:
    buffer = tile.buffer
    unit = tile.layout.itemsize
    if not isinstance(buffer.written, np.ndarray):
        # One flag for each element as the tensor was declared; a view of another width rounds out.
        buffer.written = np.zeros(max(1, buffer.nbytes // buffer.dtype.itemsize), bool)
    flags = buffer.written
    if unit == buffer.dtype.itemsize:
        return np.ndarray(tile.shape, bool, flags.data, tile.offset, tile.strides)
    first = tile.offset * unit // buffer.dtype.itemsize
    return flags[first : first + max(1, tile.size * unit // buffer.dtype.itemsize)]


def _fresh(buffer: Buffer) -> np.ndarray:
    kind = formats.storage(buffer.dtype)
    filled = np.empty(max(1, buffer.nbytes // kind.itemsize), kind)
    filled[...] = formats.fresh(buffer.dtype)
    buffer.data = filled.view(np.uint8)
    return buffer.data


def value_of(buffer: Buffer, shape: tuple[int, ...]) -> Any:
    """A tensor's contents for the caller of a kernel."""
    if buffer.data is None:
        _fresh(buffer)
    return np.ndarray(shape, formats.storage(buffer.dtype), buffer.data)
