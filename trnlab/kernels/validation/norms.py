"""A product after a norm as tests of the vendor time it (nki-samples)."""

from typing import Any

import numpy as np

from trnlab.kernels.shipped.tiles import BANK, LANES, cuts, sums, tile
from trnlab.nki.legacy import entry as nki
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl

EPSILON = 1e-6


@nki.jit
def rmsnorm_qkv(x: Any, w: Any) -> Any:
    """(x / rms(x)) @ w for x [s, h] and w [h, at most 512]; all of w is loaded first.

    The kernel that was timed places its tensors itself.
    """
    (length, depth), width = x.shape, w.shape[1]
    steps = depth // LANES
    out = nl.ndarray((length, width), dtype=x.dtype, buffer=nl.shared_hbm)
    unit = tile(LANES, LANES, dtype=w.dtype)
    unit[...] = nl.load(nl.shared_constant(np.identity(LANES, dtype=np.int8), dtype=x.dtype))
    weights = nl.ndarray((steps, nl.par_dim(LANES), width), dtype=w.dtype, buffer=nl.sbuf)
    for k in nl.affine_range(steps):
        weights[k] = nl.load(w[nl.ds(k * LANES, LANES), 0:width])
    for i in nl.affine_range(length // LANES):
        here = nl.ds(i * LANES, LANES)
        turned = _turned(x[here], unit)
        total, done = sums(LANES, width), tile(LANES, width, dtype=w.dtype)
        for k in nl.affine_range(steps):
            total += nisa.nc_matmul(turned[:, nl.ds(k * LANES, LANES)], weights[k])
        done[...] = nl.copy(total, dtype=out.dtype)
        nl.store(out[here], done)
    return out


def _turned(x: Any, unit: Any) -> Any:
    """128 rows over the root of their mean square, transposed: four tiles to a bank of PSUM."""
    depth = x.shape[1]
    data, total = nl.load(x), tile(LANES, 1)
    nisa.activation_reduce(nl.square, data, reduce_op=np.add, reduce_res=total, dtype=nl.float32)
    mean = nisa.tensor_scalar(total, np.multiply, 1 / depth, op1=np.add, operand1=EPSILON)
    root = nisa.activation(nl.rsqrt, mean)
    turned = tile(LANES, depth, dtype=unit.dtype)
    for start, size in cuts(depth, BANK):
        normed, block = nl.multiply(data[:, nl.ds(start, size)], root, dtype=unit.dtype), None
        block = sums(LANES, size)
        for part, _ in cuts(size, LANES):
            here = nl.ds(part, LANES)
            block[:, here] = nisa.nc_matmul(normed[:, here], unit, is_transpose=True)
        turned[:, nl.ds(start, size)] = nl.copy(block, dtype=unit.dtype)
    return turned
