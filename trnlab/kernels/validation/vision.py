"""Images as tests of the vendor time them (nki-samples): resized, and scattered to maxima."""

from typing import Any

import numpy as np

from trnlab.kernels.shipped.tiles import LANES, LOWEST, cuts, tile
from trnlab.nki.legacy import entry as nki
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl

EDGE, STRIDE, HALF = 3, 2, 64  # of a window; how far windows are apart; channels


@nki.jit
def resized(x: Any, *, high: int, wide: int) -> Any:
    """The nearest pixels of x [b, h, w, c] as [b, high, wide, c]; 128 pixels gathered at a time."""
    images, old_high, old_wide, depth = x.shape
    out = nl.ndarray((images, high * wide, depth), dtype=x.dtype, buffer=nl.shared_hbm)
    pixels = x.reshape((images, old_high * old_wide, depth))
    for image in nl.affine_range(images):
        for start, size in cuts(high * wide, LANES):
            place = nisa.iota(start + nl.arange(size)[:, None], dtype=nl.int32)
            row = nl.floor(place / wide, dtype=nl.int32)
            column = nl.mod(place, wide, dtype=nl.int32)
            row = nl.floor(nl.multiply(row, old_high / high, dtype=nl.float32), dtype=nl.int32)
            column = nl.floor(
                nl.multiply(column, old_wide / wide, dtype=nl.float32), dtype=nl.int32
            )
            source = row * old_wide + column
            i_f = nl.arange(depth)[None, :]
            nl.store(out[image, nl.ds(start, size)], nl.load(pixels[image, source, i_f]))
    return out


@nki.jit
def select_and_scatter(x: Any, y: Any) -> Any:
    """Adds y [n, 64, h / 2, w / 2] where the windows of x [n, 64, h, w] have their first maximum.

    Windows are 3 x 3, two apart, padded by one; two images share the partitions. What each place in
    the window gives goes through HBM before it is added up.
    """
    images, _, high, wide = x.shape
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    rows, columns = y.shape[2:]
    for pair in nl.affine_range(images // 2):
        chosen = nl.ndarray((nl.par_dim(LANES), rows, columns, EDGE, EDGE), dtype=nl.uint8)
        padded = nl.full((nl.par_dim(LANES), high + 2, wide + 2), LOWEST, dtype=x.dtype)
        given = tile(LANES, rows, columns, dtype=x.dtype)
        for one in nl.affine_range(2):
            here = nl.ds(one * HALF, HALF)
            padded[here, 1 : high + 1, 1 : wide + 1] = nl.load(x[2 * pair + one])
            given[here] = nl.load(y[2 * pair + one])
        for row in nl.affine_range(rows):
            chosen[:, row] = _first(padded, row, columns)
        parts = nl.ndarray(
            (EDGE, EDGE, nl.par_dim(LANES), high, wide), x.dtype, buffer=nl.private_hbm
        )
        i_p, i_h, i_w = nl.mgrid[0:LANES, 0:rows, 0:columns]
        for i, j in np.ndindex(EDGE, EDGE):
            spread = nl.zeros((nl.par_dim(LANES), high + 2, wide + 2), dtype=x.dtype)
            spread[i_p, STRIDE * i_h + i, STRIDE * i_w + j] = nl.multiply(
                given, chosen[:, :, :, i, j], dtype=x.dtype
            )
            nl.store(parts[i, j], spread[:, 1 : high + 1, 1 : wide + 1])
        total = nl.zeros((nl.par_dim(LANES), high, wide), dtype=x.dtype)
        for i, j in np.ndindex(EDGE, EDGE):
            total += nl.load(parts[i, j])
        for one in nl.affine_range(2):
            nl.store(out[2 * pair + one], total[nl.ds(one * HALF, HALF)])
    return out


def _first(padded: Any, row: int, columns: int) -> Any:
    """For one row of windows [128, columns, 3, 3]: 1 at the first maximum, else 0."""
    i_p, i_x, i_h, i_w = nl.mgrid[0:LANES, 0:columns, 0:EDGE, 0:EDGE]
    windows = nl.copy(padded[i_p, STRIDE * row + i_h, STRIDE * i_x + i_w])
    largest = nl.max(windows, axis=[2, 3], keepdims=True)
    equal = nl.equal(largest, windows, dtype=nl.int8)
    number = nisa.iota(EDGE * i_h + i_w, dtype=nl.uint32)
    numbers = nl.where(equal, number, EDGE * EDGE, dtype=nl.uint32)
    least = nl.min(numbers, axis=[2, 3], dtype=nl.uint32, keepdims=True)
    return nl.equal(least, number, dtype=nl.uint8)
