"""Room for tensors: how far loads can run ahead of the work that frees space."""

from bisect import insort
from heapq import heappop, heappush
from math import inf
from typing import NamedTuple

import numpy as np

from trnlab.sim.program import Program
from trnlab.sim.timing.state import Flat, Gap
from trnlab.trace import MEMORIES

IDLE = 64  # idle times of banks of PSUM that may still be filled

Returned = tuple[float, int, int]  # when, by which row, bytes


def heirs(program: Program) -> dict[int, int]:
    """Tiles that take the place of one that the instruction which makes them is the last to use.

    Engines write an element after they have read it, so that a result may lie on its operand.
    """
    first, last = program.lifetimes()
    streams = np.array(
        [c.queue in ("vector", "scalar", "gpsimd") and not c.is_transfer for c in program.costs]
    )
    numbers = np.flatnonzero(streams[program.kinds()])
    starts, counts, writes = program.spans()
    tensors = np.frombuffer(program.operands, np.int64)[::3]
    numbers = numbers[first[tensors[starts[numbers]]] == numbers]
    facts = program.tensors()
    made = tensors[starts[numbers]]
    floats = (facts.memory == MEMORIES.index("sbuf")) & ~facts.placed
    numbers, made = numbers[floats[made]], made[floats[made]]
    reads = (counts - writes)[numbers]
    which = np.repeat(np.arange(len(numbers)), reads)
    inside = np.arange(len(which)) - np.repeat(np.cumsum(reads) - reads, reads)
    sources, made = tensors[(starts + writes)[numbers][which] + inside], made[which]
    fits = last[sources] == numbers[which]
    for column in (facts.memory, facts.rows, facts.row_bytes, facts.core):
        fits &= column[sources] == column[made]
    found: dict[int, int] = {}
    given: set[int] = set()
    for tile, source in zip(made[fits].tolist(), sources[fits].tolist(), strict=True):
        if tile not in found and source not in given:
            found[tile] = source
            given.add(source)
    return found


class Rooms(NamedTuple):
    """SBUF and PSUM of every core, for tensors that the kernel did not place itself.

    A tensor takes room at its first write and gives it back after its last use; space that was
    never used goes first, then what was freed longest ago. Where a compiler chose the order, a tile
    may lie in a bank of PSUM before another that comes earlier in the program, if the time until
    then is as long as any tile of its line was held so far.
    """

    left: list[int]  # bytes a partition of each memory that nobody has used yet
    returned: list[list[Returned]]
    new: list[bool]  # of each tensor: whether it still needs room
    arrived: list[float]
    bank: int  # bytes of a bank of PSUM; 0 where banks are used in program order
    idle: list[list[Gap]]  # of each memory: from when until when a bank is free, in order
    lasted: list[float]  # of each line: how long a tile was held at most
    held: list[Gap]  # idle times that tiles took
    held_at: list[int]  # of each tensor: the first of its own


def opened(flat: Flat, bank: int) -> Rooms:
    """Empty memories."""
    banks = [room // bank if bank else 0 for room in flat.room]
    return Rooms(
        list(flat.room),
        [[(0.0, 0, 0)][:0] for _ in flat.room],
        [memory >= 0 for memory in flat.memory],
        [0.0] * len(flat.memory),
        bank,
        [[(0.0, inf, -1)] * count for count in banks],
        [inf] * len(flat.memory),
        [(0.0, 0.0, 0)][:0],
        [0] * len(flat.memory),
    )


def in_banks(rooms: Rooms, flat: Flat, buffer: int) -> bool:
    """Whether a tensor may lie where banks of PSUM are idle."""
    return rooms.bank > 0 and flat.memory[buffer] % 2 == 1


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


def take_banks(rooms: Rooms, flat: Flat, buffer: int, ready: float) -> tuple[float, int]:
    """As `take` for a tile in PSUM that is written when ``ready`` or later.

    Of the banks that are idle then it takes those that became so last, else those that do next.
    """
    rooms.new[buffer] = False
    when, row = 0.0, -1
    if flat.takes[buffer]:
        idle, held = rooms.idle[flat.memory[buffer]], rooms.held
        lasts, banks = rooms.lasted[flat.made[buffer]], flat.size[buffer] // rooms.bank
        rooms.held_at[buffer] = len(held)
        number = len(idle) - 1
        while number >= 0 and banks > 0:
            if idle[number][0] <= ready and ready + lasts <= idle[number][1]:
                held.append(idle.pop(number))
                banks -= 1
            number -= 1
        number = 0
        while number < len(idle) and banks > 0:
            if idle[number][0] > ready and idle[number][0] + lasts <= idle[number][1]:
                when, _, row = idle[number]
                held.append(idle.pop(number))
                banks -= 1
            else:
                number += 1
        for _ in range(banks):  # more tiles at once than there is room for
            held.append((0.0, 0.0, -1))
    return when, row


def give_banks(rooms: Rooms, flat: Flat, buffer: int, when: float, row: int) -> None:
    """Returns a tile's banks of PSUM after its last use, and what it left of their idle times."""
    if not flat.takes[buffer] or rooms.new[buffer]:
        return
    idle, arrived = rooms.idle[flat.memory[buffer]], rooms.arrived[buffer]
    lasted = rooms.lasted[flat.made[buffer]]
    rooms.lasted[flat.made[buffer]] = max(when - arrived, lasted if lasted < inf else 0.0)
    first = rooms.held_at[buffer]
    for number in range(first, first + flat.size[buffer] // rooms.bank):
        start, until, before = rooms.held[number]
        if start < min(arrived, until):
            insort(idle, (start, min(arrived, until), before))
        if when < until:
            insort(idle, (when, until, row))
    number = 0
    while len(idle) > IDLE:
        while idle[number][1] == inf:
            number += 1
        idle.pop(number)


def give(rooms: Rooms, flat: Flat, buffer: int, when: float, row: int) -> None:
    """Returns a tensor's room after its last use."""
    if in_banks(rooms, flat, buffer):
        give_banks(rooms, flat, buffer, when, row)
    elif flat.gives[buffer] and not rooms.new[buffer]:
        heappush(rooms.returned[flat.memory[buffer]], (when, row, flat.size[buffer]))
