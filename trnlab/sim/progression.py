"""Iterations that are written instead of run: rows that go on as those of the first ones did.

Two iterations of a loop are recorded, and how their rows differ. What is known of the loop says
that rows grow evenly but for bends at bounds and masks. Where there are none, the first iteration
and the last say all; else one near the end, if it is as far on as it should be, stands for those
before it.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from trnlab.sim.program import BufferFacts, Loop, Preset, Program

LEAST = 3  # iterations; in shorter loops there is nothing to win


class Unclear(Exception):
    """Something happened while loops were followed that is told better by running all of them."""


@dataclass(frozen=True)
class Mark:
    """How much of a program there was at one moment."""

    heads: int
    operands: int
    buffers: int
    loops: int
    costs: int
    places: int
    reduced: int
    presets: int
    others: tuple[int, ...]  # what no iteration after the first may add to

    @classmethod
    def of(cls, program: Program) -> "Mark":
        """How much there is now."""
        return cls(
            len(program.heads), len(program.operands), len(program.buffers), len(program.loops),
            len(program.costs), len(program.places), len(program.reduced), len(program.presets),
            (len(program.notes), len(program.updates), len(program.edges), len(program.instances)),
        )  # fmt: skip


def undo(program: Program, mark: Mark) -> None:
    """Takes back what was recorded since then."""
    del program.heads[mark.heads :], program.operands[mark.operands :]
    del program.buffers[mark.buffers :], program.loops[mark.loops :], program.costs[mark.costs :]
    del program.presets[mark.presets :]
    for number in [n for n in program.updates if n >= mark.costs]:
        del program.updates[number]
    if len(program.reduced) > mark.reduced:
        program.reduced = {n for n in program.reduced if 3 * n < mark.heads}
    for kept, count in ((program.places, mark.places), (program.notes, mark.others[0])):
        while len(kept) > count:
            kept.popitem()


@dataclass(frozen=True)
class Progression:
    """An iteration, and by how much the next one differs."""

    last: "_Block"
    step: np.ndarray

    @classmethod
    def found(cls, program: Program, marks: list[Mark], apart: int = 1) -> "Progression | None":
        """How the last iteration between marks differs from the one before; None if in more.

        They are so many iterations ``apart``. The first mark is where the loop began.
        """
        one, two = (_Block.of(program, a, b) for a, b in pairwise(marks[-3:]))
        same = two.start.costs == marks[-1].costs and two.start.others == marks[-1].others
        if not (same and one.like(two)):
            return None
        step = two.operands - one.operands
        earlier = (two.operands[:, 0] >= marks[0].buffers) & ~two.own
        if step[:, 1].any() or earlier.any() or (step[two.own, 0] != len(two.tensors)).any():
            return None
        if apart > 1:
            step[two.own, 0] *= apart
            step, over = np.divmod(step, apart)
            if over.any():
                return None
        return cls(two if apart == 1 else one, step)

    def predicts(self, program: Program, begin: Mark, end: Mark, ahead: int) -> bool:
        """Whether an iteration so many further on is the one recorded between two marks."""
        block, last = _Block.of(program, begin, end), self.last
        if not last.like(block) or begin.costs != end.costs or begin.others != end.others:
            return False
        expected = last.operands + ahead * self.step
        moved = begin.buffers - last.start.buffers  # it was run too early, and made its own early
        expected[last.own, 0] = last.operands[last.own, 0] + moved
        return bool((expected == block.operands).all())

    def write(self, program: Program, count: int, loop: Loop | None) -> None:
        """Records the next ``count`` iterations; ``loop`` is where they are counted."""
        last, first, numbers = self.last, Mark.of(program), np.arange(1, count + 1)
        program.heads.frombytes(np.tile(last.heads, count).tobytes())
        rows = last.operands[None] + numbers[:, None, None] * self.step[None]
        program.operands.frombytes(rows.tobytes())
        program.buffers += last.tensors * count
        heads, made = len(last.heads) // 3, len(last.tensors)
        for number in range(count):
            start, tensors = first.heads // 3 + number * heads, first.buffers + number * made
            program.loops += [inner.later(start, tensors) for inner in last.loops]
            program.presets += [preset.later(start, tensors) for preset in last.presets]
            program.reduced.update(start + n for n in last.reduced)
            if loop is not None:
                loop.starts.append(start)
                loop.tensors.append(tensors)


@dataclass(frozen=True)
class _Block:
    """What one iteration recorded; loops, presets and what reduces count from its start."""

    start: Mark
    heads: np.ndarray
    operands: np.ndarray  # rows of buffer, layout, offset
    own: np.ndarray  # which operands are tensors that the iteration made
    tensors: list[BufferFacts]
    loops: list[Loop]
    reduced: list[int]
    presets: list[Preset]

    @classmethod
    def of(cls, program: Program, begin: Mark, end: Mark) -> "_Block":
        operands = np.array(program.operands[begin.operands : end.operands], np.int64)
        operands = operands.reshape(-1, 3)
        first = begin.heads // 3
        return cls(
            begin,
            np.array(program.heads[begin.heads : end.heads], np.int64),
            operands,
            operands[:, 0] >= begin.buffers,
            program.buffers[begin.buffers : end.buffers],
            [a.later(-first, -begin.buffers) for a in program.loops[begin.loops : end.loops]],
            sorted(n - first for n in program.reduced if first <= n < end.heads // 3)
            if end.reduced > begin.reduced
            else [],
            [p.later(-first, -begin.buffers) for p in program.presets[begin.presets : end.presets]],
        )

    def like(self, other: "_Block") -> bool:
        """Whether both have the same instructions, tensors and inner loops, not looking where."""
        return (
            len(self.heads) == len(other.heads)
            and len(self.operands) == len(other.operands)
            and self.tensors == other.tensors
            and bool((self.heads == other.heads).all())
            and bool((self.own == other.own).all())
            and self.loops == other.loops
            and self.reduced == other.reduced
            and self._presets() == other._presets()
        )

    def _presets(self) -> list[tuple[Any, ...]]:
        return [(*preset[:-1], preset.values.tobytes()) for preset in self.presets]
