"""A matrix product in four steps, the first: tile by tile, loading whatever is needed.

The tensor engine multiplies a stationary tile [K, M] with a moving tile [K, N]: K up to 128 rows in
both (they lie across the partitions), M up to 128, N up to 512. The result [M, N] lands in PSUM,
where further products add up. The left matrix comes transposed, because K must lie across the
partitions.

This kernel does the obvious: for every output tile, for every k, load two tiles and multiply. Its
result is right and its time is poor: read the last line it prints.
"""

import trnlab

trnlab.activate()

import course
import ml_dtypes
import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np

SIZE = 2048
P, N_MAX = 128, 512  # partitions, and the most columns one matmul may stream


@nki.jit
def matmul_naive(a_t, b):
    depth, rows = a_t.shape
    depth, columns = b.shape
    out = nl.ndarray((rows, columns), dtype=a_t.dtype, buffer=nl.shared_hbm)
    for m in range(0, rows, P):
        for n in range(0, columns, N_MAX):
            total = nl.ndarray((P, N_MAX), dtype=nl.float32, buffer=nl.psum)
            for k in range(0, depth, P):
                left = nl.ndarray((P, P), dtype=a_t.dtype, buffer=nl.sbuf)
                right = nl.ndarray((P, N_MAX), dtype=b.dtype, buffer=nl.sbuf)
                nisa.dma_copy(left, a_t[k : k + P, m : m + P])
                nisa.dma_copy(right, b[k : k + P, n : n + N_MAX])
                nisa.nc_matmul(total, left, right)  # adds up over k
            result = nl.ndarray((P, N_MAX), dtype=out.dtype, buffer=nl.sbuf)
            nisa.tensor_copy(result, total)  # DMA cannot read PSUM
            nisa.dma_copy(out[m : m + P, n : n + N_MAX], result)
    return out


def inputs(size=SIZE):
    rng = np.random.default_rng(0)
    a_t = rng.standard_normal((size, size), dtype=np.float32).astype(ml_dtypes.bfloat16)
    b = rng.standard_normal((size, size), dtype=np.float32).astype(ml_dtypes.bfloat16)
    return a_t, b


def product(a_t, b):
    return a_t.astype(np.float32).T @ b.astype(np.float32)


def main():
    a_t, b = inputs()
    out, trace = trnlab.run(matmul_naive)(a_t, b)
    course.check(out, product(a_t, b), tolerance=2**-8)  # results are rounded to bf16

    course.table(("05 naive", trace))
    print()
    course.say("now", course.limit(trace))
    transfers, matmuls = trace.totals["dma_transfers"], (SIZE // P) ** 2 * SIZE // N_MAX
    trigger = trace.busy()["sync"] / transfers * 1e9
    matmul = N_MAX / float(trnlab.chip("trn2").core.engine("tensor").hz) * 1e9
    course.say(
        "why",
        f"each of {transfers:,.0f} transfers takes {trigger:.0f} ns of the queue that triggers it; "
        f"each of {matmuls:,} matmuls takes {matmul:.0f} ns, and needs two transfers",
    )


if __name__ == "__main__":
    main()
