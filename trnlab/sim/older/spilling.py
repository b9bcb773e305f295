"""What the older compiler does with a program that needs more SBUF than there is.

Where the tiles that one line makes are what is too much, all of them leave SBUF between the loops
that use them: what was loaded is loaded again, what was computed is stored once. Else, and where
that is not enough, the tile that is needed last makes way whenever there is no room. The evidence
is in the HBM counters of NKIBench (`trnlab validate`).
"""

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import replace
from itertools import pairwise

import numpy as np

from trnlab.isa.tile import Space, layout
from trnlab.machine.chip import Core
from trnlab.sim.older.crowding import Crowd, crowded
from trnlab.sim.older.evicting import LOAD, NEVER, SAVE, Made, Uses, evicted
from trnlab.sim.older.origins import origins
from trnlab.sim.older.splitting import split, without_overwritten
from trnlab.sim.program import BufferFacts, Program, layout_bytes
from trnlab.sim.quick import quick
from trnlab.sim.timing.capacity import fullest, needs, room_of
from trnlab.sim.timing.cost import whole_tile_cost
from trnlab.trace import MEMORIES

STREAMS = ("vector", "scalar", "gpsimd")


def fitted_in(program: Program, core: Core) -> Program:
    """The program with the spills that make it fit in SBUF, beside the results that wait there."""
    if not _is_over(program, core):
        crowd = crowded(program, core)
        return _Spills(program, core, crowd).run() if crowd else program
    program = split(without_overwritten(program))
    return _Spills(program, core).run() if _is_over(program, core) else program


def _is_over(program: Program, core: Core) -> bool:
    return any(need.over for need in needs(program, core) if need.space == "sbuf")


class _Spills:
    """What a program does with tiles in SBUF, and which of them leave it together."""

    def __init__(self, program: Program, core: Core, crowd: Crowd | None = None) -> None:
        self.program, self.core, self.crowd, self.table = program, core, crowd, program.tensors()
        self.heads = np.frombuffer(program.heads, np.int64).reshape(-1, 3)
        self.operands = np.frombuffer(program.operands, np.int64).reshape(-1, 3)
        self.places = self.heads[:, 1].tolist()
        self.lives = program.lifetimes()
        self.starts = program.spans()[0]
        self.number, self.written = program.accesses()
        self.sizes = room_of("sbuf", self.table.rows, self.table.row_bytes, core)
        in_sbuf = self.table.memory == MEMORIES.index("sbuf")
        self.counts = in_sbuf & ~self.table.placed  # takes room that can be given to others
        self._find_users()
        self._find_loads()
        self.leaving: list[tuple[int, int]] = []  # after an instruction, which tile
        self.saved: list[tuple[int, int]] = []  # of those, when
        self.enough = False  # nobody else leaves: those are loads, and can come back by halves
        if not crowd:
            self.origins = origins(program)
            self._choose()

    def _find_users(self) -> None:
        """Who touches each tile, and which instruction was the last to write it before a use."""
        tiles, count, written = self.operands[:, 0], len(self.counts), self.written
        self.order = np.argsort(tiles, kind="stable")
        self.cuts = np.searchsorted(tiles[self.order], np.arange(count + 1))
        first_read = np.full(count, self.program.count)
        first_read[tiles[~written][::-1]] = self.number[~written][::-1]
        fills = written & (self.number <= first_read[tiles])
        self.filled_at = np.full(count, -1)
        self.filled_at[tiles[fills]] = self.number[fills]
        used = np.flatnonzero(np.diff(self.cuts))
        read_first = used[~written[self.order[self.cuts[used]]]]
        self.filled_at[read_first] = self.filled_at[~self.counts] = -1

    def _find_loads(self) -> None:
        """The instruction that loads each tile as a whole, if nobody else writes it; else -1."""
        tiles = np.flatnonzero(self.filled_at >= 0)
        numbers = self.filled_at[tiles]
        moves = np.array([c.is_transfer and c.reads == 1 for c in self.program.costs], bool)
        writes = np.bincount(self.operands[self.written, 0], minlength=len(self.counts))
        good = moves[self.heads[numbers, 0]] & (writes[tiles] == 1)
        tiles, numbers = tiles[good], numbers[good]
        at = self.starts[numbers]
        whole = (self.table.rows * self.table.row_bytes)[tiles]
        good = layout_bytes(self.operands[at, 1]) == whole
        good &= self.table.memory[self.operands[at + 1, 0]] < 0
        self.load = np.full(len(self.counts), -1)
        self.load[tiles[good]] = numbers[good]

    def _users(self, tile: int, *, writers: bool = False) -> list[int]:
        """The instructions that touch a tile, or only those that write it."""
        mine = self.order[self.cuts[tile] : self.cuts[tile + 1]]
        return self.number[mine[self.written[mine]] if writers else mine].tolist()

    # --- tiles that leave all together

    def _choose(self) -> None:
        """Whether the tiles of the line that takes most leave together.

        Lines that make more than SBUF holds and do not come back in a loop are left aside first.
        """
        tiles = np.flatnonzero(self.filled_at >= 0)
        lines = self.origins[self.filled_at[tiles]]  # where a tile gets its contents
        aside, room = np.zeros(len(tiles), bool), self.core.sbuf.usable
        while not aside.all():
            here = tiles[~aside]
            first, last = self.lives[0][here], self.lives[1][here]
            level, at = fullest(first, last, self.sizes[here])
            taken = np.bincount(lines[~aside], self.sizes[here] * ((first <= at) & (at <= last)))
            most = lines == taken.argmax()
            if level <= room or taken.max() < min(room, level - room):
                return
            self._find_absences(tiles[most])
            if self.leaving:
                in_halves = level - room <= taken.max() // 2 and not aside.any()
                self.enough = in_halves and bool((self.load[tiles[most]] >= 0).all())
                return
            aside |= most

    def _find_absences(self, group: np.ndarray) -> None:
        """After which instructions tiles leave, and after which they are stored.

        They leave where other loads come before the next use, if a line uses some of them again
        after such loads.
        """
        others = self.load >= 0
        others[group] = False
        loads, origin = np.sort(self.load[others]).tolist(), self.origins.tolist()
        gaps: list[tuple[int, int]] = []
        again = False
        for tile in group.tolist():
            filled, writers = self.filled_at[tile], self._users(tile, writers=True)
            uses = [n for n in dict.fromkeys(self._users(tile)) if n > filled]
            if writers[-1] > filled:  # updated in place
                uses.insert(0, int(filled))
            lines: set[int] = set()
            for before, after in pairwise(uses):
                lines.add(origin[before])
                if bisect_left(loads, after) > bisect_left(loads, before):
                    gaps.append((before, tile))
                    again |= origin[after] in lines
        for before, tile in gaps if again else ():
            self.leaving.append((before, tile))
            if self.load[tile] < 0:
                writers = self._users(tile, writers=True)
                self.saved.append((writers[bisect_right(writers, before) - 1], tile))

    # --- the pass, and what it leaves

    def run(self) -> Program:
        """The program with tiles stored and loaded again."""
        cores, crowd = int(self.table.core.max()) + 1, self.crowd
        room = crowd.room if crowd else self.core.sbuf.usable
        names, moves, made = quick(evicted, self._uses(), cores, room, self.enough)
        operands = self.operands.copy()
        operands[:, 0] = names
        added = np.array(moves, np.int64).reshape(-1, 5)
        buffers = [*self.program.buffers, *(self._tensor(each) for each in made)]
        costs = list(self.program.costs)
        heads, rows = self._added(added, made, costs)
        at = np.append(self.starts, len(operands))[added[:, 0]]
        return replace(
            self.program,
            heads=array("q", np.insert(self.heads, added[:, 0], heads, axis=0).tobytes()),
            operands=array("q", np.insert(operands, at.repeat(2), rows, axis=0).tobytes()),
            buffers=buffers,
            costs=costs,
            loops=[],
        )

    def _uses(self) -> Uses:
        streams = np.array([c.queue in STREAMS for c in self.program.costs], bool)
        writes = np.array([c.writes for c in self.program.costs], np.int64)
        kinds, crowd = self.heads[:, 0], self.crowd
        none = np.zeros(len(self.counts), bool)
        ending = np.flatnonzero(self.counts & (self.lives[1] >= 0))
        last = self.lives[1][ending]
        return Uses(
            np.append(self.starts, len(self.operands)), writes[kinds], streams[kinds],
            crowd.stored if crowd else 0 * kinds,
            self.operands[:, 0], self._later(), self.lives[0], self.counts,
            crowd.sizes if crowd else self.sizes, self.table.core, self.load,
            self.load >= 0 if crowd else none, crowd.sizes > 0 if crowd else none,
            *self._after(np.array(list(dict.fromkeys(self.saved)), np.int64).reshape(-1, 2)),
            *self._after(np.array(self.leaving, np.int64).reshape(-1, 2)),
            *self._after(np.stack((crowd.until(last) if crowd else last, ending), axis=1)),
        )  # fmt: skip

    def _later(self) -> np.ndarray:
        """For each operand the next instruction that uses its tile."""
        tile, number = self.operands[self.order, 0], self.number[self.order]
        fresh = np.ones(len(tile), bool)
        fresh[1:] = (tile[1:] != tile[:-1]) | (number[1:] != number[:-1])
        after = np.append(np.flatnonzero(fresh), len(tile))[np.cumsum(fresh)]
        same = np.append(tile, -1)[after] == tile
        later = np.full(len(tile), NEVER)
        later[self.order[same]] = number[after[same]]
        return later

    def _after(self, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tiles by the instruction after which something happens to them."""
        order = np.argsort(pairs[:, 0], kind="stable")
        starts = np.searchsorted(pairs[order, 0], np.arange(self.program.count + 1))
        return starts, pairs[order, 1]

    def _tensor(self, made: Made) -> BufferFacts:
        tile, number = made
        if number < 0:
            return self.program.tensor(tile)
        facts = self.program.buffers[tile]
        return BufferFacts(
            "spill", "hbm", facts.rows, facts.row_bytes, facts.core, self.places[number]
        )

    def _added(
        self, moves: np.ndarray, made: list[Made], costs: list
    ) -> tuple[np.ndarray, np.ndarray]:
        """Heads and operands of moves; what they cost is added."""
        _, what, to, source, number = moves.T
        again = what == LOAD
        tile = np.array(made, np.int64).reshape(-1, 2)[to - len(self.counts), 0]
        sizes = np.stack((what, self.table.rows[tile], self.table.row_bytes[tile]), axis=1)
        heads = np.stack((what, self.heads[number, 1], self.table.core[tile]), axis=1)
        rows = np.zeros((len(moves), 2, 3), np.int64)
        kinds, which = np.unique(sizes[~again], axis=0, return_inverse=True)
        heads[~again, 0] = len(costs) + which.reshape(-1)
        whole = []
        for kind, height, width in kinds.tolist():
            name = "spill_save" if kind == SAVE else "spill_reload"
            costs.append(whole_tile_cost(name, height, width, self.core))
            shape = Space.sbuf, np.dtype(np.uint8), (height, width), (width, 1), width
            whole.append(layout(*shape).index)
        rows[~again, :, 1] = np.array(whole, np.int64)[which.reshape(-1), None]
        rows[:, 0, 0], rows[:, 1, 0] = to, source
        heads[again] = self.heads[source[again]]
        first = self.starts[source[again]]
        rows[again, 0, 1:], rows[again, 1] = self.operands[first, 1:], self.operands[first + 1]
        return heads, rows.reshape(-1, 3)
