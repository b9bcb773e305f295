"""How much on-chip memory a program needs at once, in program order."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from trnlab.errors import OutOfMemory, Place
from trnlab.isa.tile import Buffer
from trnlab.machine.chip import Core
from trnlab.sim.program import Program, Tensors
from trnlab.trace import MEMORIES

Lives = tuple[np.ndarray, np.ndarray]  # of each tensor: first and last instruction


@dataclass(frozen=True)
class Need:
    """Bytes a partition: what a program needs at its fullest point, and which tensors those are."""

    space: str
    core: int
    peak: int
    usable: int
    live: tuple[int, ...]  # tensors at the fullest point, largest first

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


def needs(program: Program, core: Core, heirs: Iterable[int] = ()) -> list[Need]:
    """The peak of SBUF and PSUM on each core that the program uses.

    ``heirs`` lie where the operand lay that they are made from.
    """
    if not program.buffers:
        return [Need(space, 0, 0, size, ()) for space, size in _sizes(core)]
    table, lives = program.tensors(), program.lifetimes()
    lives[0][list(heirs)] += 1
    return [
        _peak(space, number, size, table, lives, core)
        for number in np.unique(table.core).tolist()
        for space, size in _sizes(core)
    ]


def _sizes(core: Core) -> tuple[tuple[str, int], tuple[str, int]]:
    return ("sbuf", core.sbuf.usable), ("psum", core.psum.usable)


def _peak(space: str, number: int, usable: int, table: Tensors, lives: Lives, core: Core) -> Need:
    used = (table.memory == MEMORIES.index(space)) & (table.core == number) & (lives[0] >= 0)
    placed = np.flatnonzero(used & table.placed)
    fixed = int((table.base_byte + table.row_bytes)[placed].max(initial=0))
    floating = np.flatnonzero(used & ~table.placed)
    first, last = lives[0][floating], lives[1][floating]
    sizes = room_of(space, table.rows[floating], table.row_bytes[floating], core)
    level, at = fullest(first, last, sizes)
    live = np.append(floating[(first <= at) & (at <= last)], placed)
    ordered = live[np.argsort(-table.row_bytes[live], kind="stable")]
    return Need(space, number, level + fixed, usable, tuple(ordered.tolist()))


def room_of(space: str, rows: np.ndarray, row_bytes: np.ndarray, core: Core) -> np.ndarray:
    """Bytes a partition that tensors take at least.

    In SBUF low tensors can lie beside each other: those of 64 partitions in pairs, those of 32 in
    fours. Where they start is the compiler's choice, so that only what can never fit is too much.
    """
    if space == "psum":
        return -(-row_bytes // core.psum.bank) * core.psum.bank
    share = np.where(rows <= 32, 4, np.where(rows <= 64, 2, 1))
    return -(-row_bytes // share)


def fullest(first: np.ndarray, last: np.ndarray, sizes: np.ndarray) -> tuple[int, int]:
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
