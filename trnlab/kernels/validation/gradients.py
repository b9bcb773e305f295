"""Gradients of causal attention as a test of the vendor times them (nki-samples)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from trnlab.kernels.shipped.tiles import BANK, LANES, sums, tile
from trnlab.nki.legacy import entry as nki
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl

HIDDEN = -9984.0  # the score of a key that comes later


@nki.jit
def attention_gradients(q: Any, k: Any, v: Any, o: Any, dy: Any, logs: Any) -> Any:
    """dq, dk and dv; launched as ``kernel[heads]``.

    q, k, v, o and dy [heads, d, n], logs (of the sums of weights) [heads, 128, n / 128]. For 512
    keys at a time all queries that see them, 128 at a time; dk and dv are summed in PSUM.
    """
    (_, depth, length), kind = q.shape, q.dtype
    head, steps, scale = nl.program_id(0), length // LANES, depth**-0.5
    dq, dk, dv = (nl.ndarray(q.shape, dtype=kind, buffer=nl.shared_hbm) for _ in range(3))
    shift = tile(LANES, steps)
    shift[...] = nl.multiply(nl.load(logs[head], dtype=nl.float32), -1.0)
    shares = _shares(o[head], dy[head])
    own = nl.ndarray((steps, nl.par_dim(depth), LANES), dtype=nl.float32, buffer=nl.sbuf)
    for block in nl.affine_range(length // BANK):
        there = nl.ds(block * BANK, BANK)
        keys = _Keys(nl.load(k[head, 0:depth, there]), nl.load(v[head, 0:depth, there]))
        for i in nl.affine_range(block * BANK // LANES, steps):
            here = nl.ds(i * LANES, LANES)
            grown = nl.load(dy[head, 0:depth, here])
            part = nl.multiply(nl.load(q[head, 0:depth, here]), scale, dtype=kind)
            weights = _weights(part, keys.rows, i, block, shift[:, nl.ds(i, 1)])
            keys.dv += nisa.nc_matmul(nisa.nc_transpose(grown), weights)
            change = _change(grown, keys.values, weights, shares[i])
            keys.dk += nisa.nc_matmul(nisa.nc_transpose(part), change)
            more = _own(keys.turned, change, depth)
            own[i] = nl.loop_reduce(
                nl.multiply(more, scale, dtype=kind), op=np.add, loop_indices=[block],
                dtype=nl.float32,
            )  # fmt: skip
        nl.store(dv[head, 0:depth, there], keys.dv)
        nl.store(dk[head, 0:depth, there], keys.dk)
    for i in nl.affine_range(steps):
        nl.store(dq[head, 0:depth, nl.ds(i * LANES, LANES)], own[i])
    return dq, dk, dv


@dataclass
class _Keys:
    """512 keys and values [d, 512]; keys also by rows, and the sums of what they change."""

    rows: Any
    values: Any

    def __post_init__(self) -> None:
        depth = self.rows.shape[0]
        parts = BANK // LANES
        self.turned = nl.ndarray((parts, nl.par_dim(LANES), depth), dtype=self.rows.dtype)
        for j in nl.affine_range(parts):
            self.turned[j] = nisa.nc_transpose(self.rows[:, nl.ds(j * LANES, LANES)])
        self.dk, self.dv = sums(depth, BANK), sums(depth, BANK)


def _shares(o: Any, dy: Any) -> Any:
    """The sums of dy * o over the head's width, [n / 128, 128, 1]; both are transposed by DMA."""
    depth, length = o.shape
    shares = nl.ndarray((length // LANES, nl.par_dim(LANES), 1), dtype=nl.float32)
    for i in nl.affine_range(length // LANES):
        here = nl.ds(i * LANES, LANES)
        left, right = (nl.load_transpose2d(x[0:depth, here], dtype=nl.float32) for x in (dy, o))
        both = nl.multiply(left, right, dtype=nl.float32)
        shares[i] = nisa.tensor_reduce(np.add, both, axis=(1,), dtype=nl.float32)
    return shares


def _weights(queries: Any, keys: Any, i: int, block: int, shift: Any) -> Any:
    """exp(scores - log(sum)) [128, 512], 0 for keys that come later."""
    product, scores = sums(LANES, BANK), tile(LANES, BANK, dtype=queries.dtype)
    product += nisa.nc_matmul(queries, keys)
    i_q, i_k = nl.mgrid[0:LANES, 0:BANK]
    scores[...] = nisa.affine_select(
        pred=i * LANES + i_q >= block * BANK + i_k,
        on_true_tile=product, on_false_value=HIDDEN, dtype=nl.float32,
    )  # fmt: skip
    weights = tile(LANES, BANK, dtype=queries.dtype)
    weights[...] = nisa.activation(np.exp, scores, bias=shift)
    return weights


def _change(grown: Any, values: Any, weights: Any, share: Any) -> Any:
    """The gradient of the scores: weights * (dy.T v - shares)."""
    product, change = sums(LANES, BANK), tile(LANES, BANK, dtype=weights.dtype)
    product += nisa.nc_matmul(grown, values)
    copied = nl.copy(product, dtype=weights.dtype)
    change[...] = nisa.scalar_tensor_tensor(
        data=copied, op0=np.subtract, operand0=share, op1=np.multiply, operand1=weights
    )
    return change


def _own(keys: Any, change: Any, depth: int) -> Any:
    """What these keys add to the gradient of the queries [d, 128]."""
    total = sums(depth, LANES)
    for j in nl.affine_range(BANK // LANES):
        turned = nisa.nc_transpose(change[:, nl.ds(j * LANES, LANES)])
        total += nisa.nc_matmul(keys[j], turned)
    return total
