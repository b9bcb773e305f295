"""Sums in PSUM that somebody reads before the last matmul has added to them.

Compilers refused such a kernel (SCH713, ISCH714), and where it is taken the second half of the sum
adds to the first: right for running totals, wrong where the tile was meant to start anew.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from trnlab.errors import IllegalInstruction
from trnlab.sim.program import Program
from trnlab.sim.values.execute import Entry
from trnlab.trace import MEMORIES

READ, WRITE, START, ADD = 0, 1, 2, 3


class Midway(NamedTuple):
    """A matmul that adds to a sum which was read: the tensor, and both lines."""

    tensor: int
    read: int
    added: int

    def error(self, program: Program) -> IllegalInstruction:
        """The finding in the form of every error."""
        return IllegalInstruction(
            f"a matmul adds to {program.tensor(self.tensor).name} after it was read",
            {"read at": str(program.place(self.read))},
            "a sum in PSUM is read when it is complete",
            program.place(self.added),
            "accumulate=False starts anew; accumulate in SBUF what is read on the way",
            "nki.isa.nc_matmul",
            "psum/a-sum-is-read-when-it-is-complete",
        )


def kinds_of(program: Program, entries: Iterable[Entry]) -> np.ndarray:
    """What each kind of instruction does to PSUM: it starts a sum, adds to one, or just writes."""
    kinds = np.full(len(program.costs), WRITE)
    for entry in entries:
        if entry.accumulates:
            overwrites = entry.model.accumulate is False  # type: ignore[attr-defined]
            kinds[entry.number] = START if overwrites else ADD
    return kinds


def read_midway(program: Program, kinds: np.ndarray) -> Iterator[Midway]:
    """The first such matmul on each pair of lines."""
    instruction, event, places = events(program, kinds)
    order = np.lexsort((instruction, *places.T))
    event, instruction, places = event[order], instruction[order], places[order]
    same = np.append(False, (places[1:] == places[:-1]).all(axis=1))
    position = np.arange(len(event))
    wrote = np.maximum.accumulate(np.where(event != READ, position, -1))
    before = np.append(-1, wrote[:-1])  # the last write ahead of each event
    begin = np.maximum.accumulate(np.where(same, 0, position))
    after_read = same & (np.append(WRITE, event[:-1]) == READ) & (event == ADD)
    sums = (before >= begin) & (event[np.maximum(before, 0)] >= START)
    lines = np.frombuffer(program.heads, np.int64)[1::3]
    seen = set()
    for at in np.flatnonzero(after_read & sums).tolist():
        one = Midway(
            int(places[at, 0]),
            int(lines[instruction[at - 1]]),
            int(lines[instruction[at]]),
        )
        if one not in seen:
            seen.add(one)
            yield one


def events(program: Program, kinds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each access to PSUM: its instruction, what it does, and buffer, layout and offset."""
    numbers = program.kinds()
    starts, counts, writes = program.spans()
    instruction = np.repeat(np.arange(program.count), counts)
    rank = np.arange(len(instruction)) - np.repeat(starts, counts)
    places = np.frombuffer(program.operands, np.int64).reshape(-1, 3)
    psum = (program.tensors().memory == MEMORIES.index("psum"))[places[:, 0]]
    event = np.where(rank < writes[instruction], kinds[numbers[instruction]], READ)
    return instruction[psum], event[psum], places[psum]
