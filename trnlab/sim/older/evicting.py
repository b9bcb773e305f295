"""Which tiles leave SBUF, when, and when they come back: one pass in program order.

It runs for every instruction of large programs, and like the pass of the schedule it is written
once for lists, in Python, and for arrays, where numba compiles it.
"""

from heapq import heappop, heappush
from typing import Any, NamedTuple

NEVER = 1 << 60
SAVE, RELOAD, LOAD = range(3)

Ints = Any  # a list of numbers, or an array of them
Move = tuple[int, int, int, int, int]  # before which instruction, what, to, from, because of which
Made = tuple[int, int]  # a tensor like this tile; in HBM because of which instruction, else -1


class Uses(NamedTuple):
    """A program as this pass reads it.

    ``x_at`` says where the part of ``x`` begins that belongs to one instruction.
    """

    operand_at: Ints
    written: Ints  # of each instruction: how many operands it writes
    streams: Ints  # whether a result may take the place of what it is made from
    turn: Ints  # of each instruction: how many results were stored before it
    tile: Ints  # of each operand
    later: Ints  # of each operand: the next instruction that uses its tile
    first: Ints  # of each tile: the first instruction that uses it
    counts: Ints  # whether it takes room that can be given to others
    size: Ints
    core: Ints
    load: Ints  # the instruction that loads it, -1 for none
    stays: Ints  # whether it never makes way
    near: Ints  # whether it stays while what uses it is at hand: this result and the one before it
    saved_at: Ints
    saved: Ints  # tiles that are stored after an instruction
    leaving_at: Ints
    leaving: Ints  # and those that leave then
    ending_at: Ints
    ending: Ints  # and those that nobody uses any longer


class Sbuf(NamedTuple):
    """What SBUF holds at one moment, and how that came to be."""

    now: list[int]  # of each tile: the tensor that holds its bytes
    live: list[bool]
    away: list[bool]  # not in SBUF, but needed again
    home: list[int]  # its copy in HBM that is still good, -1 for none
    used: list[int]  # by which instruction last
    came: list[int]  # the how-many-eth it was
    arrivals: list[int]
    taken: list[int]  # of each core
    waiting: list[list[tuple[int, int, int]]]  # of each core: minus next use, arrival, tile
    moves: list[Move]
    made: list[Made]


def empty(tiles: int, cores: int) -> Sbuf:
    """Nothing was touched yet."""
    zeros, no, none = [0] * tiles, [False] * tiles, [-1] * tiles
    return Sbuf(
        list(range(tiles)), no, no[:], none, zeros, zeros[:], [0][:0], [0] * cores,
        [[(0, 0, 0)][:0] for _ in range(cores)], [(0, 0, 0, 0, 0)][:0], [(0, 0)][:0],
    )  # fmt: skip


def evicted(
    uses: Uses, cores: int, room: int, enough: bool
) -> tuple[list[int], list[Move], list[Made]]:
    """The tensor of each operand, the moves to add, and the tensors that those make.

    Whoever is needed last makes way when there is no room, unless it is ``enough`` that tiles leave
    together.
    """
    sbuf = empty(len(uses.first), cores)
    names = [0][:0]
    for number in range(len(uses.written)):
        start, end = uses.operand_at[number], uses.operand_at[number + 1]
        middle = start + uses.written[number]
        for tile in uses.tile[middle:end]:
            present(uses, sbuf, tile, number, room, enough)
        if uses.streams[number]:
            end_uses(uses, sbuf, number)
        for tile in uses.tile[start:middle]:
            present(uses, sbuf, tile, number, room, enough)
            sbuf.home[tile] = -1
        for row in range(start, end):
            tile = uses.tile[row]
            names.append(sbuf.now[tile])
            sbuf.used[tile] = number
            if sbuf.live[tile] and uses.later[row] < NEVER and not uses.stays[tile]:
                wait = -uses.later[row], sbuf.came[tile], tile
                heappush(sbuf.waiting[uses.core[tile]], wait)
        leave_together(uses, sbuf, number)
        if not uses.streams[number]:
            end_uses(uses, sbuf, number)
    return names, sbuf.moves, sbuf.made


def present(uses: Uses, sbuf: Sbuf, tile: int, number: int, room: int, enough: bool) -> None:
    """Sees to it that an operand is in SBUF."""
    if sbuf.away[tile]:
        sbuf.away[tile] = False
        sbuf.now[tile] = make(uses, sbuf, tile, -1)
        begin(uses, sbuf, tile, number, room, enough)
        if sbuf.home[tile] >= 0:
            sbuf.moves.append((number, RELOAD, sbuf.now[tile], sbuf.home[tile], number))
        else:
            sbuf.moves.append((number, LOAD, sbuf.now[tile], uses.load[tile], number))
    elif uses.first[tile] == number and uses.counts[tile] and not sbuf.live[tile]:
        begin(uses, sbuf, tile, number, room, enough)


def make(uses: Uses, sbuf: Sbuf, tile: int, number: int) -> int:
    """The number of one tensor more."""
    sbuf.made.append((tile, number))
    return len(uses.first) + len(sbuf.made) - 1


def begin(uses: Uses, sbuf: Sbuf, tile: int, number: int, room: int, enough: bool) -> None:
    """A tile takes room; what is needed last makes way."""
    core = uses.core[tile]
    sbuf.taken[core] += uses.size[tile]
    sbuf.live[tile] = True
    sbuf.came[tile] = len(sbuf.arrivals)
    sbuf.arrivals.append(tile)
    while not enough and sbuf.taken[core] > room:
        if not evict(uses, sbuf, core, number):
            break


def drop(uses: Uses, sbuf: Sbuf, tile: int) -> None:
    """A tile gives its room back."""
    if sbuf.live[tile]:
        sbuf.live[tile] = False
        sbuf.taken[uses.core[tile]] -= uses.size[tile]


def evict(uses: Uses, sbuf: Sbuf, core: int, number: int) -> bool:
    """Moves the tile that is needed last out of SBUF; False where there is none.

    Of those that are needed at the same time the one goes that came first. Who is used by this
    instruction does not wait for a later one.
    """
    waiting, found = sbuf.waiting[core], -1
    at_hand = [(0, 0, 0)][:0]
    while found < 0 and len(waiting) > 0:
        when, came, tile = heappop(waiting)
        if -when > number and sbuf.live[tile] and sbuf.came[tile] == came:
            if is_at_hand(uses, sbuf, tile, number, -when):
                at_hand.append((when, came, tile))
            else:
                found = tile
    for wait in at_hand:
        heappush(waiting, wait)
    if found < 0:
        return False
    if sbuf.home[found] < 0 and uses.load[found] < 0:
        save(uses, sbuf, found, number, number)
    sbuf.away[found] = True
    drop(uses, sbuf, found)
    return True


def is_at_hand(uses: Uses, sbuf: Sbuf, tile: int, number: int, later: int) -> bool:
    """Whether the result that an instruction belongs to, or the one before it, needs a tile."""
    turn = uses.turn[number]
    return uses.near[tile] and (uses.turn[later] == turn or uses.turn[sbuf.used[tile]] >= turn - 1)


def save(uses: Uses, sbuf: Sbuf, tile: int, before: int, number: int) -> None:
    """Stores a tile in HBM."""
    sbuf.home[tile] = make(uses, sbuf, tile, number)
    sbuf.moves.append((before, SAVE, sbuf.home[tile], sbuf.now[tile], number))


def leave_together(uses: Uses, sbuf: Sbuf, number: int) -> None:
    """Tiles of one line that are stored, or leave, after an instruction."""
    for tile in uses.saved[uses.saved_at[number] : uses.saved_at[number + 1]]:
        save(uses, sbuf, tile, number + 1, number)
    for tile in uses.leaving[uses.leaving_at[number] : uses.leaving_at[number + 1]]:
        drop(uses, sbuf, tile)
        sbuf.away[tile] = True


def end_uses(uses: Uses, sbuf: Sbuf, number: int) -> None:
    """Tiles that an instruction is the last to use give their room back."""
    for tile in uses.ending[uses.ending_at[number] : uses.ending_at[number + 1]]:
        drop(uses, sbuf, tile)
        sbuf.away[tile] = False
