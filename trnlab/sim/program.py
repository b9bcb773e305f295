"""A program as it is recorded: rows of integers, not objects.

Each instruction of a kernel adds one row: which cost it has, where in the user's source it stands,
on which core it runs, and for each operand the buffer, layout and offset that it touches.
"""

from array import array
from dataclasses import dataclass, field
from types import CodeType

from trnlab.errors import Place
from trnlab.isa.tile import Buffer
from trnlab.sim.cost import Cost


@dataclass
class Program:
    """What ran, in program order; ``rows`` is flat, each row as long as its cost says."""

    costs: list[Cost] = field(default_factory=list)
    rows: array = field(default_factory=lambda: array("q"))
    count: int = 0
    buffers: list["BufferFacts"] = field(default_factory=list)
    places: dict[tuple[CodeType, int], int] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)

    def place(self, index: int) -> Place:
        """The source line with that number."""
        code, line = list(self.places)[index]
        return Place(code.co_filename, line)


@dataclass(frozen=True)
class BufferFacts:
    """What scheduling needs to know of a buffer after it is gone."""

    name: str
    space: str  # sbuf, psum or hbm
    rows: int
    row_bytes: int
    itemsize: int
    base_partition: int
    base_byte: int
    placed: bool  # by the kernel itself
    core: int
    place: int
    tiles: tuple[int, ...] = ()  # byte of each logical tile, where the kernel placed them one by one
    tile_bytes: int = 0

    @property
    def end(self) -> int:
        """The byte a partition behind a placed tensor."""
        return max(self.tiles) + self.tile_bytes if self.tiles else self.base_byte + self.row_bytes

    @classmethod
    def of(cls, buffer: Buffer, core: int) -> "BufferFacts":
        space = buffer.space.name
        return cls(
            buffer.name,
            space if space in ("sbuf", "psum") else "hbm",
            buffer.rows,
            buffer.row_bytes,
            buffer.dtype.itemsize,
            buffer.base_partition,
            buffer.base_byte,
            buffer.address is not None,
            core,
            buffer.place,
        )
