"""Tensors that a kernel placed on top of each other: who needs what another has overwritten.

Each placed tensor has bytes of its own here, so the values would be right; on the device they are
those of whoever wrote last. Two things are errors:

- bytes are read, or added to by a matmul, after another tensor was written there;
- a tensor was written where another one lies whose other bytes are read later: the two are alive at
  the same time, and "physical tiles that must be alive simultaneously ... should be assigned unique
  addresses" (NKI direct allocation guide, 2.26).

Where data decides which bytes are touched, nothing is said.

Tensors may take turns at an address: one is alive from the write of what is read to that read. The
order of the program is what counts; the device keeps it by address (`sim.races`).
"""

from collections.abc import Iterator
from math import gcd
from typing import NamedTuple

import numpy as np

from trnlab.machine.chip import Core
from trnlab.sim.program import Program
from trnlab.sim.timing.regions import Rectangle, rectangle_of

ROWS = 32  # placed tensors usually start at a multiple of so many partitions
NOBODY = 0


class Clash(NamedTuple):
    """A read of a placed tensor after another one was written to bytes of it."""

    tensor: int
    by: int
    place: int
    overwritten: bool  # the very bytes that are read, or others of the tensor
    written: int  # where the other one was written


def clashes(program: Program, core: Core) -> Iterator[Clash]:
    """The first such read on each line, for each pair of tensors."""
    if not any(facts.placed for facts in program.buffers):
        return
    owners = _Owners(program, core)
    seen = set()
    for number, (place, adds, writes, touched) in enumerate(_accesses(program), 1):
        for access in touched if adds else touched[writes:]:
            clash = owners.clash(access, place)
            if clash and clash[:4] not in seen:
                seen.add(clash[:4])
                yield clash
        for access in touched[:writes]:
            owners.take(access, number, place)


Access = tuple[int, int, int]  # buffer, layout, offset


def _accesses(program: Program) -> Iterator[tuple[int, bool, int, list[Access]]]:
    """For each instruction its line, whether it adds, how many operands it writes, operands."""
    heads, operands = program.heads.tolist(), program.operands.tolist()
    triples = list(zip(operands[::3], operands[1::3], operands[2::3], strict=True))
    at = 0
    for kind, place in zip(heads[::3], heads[1::3], strict=True):
        cost = program.costs[kind]
        count = cost.writes + cost.reads
        if not cost.dynamic:
            yield place, cost.adds, cost.writes, triples[at : at + count]
        at += count


class _Owners:
    """Which placed tensor wrote each byte last, as its number plus one, and which instruction."""

    def __init__(self, program: Program, core: Core) -> None:
        self.facts = program.buffers
        self.unit = gcd(ROWS, *(f.base_partition for f in self.facts if f.placed))
        self.sizes = {"sbuf": core.sbuf.size, "psum": core.psum.size}
        self.lanes = core.lanes
        self.written: set[int] = set()
        self.maps: dict[tuple[str, int], tuple[np.ndarray, np.ndarray]] = {}
        self.parts: dict[Access, tuple[np.ndarray, np.ndarray] | None] = {}
        self.places: dict[int, int] = {}  # where each of these instructions stands
        self.intruders: dict[int, tuple[int, int]] = {}  # last write into a tensor: number, by
        self.met: dict[Access, list[int]] = {}
        self.corners: dict[tuple[str, int], np.ndarray] = {}

    def clash(self, access: Access, place: int) -> Clash | None:
        """What is wrong with reading these bytes, if anything.

        A tensor that was never written holds garbage anyway, which is somebody else's concern.
        """
        part = self._part(access)
        if part is None or access[0] not in self.written:
            return None
        owner, when = part
        foreign = (owner != access[0] + 1) & (owner != NOBODY)
        if foreign.any():
            first = np.unravel_index(int(foreign.argmax()), foreign.shape)
            return Clash(access[0], int(owner[first]) - 1, place, True, self.places[when[first]])
        number, by = self.intruders.get(access[0], (0, 0))
        oldest = when[when > 0].min(initial=number)
        if oldest < number:
            return Clash(access[0], by, place, False, self.places[number])
        return None

    def take(self, access: Access, number: int, place: int) -> None:
        """Notes who wrote these bytes."""
        part = self._part(access)
        if part is None:
            return
        part[0][...], part[1][...] = access[0] + 1, number
        self.places[number] = place
        self.written.add(access[0])
        for other in self._neighbours(access):
            self.intruders[other] = number, access[0]

    def _neighbours(self, access: Access) -> list[int]:
        """The other placed tensors that lie on these bytes."""
        if access not in self.met:
            mine = self.facts[access[0]]
            top, bottom, first, last, _ = rectangle_of(mine, access[1], access[2])
            index, row, after, byte, end = self._placed(mine.space, mine.core)
            near = (row < bottom) & (top < after) & (byte < last) & (first < end)
            self.met[access] = index[near & (index != access[0])].tolist()
        return self.met[access]

    def _placed(self, space: str, core: int) -> np.ndarray:
        """The placed tensors of a memory: number, first and last row and byte, as columns."""
        if (space, core) not in self.corners:
            corners = [
                (index, f.base_partition, f.base_partition + f.rows, f.base_byte, f.end)
                for index, f in enumerate(self.facts)
                if f.placed and (f.space, f.core) == (space, core)
            ]
            self.corners[space, core] = np.array(corners, np.int64).T
        return self.corners[space, core]

    def _part(self, access: Access) -> tuple[np.ndarray, np.ndarray] | None:
        if access not in self.parts:
            facts = self.facts[access[0]]
            rectangle = rectangle_of(facts, access[1], access[2])
            self.parts[access] = (
                self._cut(facts.space, facts.core, rectangle) if facts.placed else None
            )
        return self.parts[access]

    def _cut(self, space: str, core: int, rectangle: Rectangle) -> tuple[np.ndarray, np.ndarray]:
        whole = self.maps.get((space, core))
        if whole is None:
            shape = (-(-self.lanes // self.unit), self.sizes[space])
            whole = self.maps[space, core] = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
        top, bottom, first, last, _ = rectangle
        rows = slice(top // self.unit, -(-bottom // self.unit))
        return whole[0][rows, first:last], whole[1][rows, first:last]
