"""How much on-chip memory a program needs at once, in program order."""

from dataclasses import dataclass

import numpy as np

from trnlab.machine.chip import Core
from trnlab.sim.program import BufferFacts, Program


@dataclass(frozen=True)
class Need:
    """Bytes a partition: what a program needs at its fullest point, and which tensors those are."""

    space: str
    core: int
    peak: int
    usable: int
    live: tuple[BufferFacts, ...]  # at the fullest point, largest first

    @property
    def over(self) -> int:
        """Bytes a partition that do not fit."""
        return max(0, self.peak - self.usable)


def needs(program: Program, core: Core) -> list[Need]:
    """The peak of SBUF and PSUM on each core that the program uses."""
    first, last = _lifetimes(program)
    found = []
    for number in sorted({f.core for f in program.buffers} or {0}):
        for space, memory in (("sbuf", core.sbuf), ("psum", core.psum)):
            unit = memory.bank if space == "psum" else 1
            mine = [
                i
                for i, f in enumerate(program.buffers)
                if f.space == space and f.core == number and i in first
            ]
            found.append(_peak(program, mine, first, last, unit, (space, number, memory.usable)))
    return found


def _peak(
    program: Program,
    mine: list[int],
    first: dict[int, int],
    last: dict[int, int],
    unit: int,
    where: tuple[str, int, int],
) -> Need:
    space, number, usable = where
    facts = program.buffers
    placed = [i for i in mine if facts[i].placed]
    fixed = max((facts[i].end for i in placed), default=0)
    floating = [i for i in mine if not facts[i].placed]
    events = [(first[i], 1, i) for i in floating] + [(last[i] + 1, 0, i) for i in floating]
    level = peak = 0
    at = -1
    for moment, starts, i in sorted(events):
        size = -(-facts[i].row_bytes // unit) * unit
        level += size if starts else -size
        if level > peak:
            peak, at = level, moment
    live = [facts[i] for i in floating if first[i] <= at <= last[i]] + [facts[i] for i in placed]
    ordered = tuple(sorted(live, key=lambda f: -f.row_bytes))
    return Need(space, number, peak + fixed, usable, ordered)


def _lifetimes(program: Program) -> tuple[dict[int, int], dict[int, int]]:
    """First and last row of the program in which each buffer is touched."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    lengths = [3 + 3 * (c.writes + c.reads) for c in program.costs]
    rows = program.rows
    at = number = 0
    while at < len(rows):
        length = lengths[rows[at]]
        for k in range(at + 3, at + length, 3):
            first.setdefault(rows[k], number)
            last[rows[k]] = number
        at += length
        number += 1
    return first, last


def occupancy(starts: np.ndarray, stops: np.ndarray, amounts: np.ndarray) -> tuple[
    np.ndarray, np.ndarray
]:
    """A step function of time: the sum of ``amounts`` between their starts and stops."""
    times = np.concatenate([starts, stops])
    steps = np.concatenate([amounts, -amounts])
    order = np.argsort(times, kind="stable")
    times, levels = times[order], np.cumsum(steps[order])
    keep = np.append(times[1:] != times[:-1], True)
    return times[keep], np.maximum(levels[keep], 0)
