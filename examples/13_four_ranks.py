"""Several cores: a matrix product whose depth is split over ranks, and an all-reduce at the end.

    out = a @ b = a[:, 0:k] @ b[0:k, :] + a[:, k:2k] @ b[k:2k, :] + ...

Each rank holds its part of a and b, multiplies them, and has a term of the sum; `all_reduce` adds
the terms up and gives the sum to everybody. The more ranks, the less each has to multiply, and the
larger the share of the time in which they exchange. In pieces most of that can be hidden: while the
links carry the sums of one piece of rows, the tensor engine is at the next.

Collectives take tensors of the kernel's own, so the sums are copied to what it returns.
"""

import trnlab

trnlab.activate()

import course
import ml_dtypes
import nki
import nki.collectives as ncc
import nki.isa as nisa
import nki.language as nl
import numpy as np

ROWS, DEPTH, COLUMNS = 512, 4096, 2048
P, N_MAX = 128, 512


def load_part(tensor):
    """A [depth, columns] tensor in SBUF as [P, tiles, columns]."""
    tile = nl.ndarray((P, tensor.shape[0] // P, tensor.shape[1]), dtype=tensor.dtype)
    for k in range(tensor.shape[0] // P):
        nisa.dma_copy(tile[:, k, :], tensor[k * P : (k + 1) * P, :])
    return tile


def multiply(term, a, b, first):
    """Some rows of a.T @ b, from SBUF to HBM."""
    for row in range(0, term.shape[0], P):
        result = nl.ndarray((P, term.shape[1]), dtype=term.dtype)
        for n in range(0, term.shape[1], N_MAX):
            total = nl.ndarray((P, N_MAX), dtype=nl.float32, buffer=nl.psum)
            for k in range(a.shape[1]):
                rows = a[:, k, first + row : first + row + P]
                nisa.nc_matmul(total, rows, b[:, k, n : n + N_MAX])
            nisa.tensor_copy(result[:, n : n + N_MAX], total)
        nisa.dma_copy(term[row : row + P, :], result)


@nki.jit
def matmul_of_ranks(a_t, b, group, pieces):
    rows, columns = a_t.shape[1], b.shape[1]
    out = nl.ndarray((rows, columns), dtype=nl.float32, buffer=nl.shared_hbm)
    a, b = load_part(a_t), load_part(b)
    height = rows // pieces
    for first in range(0, rows, height):
        term = nl.ndarray((height, columns), dtype=nl.float32, buffer=nl.shared_hbm)
        total = nl.ndarray((height, columns), dtype=nl.float32, buffer=nl.shared_hbm)
        multiply(term, a, b, first)
        ncc.all_reduce(srcs=[term], dsts=[total], replica_group=group, op=nl.add)
        nisa.dma_copy(out[first : first + height, :], total)
    return out


def on_ranks(a_t, b, ranks, pieces):
    """The product on so many ranks of one server: what each returned, and their traces."""
    depth, group = a_t.shape[0] // ranks, ncc.ReplicaGroup([range(ranks)])
    parts = [slice(rank * depth, (rank + 1) * depth) for rank in range(ranks)]
    calls = [(a_t[part], b[part], group, pieces) for part in parts]
    return trnlab.run_ranks(matmul_of_ranks, calls)


def main():
    rng = np.random.default_rng(0)
    a_t = rng.standard_normal((DEPTH, ROWS), dtype=np.float32).astype(ml_dtypes.bfloat16)
    b = rng.standard_normal((DEPTH, COLUMNS), dtype=np.float32).astype(ml_dtypes.bfloat16)
    want = a_t.astype(np.float32).T @ b.astype(np.float32)

    print("ranks  pieces       time   collectives")
    for ranks, pieces in ((1, 1), (2, 1), (4, 1), (4, 4)):
        outs, traces = on_ranks(a_t, b, ranks, pieces)
        last = max(traces, key=lambda trace: trace.seconds)
        exchanging = last.busy().get("cc", 0.0)
        print(f"{ranks:>5}{pieces:>8}{last.seconds * 1e6:>8.0f} us{exchanging * 1e6:>11.0f} us")
    for out in outs:
        course.check(out, want, tolerance=1e-5)  # fp32 sums in another order
    print()
    course.engines(last)
    print(f"\n{last.meta['system']}; {last.meta['notes'][0]}")


if __name__ == "__main__":
    main()
