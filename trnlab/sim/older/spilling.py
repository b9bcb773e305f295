"""What the older compiler does with a program that needs more SBUF than there is.

Where the tiles that one line makes are what is too much, all of them leave SBUF between the loops
that use them: what was loaded is loaded again, what was computed is stored once. Else, and where
that is not enough, the tile that is needed last makes way whenever there is no room. The evidence
is in the HBM counters of NKIBench (`trnlab validate`).
"""

import itertools
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace

import numpy as np

from trnlab.isa.tile import LAYOUTS, Space, layout
from trnlab.machine.chip import Core
from trnlab.sim.older.crowding import Crowd, crowded
from trnlab.sim.older.splitting import split, without_overwritten
from trnlab.sim.program import BufferFacts, Program
from trnlab.sim.timing.capacity import fullest, needs, room_of
from trnlab.sim.timing.cost import whole_tile_cost

NEVER = 1 << 60


def fitted_in(program: Program, core: Core) -> Program:
    """The program with the spills that make it fit in SBUF, beside the results that wait there."""
    if not _is_over(program, core):
        crowd = crowded(program, core)
        return _Spills(program, core, crowd).run() if crowd else program
    program = split(without_overwritten(program))
    return _Spills(program, core).run() if _is_over(program, core) else program


def _is_over(program: Program, core: Core) -> bool:
    return any(need.over for need in needs(program, core) if need.space == "sbuf")


@dataclass
class _Spills:
    """One pass in program order over what SBUF holds.

    Tensors go by their number in the program; ``now`` says which one holds their bytes after they
    came into SBUF again.
    """

    program: Program
    core: Core
    crowd: Crowd | None = None
    now: dict[int, int] = field(default_factory=dict)
    live: dict[int, None] = field(default_factory=dict)  # in SBUF
    away: set[int] = field(default_factory=set)  # not in SBUF, but needed again
    home: dict[int, int] = field(default_factory=dict)  # copies in HBM that are still good
    leaving: dict[int, list[int]] = field(default_factory=dict)  # together, after an instruction
    saved: dict[int, dict[int, None]] = field(default_factory=dict)  # of those, when
    enough: bool = False  # nobody else leaves: those are loads, and can come back part by part

    def __post_init__(self) -> None:
        program = self.program
        first, last = program.lifetimes()
        self.lives, self.first, self.last = (first, last), first.tolist(), last.tolist()
        self.buffers, self.costs = list(program.buffers), list(program.costs)
        self.rooms = room_of(
            "sbuf",
            np.array([facts.rows for facts in program.buffers]),
            np.array([facts.row_bytes for facts in program.buffers]),
            self.core,
        )
        self.sizes = self.crowd.sizes if self.crowd else self.rooms.tolist()
        self.room = self.crowd.room if self.crowd else self.core.sbuf.usable
        self.ends: dict[int, list[int]] = {}
        for buffer, end in enumerate(self.last):
            if end >= 0 and self._counts(buffer):
                free = self.crowd.until(end) if self.crowd else end
                self.ends.setdefault(free, []).append(buffer)
        self.taken = dict.fromkeys((facts.core for facts in self.buffers), 0)
        starts, counts, _ = program.spans()
        self.starts = (3 * np.append(starts, counts.sum())).tolist()
        self._find_users()
        self.loads = {b: n for b, n in enumerate(self.filled_at) if n >= 0 and self._is_load(b, n)}
        if not self.crowd:
            self._choose()
        self.heads, self.operands = program.heads[:0], program.operands[:0]

    def _counts(self, buffer: int) -> bool:
        """Whether a tensor takes room that this pass can give to others."""
        facts = self.buffers[buffer]
        return facts.space == "sbuf" and not facts.placed

    def _find_users(self) -> None:
        """Who touches each tensor, and which instruction was the last to write it before a use."""
        tensors = np.frombuffer(self.program.operands, np.int64)[::3]
        number, written = self.program.accesses()
        order = np.argsort(tensors, kind="stable")
        cuts = np.searchsorted(tensors[order], np.arange(len(self.buffers) + 1))
        self.users = [number[order[a:b]].tolist() for a, b in itertools.pairwise(cuts)]
        self.writers: list[list[int]] = []
        self.filled_at = [-1] * len(self.buffers)  # the last write before the first read
        for buffer, (a, b) in enumerate(itertools.pairwise(cuts)):
            mine = order[a:b]
            wrote = written[mine]
            self.writers.append(number[mine[wrote]].tolist())
            if self._counts(buffer) and len(wrote) and wrote[0]:
                phase = len(wrote) if wrote.all() else int(np.argmin(wrote))
                self.filled_at[buffer] = int(number[mine[phase - 1]])

    def _is_load(self, buffer: int, number: int) -> bool:
        cost, at = self.costs[self.program.heads[3 * number]], self.starts[number]
        if not cost.is_transfer or cost.reads != 1 or self.writers[buffer] != [number]:
            return False
        facts, here = self.buffers[buffer], LAYOUTS[self.program.operands[at + 1]]
        whole = here.size * here.itemsize == facts.rows * facts.row_bytes
        return whole and self.buffers[self.program.operands[at + 3]].space == "hbm"

    # --- tiles that leave all together

    def _choose(self) -> None:
        """Whether the tiles of the line that takes most leave together.

        Lines that make more than SBUF holds and do not come back in a loop are left aside first.
        """
        tiles = np.array([b for b, n in enumerate(self.filled_at) if n >= 0], np.int64)
        lines = np.array([self._line(b) for b in tiles.tolist()], np.int64)
        aside, room = np.zeros(len(tiles), bool), self.core.sbuf.usable
        while not aside.all():
            here = tiles[~aside]
            first, last = self.lives[0][here], self.lives[1][here]
            level, at = fullest(first, last, self.rooms[here])
            taken = np.bincount(lines[~aside], self.rooms[here] * ((first <= at) & (at <= last)))
            most = lines == taken.argmax()
            if level <= room or taken.max() < min(room, level - room):
                return
            group = set(tiles[most].tolist())
            self._find_absences(group)
            if self.leaving:
                self.enough = not aside.any() and group <= self.loads.keys()
                return
            aside |= most

    def _line(self, buffer: int) -> int:
        """Where a tensor gets its contents."""
        return self.program.heads[3 * self.filled_at[buffer] + 1]

    def _find_absences(self, group: set[int]) -> None:
        """After which instructions tiles leave, and after which they are stored.

        They leave where other loads come before the next use, if a line uses some of them again
        after such loads.
        """
        loads = sorted(n for b, n in self.loads.items() if b not in group)
        gaps: list[tuple[int, int]] = []
        again = False
        for tile in sorted(group):
            filled = self.filled_at[tile]
            uses = [n for n in dict.fromkeys(self.users[tile]) if n > filled]
            if self.writers[tile][-1] > filled:  # updated in place
                uses.insert(0, filled)
            lines: set[int] = set()
            for before, after in itertools.pairwise(uses):
                lines.add(self.program.heads[3 * before + 1])
                if bisect_left(loads, after) > bisect_left(loads, before):
                    gaps.append((before, tile))
                    again |= self.program.heads[3 * after + 1] in lines
        for before, tile in gaps if again else ():
            self.leaving.setdefault(before, []).append(tile)
            if tile not in self.loads:
                writers = self.writers[tile]
                wrote = writers[bisect_right(writers, before) - 1]
                self.saved.setdefault(wrote, {})[tile] = None

    # --- one pass

    def run(self) -> Program:
        """The program with tiles stored and loaded again."""
        heads, operands = self.program.heads.tolist(), self.program.operands
        for number in range(self.program.count):
            kind, place, core = heads[3 * number : 3 * number + 3]
            touched = operands[self.starts[number] : self.starts[number + 1]].tolist()
            self._prepare(number, self.costs[kind].writes, place, touched, kind)
            self.heads.extend((kind, place, core))
            self.operands.extend(touched)
            for tile in self.saved.get(number, ()):
                self._save(tile, place)
            for tile in self.leaving.get(number, ()):
                self._drop(tile)
                self.away.add(tile)
            self._end(number)
        return replace(
            self.program, heads=self.heads, operands=self.operands, buffers=self.buffers,
            costs=self.costs, loops=[],
        )  # fmt: skip

    def _prepare(self, number: int, writes: int, place: int, touched: list[int], kind: int) -> None:
        """Brings the operands of an instruction into SBUF, and names them as they are now."""
        names, first, away, now = touched[::3], self.first, self.away, self.now
        self.busy = set(names) | (self.crowd.near(number) if self.crowd else set())
        for name in names[writes:]:
            if name in away or first[name] == number:
                self._present(number, name, place)
        if self.costs[kind].queue in ("vector", "scalar", "gpsimd"):
            self._end(number)  # a result may take the place of what it is made from
        for name in names[:writes]:
            if name in away or first[name] == number:
                self._present(number, name, place)
            self.home.pop(name, None)
        if now:
            touched[::3] = [now.get(name, name) for name in names]

    def _present(self, number: int, name: int, place: int) -> None:
        if name in self.away:
            self._bring(number, name, place)
        elif name not in self.live and self._counts(name):
            self._begin(number, name, place)

    # --- room

    def _begin(self, number: int, name: int, place: int) -> None:
        """A tensor takes room; what is needed last makes way."""
        facts = self.buffers[name]
        self.taken[facts.core] += self.sizes[name]
        self.live[name] = None
        while not self.enough and self.taken[facts.core] > self.room:
            if not self._spill(number, facts.core, place):
                break

    def _drop(self, name: int) -> None:
        if name in self.live:
            del self.live[name]
            facts = self.buffers[name]
            self.taken[facts.core] -= self.sizes[name]

    def _spill(self, number: int, core: int, place: int) -> bool:
        """Moves the tile that is needed last out of SBUF; False where there is none."""
        latest, name = -1, -1
        stays = self.loads if self.crowd else ()
        for other in self.live:
            if other not in self.busy and other not in stays and self.buffers[other].core == core:
                when = self._next_use(other, number)
                if latest < when < NEVER:
                    latest, name = when, other
        if name < 0:
            return False
        if name not in self.home and name not in self.loads:
            self._save(name, place)
        self.away.add(name)
        self._drop(name)
        return True

    def _save(self, name: int, place: int) -> None:
        facts = self.buffers[name]
        self.home[name] = len(self.buffers)
        self.buffers.append(
            BufferFacts("spill", "hbm", facts.rows, facts.row_bytes, facts.core, place)
        )
        self._move(self.home[name], self.now.get(name, name), place, "spill_save")

    def _next_use(self, name: int, number: int) -> int:
        mine = self.users[name]
        here = bisect_right(mine, number)
        return mine[here] if here < len(mine) else NEVER

    def _bring(self, number: int, name: int, place: int) -> None:
        """Loads a tile again, from where its copy is or from where it came."""
        self.away.discard(name)
        fresh = self.now[name] = len(self.buffers)
        self.buffers.append(self.program.tensor(name))
        self._begin(number, name, place)
        if name in self.home:
            self._move(fresh, self.home[name], place, "spill_reload")
        else:
            first, last = self.starts[self.loads[name]], self.starts[self.loads[name] + 1]
            head = 3 * self.loads[name]
            self.heads.extend(self.program.heads[head : head + 3])
            self.operands.extend((fresh, *self.program.operands[first + 1 : last]))

    def _move(self, dst: int, src: int, place: int, name: str) -> None:
        facts = self.buffers[dst]
        whole = layout(
            Space.sbuf, np.dtype(np.uint8), (facts.rows, facts.row_bytes), (facts.row_bytes, 1),
            facts.row_bytes,
        ).index  # fmt: skip
        self.heads.extend((len(self.costs), place, facts.core))
        self.costs.append(whole_tile_cost(name, facts.rows, facts.row_bytes, self.core))
        self.operands.extend((dst, whole, 0, src, whole, 0))

    def _end(self, number: int) -> None:
        """Tensors that an instruction is the last to use give their room back."""
        for name in self.ends.pop(number, ()):
            self._drop(name)
            self.away.discard(name)
