"""A matrix product in four steps, the third: a block of outputs at a time, filling PSUM.

PSUM has eight banks, each holding one [128, 512] tile of sums. With all eight open, a block of 512
x 1024 outputs needs for each k only one [128, 512] tile of the left matrix and one [128, 1024] tile
of the right one: two transfers serve eight matmuls, where reuse alone needed eight. The tensor
engine becomes the limit.
"""

import trnlab

trnlab.activate()

import course
import nki
import nki.isa as nisa
import nki.language as nl

P, N_MAX = 128, 512
M_TILES, N_TILES = 4, 2  # of a block: together the eight banks of PSUM


@nki.jit
def matmul_blocked(a_t, b):
    depth, rows = a_t.shape
    depth, columns = b.shape
    out = nl.ndarray((rows, columns), dtype=a_t.dtype, buffer=nl.shared_hbm)
    for m in range(0, rows, M_TILES * P):
        for n in range(0, columns, N_TILES * N_MAX):
            totals = nl.ndarray((P, M_TILES, N_TILES, N_MAX), dtype=nl.float32, buffer=nl.psum)
            for k in range(0, depth, P):
                left = nl.ndarray((P, M_TILES, P), dtype=a_t.dtype, buffer=nl.sbuf)
                right = nl.ndarray((P, N_TILES, N_MAX), dtype=b.dtype, buffer=nl.sbuf)
                nisa.dma_copy(left, a_t[k : k + P, m : m + M_TILES * P])
                nisa.dma_copy(right, b[k : k + P, n : n + N_TILES * N_MAX])
                for i in range(M_TILES):
                    for j in range(N_TILES):
                        nisa.nc_matmul(totals[:, i, j, :], left[:, i, :], right[:, j, :])
            for i in range(M_TILES):
                result = nl.ndarray((P, N_TILES * N_MAX), dtype=out.dtype, buffer=nl.sbuf)
                nisa.tensor_copy(result, totals[:, i, :, :])
                row = m + i * P
                nisa.dma_copy(out[row : row + P, n : n + N_TILES * N_MAX], result)
    return out


def main():
    first = "05_matmul_naive.py"
    a_t, b = course.kernel(first, "inputs")()
    reuse = course.kernel("06_matmul_reuse.py", "matmul_reuse")
    _, before = trnlab.run(reuse, values=False)(a_t, b)
    out, trace = trnlab.run(matmul_blocked)(a_t, b)
    course.check(out, course.kernel(first, "product")(a_t, b), tolerance=2**-8)
    course.compare("07 blocked", trace, "06 reuse", before)


if __name__ == "__main__":
    main()
