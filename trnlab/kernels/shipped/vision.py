"""`resize_nearest_fixed_dma_kernel` and `select_and_scatter_kernel`.

Layouts as nki-samples documents them (reference/vision, July 2025).
"""

from typing import Any

import numpy as np

from trnlab.isa.tile import Tile
from trnlab.kernels.shipped.tiles import LANES, LOWEST, cuts, mine, need, tile
from trnlab.nki.legacy import entry as nki
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl

WINDOW, STRIDE = 3, 2  # of the pooling that select_and_scatter_kernel belongs to, padded by 1


@nki.trace
def resize_nearest_fixed_dma_kernel(data_tensor: Any, out_shape: Any) -> Any:
    """Every pixel of the result is that of the input at floor(place * old / new).

    data [b, h, w, c] and the shape (b, h', w', c), launched as ``kernel[b]``. A tensor in the place
    of the shape is the output, as kernels had it before SDK 2.22.
    """
    given = isinstance(out_shape, Tile)
    shape = tuple(out_shape.shape if given else out_shape)
    batch, high, wide, depth = data_tensor.shape
    need(shape[0] == batch and shape[3] == depth, "resize: batch and channels", shape,
         f"({batch}, h, w, {depth})")  # fmt: skip
    out: Any = out_shape if given else nl.ndarray(shape, data_tensor.dtype, buffer=nl.shared_hbm)
    rows, columns = np.arange(shape[1]) * high // shape[1], np.arange(shape[2]) * wide // shape[2]
    places = (rows[:, None] * wide + columns).reshape(-1, 1).astype(np.int32)
    listed = nl.shared_constant(places)
    for image in mine(0, batch):
        source = data_tensor[image].reshape((high * wide, depth))
        target = out[image].reshape((shape[1] * shape[2], depth))
        for start, size in cuts(shape[1] * shape[2], LANES):
            index = nl.load(listed[nl.ds(start, size), 0:1])
            i_p, i_f = nl.arange(size)[:, None], nl.arange(depth)[None, :]
            nl.store(target[nl.ds(start, size), 0:depth], nl.load(source[index[i_p, 0], i_f]))
    return out


@nki.trace
def select_and_scatter_kernel(
    operand_tensor: Any, source_tensor: Any, out_tensor: Any = None
) -> Any:
    """What 3 x 3 max-pooling with stride 2 and padding 1 hands back to its input.

    operand [n, c, h, w] and source [n, c, (h + 1) // 2, (w + 1) // 2]; out like operand: each
    source value is added to where the first largest element of its window stands, padding left out.
    ``out_tensor`` is the output of callers from before SDK 2.22.
    """
    batch, channels, high, wide = operand_tensor.shape
    pooled = (batch, channels, (high + 1) // STRIDE, (wide + 1) // STRIDE)
    need(tuple(source_tensor.shape) == pooled, "select_and_scatter: the source",
         tuple(source_tensor.shape), str(pooled))  # fmt: skip
    out = out_tensor
    if out is None:
        out = nl.ndarray(operand_tensor.shape, operand_tensor.dtype, buffer=nl.shared_hbm)
    for image in nl.affine_range(batch):
        for first, count in cuts(channels, LANES):
            here = nl.ds(first, count)
            scattered = _scattered(operand_tensor[image, here], source_tensor[image, here])
            nl.store(out[image, here], scattered[:, 1 : high + 1, 1 : wide + 1])
    return out


def _scattered(operand: Any, source: Any) -> Any:
    """The sums [c, h + 2, w + 2] in fp32, with their padding."""
    channels, high, wide = operand.shape
    rows, columns = source.shape[1:]
    padded = tile(channels, high + 2, wide + 2, dtype=operand.dtype)
    padded[...] = nisa.memset(padded.shape, LOWEST, dtype=operand.dtype)
    padded[:, 1 : high + 1, 1 : wide + 1] = nl.load(operand)
    top, place = tile(channels, rows, columns), tile(channels, rows, columns)
    i_p, i_h, i_w = nl.mgrid[0:channels, 0:rows, 0:columns]
    top[...] = nisa.tensor_copy(padded[i_p, STRIDE * i_h, STRIDE * i_w], dtype=nl.float32)
    place[...] = nisa.memset(place.shape, 0, dtype=nl.float32)
    for number in nl.static_range(1, WINDOW * WINDOW):
        down, right = divmod(number, WINDOW)
        other = padded[i_p, STRIDE * i_h + down, STRIDE * i_w + right]
        larger = nisa.tensor_tensor(other, top, nl.greater, dtype=nl.uint8)
        nisa.tensor_copy_predicated(src=_number(place.shape, number), dst=place, predicate=larger)
        top[...] = nisa.tensor_tensor(top, other, nl.maximum)
    total, values = tile(*padded.shape), nl.load(source)
    total[...] = nisa.memset(total.shape, 0, dtype=nl.float32)
    for number in nl.static_range(WINDOW * WINDOW):
        down, right = divmod(number, WINDOW)
        part = nisa.scalar_tensor_tensor(
            data=place, op0=nl.equal, operand0=float(number), op1=nl.multiply, operand1=values
        )
        at = (i_p, STRIDE * i_h + down, STRIDE * i_w + right)
        total[at] = nisa.tensor_tensor(total[at], part, nl.add)
    return total


def _number(shape: tuple[int, ...], value: int) -> Any:
    return nisa.memset(shape, float(value), dtype=nl.float32)
