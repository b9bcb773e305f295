"""Sums in PSUM that take turns in one bank: warnings, as compilers refused them (SCH713)."""

from collections.abc import Iterable, Iterator

import numpy as np

from trnlab.errors import IllegalInstruction
from trnlab.machine.chip import Core
from trnlab.sim.checks.midway import ADD, START, events, kinds_of, read_midway
from trnlab.sim.program import Program
from trnlab.sim.timing.regions import Key, Rectangle, rectangle_of
from trnlab.sim.values.execute import Entry


def psum_warnings(
    program: Program, entries: Iterable[Entry], core: Core
) -> Iterator[IllegalInstruction]:
    """What the sums of a program do that compilers were seen to refuse."""
    kinds = kinds_of(program, entries)
    if (kinds == ADD).any():
        yield from (found.error(program) for found in read_midway(program, kinds))
        yield from _interleaved(program, kinds, core.psum.bank)


def _interleaved(program: Program, kinds: np.ndarray, bank: int) -> Iterator[IllegalInstruction]:
    """The first matmul on each pair of lines that goes on with a sum after another one's matmul."""
    instruction, event, operands = events(program, kinds)
    order = np.lexsort((instruction, *operands.T))
    instruction, event, operands = instruction[order], event[order], operands[order]
    same = np.append(False, (operands[1:] == operands[:-1]).all(axis=1))
    goes_on = same & (event == ADD) & (np.append(0, event[:-1]) >= START)
    if not goes_on.any() or not _neighbours(program, operands[~same]):
        return
    place = np.cumsum(~same) - 1
    keys: list[Key] = [tuple(row) for row in operands[~same].tolist()]  # type: ignore[misc]
    banks = _banks(program, keys, bank)
    if len(set(banks)) == len(banks):
        return
    chosen = np.flatnonzero(event >= START)
    home = np.array(banks)[place[chosen]]
    by_bank = chosen[np.lexsort((instruction[chosen], home))]
    mine, other = by_bank[1:], by_bank[:-1]
    homes = np.array(banks)[place[by_bank]]
    broken = (homes[1:] == homes[:-1]) & (place[mine] != place[other]) & goes_on[mine]
    lines = np.frombuffer(program.heads, np.int64)[1::3]
    seen: set[tuple[int, int]] = set()
    for one, between in zip(mine[broken].tolist(), other[broken].tolist(), strict=True):
        pair = int(lines[instruction[one]]), int(lines[instruction[between]])
        boxes = [_box(program, keys[place[at]]) for at in (one, between)]
        if pair not in seen and _beside(*boxes):
            seen.add(pair)
            yield _error(program, keys[place[one]], keys[place[between]], pair)


def _neighbours(program: Program, places: np.ndarray) -> bool:
    """Whether some tensor has several places, or the kernel chose where one lies."""
    counts = np.bincount(places[:, 0])
    return bool((counts > 1).any()) or any(program.buffers[b].placed for b in places[:, 0].tolist())


def _banks(program: Program, keys: list[Key], bank: int) -> list[int]:
    """A number for the bank of each place; tensors that the compiler places have their own."""
    numbers: dict[object, int] = {}
    found = []
    for key in keys:
        facts = program.buffers[key[0]]
        home = ("placed", facts.core) if facts.placed else key[0]
        found.append(numbers.setdefault((home, _box(program, key)[2] // bank), len(numbers)))
    return found


def _box(program: Program, key: Key) -> Rectangle:
    return rectangle_of(program.buffers[key[0]], key[1], key[2])


def _beside(one: Rectangle, other: Rectangle) -> bool:
    """Whether two places share partitions and no byte: overlapping windows are one sum."""
    return one[0] < other[1] and other[0] < one[1] and (one[2] >= other[3] or other[2] >= one[3])


def _error(program: Program, one: Key, between: Key, lines: tuple[int, int]) -> IllegalInstruction:
    names = [program.tensor(key[0]).name for key in (one, between)]
    what = names[1] if names[0] != names[1] else "another part of it"
    return IllegalInstruction(
        f"a matmul goes on with a sum in {names[0]} after one of {what} in the same PSUM bank",
        {"matmul between": str(program.place(lines[1]))},
        "one sum at a time in a PSUM bank; eight may be open, one a bank",
        program.place(lines[0]),
        "finish one sum before the next begins, or give each a tile of its own",
        "nki.isa.nc_matmul",
        "psum/sums-of-one-bank-do-not-take-turns",
    )
