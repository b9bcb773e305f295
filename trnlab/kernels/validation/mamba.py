"""The selective scan of Mamba: states outside, channels outside, and sequence tiles inside."""

from typing import Any

import numpy as np

from trnlab.nki.legacy import entry as nki
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl

LANES, TILE = 128, 512


@nki.jit
def states_outside(delta: Any, u: Any, a: Any, b: Any, c: Any) -> Any:
    """The scan of delta and u [channels, length], a [channels, states], b and c [states, length].

    NKIBench mamba; the first version of the tutorial.
    """
    out = nl.ndarray(delta.shape, dtype=delta.dtype, buffer=nl.shared_hbm)
    tiles, length = delta.shape[0] // LANES, delta.shape[1]
    total = nl.zeros((tiles, nl.par_dim(LANES), length), dtype=delta.dtype)
    for state in nl.affine_range(a.shape[1]):
        for tile in nl.affine_range(tiles):
            rows = nl.ds(tile * LANES, LANES)
            delta_i = nl.load(delta[rows, 0:length])
            decay = nisa.activation(op=nl.exp, data=delta_i, scale=nl.load(a[rows, state]))
            u_i = nl.load(u[rows, 0:length])
            total[tile, 0:LANES, 0:length] += _step(delta_i, u_i, decay, b, c, state)
    for tile in nl.affine_range(tiles):
        nl.store(out[nl.ds(tile * LANES, LANES), 0:length], total[tile, 0:LANES, 0:length])
    return out


@nki.jit
def channels_outside(delta: Any, u: Any, a: Any, b: Any, c: Any) -> Any:
    """As `states_outside`, with delta and u loaded once; the second version of the tutorial."""
    out = nl.ndarray(delta.shape, dtype=delta.dtype, buffer=nl.shared_hbm)
    length = delta.shape[1]
    for tile in nl.affine_range(delta.shape[0] // LANES):
        rows = nl.ds(tile * LANES, LANES)
        total = nl.zeros((nl.par_dim(LANES), length), dtype=delta.dtype)
        delta_i, u_i = nl.load(delta[rows, 0:length]), nl.load(u[rows, 0:length])
        for state in nl.affine_range(a.shape[1]):
            decay = nisa.activation(op=nl.exp, data=delta_i, scale=nl.load(a[rows, state]))
            total[0:LANES, 0:length] += _step(delta_i, u_i, decay, b, c, state)
        nl.store(out[rows, 0:length], total[0:LANES, 0:length])
    return out


@nki.jit
def in_tiles(delta: Any, u: Any, a: Any, b: Any, c: Any) -> Any:
    """As `channels_outside`, with the sequence in tiles of 512; the third of the tutorial."""
    out = nl.ndarray(delta.shape, dtype=delta.dtype, buffer=nl.shared_hbm)
    length = delta.shape[1]
    for tile in nl.affine_range(delta.shape[0] // LANES):
        rows = nl.ds(tile * LANES, LANES)
        total = nl.zeros((nl.par_dim(LANES), length), dtype=delta.dtype)
        delta_i, u_i = nl.load(delta[rows, 0:length]), nl.load(u[rows, 0:length])
        for state in nl.affine_range(a.shape[1]):
            scale = nl.load(a[rows, state])
            last = nl.zeros((LANES, 1), dtype=delta.dtype)
            for start in nl.static_range(0, length, TILE):
                part = slice(start, start + TILE)
                decay = nisa.activation(op=nl.exp, data=delta_i[0:LANES, part], scale=scale)
                pieces = delta_i[0:LANES, part], u_i[0:LANES, part], decay, b[:, part], c[:, part]
                total[0:LANES, part] += _step(*pieces, state, last)
        nl.store(out[rows, 0:length], total[0:LANES, 0:length])
    return out


def _step(delta: Any, u: Any, decay: Any, b: Any, c: Any, state: int, last: Any = None) -> Any:
    """What one state adds: the scan of decay and delta * u * b, times c; ``last`` goes on."""
    shape = delta.shape
    b_i = nl.load(b[nl.ds(state, 1), 0 : shape[1]])
    moved = nisa.tensor_tensor(delta, u, op=nl.multiply)
    moved = nisa.tensor_tensor(moved, b_i.broadcast_to(shape), op=nl.multiply)
    begun = 0 if last is None else last
    scanned = nisa.tensor_tensor_scan(decay, moved, initial=begun, op0=np.multiply, op1=np.add)
    if last is not None:
        last[...] = scanned[0:LANES, shape[1] - 1]
    c_i = nl.load(c[nl.ds(state, 1), 0 : shape[1]])
    return nisa.tensor_tensor(scanned, c_i.broadcast_to(shape), op=nl.multiply)
