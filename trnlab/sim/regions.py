"""Which accesses touch the same bytes.

Every distinct access (buffer, offset, layout) is a region: a rectangle of rows and bytes. Two regions
of one memory overlap when their rectangles do. Overlaps are found once, when a region first appears;
scheduling then looks them up.
"""

from trnlab.isa.tile import LAYOUTS
from trnlab.sim.program import BufferFacts

BUCKETS = 64  # a buffer's extent is cut in so many parts to find neighbours quickly

Rectangle = tuple[int, int, int, int, int]  # first row, past row, first byte, past byte, row step


class Regions:
    """The regions of a program, numbered as they appear; ``overlaps[r]`` includes r itself."""

    def __init__(self, buffers: list[BufferFacts]) -> None:
        self.buffers = buffers
        self.overlaps: list[list[int]] = []
        self.owner: list[int] = []  # buffer of each region
        self.of_buffer: dict[int, list[int]] = {}
        self._rectangles: list[Rectangle] = []
        self._buckets: dict[object, dict[int, list[int]] | int] = {}

    def add(self, buffer: int, layout: int, offset: int) -> int:
        """Numbers a new region and finds what it overlaps."""
        facts = self.buffers[buffer]
        region = len(self.overlaps)
        rectangle = _rectangle(facts, layout, offset)
        self._rectangles.append(rectangle)
        self.owner.append(buffer)
        self.of_buffer.setdefault(buffer, []).append(region)
        self.overlaps.append([region])
        home = ("placed", facts.space, facts.core) if facts.placed else buffer
        held = self._buckets.get(home)
        if held is None:
            self._buckets[home] = region  # most buffers have one region only
            return region
        if isinstance(held, int):
            buckets: dict[int, list[int]] = {}
            self._buckets[home] = buckets
            self._file(held, buckets)
            held = buckets
        self._meet(region, held)
        self._file(region, held)
        return region

    def _file(self, region: int, buckets: dict[int, list[int]]) -> None:
        for bucket in self._span(region):
            buckets.setdefault(bucket, []).append(region)

    def _span(self, region: int) -> range:
        facts = self.buffers[self.owner[region]]
        row0, row1, byte0, byte1, _ = self._rectangles[region]
        if facts.space == "hbm":
            width = max(1, facts.rows // BUCKETS)
            return range(row0 // width, (row1 - 1) // width + 1)
        width = 2048 if facts.placed else max(1, facts.row_bytes // BUCKETS)
        return range(byte0 // width, (byte1 - 1) // width + 1)

    def _meet(self, region: int, buckets: dict[int, list[int]]) -> None:
        mine = self._rectangles[region]
        near = {other for bucket in self._span(region) for other in buckets.get(bucket, ())}
        for other in sorted(near):
            if _overlap(mine, self._rectangles[other]):
                self.overlaps[region].append(other)
                self.overlaps[other].append(region)


def _rectangle(facts: BufferFacts, layout: int, offset: int) -> Rectangle:
    here = LAYOUTS[layout]
    rows, columns, step = here.extent
    row, column = divmod(offset, here.pitch)
    if column + columns > here.pitch:  # runs on into the next rows
        rows += (column + columns - 1) // here.pitch
        column, columns, step = 0, here.pitch, 1
    row += facts.base_partition
    first = column * here.itemsize
    if facts.tiles:  # logical tiles share physical ones
        number, inside = divmod(first, facts.tile_bytes)
        if inside + columns * here.itemsize <= facts.tile_bytes:
            first = facts.tiles[number] + inside
        else:
            first, columns = min(facts.tiles), (facts.end - min(facts.tiles)) // here.itemsize
    first += facts.base_byte
    return row, row + rows, first, first + columns * here.itemsize, step


def _overlap(a: Rectangle, b: Rectangle) -> bool:
    if a[0] >= b[1] or b[0] >= a[1] or a[2] >= b[3] or b[2] >= a[3]:
        return False
    return not (a[4] == b[4] > 1 and (a[0] - b[0]) % a[4])
