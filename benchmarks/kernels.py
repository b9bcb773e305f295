"""The kernels that the benchmarks run: ours, in the current API."""

import trnlab

trnlab.activate()

import nki  # noqa: E402
import nki.isa as nisa  # noqa: E402
import nki.language as nl  # noqa: E402

TILE_M, TILE_K, TILE_N = 128, 128, 512


@nki.jit
def matmul_tiled(a_t, b):
    """a_t.T @ b, tile by tile, loading every tile when it is needed."""
    size_k, size_m = a_t.shape
    size_n = b.shape[1]
    out = nl.ndarray((size_m, size_n), dtype=a_t.dtype, buffer=nl.shared_hbm)
    for m in range(size_m // TILE_M):
        rows = slice(m * TILE_M, (m + 1) * TILE_M)
        for n in range(size_n // TILE_N):
            columns = slice(n * TILE_N, (n + 1) * TILE_N)
            total = nl.ndarray((TILE_M, TILE_N), dtype=nl.float32, buffer=nl.psum)
            for k in range(size_k // TILE_K):
                depth = slice(k * TILE_K, (k + 1) * TILE_K)
                left = nl.ndarray((TILE_K, TILE_M), dtype=a_t.dtype, buffer=nl.sbuf)
                right = nl.ndarray((TILE_K, TILE_N), dtype=b.dtype, buffer=nl.sbuf)
                nisa.dma_copy(dst=left, src=a_t[depth, rows])
                nisa.dma_copy(dst=right, src=b[depth, columns])
                nisa.nc_matmul(dst=total, stationary=left, moving=right)
            done = nl.ndarray((TILE_M, TILE_N), dtype=a_t.dtype, buffer=nl.sbuf)
            nisa.tensor_copy(dst=done, src=total)
            nisa.dma_copy(dst=out[rows, columns], src=done)
    return out


@nki.jit
def matmul_blocked(a_t, b):
    """a_t.T @ b in blocks of 1024 x 512 that keep their inputs in SBUF."""
    size_m, size_n = a_t.shape[1], b.shape[1]
    block_m = 8 * TILE_M
    out = nl.ndarray((size_m, size_n), dtype=a_t.dtype, buffer=nl.shared_hbm)
    for n in range(size_n // TILE_N):
        columns = slice(n * TILE_N, (n + 1) * TILE_N)
        kept = _load(b, columns, TILE_N)
        for block in range(size_m // block_m):
            blocks = _load(a_t, slice(block * block_m, (block + 1) * block_m), block_m)
            for m in range(block_m // TILE_M):
                part = slice(m * TILE_M, (m + 1) * TILE_M)
                total = nl.ndarray((TILE_M, TILE_N), dtype=nl.float32, buffer=nl.psum)
                for left, right in zip(blocks, kept, strict=True):
                    nisa.nc_matmul(dst=total, stationary=left[0:TILE_K, part], moving=right)
                done = nl.ndarray((TILE_M, TILE_N), dtype=a_t.dtype, buffer=nl.sbuf)
                nisa.tensor_copy(dst=done, src=total)
                start = block * block_m + m * TILE_M
                nisa.dma_copy(dst=out[start : start + TILE_M, columns], src=done)
    return out


def _load(source, columns, width):
    """All rows of some columns, as tiles of 128 partitions."""
    tiles = []
    for k in range(source.shape[0] // TILE_K):
        tile = nl.ndarray((TILE_K, width), dtype=source.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=tile, src=source[k * TILE_K : (k + 1) * TILE_K, columns])
        tiles.append(tile)
    return tiles


@nki.jit
def add(a, b):
    """a + b in tiles of 128 rows."""
    out = nl.ndarray(a.shape, dtype=a.dtype, buffer=nl.shared_hbm)
    width = 2048
    for i in range(a.shape[0] // 128):
        for j in range(a.shape[1] // width):
            rows, columns = slice(i * 128, (i + 1) * 128), slice(j * width, (j + 1) * width)
            left = nl.ndarray((128, width), dtype=a.dtype, buffer=nl.sbuf)
            right = nl.ndarray((128, width), dtype=a.dtype, buffer=nl.sbuf)
            nisa.dma_copy(dst=left, src=a[rows, columns])
            nisa.dma_copy(dst=right, src=b[rows, columns])
            nisa.tensor_tensor(dst=left, data1=left, data2=right, op=nl.add)
            nisa.dma_copy(dst=out[rows, columns], src=left)
    return out


@nki.jit
def exponential(a):
    """exp(a) in tiles of 128 rows."""
    out = nl.ndarray(a.shape, dtype=a.dtype, buffer=nl.shared_hbm)
    width = 2048
    for i in range(a.shape[0] // 128):
        for j in range(a.shape[1] // width):
            rows, columns = slice(i * 128, (i + 1) * 128), slice(j * width, (j + 1) * width)
            tile = nl.ndarray((128, width), dtype=a.dtype, buffer=nl.sbuf)
            nisa.dma_copy(dst=tile, src=a[rows, columns])
            nisa.activation(dst=tile, op=nl.exp, data=tile)
            nisa.dma_copy(dst=out[rows, columns], src=tile)
    return out
