"""Attention without its matrix: softmax(q @ k.T / sqrt(d)) @ v, a block of keys at a time.

The matrix of scores, sequence x sequence, never leaves the chip. For 128 queries at a time the
kernel keeps the largest score so far, the sum of exponentials so far and the weighted sum of values
so far. A new block of keys may raise the largest score; what was summed before then shrinks by
exp(old - new).

Each step needs the one before, on another engine, so that engines mostly wait for each other:
latency is the limit. Two remedies, both free of arithmetic: larger blocks, with fewer small
instructions between the large ones; and several tiles of queries in flight, so that an engine works
on one while another waits.
"""

import trnlab

trnlab.activate()

import course
import ml_dtypes
import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np

SEQUENCE, DEPTH, P = 2048, 128, 128
CHOICES = ((128, 1), (512, 1), (512, 2), (512, 4))  # keys in a block, tiles of queries in flight


@nki.jit
def flash_attention(q_t, k_t, v, block, flight):
    depth, length = q_t.shape
    out = nl.ndarray((length, depth), dtype=v.dtype, buffer=nl.shared_hbm)
    keys = nl.ndarray((depth, length), dtype=k_t.dtype)
    values = nl.ndarray((P, length // P, depth), dtype=v.dtype)
    nisa.dma_copy(keys, k_t)
    nisa.dma_copy(values, v.reshape((length // P, P, depth)).permute((1, 0, 2)))
    for first in range(0, length, flight * P):
        tiles = []
        for row in range(first, first + flight * P, P):
            tiles.append(start(q_t[:, row : row + P]))
        for key in range(0, length, block):
            # One stage for all tiles, then the next: engines take their instructions in this order.
            for tile in tiles:
                score(tile, keys[:, key : key + block])
            for tile in tiles:
                weigh(tile, block, depth**-0.5)
            for tile in tiles:
                turn(tile, block)
            for tile in tiles:
                mix(tile, values[:, key // P : (key + block) // P, :])
        for number, tile in enumerate(tiles):
            result = nl.ndarray((P, depth), dtype=out.dtype)
            nisa.reciprocal(tile.total, tile.total)
            nisa.tensor_scalar(result, tile.mixed, nl.multiply, tile.total)
            row = first + number * P
            nisa.dma_copy(out[row : row + P, :], result)
    return out


class Tile(nl.NKIObject):
    """128 queries on their way through the keys."""


def start(queries):
    """No key seen: the largest score is far below any, the sums are 0."""
    tile = Tile()
    tile.queries = nl.ndarray(queries.shape, dtype=queries.dtype)
    nisa.dma_copy(tile.queries, queries)
    tile.top = nl.full((P, 1), -1e30, dtype=nl.float32)
    tile.total = nl.zeros((P, 1), dtype=nl.float32)
    tile.mixed = nl.zeros((P, queries.shape[0]), dtype=nl.float32)
    return tile


def score(tile, keys):
    """Scores of a block of keys, and the largest of them and of those before."""
    tile.scores = nl.ndarray((P, keys.shape[1]), dtype=nl.float32, buffer=nl.psum)
    nisa.nc_matmul(tile.scores, tile.queries, keys)


def weigh(tile, block, scale):
    """exp(scale * (score - top)) with a new top, and how much the sums before must shrink."""
    block_top = nl.ndarray((P, 1), dtype=nl.float32)
    top = nl.ndarray((P, 1), dtype=nl.float32)
    shift = nl.ndarray((P, 1), dtype=nl.float32)
    nisa.tensor_reduce(block_top, nl.maximum, tile.scores, axis=1)
    nisa.tensor_tensor(top, tile.top, block_top, nl.maximum)
    nisa.tensor_scalar(shift, top, nl.multiply, -scale)

    tile.shrink = nl.ndarray((P, 1), dtype=nl.float32)
    tile.weights = nl.ndarray((P, block), dtype=tile.queries.dtype)
    tile.block_total = nl.ndarray((P, 1), dtype=nl.float32)
    nisa.activation_reduce(
        tile.weights, nl.exp, tile.scores, nl.add, tile.block_total, bias=shift, scale=scale
    )
    nisa.activation(tile.shrink, nl.exp, tile.top, bias=shift, scale=scale)
    tile.top = top


def turn(tile, block):
    """The weights with keys across the partitions, as the tensor engine wants them, by 128 keys."""
    turned = nl.ndarray((P, block // P, P), dtype=tile.weights.dtype, buffer=nl.psum)
    for k in range(block // P):
        nisa.nc_transpose(turned[:, k, :], tile.weights[:, k * P : (k + 1) * P])
    tile.weights_t = nl.ndarray(turned.shape, dtype=turned.dtype)
    nisa.tensor_copy(tile.weights_t, turned, engine=nisa.engine.scalar)


def mix(tile, values):
    """Lets the sums shrink and adds the weights, and the values times the weights."""
    mixed = nl.ndarray((P, values.shape[2]), dtype=nl.float32, buffer=nl.psum)
    for k in range(values.shape[1]):
        nisa.nc_matmul(mixed, tile.weights_t[:, k, :], values[:, k, :])
    nisa.scalar_tensor_tensor(
        tile.total, tile.total, nl.multiply, tile.shrink, nl.add, tile.block_total
    )
    nisa.scalar_tensor_tensor(tile.mixed, tile.mixed, nl.multiply, tile.shrink, nl.add, mixed)


def attention(q, k, v):
    scores = q.astype(np.float32) @ k.astype(np.float32).T / np.sqrt(np.float32(DEPTH))
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ v.astype(np.float32)


def main():
    rng = np.random.default_rng(0)
    shape = (SEQUENCE, DEPTH)
    q, k, v = (rng.standard_normal(shape).astype(ml_dtypes.bfloat16) for _ in range(3))
    want, rows = attention(q, k, v), []
    for block, flight in CHOICES:
        out, trace = trnlab.run(flash_attention)(q.T, k.T, v, block, flight)
        course.check(out, want, tolerance=2**-7)  # weights and results are rounded to bf16
        rows.append((f"{block} keys, {flight} in flight", trace))
    course.table(*rows)
    for label, trace in (rows[1], rows[-1]):
        print(f"\n{label}")
        course.engines(trace)
    moved = (trace.totals["hbm_read_bytes"] + trace.totals["hbm_write_bytes"]) / 1e6
    scores = 4 * SEQUENCE**2 / 1e6
    print(f"\nHBM traffic {moved:.1f} MB; the scores alone, once, would be {scores:.1f} MB")


if __name__ == "__main__":
    main()
