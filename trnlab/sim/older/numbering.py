"""Which tiles hold the same, and what is still needed once those are made once.

Two passes over a program, written once for lists, in Python, and for arrays, where numba compiles
them, as that of the schedule is.
"""

from typing import Any, NamedTuple

Ints = Any  # a list of numbers, or an array of them


class Making(NamedTuple):
    """How a program makes its tiles."""

    operand_at: Ints  # of each instruction: its first operand, and at the end how many there are
    written: Ints  # of each instruction: how many operands it writes
    does: Ints  # what, where it matters on which line, and on which core; -1 for what nobody knows
    plain: Ints  # whether operands say all that it does
    copies: Ints
    spreads: Ints  # whether it is about one partition for all others, and done for each use
    tile: Ints  # of each operand
    access: Ints  # of each operand: which part of the tile
    clean: Ints  # of each tile: whether it is filled first and only read afterwards
    filled: Ints  # of each tile: the last instruction that writes it


class Known(NamedTuple):
    """The numbers of what was made so far: all of them are different."""

    inputs: dict[tuple[int, int, int], int]  # what is done with what, and one operand more
    results: dict[tuple[int, int, int], int]  # that, which destination, which part of a tile
    several: dict[tuple[int, int], int]  # tiles that more than one instruction fills


def nothing() -> Known:
    """Nothing was made yet."""
    inputs, results, several = {(0, 0, 0): 0}, {(0, 0, 0): 0}, {(0, 0): 0}
    inputs.clear()
    results.clear()
    several.clear()
    return Known(inputs, results, several)


def number(known: Known) -> int:
    """A number that nothing has yet."""
    return len(known.inputs) + len(known.results) + len(known.several)


def numbered(making: Making) -> tuple[list[int], list[bool]]:
    """For every tile a number that tiles with the same contents share, and whether it is plain."""
    tiles, known = len(making.clean), nothing()
    values = [-1 - tile for tile in range(tiles)]  # different from all others
    plain, unfinished = [True] * tiles, [-1] * tiles
    fresh = -1 - tiles
    for at in range(len(making.written)):
        start, source = making.operand_at[at], -1
        middle = start + making.written[at]
        unknown = making.does[at] < 0 or making.spreads[at]
        for row in range(start, middle):
            tile = making.tile[row]
            if unknown or not making.clean[tile]:
                fresh -= 1
                values[tile] = fresh
                continue
            if source == -1:
                source = made_from(making, known, values, at)
            plain[tile] &= making.plain[at]
            key = source, row - middle, making.access[row]
            part, before = known.results.setdefault(key, number(known)), unfinished[tile]
            if before >= 0:
                part = known.several.setdefault((before, part), number(known))
            if making.filled[tile] != at:
                unfinished[tile] = part
                continue
            unfinished[tile] = -1
            if before < 0 and making.copies[at] and making.access[middle] == making.access[row]:
                values[tile] = values[making.tile[middle]]  # the same bytes in the same places
            else:
                values[tile] = part
    return values, plain


def made_from(making: Making, known: Known, values: list[int], at: int) -> int:
    """A number for what an instruction does with what it reads."""
    start, end = making.operand_at[at] + making.written[at], making.operand_at[at + 1]
    found = -2 - making.does[at]
    for row in range(start, end):
        key = found, values[making.tile[row]], making.access[row]
        found = known.inputs.setdefault(key, number(known))
    return found


def needed(
    operand_at: Ints, written: Ints, tile: Ints, stands: Ints, optional: Ints
) -> tuple[list[bool], list[int]]:
    """Whether each instruction still makes what somebody reads; the last reader of each tile.

    ``stands`` names the tile that stands for each; what is not ``optional`` is needed anyway.
    """
    kept, last = [True] * len(written), [-1] * len(stands)
    for at in range(len(written) - 1, -1, -1):
        start, end = operand_at[at], operand_at[at + 1]
        middle = start + written[at]
        used = middle == start
        for made in tile[start:middle]:
            used |= stands[made] == made and (last[made] >= 0 or not optional[made])
        kept[at] = used
        if used:
            for read in tile[middle:end]:
                if last[stands[read]] < 0:
                    last[stands[read]] = at
    return kept, last
