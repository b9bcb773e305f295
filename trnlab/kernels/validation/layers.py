"""Layers of NKIBench: silu, a product after a norm, a gated feed-forward layer (fp32 on trn1)."""

from typing import Any

import numpy as np

from trnlab.kernels.validation.products import BANK, BLOCK, LANES, identity, sums, tile, turn
from trnlab.nki.legacy import entry as nki
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl


def _nothing() -> Any:
    """A column of zeros, the bias of functions that have none."""
    column = tile(LANES, 1)
    column[...] = nisa.memset(shape=(LANES, 1), value=0, dtype=np.float32)
    return column


def _sigmoid(x: Any, zeros: Any) -> Any:
    """1 / (1 + exp(-x)) on a tile, one step at a time."""
    powers = nisa.activation(op=nl.exp, data=x, bias=zeros, scale=-1.0, dtype=np.float32)
    more = nisa.tensor_scalar(powers, np.add, 1.0, reverse0=True, dtype=np.float32)
    return nisa.reciprocal(more, dtype=np.float32)


@nki.jit
def silu(x: Any) -> Any:
    """x * sigmoid(x) for x [128, rows, columns]."""
    out = nl.ndarray(x.shape, np.float32, buffer=nl.shared_hbm)
    zeros = _nothing()
    for row in nl.affine_range(x.shape[1]):
        for n in nl.affine_range(x.shape[2] // BLOCK):
            columns = nl.ds(n * BLOCK, BLOCK)
            data, done = tile(LANES, BLOCK), tile(LANES, BLOCK)
            data[...] = nl.load(x[0:LANES, row, columns])
            for half in nl.affine_range(BLOCK // BANK):
                here = nl.ds(half * BANK, BANK)
                done[:, here] = nl.multiply(data[:, here], _sigmoid(data[:, here], zeros))
            nl.store(out[0:LANES, row, columns], done)
    return out


@nki.jit
def rmsnorm_matmul(x: Any, w: Any) -> Any:
    """(x / rms(x)) @ w for x [M / 128, 128, K] and w [K / 128, 128, N]."""
    tiles, _, depth = x.shape
    width, group = w.shape[2], 8
    out = nl.ndarray((tiles, LANES, width), np.float32, buffer=nl.shared_hbm)
    zeros, unit = _nothing(), identity()
    for block in nl.affine_range(tiles // group):
        left = tile(depth // LANES, group, LANES, LANES)
        for m in nl.affine_range(group):
            normed = _normed(x, block * group + m, zeros)
            for k in nl.affine_range(depth // LANES):
                half, at = divmod(k * LANES, BANK)
                turned = turn(normed[half, :, nl.ds(at, LANES)], unit)
                left[k, m] = nl.copy(turned, dtype=np.float32)
        for n in nl.affine_range(width // BLOCK):
            columns = nl.ds(n * BLOCK, BLOCK)
            right = tile(depth // LANES, LANES, BLOCK)
            for k in nl.affine_range(depth // LANES):
                right[k] = nl.load(w[k, 0:LANES, columns])
            for m in nl.affine_range(group):
                done = _product([left[k, m] for k in range(depth // LANES)], right)
                nl.store(out[m + group * block, 0:LANES, columns], done)
    return out


def _normed(x: Any, number: int, zeros: Any) -> Any:
    """A row of tiles over the root of its mean square; the row is loaded once for each use."""
    depth = x.shape[2]
    halves = [nl.ds(start, BANK) for start in range(0, depth, BANK)]
    data, normed = tile(LANES, depth), tile(len(halves), LANES, BANK)
    data[...] = nl.load(x[number, 0:LANES, 0:depth])
    mean, root = tile(LANES, 1), tile(LANES, 1)
    for half in nl.affine_range(len(halves)):
        squares = nisa.activation(op=nl.square, data=data[:, halves[half]], bias=zeros)
        shares = nisa.tensor_scalar(squares, np.multiply, 1 / depth, dtype=np.float32)
        part = nisa.tensor_reduce(np.add, shares, axis=[1], dtype=np.float32)
        mean[...] = nl.loop_reduce(part, op=np.add, loop_indices=[half], dtype=np.float32)
    root[...] = nisa.activation(op=nl.rsqrt, data=mean, bias=zeros)
    again = tile(LANES, depth)
    again[...] = nl.load(x[number, 0:LANES, 0:depth])
    for half, here in enumerate(halves):
        normed[half] = nisa.tensor_scalar(again[:, here], np.multiply, root, dtype=np.float32)
    return normed


def _product(left: list[Any], right: Any) -> Any:
    """One row of tiles of a product, from its stationary tiles and all moving ones."""
    done = tile(LANES, BLOCK)
    for half in nl.affine_range(BLOCK // BANK):
        here = nl.ds(half * BANK, BANK)
        total = sums(LANES, BANK)
        for k, rows in enumerate(left):
            total += nisa.nc_matmul(rows, right[k, :, here])
        done[:, here] = nl.copy(total, dtype=np.float32)
    return done


@nki.jit
def swiglu(x: Any, up: Any, down: Any, gate: Any) -> Any:
    """(silu(x @ gate) * (x @ up)) @ down.

    x [M / 512, 4, 128, K / 128, 128], up and gate [K / 128, 128, N], down [N / 128, 128, K]. The
    gated tiles go through HBM.
    """
    blocks, parts = x.shape[:2]
    thirds, each = up.shape[2] // BLOCK, BLOCK // LANES
    out = nl.ndarray((blocks * parts, LANES, down.shape[2]), np.float32, buffer=nl.shared_hbm)
    kept = nl.ndarray((thirds, each, blocks, LANES, BANK), np.float32, buffer=nl.hbm)
    zeros, unit = _nothing(), identity()
    gated = tile(thirds, each, blocks, LANES, BANK)
    for third in nl.affine_range(thirds):
        weights = _columns(gate, third)
        for block in nl.affine_range(blocks):
            turned = _turned(x, block, unit)
            for m in nl.affine_range(each):
                gated[third, m, block] = nl.copy(_tall(weights, turned, m), dtype=np.float32)
    for third in nl.affine_range(thirds):
        weights = _columns(up, third)
        for block in nl.affine_range(blocks):
            turned = _turned(x, block, unit)
            for m in nl.affine_range(each):
                total, mine = _tall(weights, turned, m), gated[third, m, block]
                silu = nl.multiply(mine, _sigmoid(mine, zeros), dtype=np.float32)
                nl.store(kept[third, m, block], nl.multiply(silu, total, dtype=np.float32))
    weights = tile(thirds * each, LANES, BLOCK)
    for k in nl.affine_range(thirds * each):
        weights[k] = nl.load(down[k, 0:LANES, 0:BLOCK])
    for block in nl.affine_range(blocks):
        rows = tile(thirds * each, LANES, BANK)
        for k in nl.affine_range(thirds * each):
            rows[k] = nl.load(kept[k // each, k % each, block])
        for part in nl.affine_range(parts):
            here = nl.ds(part * LANES, LANES)
            done = _product([rows[k, :, here] for k in range(thirds * each)], weights)
            nl.store(out[part + parts * block, 0:LANES, 0:BLOCK], done)
    return out


def _columns(w: Any, third: int) -> Any:
    """The tiles of a third of a matrix."""
    kept = tile(w.shape[0], LANES, BLOCK)
    for k in nl.affine_range(w.shape[0]):
        kept[k] = nl.load(w[k, 0:LANES, nl.ds(third * BLOCK, BLOCK)])
    return kept


def _turned(x: Any, block: int, unit: Any) -> Any:
    """512 rows of x, transposed."""
    parts, depth = x.shape[1], x.shape[3]
    turned = nl.ndarray((nl.par_dim(LANES), depth, parts * LANES), np.float32)
    for part in nl.affine_range(parts):
        rows = nl.ndarray((nl.par_dim(LANES), depth, LANES), np.float32)
        rows[...] = nl.load(x[block, part])
        for k in nl.affine_range(depth):
            here = nl.ds(part * LANES, LANES)
            turned[:, k, here] = nl.copy(turn(rows[:, k, :], unit), dtype=np.float32)
    return turned


def _tall(weights: Any, turned: Any, m: int) -> Any:
    """128 columns of weights times 512 rows of x, in PSUM."""
    total = sums(LANES, BANK)
    for k in nl.affine_range(weights.tiles.shape[0]):
        total += nisa.nc_matmul(weights[k, :, nl.ds(m * LANES, LANES)], turned[:, k, :])
    return total
