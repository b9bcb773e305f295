"""Which accesses touch the same bytes.

Every distinct access (buffer, layout, offset) is a region: a rectangle of rows and bytes. Two
regions of one memory overlap when their rectangles do. All overlaps of a program are found before
it is scheduled.
"""

from itertools import combinations

import numpy as np

from trnlab.isa.tile import LAYOUTS
from trnlab.sim.program import BufferFacts, Program

FEW = 16  # regions of one buffer that are simply compared with each other
BUCKETS = 64  # a buffer's extent is cut in so many parts to find neighbours quickly

Key = tuple[int, int, int]  # buffer, layout, offset
Rectangle = tuple[int, int, int, int, int]  # first row, past row, first byte, past byte, row step


def number_regions(program: Program) -> tuple[list[int], list[Key]]:
    """The region of every operand of every instruction in turn, and what each region is."""
    operands = np.frombuffer(program.operands, np.int64).reshape(-1, 3)
    if not len(operands):
        return [], []
    order = np.lexsort((operands[:, 2], operands[:, 1], operands[:, 0]))
    ordered = operands[order]
    fresh = np.ones(len(order), bool)
    fresh[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.cumsum(fresh) - 1
    keys = [tuple(key) for key in ordered[fresh].tolist()]
    return numbers.tolist(), keys  # type: ignore[return-value]


class Regions:
    """``overlaps[r]`` are the regions that touch bytes of r, itself first."""

    def __init__(self, buffers: list[BufferFacts], keys: list[Key]) -> None:
        self.buffers = buffers
        self.owner = [buffer for buffer, _, _ in keys]
        self.overlaps: list[tuple[int, ...]] = [(r,) for r in range(len(keys))]
        homes: dict[object, list[int]] = {}
        for region, buffer in enumerate(self.owner):
            facts = buffers[buffer]
            placed = facts.placed and facts.space != "hbm"
            home = ("placed", facts.space, facts.core) if placed else buffer
            homes.setdefault(home, []).append(region)
        for members in homes.values():
            if len(members) > 1:
                self._meet(members, keys)

    def _meet(self, members: list[int], keys: list[Key]) -> None:
        """Finds the overlaps among the regions of one home."""
        rectangles = {r: rectangle_of(self.buffers[keys[r][0]], *keys[r][1:]) for r in members}
        found: dict[int, dict[int, None]] = {r: {r: None} for r in members}
        if len(members) <= FEW:
            for a, b in combinations(members, 2):
                if overlap(rectangles[a], rectangles[b]):
                    found[a][b] = found[b][a] = None
        else:
            self._meet_neighbours(members, rectangles, found)
        for region, others in found.items():
            self.overlaps[region] = tuple(others)

    def _meet_neighbours(
        self,
        members: list[int],
        rectangles: dict[int, Rectangle],
        found: dict[int, dict[int, None]],
    ) -> None:
        """As above, for many regions: only those in the same part of the buffer are compared."""
        buckets: dict[int, list[int]] = {}
        for region in members:
            mine = rectangles[region]
            for bucket in self._span(region, mine):
                near = buckets.setdefault(bucket, [])
                for other in near:
                    if overlap(mine, rectangles[other]):
                        found[region][other] = found[other][region] = None
                near.append(region)

    def _span(self, region: int, rectangle: Rectangle) -> range:
        facts = self.buffers[self.owner[region]]
        row0, row1, byte0, byte1, _ = rectangle
        if facts.space == "hbm":
            width = max(1, facts.rows // BUCKETS)
            return range(row0 // width, (row1 - 1) // width + 1)
        width = 2048 if facts.placed else max(1, facts.row_bytes // BUCKETS)
        return range(byte0 // width, (byte1 - 1) // width + 1)


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
