"""Room for tensors: how far loads can run ahead of the work that frees space."""

from heapq import heappop, heappush
from typing import NamedTuple

from trnlab.sim.program import Program
from trnlab.sim.state import Flat

Returned = tuple[float, int, int]  # when, by which row, bytes


def heirs(program: Program) -> dict[int, int]:
    """Tiles that take the place of one that the instruction which makes them is the last to use.

    Engines write an element after they have read it, so that a result may lie on its operand.
    """
    first, last = program.lifetimes()
    found: dict[int, int] = {}
    given: set[int] = set()
    at = 0
    for number, kind in enumerate(program.kinds().tolist()):
        cost = program.costs[kind]
        middle, end = at + cost.writes, at + cost.writes + cost.reads
        if cost.queue in ("vector", "scalar", "gpsimd") and not cost.is_transfer:
            made = program.operands[3 * at]
            facts = program.buffers[made]
            if first[made] == number and facts.space == "sbuf" and not facts.placed:
                for source in program.operands[3 * middle : 3 * end : 3]:
                    alike = program.buffers[source][1:5] == facts[1:5]  # space, size, core
                    if last[source] == number and alike and source not in given:
                        found[made] = source
                        given.add(source)
                        break
        at = end
    return found


class Rooms(NamedTuple):
    """SBUF and PSUM of every core, for tensors that the kernel did not place itself.

    A tensor takes room at its first write and gives it back after its last use; space that was
    never used goes first, then what was freed longest ago.
    """

    left: list[int]  # bytes a partition of each memory that nobody has used yet
    returned: list[list[Returned]]
    new: list[bool]  # of each tensor: whether it still needs room
    arrived: list[float]


def opened(flat: Flat) -> Rooms:
    """Empty memories."""
    return Rooms(
        list(flat.room),
        [[(0.0, 0, 0)][:0] for _ in flat.room],
        [memory >= 0 for memory in flat.memory],
        [0.0] * len(flat.memory),
    )


def take(rooms: Rooms, flat: Flat, buffer: int) -> tuple[float, int]:
    """Reserves room for a tensor: from when on there is some, and the row that freed it."""
    rooms.new[buffer] = False
    when, row = 0.0, -1
    if flat.takes[buffer]:
        memory = flat.memory[buffer]
        returned = rooms.returned[memory]
        left = rooms.left[memory] - flat.size[buffer]
        while left < 0 and len(returned) > 0:
            when, row, freed = heappop(returned)
            left += freed
        if row >= 0 and left > 0:  # what is over is not free any earlier
            heappush(returned, (when, row, left))
            left = 0
        rooms.left[memory] = left
    return when, row


def give(rooms: Rooms, flat: Flat, buffer: int, when: float, row: int) -> None:
    """Returns a tensor's room after its last use."""
    if flat.gives[buffer] and not rooms.new[buffer]:
        heappush(rooms.returned[flat.memory[buffer]], (when, row, flat.size[buffer]))
