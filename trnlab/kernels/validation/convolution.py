"""Convolution as a course asks for it (stanford-cs149): a product for each place in the filter."""

from typing import Any

import numpy as np

from trnlab.kernels.shipped.tiles import BANK, LANES, cuts, sums, tile
from trnlab.nki.legacy import entry as nki
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl

BAND = 16  # rows of the result that are loaded for at once
PAIR = 2  # rows of the result that share a bank


@nki.as_written
@nki.jit
def conv2d(x: Any, w: Any, bias: Any) -> Any:
    """x * w + bias for x [b, c, h, w], w [n, c, k, k], bias [n]; c and n multiples of 128."""
    images, channels, high, wide = x.shape
    filters, edge = w.shape[0], w.shape[2]
    rows, columns = high - edge + 1, wide - edge + 1
    at_once = BANK // columns
    out = nl.ndarray((images, filters, rows, columns), dtype=x.dtype, buffer=nl.shared_hbm)
    weights, added = _weights(w), _added(bias)
    for image in nl.affine_range(images):
        for start, many in cuts(rows, BAND):
            data = tile(LANES, channels // LANES, many + edge - 1, wide, dtype=x.dtype)
            for c, (first, _) in enumerate(cuts(channels, LANES)):
                nisa.dma_copy(
                    dst=data[:, c],
                    src=x[image, nl.ds(first, LANES), nl.ds(start, many + edge - 1), :],
                )
            for n, (first, _) in enumerate(cuts(filters, LANES)):
                done = tile(LANES, many, columns, dtype=x.dtype)
                for row, count in cuts(many, at_once):
                    total = _sums(weights[:, n], data, row, count, columns)
                    done[:, nl.ds(row, count)] = nisa.tensor_scalar(
                        total, nl.add, added[:, nl.ds(n, 1)], dtype=x.dtype
                    )
                nisa.dma_copy(dst=out[image, nl.ds(first, LANES), nl.ds(start, many)], src=done)
    return out


@nki.jit
def windowed(x: Any, w: Any, bias: Any, *, pool: int) -> Any:
    """As `conv2d`, two rows at a time, windows copied; ``pool`` 2 keeps the largest of 2 x 2."""
    _, channels, high, wide = x.shape
    filters, edge = w.shape[0], w.shape[2]
    rows, columns = high - edge + 1, wide - edge + 1
    steps, groups, span = channels // LANES, filters // LANES, PAIR * columns
    out = nl.ndarray((filters, rows // pool, columns // pool), dtype=x.dtype, buffer=nl.shared_hbm)
    flat = w.reshape((filters, channels, edge * edge))
    kept = [tile(LANES, LANES, steps, edge * edge, dtype=w.dtype) for _ in range(groups)]
    added = []
    for n in range(groups):
        here = nl.ds(n * LANES, LANES)
        for c in nl.affine_range(steps):
            kept[n][:, :, c, :] = nl.load(flat[here, nl.ds(c * LANES, LANES), :])
        added.append(nl.load(bias[here]))
    for step in nl.affine_range(rows // PAIR):
        totals = [sums(LANES, span) for _ in range(groups)]
        for c in nl.affine_range(steps):
            strip = tile(LANES, (PAIR + edge - 1) * wide, dtype=x.dtype)
            for row in nl.affine_range(PAIR + edge - 1):
                source = x[0, nl.ds(c * LANES, LANES), step * PAIR + row, :]
                strip[:, nl.ds(row * wide, wide)] = nl.load(source)
            for i in nl.affine_range(edge):
                for j in nl.affine_range(edge):
                    window = tile(LANES, span, dtype=x.dtype)
                    for row in nl.affine_range(PAIR):
                        first = nl.ds((row + i) * wide + j, columns)
                        window[:, nl.ds(row * columns, columns)] = nl.copy(strip[:, first])
                    for n in range(groups):
                        totals[n] += nl.matmul(kept[n][:, :, c, i * edge + j], window)
        for n in range(groups):
            result = nl.copy(totals[n], dtype=x.dtype)
            _store_pair(out, result, added[n], n, step, pool)
    return out


def _store_pair(out: Any, result: Any, added: Any, n: int, step: Any, pool: int) -> None:
    """Stores two rows of 128 filters, or the largest of each 2 x 2 in them."""
    columns, here = result.shape[1] // PAIR, nl.ds(n * LANES, LANES)
    made = []
    for row in range(PAIR):
        copied = nl.copy(result[:, nl.ds(row * columns, columns)])
        made.append(nl.add(copied, added))
        if pool == 1:
            nl.store(out[here, step * PAIR + row, :], made[row])
    if pool > 1:
        higher, lane = nl.maximum(*made), nl.arange(LANES)[:, None]
        even = 2 * nl.arange(columns // 2)[None, :]
        halves = [nl.copy(higher[lane, even]), nl.copy(higher[lane, even + 1])]
        nl.store(out[here, step, :], nl.maximum(*halves))


def _sums(weights: Any, data: Any, row: int, count: int, columns: int) -> Any:
    """Rows of the result for 128 filters: products for all channels and places in the filter."""
    steps, edge = data.shape[1], weights.shape[2]
    total = nl.zeros((nl.par_dim(LANES), count, columns), dtype=nl.float32, buffer=nl.psum)
    for c in range(steps):
        for i in range(edge):
            for j in range(edge):
                shifted = data[:, c, nl.ds(row + i, count), nl.ds(j, columns)]
                total += nisa.nc_matmul(weights[:, c, i, j, :], shifted)
    return total


def _weights(w: Any) -> Any:
    """[n, c, k, k] in HBM as [128, n / 128, c / 128, k, k, 128] in SBUF, channels below."""
    filters, channels, edge, _ = w.shape
    shape = (filters // LANES, channels // LANES, edge, edge)
    kept = tile(LANES, *shape, LANES, dtype=w.dtype)
    for n, (first, _) in enumerate(cuts(filters, LANES)):
        rows = tile(LANES, channels, edge, edge, dtype=w.dtype)
        nisa.dma_copy(dst=rows, src=w[nl.ds(first, LANES)])
        for c, i, j in np.ndindex(*shape[1:]):
            turned = nisa.nc_transpose(rows[:, nl.ds(c * LANES, LANES), i, j])
            kept[:, n, c, i, j, :] = nisa.tensor_copy(turned, dtype=w.dtype)
    return kept


def _added(bias: Any) -> Any:
    """[n] in HBM as [128, n / 128] in SBUF."""
    kept = tile(LANES, bias.shape[0] // LANES)
    for n, (first, _) in enumerate(cuts(bias.shape[0], LANES)):
        nisa.dma_copy(dst=kept[:, nl.ds(n, 1)], src=bias[nl.ds(first, LANES)].reshape((LANES, 1)))
    return kept
