"""Where unwritten bytes go when an instruction computes with them."""

import numpy as np

from trnlab.isa.dma import DmaTranspose
from trnlab.isa.instruction import Instruction
from trnlab.isa.matmul import NcMatmul, NcTranspose


def spread(
    instruction: Instruction, shape: tuple[int, ...], missing: list[np.ndarray]
) -> np.ndarray:
    """Which elements of a result depend on missing ones.

    Element by element where shapes agree; otherwise a row of the result on its whole row of the
    operand; in a matmul a row on its stationary column and a column on its moving column.
    """
    out = np.zeros(shape, bool)
    for where in missing:
        out |= _reached(instruction, shape, where)
    return out


def _reached(instruction: Instruction, shape: tuple[int, ...], where: np.ndarray) -> np.ndarray:
    rows = where.shape[0]
    flat = where.reshape(rows, -1)
    if isinstance(instruction, NcTranspose):
        return flat.T.reshape(shape)
    if isinstance(instruction, DmaTranspose):
        return instruction.value(where).reshape(shape)
    if isinstance(instruction, NcMatmul):
        columns = np.atleast_1d(flat.any(axis=0))
        if len(columns) == shape[0] != instruction.moving.free:
            return np.broadcast_to(columns[:, None], (shape[0], instruction.moving.free)).reshape(
                shape
            )
        return np.broadcast_to(columns, (shape[0], len(columns))).reshape(shape)
    if where.size == np.prod(shape):
        return where.reshape(shape)
    if rows == shape[0]:
        return np.broadcast_to(flat.any(axis=1).reshape(rows, *(1,) * (len(shape) - 1)), shape)
    return np.full(shape, bool(where.any()))
