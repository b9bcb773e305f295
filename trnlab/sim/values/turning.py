"""Transposes that move no bytes: a tile shows the columns of another as its rows.

The tensor engine also transposes by a product with the identity. Such a product gives exactly its
data, unless these hold infinities or NaN, which spread; a negative zero loses its sign.
"""

from collections.abc import Callable

import numpy as np

from trnlab.isa.instruction import Instruction
from trnlab.isa.matmul import NcMatmul, NcTranspose
from trnlab.isa.tile import Tile
from trnlab.sim import memory


def may_turn(model: Instruction) -> bool:
    """Whether an instruction transposes, or would if one operand were the identity."""
    if isinstance(model, NcTranspose):
        return model.dst.dtype == model.data.dtype
    if not isinstance(model, NcMatmul) or model.double:
        return False
    square = model.moving.free == model.moving.partitions == model.stationary.partitions
    fp32 = all(t.dtype == np.float32 for t in (model.dst, model.stationary, model.moving))
    return square and fp32


def turn(dst: Tile, data: Tile, *, signed: bool) -> bool:
    """Lets a tile show the transpose of another; False when it must be computed."""
    return memory.borrow(dst, data, turned=True, signed=signed)


def turns_exactly(data: Tile, identity: Tile) -> bool:
    """Whether a product with this tile gives exactly its data, transposed."""
    return _known(identity, _is_identity) and _known(data, _is_finite)


def _known(tile: Tile, ask: Callable[[np.ndarray], bool]) -> bool:
    """What is true of a tile's bytes, asked once until its tensor changes."""
    (raw, start, strides), owner = memory.held(tile)
    shape = tile.layout.shape
    if owner is None:
        return ask(np.ndarray(shape, np.float32, raw, start, strides))
    facts = owner.facts
    if facts is None:
        facts = owner.facts = {}
    key = (ask, start, strides, shape)
    found = facts.get(key)
    if found is None:
        found = facts[key] = ask(np.ndarray(shape, np.float32, raw, start, strides))
    return found


def _is_identity(array: np.ndarray) -> bool:
    size = len(array)
    square = array.reshape(size, -1)
    if square[0, 0] != 1 or (size > 1 and square[0, 1] != 0):
        return False
    return bool(np.array_equal(square, np.eye(size, dtype=np.float32)))


def _is_finite(array: np.ndarray) -> bool:
    return bool(np.isfinite(array.min()) and np.isfinite(array.max()))
