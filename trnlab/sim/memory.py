"""What memories hold: bytes, and which of them somebody has written.

Bytes appear when first touched. Fresh memory shows NaN, or 4 for integers; that pattern is only
made when somebody looks (`reveal`), because most tensors are written before they are read.
"""

from weakref import ref

import numpy as np

from trnlab import formats
from trnlab.errors import BadArguments
from trnlab.isa.tile import Buffer, Layout, Tile, row_major

LISTED = 4096  # written tiles that are listed one by one: not as tiles, which hold their tensor

Where = tuple[np.ndarray, int, tuple[int, ...]]  # raw bytes, first byte, byte strides


def adopt(buffer: Buffer, values: np.ndarray) -> None:
    """Lets a buffer hold the bytes of a C-contiguous array, without a copy."""
    buffer.data = values.reshape(-1).view(np.uint8)
    buffer.borrowed = None
    buffer.written = True


def borrow(tile: Tile, source: Tile) -> bool:
    """Lets a new on-chip tensor show another tensor's bytes instead of copying them.

    Either gets bytes of its own as soon as one of them changes. False when the bytes cannot be
    shown like that: then they must be copied.
    """
    buffer, lender = tile.storage, source.storage
    if buffer.data is not None or lender.borrowed is not None or not in_order(tile):
        return False
    if source.shape != (buffer.rows, buffer.pitch):
        return False
    raw, start, strides = locate(source)
    buffer.borrowed, buffer.lender = (raw, start, *strides), lender.index
    buffer.written = True
    lender.borrowers.append(ref(buffer))
    return True


def locate(tile: Tile) -> Where:
    """Where a tile's elements lie in memory."""
    buffer = tile.storage
    if buffer.borrowed is not None:
        found = _locate_borrowed(tile, *buffer.borrowed)
        if found is not None:
            return found
        _own(buffer)
    data = buffer.data
    if data is None:
        data = _allocate(buffer)
    here = tile.layout
    return data, tile.offset * here.itemsize, here.byte_strides


def _locate_borrowed(
    tile: Tile, raw: np.ndarray, start: int, row_stride: int, column_stride: int
) -> Where | None:
    """A tile of a borrowing tensor among the lender's bytes, if it is a view of them."""
    here = tile.layout
    pitch = here.pitch
    if here.itemsize != tile.storage.dtype.itemsize:
        return None
    row, column = divmod(tile.offset, pitch)
    start += row * row_stride + column * column_stride
    strides = []
    for size, stride in zip(here.shape, here.strides, strict=True):
        if stride % pitch == 0:
            strides.append(stride // pitch * row_stride)
        elif 0 < stride < pitch:
            strides.append(stride * column_stride)
            column += stride * (size - 1)
        else:
            return None
    return (raw, start, tuple(strides)) if column < pitch else None


def _own(buffer: Buffer) -> None:
    """Copies what a tensor has borrowed."""
    raw, start, *strides = buffer.borrowed
    buffer.borrowed = None
    shape = (buffer.rows, buffer.pitch)
    rows = np.ndarray(shape, formats.storage(buffer.dtype), raw, start, tuple(strides))
    buffer.data = rows.copy().reshape(-1).view(np.uint8)


def _lend_no_more(buffer: Buffer) -> None:
    """Before a tensor changes, those who borrowed from it copy what they show."""
    for borrower in buffer.borrowers:
        held = borrower()
        if held is not None and held.borrowed is not None:
            _own(held)
    buffer.borrowers = []


def _may_adopt(tile: Tile, values: np.ndarray) -> bool:
    """Whether freshly computed values can become a tensor's bytes as they are."""
    here = tile.layout
    return here.on_chip and values.shape == here.shape and here.strides == row_major(here.shape)


def array(tile: Tile, *, writable: bool = False) -> np.ndarray:
    """The bytes of a tile as an array of its shape and dtype; a view, never a copy."""
    if writable and tile.storage.borrowed is not None:
        _own(tile.storage)
    raw, start, strides = locate(tile)
    view = np.ndarray(tile.shape, formats.storage(tile.layout.dtype), raw, start, strides)
    if not writable:
        view.flags.writeable = False
    return view


def write(tile: Tile, values: np.ndarray) -> None:
    """Stores values of the tile's dtype and marks the bytes as written."""
    buffer = tile.storage
    covers = covers_all(tile)
    if buffer.borrowers:
        _lend_no_more(buffer)
    if covers and values.flags.owndata and values.flags.c_contiguous and _may_adopt(tile, values):
        adopt(buffer, values)
        return
    if buffer.borrowed is not None:
        if covers:
            buffer.borrowed = None
        else:
            _own(buffer)
    if buffer.data is None:
        _allocate(buffer)
    target = _target(tile)
    target[...] = values if values.shape == target.shape else values.reshape(target.shape)
    if buffer.written is not True:
        mark_written(tile, covers)


def _target(tile: Tile) -> np.ndarray:
    target = array(tile, writable=True)
    if not target.flags.writeable:
        raise BadArguments(
            f"{tile.storage.name} is written, but the caller's array is read-only",
            {"tensor": tile.describe()},
            fix="pass a copy, or return a new tensor",
        )
    return target


def write_where(tile: Tile, values: np.ndarray, chosen: np.ndarray) -> None:
    """Stores values where ``chosen`` holds; the other bytes stay as they are."""
    if tile.storage.borrowers:
        _lend_no_more(tile.storage)
    target = _target(tile)
    chosen = np.broadcast_to(chosen, target.shape)
    np.copyto(target, values.reshape(target.shape), where=chosen)
    if tile.storage.written is not True:
        flags = flags_of(tile, _flags(tile.storage))
        flags |= chosen[..., None]


def gather(tile: Tile, where: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray | bool]:
    """The elements of a tile at these indices, and which of them somebody wrote."""
    if is_written(tile):
        return array(tile)[where], True
    reveal(tile)
    return array(tile)[where], written_mask(tile)[where]


def scatter(tile: Tile, where: tuple[np.ndarray, ...], values: np.ndarray) -> None:
    """Stores values at indices of a tile; of equal indices the last counts."""
    if tile.storage.borrowers:
        _lend_no_more(tile.storage)
    _target(tile)[where] = values
    if tile.storage.written is not True:
        flags_of(tile, _flags(tile.storage))[where] = True


def covers_all(tile: Tile) -> bool:
    """Whether a tile is all of its buffer, each element once."""
    if tile.offset or tile.layout.size * tile.layout.itemsize != tile.storage.nbytes:
        return False
    rows, columns, _ = tile.layout.extent
    return rows * columns == tile.layout.size or rows == 1


def in_order(tile: Tile) -> bool:
    """Whether a tile is all of its buffer, with the elements in the order of memory."""
    return covers_all(tile) and tile.layout.strides == row_major(tile.layout.shape)


def mark_written(tile: Tile, covers: bool = False) -> None:
    """Remembers that somebody wrote these bytes.

    Whole tiles are only listed; flags for each element are made when somebody asks for other ones.
    """
    buffer = tile.storage
    if covers:
        buffer.written = True
    elif isinstance(buffer.written, np.ndarray):
        flags_of(tile, buffer.written)[...] = True
    elif isinstance(buffer.written, dict) and len(buffer.written) < LISTED:
        buffer.written[tile.layout.index, tile.offset] = tile.layout
    elif isinstance(buffer.written, dict):
        flags_of(tile, _flags(buffer))[...] = True
    else:
        buffer.written = {(tile.layout.index, tile.offset): tile.layout}


def is_written(tile: Tile) -> bool:
    """Whether every byte of a tile was written by somebody."""
    buffer = tile.storage
    state = buffer.written
    if isinstance(state, bool):
        return state
    if isinstance(state, dict) and (tile.layout.index, tile.offset) in state:
        return True
    if isinstance(state, dict) and _fills(buffer, state):
        buffer.written = True
        return True
    return bool(flags_of(tile, _flags(buffer)).all())


def _fills(buffer: Buffer, listed: dict[tuple[int, int], Layout]) -> bool:
    """Whether listed tiles of one shape tile their tensor like a floor: cheap, and often true."""
    here = next(iter(listed.values()))
    rows, columns, step = here.extent
    if (
        step != 1
        or rows * columns != here.size
        or len(listed) * here.size * here.itemsize != buffer.nbytes
    ):
        return False
    for index, offset in listed:
        row, column = divmod(offset, here.pitch)
        if index != here.index or row % rows or column % columns or column + columns > here.pitch:
            return False
    return True


def written_mask(tile: Tile) -> np.ndarray:
    """Which elements of a tile somebody wrote, as flags of its shape that the caller may change."""
    state = tile.storage.written
    if isinstance(state, bool):
        return np.full(tile.shape, state)
    return np.asarray(flags_of(tile, _flags(tile.storage)).all(axis=-1))


def reveal(tile: Tile) -> None:
    """Makes what nobody wrote show as fresh memory does: NaN, or 4 for integers."""
    if tile.storage.data is None:
        _allocate(tile.storage)
    missing = ~written_mask(tile)
    np.copyto(array(tile, writable=True), formats.fresh(tile.dtype), where=missing)


def known(tile: Tile) -> np.ndarray:
    """A tile's contents in fp32, with 0 where nobody wrote."""
    values = formats.widen(array(tile), tile.layout.dtype)
    return values if is_written(tile) else np.where(written_mask(tile), values, np.float32(0))


def forget(tile: Tile, where: np.ndarray) -> None:
    """Marks elements of a tile as not written."""
    flags = flags_of(tile, _flags(tile.storage))
    flags[where.reshape(tile.shape)] = False


def _flags(buffer: Buffer) -> np.ndarray:
    """One flag for each byte: tensors are viewed in several widths."""
    listed = buffer.written
    if isinstance(listed, np.ndarray):
        return listed
    buffer.written = np.full(max(1, buffer.nbytes), listed is True)
    for (_, offset), here in listed.items() if isinstance(listed, dict) else ():
        _flags_at(here, offset, buffer.written)[...] = True
    return buffer.written


def flags_of(tile: Tile, flags: np.ndarray) -> np.ndarray:
    """The flags of a tile's elements, with a last dimension for the bytes of each."""
    return _flags_at(tile.layout, tile.offset, flags)


def _flags_at(here: Layout, offset: int, flags: np.ndarray) -> np.ndarray:
    shape, strides = (*here.shape, here.itemsize), (*here.byte_strides, 1)
    return np.ndarray(shape, bool, flags.data, offset * here.itemsize, strides)


def _allocate(buffer: Buffer) -> np.ndarray:
    buffer.data = np.empty(max(1, buffer.nbytes), np.uint8)
    return buffer.data
