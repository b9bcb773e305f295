"""A program as it is recorded: numbers in flat arrays, not objects.

Each instruction adds a head (which cost it has, where in the user's source it stands, on which core
it runs) and, for each operand, the buffer, layout and offset that it touches: written ones first.
"""

from array import array
from bisect import bisect_right
from dataclasses import dataclass, field
from types import CodeType
from typing import NamedTuple

import numpy as np

from trnlab.errors import Place
from trnlab.isa.tile import LAYOUTS
from trnlab.sim.timing.cost import Cost
from trnlab.trace import MEMORIES


def layout_bytes(numbers: np.ndarray) -> np.ndarray:
    """How many bytes accesses with these layouts touch."""
    used, which = np.unique(numbers, return_inverse=True)
    sizes = [LAYOUTS[n].size * LAYOUTS[n].itemsize for n in used.tolist()]
    return np.array(sizes, np.int64)[which]


class BufferFacts(NamedTuple):
    """What scheduling needs to know of a buffer after it is gone.

    Those that differ by nothing, as in the iterations of a loop, are one object.
    """

    name: str  # empty where the kernel gave none
    space: str  # sbuf, psum or hbm
    rows: int
    row_bytes: int
    core: int
    place: int
    base_partition: int = 0
    base_byte: int = 0
    placed: bool = False  # by the kernel itself

    @property
    def end(self) -> int:
        """The byte a partition behind a placed tensor."""
        return self.base_byte + self.row_bytes


class Preset(NamedTuple):
    """Bytes that a tile holds without an instruction, and how many instructions came before."""

    row: int
    tensor: int
    layout: int
    offset: int
    values: np.ndarray

    def later(self, instructions: int, tensors: int) -> "Preset":
        """The same of another tensor, made after so many more instructions and tensors."""
        return self._replace(row=self.row + instructions, tensor=self.tensor + tensors)


class Tensors(NamedTuple):
    """The same of all buffers of a program, as columns."""

    memory: np.ndarray  # index in MEMORIES; -1 for HBM
    rows: np.ndarray
    row_bytes: np.ndarray
    core: np.ndarray
    place: np.ndarray
    base_partition: np.ndarray
    base_byte: np.ndarray
    placed: np.ndarray


def _columns(buffers: list[BufferFacts]) -> Tensors:
    objects = np.fromiter(map(id, buffers), np.int64, len(buffers))
    _, first, which = np.unique(objects, return_index=True, return_inverse=True)
    spaces = {space: number for number, space in enumerate(MEMORIES)}
    rows = [(spaces.get(f[1], -1), *f[2:]) for f in map(buffers.__getitem__, first.tolist())]
    columns = np.array(rows, np.int64).reshape(-1, len(Tensors._fields))[which].T.copy()
    return Tensors(*columns)._replace(placed=columns[-1].astype(bool))


@dataclass
class Loop:
    """One run of a loop: where each iteration begins, and last where the loop ends.

    ``starts`` counts instructions, ``tensors`` those that were made before.
    """

    place: int
    parallel: bool
    starts: list[int] = field(default_factory=list)
    tensors: list[int] = field(default_factory=list)

    def later(self, instructions: int, tensors: int) -> "Loop":
        """The same loop where it is run again after so many instructions and tensors."""
        return Loop(
            self.place,
            self.parallel,
            [n + instructions for n in self.starts],
            [n + tensors for n in self.tensors],
        )


@dataclass
class Program:
    """What ran, in program order."""

    costs: list[Cost] = field(default_factory=list)
    heads: array = field(default_factory=lambda: array("q"))  # cost, place, core
    operands: array = field(default_factory=lambda: array("q"))  # buffer, layout, offset
    buffers: list[BufferFacts] = field(default_factory=list)
    places: dict[tuple[CodeType, int], int] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    loops: list[Loop] = field(default_factory=list)
    presets: list[Preset] = field(default_factory=list)  # where they are computed later
    updates: dict[int, tuple[str, bool]] = field(default_factory=dict)  # by cost: sim.loops
    reduced: set[int] = field(default_factory=set)  # instructions that reduce over a loop
    edges: dict[int, list[int]] = field(default_factory=dict)  # who else an instruction waits for
    instances: list[int] = field(default_factory=list)  # of a grid: first instruction of each
    # for how many of which buffers `tensors` were found; programs that share those share these
    known: tuple[list[BufferFacts], int, Tensors] | None = field(
        default=None, repr=False, compare=False
    )

    @property
    def count(self) -> int:
        """Instructions."""
        return len(self.heads) // 3

    def place(self, index: int) -> Place:
        """The source line with that number."""
        code, line = list(self.places)[index]
        return Place(code.co_filename, line)

    def tensor(self, number: int) -> BufferFacts:
        """The buffer with that number, with the name that it goes by."""
        facts = self.buffers[number]
        return facts if facts.name else BufferFacts(f"t{number}", *facts[1:])

    def tensors(self) -> Tensors:
        """What is known of every buffer."""
        known = self.known
        if known is None or known[0] is not self.buffers or known[1] != len(self.buffers):
            known = self.known = self.buffers, len(self.buffers), _columns(self.buffers)
        return known[2]

    def crosses_loops(self, earlier: int, later: int) -> bool:
        """Whether an instruction stands in an iteration that a later one is not in."""
        turns = ((bisect_right(loop.starts, n) for n in (earlier, later)) for loop in self.loops)
        return any(0 < first != second for first, second in turns)

    def kinds(self) -> np.ndarray:
        """The cost of each instruction, as an index."""
        return np.frombuffer(self.heads, np.int64)[::3]

    def threads(self) -> np.ndarray:
        """For each instruction which core runs it or, in a grid, which instance it belongs to."""
        if self.instances:
            return np.searchsorted(self.instances, np.arange(self.count), "right") - 1
        return np.frombuffer(self.heads, np.int64)[2::3]

    def spans(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each instruction where its operands begin, how many it has, how many it writes."""
        writes = np.array([c.writes for c in self.costs], np.int64)
        counts = writes + np.array([c.reads for c in self.costs], np.int64)
        writes, counts = writes[self.kinds()], counts[self.kinds()]
        return np.cumsum(counts) - counts, counts, writes

    def accesses(self) -> tuple[np.ndarray, np.ndarray]:
        """For each operand its instruction, and whether it is written."""
        starts, counts, writes = self.spans()
        number = np.repeat(np.arange(self.count), counts)
        return number, np.arange(len(number)) - starts[number] < writes[number]

    def written(self, before: int | None = None) -> set[int]:
        """The buffers that some instruction writes, of all or of those before one."""
        buffers = np.frombuffer(self.operands, np.int64)[::3]
        instruction, writes = self.accesses()
        if before is not None:
            writes &= instruction < before
        return set(np.unique(buffers[writes]).tolist())

    def first_write(self, buffer: int) -> int:
        """The line, by number, of the first instruction that writes a buffer."""
        instruction, writes = self.accesses()
        mine = writes & (np.frombuffer(self.operands, np.int64)[::3] == buffer)
        return self.heads[3 * int(instruction[mine.argmax()]) + 1]

    def lifetimes(self) -> tuple[np.ndarray, np.ndarray]:
        """First and last instruction that touches each buffer; -1 for a buffer never touched."""
        first = np.full(len(self.buffers), -1)
        last = np.full(len(self.buffers), -1)
        if self.count:
            instruction = np.repeat(np.arange(self.count), self.spans()[1])
            touched = np.frombuffer(self.operands, np.int64)[::3]
            last[touched] = instruction
            first[touched[::-1]] = instruction[::-1]
        return first, last
