"""Matrix products of NKIBench: plain, transposed, batched, and after a norm (fp32 on trn1)."""

from typing import Any

import numpy as np

from trnlab.nki.legacy import entry as nki
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl

LANES, BANK, BLOCK = 128, 512, 1024


def tile(*shape: int, space: Any = nl.sbuf) -> Any:
    """A tensor of logical tiles, the last two sizes of which are partitions and columns."""
    return nl.ndarray((*shape[:-2], nl.par_dim(shape[-2]), shape[-1]), np.float32, buffer=space)


def sums(*shape: int) -> Any:
    """Logical tiles in PSUM that products are added up in."""
    return nl.zeros((*shape[:-2], nl.par_dim(shape[-2]), shape[-1]), np.float32, buffer=nl.psum,
                    lazy_initialization=True)  # fmt: skip


def identity() -> Any:
    """The matrix that a product transposes with, in SBUF."""
    kept = nl.shared_constant(np.identity(LANES, dtype=np.float32))
    here = tile(LANES, LANES)
    here[...] = nl.load(kept)
    return here


def turn(x: Any, unit: Any, rows: int = LANES) -> Any:
    """x.T in PSUM, by a product with the identity."""
    turned = tile(rows, LANES, space=nl.psum)
    turned[...] = nisa.nc_matmul(x, unit, is_moving_onezero=True, is_transpose=True)
    return turned


@nki.jit
def matmul(a: Any, b: Any) -> Any:
    """a @ b for a [M / 128, 128, K / 128, 128] and b [K / 128, 128, N]."""
    tiles, depth, width = a.shape[0], a.shape[2], b.shape[2]
    out = nl.ndarray((tiles, LANES, width), np.float32, buffer=nl.shared_hbm)
    unit, group = identity(), 8
    for n in nl.affine_range(width // BLOCK):
        columns = nl.ds(n * BLOCK, BLOCK)
        right = tile(depth, LANES, BLOCK)
        for k in nl.affine_range(depth):
            right[k] = nl.load(b[k, 0:LANES, columns])
        for m in nl.affine_range(tiles):
            left = nl.ndarray((depth // group, nl.par_dim(LANES), group, LANES), np.float32)
            for part in nl.affine_range(depth // group):
                rows = nl.ndarray((nl.par_dim(LANES), group, LANES), np.float32)
                rows[...] = nl.load(a[m, 0:LANES, nl.ds(part * group, group), 0:LANES])
                for k in nl.affine_range(group):
                    turned = turn(rows[:, k, :], unit)
                    left[part, :, k, :] = nl.copy(turned, dtype=np.float32)
            done = tile(LANES, BLOCK)
            for half in nl.affine_range(BLOCK // BANK):
                total = sums(LANES, BANK)
                here = nl.ds(half * BANK, BANK)
                for k in nl.affine_range(depth):
                    total += nisa.nc_matmul(left[k // group, :, k % group, :], right[k, :, here])
                done[:, here] = nl.copy(total, dtype=np.float32)
            nl.store(out[m, 0:LANES, columns], done)
    return out


@nki.jit
def transpose_matmul(a: Any, b: Any) -> Any:
    """a.T @ b for a [128, K / 128, M] and b [128, K / 128, N]; the last columns are masked."""
    depth, height, width = *a.shape[1:], b.shape[2]
    out = nl.ndarray((height // LANES, LANES, width), np.float32, buffer=nl.shared_hbm)
    for m in nl.affine_range(height // BLOCK):
        left = tile(depth, LANES, BLOCK)
        for k in nl.affine_range(depth):
            left[k] = nl.load(a[0:LANES, k, nl.ds(m * BLOCK, BLOCK)])
        for n in nl.affine_range(-(-width // BLOCK)):
            size = min(BLOCK, width - n * BLOCK)
            columns = nl.ds(n * BLOCK, size)
            right = tile(depth, LANES, BLOCK)
            for k in nl.affine_range(depth):
                right[k, :, 0:size] = nl.load(b[0:LANES, k, columns])
            for row in nl.affine_range(BLOCK // LANES):
                done = tile(LANES, BLOCK)
                for start in range(0, size, BANK):
                    here = nl.ds(start, min(BANK, size - start))
                    total = sums(LANES, BANK)
                    for k in nl.affine_range(depth):
                        total[:, 0 : here.size] += nisa.nc_matmul(
                            left[k, :, nl.ds(row * LANES, LANES)], right[k, :, here]
                        )
                    done[:, here] = nl.copy(total[:, 0 : here.size], dtype=np.float32)
                nl.store(out[m * (BLOCK // LANES) + row, 0:LANES, columns], done[:, 0:size])
    return out


@nki.jit
def bmm(a: Any, b: Any) -> Any:
    """a[i] @ b[i] for a [B, M, 64] and b [B, 64, N]."""
    batch, height, depth = a.shape
    width, steps = b.shape[2], BLOCK // LANES
    out = nl.ndarray((batch, height // LANES, LANES, width), np.float32, buffer=nl.shared_hbm)
    unit = identity()
    for i in nl.affine_range(batch):
        for n in nl.affine_range(width // BLOCK):
            columns = nl.ds(n * BLOCK, BLOCK)
            right = tile(depth, BLOCK)
            right[...] = nl.load(b[i, 0:depth, columns])
            for m in nl.affine_range(height // BLOCK):
                left = tile(depth, BLOCK)
                for step in nl.affine_range(steps):
                    rows = tile(LANES, depth)
                    rows[...] = nl.load(a[i, nl.ds(m * BLOCK + step * LANES, LANES), 0:depth])
                    turned = turn(rows, unit, depth)
                    left[:, nl.ds(step * LANES, LANES)] = nl.copy(turned, dtype=np.float32)
                for step in nl.affine_range(steps):
                    done = tile(LANES, BLOCK)
                    for half in nl.affine_range(BLOCK // BANK):
                        here = nl.ds(half * BANK, BANK)
                        total = tile(LANES, BANK, space=nl.psum)
                        total[...] = nisa.nc_matmul(
                            left[:, nl.ds(step * LANES, LANES)], right[:, here]
                        )
                        done[:, here] = nl.copy(total, dtype=np.float32)
                    nl.store(out[i, m * steps + step, 0:LANES, columns], done)
    return out
