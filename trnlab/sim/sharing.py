"""Tensors that a kernel placed on top of each other: who reads what another has overwritten.

Each placed tensor has bytes of its own here, so the values would be right; on the device they are
those of whoever wrote last.
"""

from collections.abc import Iterator
from math import gcd
from typing import NamedTuple

import numpy as np

from trnlab.machine.chip import Core
from trnlab.sim.program import Program
from trnlab.sim.regions import Rectangle, rectangle_of

ROWS = 32  # placed tensors usually start at a multiple of so many partitions
NOBODY = 0


class Clash(NamedTuple):
    """A read of a placed tensor after another one was written to the same bytes."""

    tensor: int
    by: int
    place: int


def clashes(program: Program, core: Core) -> Iterator[Clash]:
    """The first such read on each line, for each pair of tensors."""
    if not any(facts.placed for facts in program.buffers):
        return
    owners = _Owners(program, core)
    seen = set()
    for place, writes, touched in _accesses(program):
        for access in touched[writes:]:
            other = owners.other(access)
            if other and (place, access[0], other - 1) not in seen:
                seen.add((place, access[0], other - 1))
                yield Clash(access[0], other - 1, place)
        for access in touched[:writes]:
            owners.take(access)


Access = tuple[int, int, int]  # buffer, layout, offset


def _accesses(program: Program) -> Iterator[tuple[int, int, list[Access]]]:
    """For each instruction its line, how many operands it writes, and its operands."""
    heads, operands = program.heads.tolist(), program.operands.tolist()
    triples = list(zip(operands[::3], operands[1::3], operands[2::3], strict=True))
    at = 0
    for kind, place in zip(heads[::3], heads[1::3], strict=True):
        cost = program.costs[kind]
        count = cost.writes + cost.reads
        yield place, cost.writes, triples[at : at + count]
        at += count


class _Owners:
    """Which placed tensor wrote each byte last, as its number plus one."""

    def __init__(self, program: Program, core: Core) -> None:
        self.facts = program.buffers
        self.unit = gcd(ROWS, *(f.base_partition for f in self.facts if f.placed))
        self.sizes = {"sbuf": core.sbuf.size, "psum": core.psum.size}
        self.lanes = core.lanes
        self.written: set[int] = set()
        self.maps: dict[tuple[str, int], np.ndarray] = {}
        self.parts: dict[Access, np.ndarray | None] = {}

    def other(self, access: Access) -> int:
        """Another tensor that wrote some of these bytes last, or NOBODY.

        A tensor that was never written holds garbage anyway, which is somebody else's concern.
        """
        part = self._part(access)
        if part is None or access[0] not in self.written:
            return NOBODY
        foreign = part[(part != access[0] + 1) & (part != NOBODY)]
        return int(foreign[0]) if foreign.size else NOBODY

    def take(self, access: Access) -> None:
        """Notes who wrote these bytes."""
        part = self._part(access)
        if part is not None:
            part[...] = access[0] + 1
            self.written.add(access[0])

    def _part(self, access: Access) -> np.ndarray | None:
        if access not in self.parts:
            facts = self.facts[access[0]]
            rectangle = rectangle_of(facts, access[1], access[2])
            self.parts[access] = (
                self._cut(facts.space, facts.core, rectangle) if (facts.placed) else None
            )
        return self.parts[access]

    def _cut(self, space: str, core: int, rectangle: Rectangle) -> np.ndarray:
        whole = self.maps.get((space, core))
        if whole is None:
            shape = (-(-self.lanes // self.unit), self.sizes[space])
            whole = self.maps[space, core] = np.zeros(shape, np.int32)
        top, bottom, first, last, _ = rectangle
        return whole[top // self.unit : -(-bottom // self.unit), first:last]
