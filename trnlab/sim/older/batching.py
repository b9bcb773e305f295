"""Small instructions that the older compiler does for several iterations of a loop at once.

An instruction of few elements, such as the larger of two maxima, takes hardly longer for many rows.
So iterations run side by side up to such an instruction, do it together and go on: as many as there
are, if what they hold meanwhile fits. The evidence is in traces of attention on trn2: of eight
iterations all do it together where scores lie in SBUF, and four where scores fill PSUM.
"""

from array import array
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from trnlab.isa.tile import LAYOUTS
from trnlab.machine.chip import Core
from trnlab.sim.program import Loop, Program
from trnlab.sim.timing.cost import Cost

SMALL = 8  # elements a partition; those of the traces have one to eight
NAMES = {"tensor_reduce", "reciprocal", "tensor_tensor", "tensor_scalar"}


def batched(program: Program, core: Core) -> Program:
    """The program with small instructions of innermost parallel loops done in batches."""
    if program.edges or not program.loops or len(program.instances) > 1:
        return program
    return _Batching(program, core).run()


@dataclass(frozen=True)
class _Batch:
    """Iterations that run side by side, and the instructions of each that they do together."""

    first: int
    turns: int
    length: int
    together: list[int]

    def at(self, number: int) -> list[int]:
        """An instruction of the iteration, in every one of them."""
        return [self.first + turn * self.length + number for turn in range(self.turns)]


class _Batching:
    def __init__(self, program: Program, core: Core) -> None:
        self.program, self.core = program, core
        self.heads = np.frombuffer(program.heads, np.int64).reshape(-1, 3)
        self.table = np.frombuffer(program.operands, np.int64).reshape(-1, 3).copy()
        self.starts, counts, writes = program.spans()
        self.middles, self.ends = self.starts + writes, self.starts + counts
        self.costs = list(program.costs)
        self.small = np.zeros(len(self.costs), bool)
        kinds, first = np.unique(self.heads[:, 0], return_index=True)
        self.small[kinds] = [self._is_small(number) for number in first.tolist()]
        self.kinds: dict[tuple[int, int], int] = {}  # cost, how many at once -> cost

    def run(self) -> Program:
        """The program in the order of its batches."""
        if not self.small.any():
            return self.program
        self.number, self.is_write = self.program.accesses()
        self.last = self.program.lifetimes()[1]
        heads, rows, at = [self.heads[:0]], [self.table[:0]], 0
        for batch in self._batches():
            self._copy(heads, rows, at, batch.first)
            left_out = self._left_out(batch)
            for begin, end in pairwise(sorted([-1, *left_out, *batch.together, batch.length])):
                for start in batch.at(0):
                    self._copy(heads, rows, start + begin + 1, start + end)
                if end in batch.together:
                    self._do_together(heads, rows, batch.at(end))
            at = batch.first + batch.turns * batch.length
        if not at:
            return self.program
        self._copy(heads, rows, at, self.program.count)
        return replace(
            self.program,
            costs=self.costs,
            heads=array("q", np.concatenate(heads).tobytes()),
            operands=array("q", np.concatenate(rows).tobytes()),
            loops=[],
            reduced=set(),
        )

    def _batches(self) -> list[_Batch]:
        found: list[_Batch] = []
        loops = self.program.loops
        behind = [*(loop.starts[0] for loop in loops[1:]), self.program.count]
        before = np.append(0, np.cumsum(self.small[self.heads[:, 0]])).tolist()
        for loop, following in zip(loops, behind, strict=True):
            if before[loop.starts[0]] == before[loop.starts[-1]]:
                continue
            lengths = np.diff(loop.starts)
            innermost = following >= loop.starts[-1]
            if innermost and loop.parallel and len(lengths) > 1 and np.ptp(lengths) == 0:
                found += self._batches_of(loop, len(lengths), int(lengths[0]))
        return found

    def _batches_of(self, loop: Loop, turns: int, length: int) -> list[_Batch]:
        first = loop.starts[0]
        body = self.heads[first : loop.starts[-1]].reshape(turns, length, 3)
        together = np.flatnonzero(self.small[body[0, :, 0]]).tolist()
        if not together or (body != body[0]).any() or not self._apart(first, turns, length):
            return []
        most = min(turns, self._fit(first, length, together))
        starts = range(0, turns, most) if most > 1 else ()
        return [_Batch(first + n * length, min(most, turns - n), length, together) for n in starts]

    def _is_small(self, number: int) -> bool:
        """Whether an instruction has few elements, and what it reads may be of many iterations."""
        cost = self.costs[self.heads[number, 0]]
        if cost.name not in NAMES or cost.reads > 1 + (cost.name == "tensor_tensor"):
            return False
        shapes = (LAYOUTS[n] for n in self.table[self.starts[number] : self.ends[number], 1])
        return all(shape.free <= SMALL for shape in shapes)

    def _apart(self, first: int, turns: int, length: int) -> bool:
        """Whether no iteration touches what another one writes on chip."""
        last = first + turns * length
        rows = slice(self.starts[first], self.ends[last - 1])
        tensors, written = self.table[rows, 0], self.is_write[rows]
        turn = (self.number[rows] - first) // length
        mine, which = np.unique(tensors, return_inverse=True)
        low, high = np.full(len(mine), turns), np.full(len(mine), -1)
        np.minimum.at(low, which, turn)
        np.maximum.at(high, which, turn)
        shared = set(mine[low < high].tolist()) & set(tensors[written].tolist())
        return all(self.program.buffers[tensor].space == "hbm" for tensor in shared)

    def _fit(self, first: int, length: int, together: list[int]) -> int:
        """How many iterations fit that hold what they need before and after what they do together.

        Copies of tiles in PSUM are not made where those can stay.
        """
        buffers, born, dies = self.program.buffers, dict[int, int](), dict[int, int]()
        copied: dict[int, int] = {}
        for n in range(length):
            start, end = self.starts[first + n], self.ends[first + n]
            tensors = self.table[start:end, 0].tolist()
            for tensor in tensors[: self.middles[first + n] - start]:
                born.setdefault(tensor, n)
            dies.update(dict.fromkeys(tensors, n))
            plain = self.costs[self.heads[first + n, 0]].name == "tensor_copy"
            if plain and buffers[tensors[1]].space == "psum":
                copied[tensors[0]] = copied.get(tensors[0], 0) + 1
        banks, size = 1, 1
        for n in together:
            held = [tensor for tensor, at in born.items() if at < n < dies[tensor]]
            banks = max(banks, sum(copied.get(t, 0) + (buffers[t].space == "psum") for t in held))
            size = max(size, sum(buffers[t].row_bytes * (buffers[t].space == "sbuf") for t in held))
        others = sum(buffers[t].row_bytes for t in dies if buffers[t].space == "sbuf")
        room = self.core.sbuf.usable - others
        return min(self.core.psum.banks // banks, 1 + room // size)

    def _left_out(self, batch: _Batch) -> list[int]:
        """Copies out of PSUM that are not made, as far as half of its banks hold what stays."""
        found: list[int] = []
        for n in range(batch.length):
            if (len(found) + 1) * batch.turns > self.core.psum.banks // 2:
                break
            if self.costs[self.heads[batch.first + n, 0]].name != "tensor_copy":
                continue
            readers = [self._readers(number, batch.length - n) for number in batch.at(n)]
            if all(readers):
                found.append(n)
                for number, rows in zip(batch.at(n), readers, strict=True):
                    self.table[rows] = self.table[self.starts[number] + 1]
        return found

    def _readers(self, copy: int, until: int) -> list[int]:
        """The operands that read what was copied; none where somebody needs the copy in SBUF."""
        target, source = self.table[self.starts[copy] : self.starts[copy] + 2]
        wide, whole = LAYOUTS[target[1]], LAYOUTS[source[1]]
        facts = self.program.buffers[source[0]]
        size = facts.rows * facts.row_bytes * (facts.space == "psum")
        later = self.last[target[0]] >= copy + until  # somebody after the iteration needs it too
        if whole.size * whole.itemsize != size or wide.dtype != whole.dtype or later:
            return []
        rows = slice(self.ends[copy], self.ends[copy + until - 1])
        mine = rows.start + np.flatnonzero(self.table[rows, 0] == target[0])
        same = mine[self.table[mine, 2] == target[2]]
        queues = {self.costs[self.heads[n, 0]].queue for n in self.number[same].tolist()}
        apart = (self.table[mine, 1] == target[1]).all() and not self.is_write[same].any()
        return same.tolist() if apart and queues <= {"vector", "scalar"} else []

    def _copy(self, heads: list[np.ndarray], rows: list[np.ndarray], start: int, stop: int) -> None:
        if stop > start:
            heads.append(self.heads[start:stop])
            rows.append(self.table[self.starts[start] : self.ends[stop - 1]])

    def _do_together(
        self, heads: list[np.ndarray], rows: list[np.ndarray], numbers: list[int]
    ) -> None:
        head = self.heads[numbers[-1]].copy()
        key = int(head[0]), len(numbers)
        if key not in self.kinds:
            self.kinds[key] = len(self.costs)
            self.costs.append(_times(self.costs[key[0]], key[1], self.core))
        head[0] = self.kinds[key]
        heads.append(head[None])
        rows += [self.table[self.starts[n] : self.middles[n]] for n in numbers]
        rows += [self.table[self.middles[n] : self.ends[n]] for n in numbers]


def _times(one: Cost, times: int, core: Core) -> Cost:
    """The price of an instruction on so many times the elements."""
    engine = core.engine(one.queue)
    cycles = one.busy * engine.hz
    more = max(0.0, cycles - max(engine.start, engine.floor))
    totals = {key: times * amount for key, amount in one.totals.items()}
    return replace(
        one,
        busy=(cycles + (times - 1) * more) / engine.hz,
        reads=one.reads * times,
        writes=one.writes * times,
        joins=False,
        also=None,
        totals=totals | {"instructions": 1.0},
    )
