"""What memories hold: bytes, and which of them somebody has written.

Bytes appear when first touched. Fresh memory shows NaN, or 4 for integers; that pattern is only
made when somebody looks (`reveal`), because most tensors are written before they are read.
"""

import numpy as np

from trnlab import formats
from trnlab.errors import BadArguments
from trnlab.isa.tile import Buffer, Layout, Tile, row_major
from trnlab.sim.values.lending import Piece, Where, as_matrix, change, own, show

LISTED = 4096  # written tiles that are listed one by one: not as tiles, which hold their tensor
NOTHING = Piece(np.zeros(8, np.uint8), 0, 0, 0, None)
PINNED = 8  # times its own size: of a larger tensor on chip, a tile's copy keeps nothing alive

# Tiles come and go by the thousand, and fresh pages cost more than what is computed in them. glibc
# keeps freed memory, instead of giving it back at once, up to twice the largest block it saw freed.
_largest = np.empty(2**25 - 2**16, np.uint8)
del _largest


def adopt(buffer: Buffer, values: np.ndarray) -> None:
    """Lets a buffer hold the bytes of a C-contiguous array, without a copy."""
    buffer.data = values.reshape(-1).view(np.uint8)
    buffer.written = True


def borrow(tile: Tile, source: Tile, *, turned: bool = False, signed: bool = True) -> bool:
    """Lets a tile show another tensor's bytes, or their transpose, instead of copying them.

    Not ``signed`` is a transpose by a product, which has no negative zeros. Either tensor gets
    bytes of its own as soon as one of them changes. False when the bytes cannot be shown like that:
    then they must be copied.
    """
    here, there = tile.layout, source.layout
    floor = here.floor
    if floor is None or there.size != here.size or there.dtype != here.dtype:
        return False
    (raw, start, strides), lender = held(source)
    found = as_matrix(there.shape, strides, floor[0] if turned else floor[1])
    if found is None:
        return False
    most = PINNED * here.size * here.itemsize
    if lender is not None and lender.on_chip and lender.nbytes > most:
        return False
    row, column = found[::-1] if turned else found
    shown = source.storage.shows
    signed = signed and (shown is None or shown.signed)
    return lend(tile, Piece(raw, start, row, column, lender), signed=signed)


def lend(tile: Tile, piece: Piece, *, signed: bool = True) -> bool:
    """Lets a tile show bytes that lie elsewhere; False when they must be copied."""
    if not show(tile, piece, signed=signed):
        return False
    if tile.storage.written is not True:
        mark_written(tile, covers_all(tile))
    return True


def preset(tile: Tile, values: np.ndarray) -> None:
    """Bytes that are there without an instruction; zeros take no memory."""
    if any(values.strides) or values.flat[0] or not lend(tile, NOTHING):
        write(tile, values)


def is_nothing(tile: Tile) -> bool:
    """Whether a tile still holds the zeros that it was made with."""
    shows = tile.storage.shows
    return (
        shows is not None and shows.layout is tile.layout and shows.at.get(tile.offset) is NOTHING
    )


def held(tile: Tile) -> tuple[Where, Buffer | None]:
    """Where a tile's elements lie in memory, and the tensor whose change would show there."""
    buffer = tile.storage
    shows = buffer.shows
    if shows is not None:
        found = shows.find(tile)
        if found is not None:
            return found
        if not shows.fits(tile):
            own(buffer)
    data = buffer.data
    if data is None:
        data = _allocate(buffer)
    here = tile.layout
    return (data, tile.offset * here.itemsize, here.byte_strides), buffer


def locate(tile: Tile) -> Where:
    """Where a tile's elements lie in memory."""
    return held(tile)[0]


def _may_adopt(tile: Tile, values: np.ndarray) -> bool:
    """Whether freshly computed values can become a tensor's bytes as they are."""
    here = tile.layout
    return here.on_chip and values.shape == here.shape and here.strides == row_major(here.shape)


def array(tile: Tile, *, writable: bool = False) -> np.ndarray:
    """The bytes of a tile as an array of its shape and dtype; a view, never a copy."""
    shows = tile.storage.shows
    if shows is not None and (writable or shows.turned or not shows.signed):
        own(tile.storage)
    raw, start, strides = locate(tile)
    view = np.ndarray(tile.shape, formats.storage(tile.layout.dtype), raw, start, strides)
    if not writable:
        view.flags.writeable = False
    return view


def write(tile: Tile, values: np.ndarray) -> None:
    """Stores values of the tile's dtype and marks the bytes as written."""
    buffer = tile.storage
    covers = covers_all(tile)
    change(tile, covers)
    if covers and values.flags.owndata and values.flags.c_contiguous and _may_adopt(tile, values):
        adopt(buffer, values)
        return
    target = _target(tile)
    target[...] = values if values.shape == target.shape else values.reshape(target.shape)
    if buffer.written is not True:
        mark_written(tile, covers)


def open_for(tile: Tile) -> np.ndarray:
    """The bytes of a tile, to be overwritten before anybody looks at them."""
    change(tile, covers_all(tile))
    return _target(tile)


def _target(tile: Tile) -> np.ndarray:
    """The bytes of a tile to be overwritten, in its tensor's own memory."""
    data, here = tile.storage.data, tile.layout
    if data is None:
        data = _allocate(tile.storage)
    start = tile.offset * here.itemsize
    target = np.ndarray(here.shape, formats.storage(here.dtype), data, start, here.byte_strides)
    if not target.flags.writeable:
        raise BadArguments(
            f"{tile.storage.name} is written, but the caller's array is read-only",
            {"tensor": tile.describe()},
            fix="pass a copy, or return a new tensor",
        )
    return target


def write_where(tile: Tile, values: np.ndarray, chosen: np.ndarray) -> None:
    """Stores values where ``chosen`` holds; the other bytes stay as they are."""
    change(tile, False, wholly=False)
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
    change(tile, False, wholly=False)
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
        return state or not tile.size
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
    missing = ~written_mask(tile)
    tile.storage.facts = None
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
