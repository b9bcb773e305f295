"""Loops that the older compiler makes one: the second uses tiles that the first has made.

Two parallel loops with the same number of iterations become one loop that does what both do, if
every iteration of the second uses only what earlier iterations of the first, or the same, have
made. So tiles that would lie between them for a long time are used at once.
"""

from array import array
from bisect import bisect_left
from dataclasses import dataclass, replace
from itertools import pairwise, starmap

import numpy as np

from trnlab.sim.program import Loop, Program


def fused(program: Program) -> Program:
    """The program in the order of its fused loops; the same where no two belong together."""
    if program.edges or len(program.instances) > 1:
        return program
    pairs = list(_neighbours(program.loops))
    return _Fusing(program).run(pairs) if pairs else program


def _neighbours(loops: list[Loop]) -> list[tuple[int, int]]:
    """Parallel loops of equal length that follow each other in one iteration of what is around."""
    ended: dict[int, list[int]] = {}
    parents: list[Loop | None] = []
    around: list[Loop] = []
    found = []
    for number, loop in enumerate(loops):
        while around and around[-1].starts[-1] <= loop.starts[0]:
            around.pop()
        parent = around[-1] if around else None
        parents.append(parent)
        around.append(loop)
        for other in ended.get(loop.starts[0], ()):
            same = parents[other] is parent and _match(loops[other], loop)
            if same and (parent is None or loop.starts[0] not in parent.starts):
                found.append((other, number))
        if loop.starts[-1] > loop.starts[0]:
            ended.setdefault(loop.starts[-1], []).append(number)
    return found


@dataclass(frozen=True)
class _Part:
    """Instructions of one iteration in a row: an inner loop, or what lies between two."""

    span: range
    loop: int | None = None


class _Fusing:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.starts, counts, _ = program.spans()
        self.ends = self.starts + counts
        self.table = np.frombuffer(program.operands, np.int64).reshape(-1, 3)
        self.written = program.accesses()[1]
        self.begins = [loop.starts[0] for loop in program.loops]

    def run(self, pairs: list[tuple[int, int]]) -> Program:
        """The program with these pairs of loops fused, where that is right and of use."""
        order, loops, until = list(range(self.program.count)), self.program.loops, 0
        for one, two in pairs:
            start, stop = loops[one].starts[0], loops[two].starts[-1]
            if start >= until and self._belong(loops[one], loops[two]):
                order[start:stop] = self._joined(one, two)
                until = stop
        return self._in_order(np.array(order)) if until else self.program

    def _parts(self, number: int, span: range) -> list[_Part]:
        """An iteration of a loop in parts."""
        parts, at = [], span.start
        inner = max(number + 1, bisect_left(self.begins, at))
        while inner < len(self.begins) and self.begins[inner] < span.stop:
            child = self.program.loops[inner]
            if child.starts[0] >= at and child.starts[-1] > child.starts[0]:
                parts.append(_Part(range(at, child.starts[0])))
                at = child.starts[-1]
                parts.append(_Part(range(child.starts[0], at), inner))
            inner += 1
        parts.append(_Part(range(at, span.stop)))
        return [part for part in parts if len(part.span)]

    def _touched(self, span: range) -> tuple[set[int], set[int]]:
        """What instructions write, and what they read."""
        if not span:
            return set(), set()
        rows = slice(self.starts[span.start], self.ends[span.stop - 1])
        tensors, written = self.table[rows, 0], self.written[rows]
        return set(tensors[written].tolist()), set(tensors[~written].tolist())

    def _belong(self, first: Loop, second: Loop) -> bool:
        return self._uses(first, second) and self._may_join(first, second)

    def _uses(self, first: Loop, second: Loop) -> bool:
        """Whether a loop uses tiles on chip that the one before it has made."""
        made = self._touched(range(first.starts[0], first.starts[-1]))[0]
        used = self._touched(range(second.starts[0], second.starts[-1]))[1]
        return any(self.program.buffers[b].space != "hbm" for b in made & used)

    def _may_join(self, first: Loop, second: Loop) -> bool:
        """Whether no iteration of the second has to wait for a later one of the first."""
        wrote: dict[int, int] = {}  # the last iteration that did
        read: dict[int, int] = {}
        for turn, span in enumerate(_turns(first)):
            writes, reads = self._touched(span)
            wrote.update(dict.fromkeys(writes, turn))
            read.update(dict.fromkeys(reads, turn))
        for turn, span in enumerate(_turns(second)):
            writes, reads = self._touched(span)
            if any(wrote.get(b, 0) > turn for b in writes | reads):
                return False
            if any(read.get(b, 0) > turn for b in writes):
                return False
        return True

    def _joined(self, first: int, second: int) -> list[int]:
        loops = self.program.loops
        return [
            n
            for one, two in zip(_turns(loops[first]), _turns(loops[second]), strict=True)
            for n in self._arranged(self._parts(first, one), self._parts(second, two))
        ]

    def _arranged(self, one: list[_Part], two: list[_Part]) -> list[int]:
        """One iteration of both loops; loops inside of it are fused as well where they can be."""
        last, loops = one[-1].loop if one else None, self.program.loops
        for at, part in enumerate(two):
            if last is None or part.loop is None or not _match(loops[last], loops[part.loop]):
                continue
            before = range(two[0].span.start, part.span.start)
            if self._free(one[-1].span, before) and self._belong(loops[last], loops[part.loop]):
                joined = self._joined(last, part.loop)
                return [*_numbers(one[:-1]), *before, *joined, *_numbers(two[at + 1 :])]
        return [*_numbers(one), *_numbers(two)]

    def _free(self, loop: range, after: range) -> bool:
        """Whether what follows a loop could as well go before it."""
        writes, reads = self._touched(loop)
        later_writes, later_reads = self._touched(after)
        return not (writes & (later_writes | later_reads) or reads & later_writes)

    def _in_order(self, order: np.ndarray) -> Program:
        lengths = (self.ends - self.starts)[order]
        inside = np.arange(len(self.table)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        rows = np.repeat(self.starts[order], lengths) + inside
        heads = np.frombuffer(self.program.heads, np.int64).reshape(-1, 3)[order]
        return replace(
            self.program,
            heads=array("q", heads.tobytes()),
            operands=array("q", self.table[rows].tobytes()),
            loops=[],
            reduced=set(),
        )


def _turns(loop: Loop) -> list[range]:
    """The instructions of each iteration."""
    return list(starmap(range, pairwise(loop.starts)))


def _match(one: Loop, other: Loop) -> bool:
    """Whether two loops could be one."""
    return one.parallel and other.parallel and len(one.starts) == len(other.starts) > 2


def _numbers(parts: list[_Part]) -> range:
    return range(parts[0].span.start, parts[-1].span.stop) if parts else range(0)
