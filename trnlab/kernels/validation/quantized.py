"""A product of fp8 numbers, two rows at a time, as a test of the vendor times it (nki-samples)."""

from typing import Any

from trnlab.kernels.shipped.tiles import BANK, LANES, sums
from trnlab.nki.legacy import entry as nki
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl

LARGEST = 240  # of the format
HIGH, WIDE, DEEP = 2, 2, 16  # tiles of a block


@nki.jit
def double_row(a: Any, b: Any, scales: Any) -> Any:
    """a @ b for a [m, k], which is quantized here block by block, and b, which is fp8.

    b is [k / 2, 2 n]: in each row, for every 512 columns, those of two rows of the product's b.
    scales [128, n] are those of b's columns.
    """
    (length, depth), width, kind = a.shape, b.shape[1] // 2, a.dtype
    blocks, block = width // (WIDE * BANK), DEEP * LANES
    out = nl.ndarray((length, width), dtype=kind, buffer=nl.shared_hbm)
    for m in nl.affine_range(length // (HIGH * LANES)):
        result = nl.zeros((nl.par_dim(LANES), HIGH * width), dtype=kind, buffer=nl.sbuf)
        for k in nl.sequential_range(depth // block):
            left = nl.ndarray((HIGH, nl.par_dim(LANES), block), dtype=nl.float8_e4m3)
            shares = nl.ndarray((HIGH, nl.par_dim(LANES), 1), dtype=kind)
            for i in nl.affine_range(HIGH):
                rows = nl.ds((m * HIGH + i) * LANES, LANES)
                _quantize(a[rows, nl.ds(k * block, block)], left[i], shares[i])
            found = nl.zeros((nl.par_dim(LANES), HIGH * width), dtype=kind, buffer=nl.sbuf)
            for n in nl.affine_range(blocks):
                right = _loaded(b, k, n)
                for i in nl.affine_range(HIGH):
                    for j in nl.affine_range(WIDE):
                        total = sums(LANES, BANK)
                        for step in nl.affine_range(DEEP // 2):
                            total += nisa.nc_matmul(
                                _double(left[i], 2 * step * LANES, LANES),
                                _double(right[step], 2 * j * BANK, BANK),
                                perf_mode="double_row_gen3",
                            )
                        found[:, nl.ds(i * width + (n * WIDE + j) * BANK, BANK)] += total
            for i in nl.affine_range(HIGH):
                here = nl.ds(i * width, width)
                result[:, here] += nisa.tensor_tensor(found[:, here], shares[i], nl.multiply)
        factors = nl.load(scales)
        for i in nl.affine_range(HIGH):
            done = nisa.tensor_tensor(result[:, nl.ds(i * width, width)], factors, nl.multiply)
            nl.store(out[nl.ds((m * HIGH + i) * LANES, LANES)], done)
    return out


def _quantize(source: Any, left: Any, share: Any) -> None:
    """Rows over a 240th of their largest, in fp8 and transposed tile by tile; and that share."""
    rows = nl.load(source)
    share[...] = nisa.tensor_reduce(nl.max, nl.abs(rows), axis=[1])
    share[...] = nl.divide(share, LARGEST)
    left[...] = nl.divide(rows, share)
    for step in nl.affine_range(DEEP):
        here = nl.ds(step * LANES, LANES)
        left[:, here] = nisa.nc_transpose(left[:, here])


def _loaded(b: Any, k: int, n: int) -> Any:
    wide = 2 * WIDE * BANK
    kept = nl.ndarray((DEEP // 2, nl.par_dim(LANES), wide), dtype=b.dtype)
    for step in nl.affine_range(DEEP // 2):
        rows = nl.ds((k * DEEP // 2 + step) * LANES, LANES)
        kept[step] = nl.load(b[rows, nl.ds(n * wide, wide)])
    return kept


def _double(x: Any, start: int, columns: int) -> Any:
    """Two rows of that many columns."""
    i_p, i_r, i_f = nl.mgrid[0:LANES, 0:2, 0:columns]
    return x[i_p, start + i_r * columns + i_f]
