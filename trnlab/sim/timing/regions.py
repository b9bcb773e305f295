"""Which accesses touch the same bytes.

Every distinct access (buffer, layout, offset) is a region: a rectangle of rows and bytes. Two
regions of one memory overlap when their rectangles do. All overlaps of a program are found before
it is scheduled.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from trnlab.isa.tile import LAYOUTS
from trnlab.sim.program import BufferFacts, Program

AT_ONCE = 1 << 20  # pairs of regions that are compared at the same time

Key = tuple[int, int, int]  # buffer, layout, offset
Rectangle = tuple[int, int, int, int, int]  # first row, past row, first byte, past byte, row step


def number_regions(program: Program) -> tuple[np.ndarray, np.ndarray]:
    """The region of every operand of every instruction in turn, and the key of each region."""
    operands = np.frombuffer(program.operands, np.int64).reshape(-1, 3)
    order = np.lexsort((operands[:, 2], operands[:, 1], operands[:, 0]))
    ordered = operands[order]
    fresh = np.ones(len(order), bool)
    fresh[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.cumsum(fresh) - 1
    return numbers, ordered[fresh]


def overlaps(buffers: list[BufferFacts], keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each region where its part of the second array begins: those that touch bytes of it.

    Each region comes first in its own part.
    """
    count = len(keys)
    ones, others = [np.arange(count)], [np.arange(count)]
    for one, other in _meetings(buffers, keys):
        ones += [one, other]
        others += [other, one]
    first, second = np.concatenate(ones), np.concatenate(others)
    order = np.lexsort((second, second != first, first))
    return np.searchsorted(first[order], np.arange(count + 1)), second[order]


def overlapping(buffers: list[BufferFacts], keys: list[Key]) -> list[list[int]]:
    """As `overlaps`, in lists."""
    starts, others = overlaps(buffers, np.array(keys, np.int64).reshape(-1, 3))
    listed = others.tolist()
    return [listed[start:stop] for start, stop in pairwise(starts.tolist())]


def _meetings(
    buffers: list[BufferFacts], keys: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of regions that overlap, each pair once.

    Those of one home are sorted along rows or along bytes, whichever tells more of them apart, so
    that only neighbours are compared.
    """
    homes = _homes(buffers, keys[:, 0])
    mine = np.flatnonzero(np.bincount(homes)[homes] > 1)
    home, found = homes[mine], rectangles(buffers, keys[mine])
    along = [
        np.bincount(home, _neighbours(home, low, high)[1]) for low, high in (found[:2], found[2:4])
    ]
    by_byte = (along[1] < along[0])[home]
    low, high = np.where(by_byte, found[2], found[0]), np.where(by_byte, found[3], found[1])
    order, counts = _neighbours(home, low, high)
    past = np.cumsum(counts)
    cuts = np.unique(np.searchsorted(past, np.arange(0, past[-1:].sum() + AT_ONCE, AT_ONCE)))
    for begin, end in pairwise((*cuts.tolist(), len(mine))):
        one = np.repeat(np.arange(begin, end), counts[begin:end])
        first = np.repeat(past[begin:end] - counts[begin:end], counts[begin:end])
        other = one + 1 + np.arange(len(one)) + (past[begin - 1] if begin else 0) - first
        one, other = order[one], order[other]
        a, b = found[:, one], found[:, other]
        meet = (a[0] < b[1]) & (b[0] < a[1]) & (a[2] < b[3]) & (b[2] < a[3])
        meet &= (a[4] != b[4]) | ((a[0] - b[0]) % a[4] == 0)
        yield mine[one[meet]], mine[other[meet]]


def _homes(buffers: list[BufferFacts], owner: np.ndarray) -> np.ndarray:
    """Of each region a number of the bytes it lies in: its tensor, or the memory of placed ones."""
    shared: dict[tuple[str, int], int] = {}
    homes = np.arange(len(buffers))
    for number, facts in enumerate(buffers):
        if facts.placed and facts.space != "hbm":
            homes[number] = shared.setdefault((facts.space, facts.core), number)
    return homes[owner]


def _neighbours(
    home: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Regions in order, and how many behind each one begin before it ends."""
    width = int(high.max(initial=0)) + 1
    begin = home * width + low
    order = np.argsort(begin, kind="stable")
    ends = np.searchsorted(begin[order], (home * width + high)[order])
    return order, np.maximum(ends - np.arange(len(order)) - 1, 0)


def rectangles(buffers: list[BufferFacts], keys: np.ndarray) -> np.ndarray:
    """The rectangles of many regions, as rows of first and past row, first and past byte, step."""
    used, which = np.unique(keys[:, 1], return_inverse=True)
    tensors, whose = np.unique(keys[:, 0], return_inverse=True)
    shapes = [(*(a := LAYOUTS[n]).extent, a.below, a.pitch, a.itemsize) for n in used.tolist()]
    places = [(buffers[n].base_partition, buffers[n].base_byte) for n in tensors.tolist()]
    rows, columns, step, below, pitch, size = np.array(shapes, np.int64).reshape(-1, 6)[which].T
    partition, byte = np.array(places, np.int64).reshape(-1, 2)[whose].T
    row, column = np.divmod(keys[:, 2] - below, pitch)
    on = column + columns > pitch  # runs on into the next rows
    rows = rows + np.where(on, (column + columns - 1) // pitch, 0)
    column, columns = np.where(on, 0, column), np.where(on, pitch, columns)
    first = byte + column * size
    row = row + partition
    return np.array((row, row + rows, first, first + columns * size, np.where(on, 1, step)))


def rectangle_of(facts: BufferFacts, layout: int, offset: int) -> Rectangle:
    """The rows and bytes of an access, where the tensor lies if the kernel placed it."""
    here = LAYOUTS[layout]
    rows, columns, step = here.extent
    row, column = divmod(offset - here.below, here.pitch)
    if column + columns > here.pitch:  # runs on into the next rows
        rows += (column + columns - 1) // here.pitch
        column, columns, step = 0, here.pitch, 1
    row += facts.base_partition
    first = facts.base_byte + column * here.itemsize
    return row, row + rows, first, first + columns * here.itemsize, step


def overlap(a: Rectangle, b: Rectangle) -> bool:
    """Whether two rectangles have a byte in common."""
    if a[0] >= b[1] or b[0] >= a[1] or a[2] >= b[3] or b[2] >= a[3]:
        return False
    return not (a[4] == b[4] > 1 and (a[0] - b[0]) % a[4])
