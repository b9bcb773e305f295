"""A matrix product in four steps, the second: load a panel once and use it for a whole row.

All tiles of the left matrix that a row of output tiles needs fit in SBUF, so that they are loaded
once a row and not once an output tile. They come in a single transfer: a view of the matrix with
three dimensions puts all k tiles of a panel side by side in the free dimension.
"""

import trnlab

trnlab.activate()

import course
import nki
import nki.isa as nisa
import nki.language as nl

P, N_MAX = 128, 512


@nki.jit
def matmul_reuse(a_t, b):
    depth, rows = a_t.shape
    depth, columns = b.shape
    tiles = depth // P
    out = nl.ndarray((rows, columns), dtype=a_t.dtype, buffer=nl.shared_hbm)
    a_tiles = a_t.reshape((tiles, P, rows)).permute((1, 0, 2))  # [P, tiles, rows], a view
    for m in range(0, rows, P):
        panel = nl.ndarray((P, tiles, P), dtype=a_t.dtype, buffer=nl.sbuf)
        nisa.dma_copy(panel, a_tiles[:, :, m : m + P])
        for n in range(0, columns, N_MAX):
            total = nl.ndarray((P, N_MAX), dtype=nl.float32, buffer=nl.psum)
            for k in range(tiles):
                right = nl.ndarray((P, N_MAX), dtype=b.dtype, buffer=nl.sbuf)
                nisa.dma_copy(right, b[k * P : (k + 1) * P, n : n + N_MAX])
                nisa.nc_matmul(total, panel[:, k, :], right)
            result = nl.ndarray((P, N_MAX), dtype=out.dtype, buffer=nl.sbuf)
            nisa.tensor_copy(result, total)
            nisa.dma_copy(out[m : m + P, n : n + N_MAX], result)
    return out


def main():
    first = "05_matmul_naive.py"
    a_t, b = course.kernel(first, "inputs")()
    _, before = trnlab.run(course.kernel(first, "matmul_naive"), values=False)(a_t, b)  # time only
    out, trace = trnlab.run(matmul_reuse)(a_t, b)
    course.check(out, course.kernel(first, "product")(a_t, b), tolerance=2**-8)
    course.compare("06 reuse", trace, "05 naive", before)


if __name__ == "__main__":
    main()
