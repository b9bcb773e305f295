"""Fusing: RMSNorm and the matrix product that follows it, as one kernel.

    y = x / sqrt(mean(x**2) + eps) * g        a row of x at a time
    out = y @ w

Apart, the first kernel writes y to HBM and the second reads it back. Together nothing of y exists:
the gains g belong to the rows of w, where a row is a partition, so that they are multiplied in
once; and the factor 1 / sqrt(...) of a row of x is a factor of that row of the result, where the
copy out of PSUM applies it for nothing. The squares are summed by the scalar engine while the
tensor engine is at work.
"""

import trnlab

trnlab.activate()

import course
import ml_dtypes
import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np

ROWS, DEPTH, COLUMNS = 2048, 1024, 2048
P, N_MAX, EPSILON = 128, 512, 1e-6


def inverse_rms(tile):
    """1 / sqrt(mean(x**2) + eps) for each row of a tile, as [P, 1]."""
    squares = nl.ndarray(tile.shape, dtype=tile.dtype)  # not needed, but it has to go somewhere
    factor = nl.ndarray((P, 1), dtype=nl.float32)
    nisa.activation_reduce(squares, nl.square, tile, nl.add, factor)
    nisa.tensor_scalar(
        factor, factor, nl.multiply, 1.0 / tile.shape[1], op1=nl.add, operand1=EPSILON
    )
    nisa.activation(factor, nl.rsqrt, factor)
    return factor


def load_weights(w):
    """All of w in SBUF as [P, tiles, columns]: row k * P + p lies in partition p."""
    weights = nl.ndarray((P, w.shape[0] // P, w.shape[1]), dtype=w.dtype)
    for k in range(w.shape[0] // P):
        nisa.dma_copy(weights[:, k, :], w[k * P : (k + 1) * P, :])
    return weights


def load_rows(x, row):
    """128 rows of x, as they are and turned: depth lies across the partitions for a matmul."""
    tile = nl.ndarray((P, x.shape[1]), dtype=x.dtype)
    nisa.dma_copy(tile, x[row : row + P, :])
    turned = nl.ndarray((P, x.shape[1] // P, P), dtype=x.dtype, buffer=nl.psum)
    for k in range(x.shape[1] // P):
        nisa.nc_transpose(turned[:, k, :], tile[:, k * P : (k + 1) * P])
    stationary = nl.ndarray(turned.shape, dtype=x.dtype)
    nisa.tensor_copy(stationary, turned)
    return tile, stationary


def multiply(out, stationary, weights, factor):
    """out = x @ weights, the rows of x multiplied by a factor each, or by 1.0."""
    result = nl.ndarray((P, weights.shape[2]), dtype=out.dtype)
    for n in range(0, weights.shape[2], N_MAX):
        total = nl.ndarray((P, N_MAX), dtype=nl.float32, buffer=nl.psum)
        for k in range(weights.shape[1]):
            nisa.nc_matmul(total, stationary[:, k, :], weights[:, k, n : n + N_MAX])
        nisa.tensor_scalar(result[:, n : n + N_MAX], total, nl.multiply, factor)
    nisa.dma_copy(out, result)


@nki.jit
def rmsnorm(x, g):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    gains = nl.ndarray((P, x.shape[1]), dtype=g.dtype)
    nisa.dma_copy(gains, g.reshape((1, x.shape[1])).broadcast(0, P))
    for row in range(0, x.shape[0], P):
        tile = nl.ndarray((P, x.shape[1]), dtype=x.dtype)
        nisa.dma_copy(tile, x[row : row + P, :])
        result = nl.ndarray((P, x.shape[1]), dtype=x.dtype)
        nisa.scalar_tensor_tensor(result, tile, nl.multiply, inverse_rms(tile), nl.multiply, gains)
        nisa.dma_copy(out[row : row + P, :], result)
    return out


@nki.jit
def matmul(x, w):
    rows = x.shape[0]
    out = nl.ndarray((rows, w.shape[1]), dtype=x.dtype, buffer=nl.shared_hbm)
    weights = load_weights(w)
    _, stationary = load_rows(x, 0)
    for row in range(0, rows, P):
        following = stationary
        if row + P < rows:  # turned before this tile is multiplied: no engine need wait
            _, following = load_rows(x, row + P)
        multiply(out[row : row + P, :], stationary, weights, 1.0)
        stationary = following
    return out


@nki.jit
def rmsnorm_matmul(x, g, w):
    rows = x.shape[0]
    out = nl.ndarray((rows, w.shape[1]), dtype=x.dtype, buffer=nl.shared_hbm)
    weights = load_weights(w)
    for k in range(weights.shape[1]):
        gains = nl.ndarray((P, 1), dtype=nl.float32)
        nisa.dma_copy(gains, g[k * P : (k + 1) * P].reshape((P, 1)))
        nisa.tensor_scalar(weights[:, k, :], weights[:, k, :], nl.multiply, gains)
    tile, stationary = load_rows(x, 0)
    for row in range(0, rows, P):
        factor = inverse_rms(tile)
        following = stationary
        if row + P < rows:
            tile, following = load_rows(x, row + P)
        multiply(out[row : row + P, :], stationary, weights, factor)
        stationary = following
    return out


def reference(x, g, w):
    x, w = x.astype(np.float32), w.astype(np.float32)
    scale = 1 / np.sqrt(np.square(x).mean(axis=1, keepdims=True) + EPSILON)
    return (x * scale * g) @ w


def main():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, DEPTH), dtype=np.float32).astype(ml_dtypes.bfloat16)
    w = rng.standard_normal((DEPTH, COLUMNS), dtype=np.float32).astype(ml_dtypes.bfloat16)
    g = rng.uniform(0.5, 1.5, DEPTH).astype(np.float32)
    want = reference(x, g, w)

    normed, norm_trace = trnlab.run(rmsnorm)(x, g)
    out, product_trace = trnlab.run(matmul)(normed, w)
    course.check(out, want, tolerance=2**-7)  # y is rounded to bf16, and so are the results
    out, trace = trnlab.run(rmsnorm_matmul)(x, g, w)
    course.check(out, want, tolerance=2**-7)  # g * w is rounded to bf16, and so are the results

    course.table(("RMSNorm alone", norm_trace), ("product alone", product_trace), ("fused", trace))
    apart, fused = norm_trace.seconds + product_trace.seconds, trace.seconds
    print(f"\napart {apart * 1e6:.0f} us, fused {fused * 1e6:.0f} us: {apart / fused:.2f} x\n")
    course.engines(trace)


if __name__ == "__main__":
    main()
