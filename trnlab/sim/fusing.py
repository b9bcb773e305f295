"""Loops that the older compiler makes one: the second uses tiles that the first has made.

Two parallel loops with the same number of iterations become one loop that does what both do, if
every iteration of the second uses only what earlier iterations of the first, or the same, have
made. So tiles that would lie between them for a long time are used at once.
"""

from array import array
from dataclasses import dataclass, replace

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
            alike = loop.parallel and loops[other].parallel
            alike = alike and len(loops[other].starts) == len(loop.starts) > 2
            same = parents[other] is parent
            if alike and same and (parent is None or loop.starts[0] not in parent.starts):
                found.append((other, number))
        if loop.starts[-1] > loop.starts[0]:
            ended.setdefault(loop.starts[-1], []).append(number)
    return found


@dataclass(frozen=True)
class _Nest:
    """One run of a loop: what its iterations do, in order: ranges of instructions, and loops."""

    parallel: bool
    turns: list[list["range | _Nest"]]

    def numbers(self, turn: int) -> list[int]:
        """All instructions of one iteration."""
        return _numbers(self.turns[turn])

    def matches(self, other: "_Nest") -> bool:
        """Whether two loops could be one."""
        return self.parallel and other.parallel and len(self.turns) == len(other.turns) > 1


Items = list[range | _Nest]


def _numbers(items: Items) -> list[int]:
    found: list[int] = []
    for item in items:
        if isinstance(item, range):
            found.extend(item)
        else:
            for turn in item.turns:
                found.extend(_numbers(turn))
    return found


class _Fusing:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.starts, counts, writes = program.spans()
        self.ends, self.middles = self.starts + counts, self.starts + writes
        self.table = np.frombuffer(program.operands, np.int64).reshape(-1, 3)
        self.tensors = self.table[:, 0].tolist()

    def run(self, pairs: list[tuple[int, int]]) -> Program:
        """The program with these pairs of loops fused, where that is right and of use."""
        order, loops, until = list(range(self.program.count)), self.program.loops, 0
        for one, two in pairs:
            start, stop = loops[one].starts[0], loops[two].starts[-1]
            if start < until:
                continue
            first, second = self._nest(one), self._nest(two)
            if self._belong(first, second):
                order[start:stop] = self._joined(first, second)
                until = stop
        return self._in_order(np.array(order)) if until else self.program

    def _nest(self, number: int) -> _Nest:
        loops = self.program.loops
        loop = loops[number]
        turns: list[Items] = []
        inner = number + 1
        for start, stop in zip(loop.starts, loop.starts[1:], strict=False):
            items: Items = []
            at = start
            while inner < len(loops) and loops[inner].starts[0] < stop:
                child = loops[inner]
                if child.starts[0] >= at and child.starts[-1] > child.starts[0]:
                    items.append(range(at, child.starts[0]))
                    items.append(self._nest(inner))
                    at = child.starts[-1]
                inner += 1
            items.append(range(at, stop))
            turns.append([item for item in items if not isinstance(item, range) or len(item)])
        return _Nest(loop.parallel, turns)

    def _touched(self, numbers: list[int]) -> tuple[set[int], set[int]]:
        """What instructions write, and what they read."""
        writes: set[int] = set()
        reads: set[int] = set()
        for number in numbers:
            start, middle, end = self.starts[number], self.middles[number], self.ends[number]
            writes.update(self.tensors[start:middle])
            reads.update(self.tensors[middle:end])
        return writes, reads

    def _belong(self, first: _Nest, second: _Nest) -> bool:
        return self._uses(first, second) and self._may_join(first, second)

    def _uses(self, first: _Nest, second: _Nest) -> bool:
        """Whether a loop uses tiles on chip that the one before it has made."""
        made = self._touched(_numbers([first]))[0]
        used = self._touched(_numbers([second]))[1]
        return any(self.program.buffers[b].space != "hbm" for b in made & used)

    def _may_join(self, first: _Nest, second: _Nest) -> bool:
        """Whether no iteration of the second has to wait for a later one of the first."""
        wrote: dict[int, int] = {}  # the last iteration that did
        read: dict[int, int] = {}
        for turn in range(len(first.turns)):
            writes, reads = self._touched(first.numbers(turn))
            wrote.update(dict.fromkeys(writes, turn))
            read.update(dict.fromkeys(reads, turn))
        for turn in range(len(second.turns)):
            writes, reads = self._touched(second.numbers(turn))
            if any(wrote.get(b, 0) > turn for b in writes | reads):
                return False
            if any(read.get(b, 0) > turn for b in writes):
                return False
        return True

    def _joined(self, first: _Nest, second: _Nest) -> list[int]:
        return [
            n
            for one, two in zip(first.turns, second.turns, strict=True)
            for n in self._arranged(one, two)
        ]

    def _arranged(self, one: Items, two: Items) -> list[int]:
        """One iteration of both loops; loops inside of it are fused as well where they can be."""
        last = one[-1] if one else None
        for at, item in enumerate(two):
            if not isinstance(last, _Nest) or not isinstance(item, _Nest):
                continue
            if last.matches(item) and self._free(last, two[:at]) and self._belong(last, item):
                before = _numbers(one[:-1]) + _numbers(two[:at])
                return before + self._joined(last, item) + _numbers(two[at + 1 :])
        return _numbers(one) + _numbers(two)

    def _free(self, nest: _Nest, items: Items) -> bool:
        """Whether what follows a loop could as well go before it."""
        writes, reads = self._touched(_numbers([nest]))
        later_writes, later_reads = self._touched(_numbers(items))
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
