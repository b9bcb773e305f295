"""Products in the current API whose operands stay in SBUF or come in blocks (nki-autotune)."""

from typing import Any

from trnlab.nki import isa as nisa
from trnlab.nki import language as nl
from trnlab.nki.entry import jit

LANES, BANK = 128, 512
DEEP, HIGH = 8, 4  # tiles of a block: of the contraction, and of rows


def _loaded(source: Any, row: int, column: int, wide: int) -> Any:
    tile = nl.ndarray((LANES, wide), dtype=source.dtype, buffer=nl.sbuf)
    rows, columns = slice(row, row + LANES), slice(column, column + wide)
    nisa.dma_copy(dst=tile, src=source[rows, columns])
    return tile


@jit
def resident(left: Any, right: Any, *, banks: int) -> Any:
    """left.T @ right, both loaded first; rows of sums take turns at so many places in PSUM."""
    (depth, length), width, kind = left.shape, right.shape[1], left.dtype
    steps = range(depth // LANES)
    out = nl.ndarray((length, width), dtype=kind, buffer=nl.shared_hbm)
    a = [_loaded(left, k * LANES, 0, length) for k in steps]
    b = [_loaded(right, k * LANES, 0, width) for k in steps]
    sums = nl.ndarray((LANES, banks, width), dtype=nl.float32, buffer=nl.psum)
    done = nl.ndarray((LANES, length // LANES, width), dtype=kind, buffer=nl.sbuf)
    for m in range(length // LANES):
        row = sums[0:LANES, m % banks, 0:width]
        nisa.memset(dst=row, value=0.0)
        for n in range(0, width, BANK):
            for k in steps:
                nisa.nc_matmul(
                    dst=sums[0:LANES, m % banks, n : n + BANK],
                    stationary=a[k][0:LANES, m * LANES : (m + 1) * LANES],
                    moving=b[k][0:LANES, n : n + BANK],
                )
        nisa.tensor_copy(dst=done[0:LANES, m, 0:width], src=row)
    for m in range(length // LANES):
        rows = slice(m * LANES, (m + 1) * LANES)
        nisa.dma_copy(dst=out[rows, 0:width], src=done[0:LANES, m, 0:width])
    return out


@jit
def in_blocks(left: Any, right: Any) -> Any:
    """left.T @ right, 512 columns at a time, with blocks of the contraction added up in SBUF."""
    (depth, length), width, kind = left.shape, right.shape[1], left.dtype
    out = nl.ndarray((length, width), dtype=kind, buffer=nl.shared_hbm)
    for n in range(0, width, BANK):
        total = [
            nl.ndarray((LANES, BANK), dtype=kind, buffer=nl.sbuf) for _ in range(length // LANES)
        ]
        for tile in total:
            nisa.memset(dst=tile, value=0.0)
        for k in range(0, depth, DEEP * LANES):
            b = [_loaded(right, k + i * LANES, n, BANK) for i in range(DEEP)]
            for m in range(0, length, HIGH * LANES):
                a = [_loaded(left, k + i * LANES, m, HIGH * LANES) for i in range(DEEP)]
                for row in range(HIGH):
                    _add_product(total[m // LANES + row], a, b, row)
        for m, tile in enumerate(total):
            rows = slice(m * LANES, (m + 1) * LANES)
            nisa.dma_copy(dst=out[rows, n : n + BANK], src=tile)
    return out


def _add_product(total: Any, a: Any, b: Any, row: int) -> None:
    """Adds a product of 128 rows and 512 columns to what is in SBUF."""
    sums = nl.ndarray((LANES, BANK), dtype=nl.float32, buffer=nl.psum)
    part = nl.ndarray((LANES, BANK), dtype=total.dtype, buffer=nl.sbuf)
    nisa.memset(dst=sums, value=0.0)
    for left, right in zip(a, b, strict=True):
        stationary = left[0:LANES, row * LANES : (row + 1) * LANES]
        nisa.nc_matmul(dst=sums, stationary=stationary, moving=right)
    nisa.tensor_copy(dst=part, src=sums)
    nisa.tensor_tensor(dst=total, data1=total, data2=part, op=nl.add)
