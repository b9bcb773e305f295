"""Tensors that show bytes which lie elsewhere, until either changes.

A load, a copy, a transpose and a finished sum need not move bytes: the new tile shows them where
they are, as rows and columns with any strides. A tensor may show several tiles like that, all of
one layout and side by side; whatever does not fit that picture makes it copy them.
"""

from functools import lru_cache
from typing import NamedTuple
from weakref import ref

import numpy as np

from trnlab import formats
from trnlab.isa.tile import Buffer, Layout, Tile, whole

Where = tuple[np.ndarray, int, tuple[int, ...]]  # raw bytes, first byte, byte strides


class Piece(NamedTuple):
    """Rows and columns among raw bytes, and the tensor whose change would show, if it can."""

    raw: np.ndarray
    start: int
    row: int  # bytes from one row to the next
    column: int
    lender: Buffer | None


class Pieces:
    """What a tensor shows: tiles of one layout, by their offsets."""

    __slots__ = ("at", "layout", "signed", "turned", "whole")

    def __init__(self, layout: Layout, signed: bool) -> None:
        self.layout, self.signed = layout, signed  # else a negative zero shows as a positive one
        self.at: dict[int, Piece] = {}
        self.turned = False  # whether neighbours in a row are not neighbours in memory
        self.whole = False  # whether one piece is known to be all of the tensor

    def fits(self, tile: Tile) -> bool:
        """Whether a tile is one that this tensor shows, or beside all of them."""
        return tile.layout is self.layout and on_floor(tile)

    def find(self, tile: Tile) -> tuple[Where, Buffer | None] | None:
        """Where the bytes of a tile are, if they are in one place, and whose they are."""
        here = tile.layout
        if here is self.layout:
            piece = self.at.get(tile.offset)
            if piece is not None:
                return (piece.raw, piece.start, _strides(here, piece)), piece.lender
        if not self.whole and not self._join(tile.storage):
            return None
        piece = self.at[0]
        row, column = divmod(tile.offset, here.pitch)
        start = piece.start + row * piece.row + column * piece.column
        if here.strides == (here.pitch, 1) and column + here.shape[1] <= here.pitch:
            if here.itemsize != tile.storage.dtype.itemsize:
                return None
            return (piece.raw, start, (piece.row, piece.column)), piece.lender
        found = _part(tile, piece)
        return None if found is None else (found, piece.lender)

    def _join(self, buffer: Buffer) -> bool:
        """Makes one of all pieces, if they fill the tensor and lie as they do in it."""
        first, here = self.at.get(0), self.layout
        if first is None or len(self.at) * here.size != buffer.rows * buffer.pitch:
            return False
        if len(self.at) == 1:
            self.whole = True
            return True
        raw, start, row, column, lender = first
        for offset, piece in self.at.items():
            down, right = divmod(offset, here.pitch)
            if piece.raw is not raw or piece.start != start + down * row + right * column:
                return False
            if piece.row != row or piece.column != column or piece.lender is not lender:
                return False
        self.layout, self.at, self.whole = whole(buffer).layout, {0: first}, True
        return True


def on_floor(tile: Tile) -> bool:
    """Whether a tile lies where tiles of its layout lie when they fill a tensor like a floor."""
    floor = tile.layout.floor
    if floor is None:
        return False
    if not tile.offset:
        return True
    rows, columns = floor
    row, column = divmod(tile.offset, tile.layout.pitch)
    return row % rows == 0 and column % columns == 0 and column + columns <= tile.layout.pitch


def _strides(here: Layout, piece: Piece) -> tuple[int, ...]:
    pitch, row, column = here.pitch, piece.row, piece.column
    if here.strides == (pitch, 1) and pitch > 1:
        return row, column
    return tuple([s // pitch * row if s % pitch == 0 else s * column for s in here.strides])


def _part(tile: Tile, piece: Piece) -> Where | None:
    """A tile of a tensor that shows one piece, if it is a view of it."""
    here = tile.layout
    pitch = here.pitch
    if here.itemsize != tile.storage.dtype.itemsize:
        return None
    raw, start, row_stride, column_stride, _ = piece
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


@lru_cache(4096)
def as_matrix(
    shape: tuple[int, ...], strides: tuple[int, ...], columns: int
) -> tuple[int, int] | None:
    """Strides of an array's elements in rows of so many columns, if two strides say it all."""
    row = column = None
    width = height = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size == 1:
            continue
        if width < columns:
            if column is None:
                column = stride
            elif stride != column * width:
                return None
            width *= size
        else:
            if row is None:
                row = stride
            elif stride != row * height:
                return None
            height *= size
    return (row or 0, column or 0) if width == columns else None


def show(tile: Tile, piece: Piece, *, signed: bool = True) -> bool:
    """Lets a tile show bytes that lie elsewhere; False when they must be copied.

    Not ``signed`` are sums, which have no negative zeros, whatever the bytes say.
    """
    buffer = tile.storage
    if piece.lender is buffer or not on_floor(tile) or tile.layout.dtype != buffer.dtype:
        return False
    covers = tile.layout.size == buffer.rows * buffer.pitch
    change(tile, covers)
    if buffer.shows is not None and buffer.shows.signed is not signed:
        own(buffer)
    shows = buffer.shows
    if shows is None:
        shows = buffer.shows = Pieces(tile.layout, signed)
    shows.at[tile.offset] = piece
    if piece.column != tile.layout.itemsize and tile.layout.free > 1:
        shows.turned = True
    if covers:
        buffer.data = None
    if piece.lender is not None:
        piece.lender.borrowers.append(ref(buffer))
    return True


def change(tile: Tile, covers: bool, *, wholly: bool = True) -> None:
    """Before a tile is overwritten, wholly or in parts; ``covers``: it is all of its tensor."""
    buffer = tile.storage
    buffer.facts = None
    if buffer.borrowers:
        _lend_no_more(buffer)
    shows = buffer.shows
    if shows is None:
        return
    if covers and wholly:
        buffer.shows = None
    elif wholly and shows.fits(tile):
        shows.at.pop(tile.offset, None)
        if not shows.at:
            buffer.shows = None
    else:
        own(buffer)


def own(buffer: Buffer) -> None:
    """Copies what a tensor shows of others."""
    shows = buffer.shows
    buffer.shows = None
    if shows is None:
        return
    here = shows.layout
    kind = formats.storage(buffer.dtype)
    data = buffer.data
    if data is None:
        data = np.empty(max(1, buffer.nbytes), np.uint8)
    for offset, piece in shows.at.items():
        source = np.ndarray(here.shape, kind, piece.raw, piece.start, _strides(here, piece))
        start = offset * here.itemsize
        target = np.ndarray(here.shape, kind, data.data, start, here.byte_strides)
        target[...] = source if shows.signed else source + kind.type(0)
    buffer.data = data


def _lend_no_more(buffer: Buffer) -> None:
    """Before a tensor changes, those who show its bytes copy them."""
    for borrower in buffer.borrowers:
        held = borrower()
        if held is None or held.shows is None:
            continue
        if any(piece.lender is buffer for piece in held.shows.at.values()):
            own(held)
    buffer.borrowers = []
