"""Kernels whose latency a vendor's test bounds: adaptive average pooling (nki-samples)."""

from typing import Any

from trnlab.nki.legacy import entry as nki
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl

LANES, LARGEST = 128, 128


@nki.jit
def pooled(x: Any, *, size: int) -> Any:
    """The mean of each of size x size windows of x [N, C, H, W], one window at a time."""
    images, channels, height, width = x.shape
    lanes = min(images * channels, LANES)
    rows, columns = _windows(height, size), _windows(width, size)
    source = x.reshape((images * channels, height, width))
    out = nl.ndarray((images * channels, size, size), dtype=x.dtype, buffer=nl.shared_hbm)
    largest = [min(max(map(len, windows)), LARGEST) for windows in (rows, columns)]
    for group in nl.affine_range(images * channels // lanes):
        here = nl.ds(group * lanes, lanes)
        means = nl.ndarray((nl.par_dim(lanes), size, size), dtype=x.dtype, buffer=nl.sbuf)
        window = nl.ndarray((nl.par_dim(lanes), *largest), dtype=x.dtype, buffer=nl.sbuf)
        for i, down in enumerate(rows):
            for j, across in enumerate(columns):
                total = None
                for part in _parts(down):
                    for beside in _parts(across):
                        data = window[:, 0 : part.size, 0 : beside.size]
                        nisa.dma_copy(dst=data, src=source[here, part, beside])
                        more = nl.sum(data, axis=[1, 2])
                        total = more if total is None else nl.add(total, more)
                means[:, i, nl.ds(j, 1)] = nl.multiply(total, 1 / (len(down) * len(across)))
        nl.store(out[here], means)
    return out


def _windows(length: int, count: int) -> list[range]:
    """Where windows begin and end that cover a length, as evenly as whole numbers allow."""
    return [range(i * length // count, -(-(i + 1) * length // count)) for i in range(count)]


def _parts(window: range) -> list[Any]:
    """A window in pieces that fit in the tile."""
    starts = range(window.start, window.stop, LARGEST)
    return [nl.ds(start, min(LARGEST, window.stop - start)) for start in starts]
