"""What transfers cost: vector additions in steps of one size, a transpose (CS 149 assignment)."""

from typing import Any

from trnlab.nki.legacy import entry as nki
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl

LANES = 128


@nki.as_written
@nki.jit
def add_rows(a: Any, b: Any, *, rows: int) -> Any:
    """a + b of two columns, so many rows at a time."""
    out = nl.ndarray(a.shape, dtype=a.dtype, buffer=nl.shared_hbm)
    for step in nl.affine_range(a.shape[0] // rows):
        here = nl.ds(step * rows, rows)
        left = nl.ndarray((rows, 1), dtype=a.dtype, buffer=nl.sbuf)
        right = nl.ndarray((rows, 1), dtype=a.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=left, src=a[here])
        nisa.dma_copy(dst=right, src=b[here])
        total = nisa.tensor_scalar(left, nl.add, right)
        nisa.dma_copy(dst=out[here], src=total)
    return out


@nki.as_written
@nki.jit
def add_columns(a: Any, b: Any, *, width: int) -> Any:
    """a + b of two vectors folded to 128 rows, so many columns at a time."""
    left, right = (x.reshape((LANES, x.shape[0] // LANES)) for x in (a, b))
    out = nl.ndarray(left.shape, dtype=a.dtype, buffer=nl.shared_hbm)
    for step in nl.affine_range(left.shape[1] // width):
        here = nl.ds(step * width, width)
        tiles = [nl.ndarray((LANES, width), dtype=a.dtype, buffer=nl.sbuf) for _ in range(2)]
        nisa.dma_copy(dst=tiles[0], src=left[:, here])
        nisa.dma_copy(dst=tiles[1], src=right[:, here])
        total = nisa.tensor_tensor(tiles[0], tiles[1], op=nl.add)
        nisa.dma_copy(dst=out[:, here], src=total)
    return out


@nki.as_written
@nki.jit
def transposed(a: Any) -> Any:
    """a.T, 128 rows and columns at a time."""
    (length, width), kind = a.shape, a.dtype
    out = nl.ndarray((width, length), dtype=kind, buffer=nl.shared_hbm)
    for m in nl.affine_range(length // LANES):
        for n in nl.affine_range(width // LANES):
            rows, columns = nl.ds(m * LANES, LANES), nl.ds(n * LANES, LANES)
            tile = nl.ndarray((LANES, LANES), dtype=kind, buffer=nl.sbuf)
            nisa.dma_copy(dst=tile, src=a[rows, columns])
            nisa.dma_copy(dst=out[columns, rows], src=nisa.tensor_copy(nisa.nc_transpose(tile)))
    return out
