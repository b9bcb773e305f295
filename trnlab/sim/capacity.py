"""How much on-chip memory a program needs at once, in program order."""

from dataclasses import dataclass

import numpy as np

from trnlab.errors import OutOfMemory, Place
from trnlab.isa.tile import Buffer
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


PSUM_ALIGN = 4  # bytes, in the older API


def misplaced(made: Buffer, unit: int, place: Place) -> OutOfMemory:
    """What is said of a tensor that a kernel puts where PSUM tensors cannot start."""
    return OutOfMemory(
        f"{made.name} starts at byte {made.base_byte:,} of its partition in psum",
        {"tensor": f"{made.space.name} {made.dtype} {list(made.shape)}"},
        f"a multiple of {unit:,} bytes",
        place,
        "move it to the start of a bank",
        "nki.language.ndarray",
        "ndarray/psum-tensors-start-at-a-bank",
    )


def needs(program: Program, core: Core) -> list[Need]:
    """The peak of SBUF and PSUM on each core that the program uses."""
    first, last = program.lifetimes()
    homes: dict[tuple[str, int], list[int]] = {
        (space, number): []
        for number in sorted({f.core for f in program.buffers} or {0})
        for space in ("sbuf", "psum")
    }
    for index, facts in enumerate(program.buffers):
        if facts.space in ("sbuf", "psum") and first[index] >= 0:
            homes[facts.space, facts.core].append(index)
    return [
        _peak(program, where, np.array(mine, int), first, last, core)
        for where, mine in homes.items()
    ]


def _peak(
    program: Program,
    where: tuple[str, int],
    mine: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    core: Core,
) -> Need:
    space, number = where
    memory = core.sbuf if space == "sbuf" else core.psum
    unit = memory.bank if space == "psum" else 1
    facts = program.buffers
    placed = [i for i in mine.tolist() if facts[i].placed]
    fixed = max((facts[i].end for i in placed), default=0)
    floating = np.array([i for i in mine.tolist() if not facts[i].placed], int)
    sizes = np.array([_room(facts[i], unit) for i in floating.tolist()], int)
    level, at = _fullest(first[floating], last[floating], sizes)
    live = [facts[i] for i in floating.tolist() if first[i] <= at <= last[i]]
    live += [facts[i] for i in placed]
    ordered = tuple(sorted(live, key=lambda f: -f.row_bytes))
    return Need(space, number, level + fixed, memory.usable, ordered)


def _room(facts: BufferFacts, unit: int) -> int:
    """Bytes a partition that a tensor takes at least.

    In SBUF low tensors can lie beside each other: those of 64 partitions in pairs, those of 32 in
    fours. Where they start is the compiler's choice, so that only what can never fit is too much.
    """
    if facts.space != "sbuf":
        return -(-facts.row_bytes // unit) * unit
    share = next((n for low, n in ((32, 4), (64, 2)) if facts.rows <= low), 1)
    return -(-facts.row_bytes // share)


def _fullest(first: np.ndarray, last: np.ndarray, sizes: np.ndarray) -> tuple[int, int]:
    """The largest sum of sizes that are alive at once, and an instruction where it is reached."""
    if not len(sizes):
        return 0, -1
    moments = np.concatenate([last + 1, first])  # what dies makes room for what is born
    steps = np.concatenate([-sizes, sizes])
    order = np.argsort(moments, kind="stable")
    levels = np.cumsum(steps[order])
    top = int(np.argmax(levels))
    return int(levels[top]), int(moments[order][top])


def occupancy(
    starts: np.ndarray, stops: np.ndarray, amounts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A step function of time: the sum of ``amounts`` between their starts and stops."""
    times = np.concatenate([starts, stops])
    steps = np.concatenate([amounts, -amounts])
    order = np.argsort(times, kind="stable")
    times, levels = times[order], np.cumsum(steps[order])
    keep = np.append(times[1:] != times[:-1], True)
    return times[keep], np.maximum(levels[keep], 0)
