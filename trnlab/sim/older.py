"""What the older compiler does to the loads of a program, before it runs.

The compiler of `neuronxcc.nki` sees loops where a program here has instructions, so what it is
known to do is said of instructions: a load of bytes that are in SBUF already, unchanged in both
places, is left out as long as there is room to keep them; where a program needs more SBUF than
there is, loads that can be repeated are repeated in the loops that use their tiles, and of what
still does not fit, the tiles needed last are stored and loaded again. The evidence is in the HBM
counters of NKIBench (`trnlab validate`).
"""

from bisect import bisect_right
from dataclasses import dataclass, field, replace

import numpy as np

from trnlab.isa.tile import LAYOUTS, Space, layout
from trnlab.machine.chip import Core
from trnlab.sim.capacity import needs
from trnlab.sim.cost import spill_cost
from trnlab.sim.program import BufferFacts, Program

Key = tuple[int, ...]
NEVER = 1 << 60
IMPURE = ("rng", "rand2", "dropout", "get_rng_state", "rand_get_state")  # new numbers every time


def with_its_loads(program: Program, core: Core, without: frozenset[str]) -> Program:
    """The program with the loads and spills of the older compiler."""
    return _Loads(program, core, without).run() if program.count else program


@dataclass
class _Loads:
    """One pass in program order over what SBUF holds.

    Tensors go by their number in the program; ``now`` says which one holds their bytes after they
    came into SBUF again, ``owner`` whose bytes a tensor has whose load was left out.
    """

    program: Program
    core: Core
    without: frozenset[str]
    owner: dict[int, int] = field(default_factory=dict)
    now: dict[int, int] = field(default_factory=dict)
    held: dict[Key, int] = field(default_factory=dict)  # what was loaded -> the tensor it is in
    keys: dict[int, Key] = field(default_factory=dict)
    idle: dict[int, None] = field(default_factory=dict)  # kept after the last use, oldest first
    live: dict[int, None] = field(default_factory=dict)  # in SBUF
    away: set[int] = field(default_factory=set)  # not in SBUF, but needed again
    home: dict[int, int] = field(default_factory=dict)  # copies in HBM that are still good
    used: dict[int, dict[int, int]] = field(default_factory=dict)  # repeated: last use, by line
    latest: dict[Key, tuple[Key, int]] = field(default_factory=dict)  # what a line made last
    loaded: int = -1  # the last load that is not repeated
    users: dict[int, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        program = self.program
        first, last = program.lifetimes()
        self.first, self.last = first.tolist(), last.tolist()
        self.buffers, self.costs = list(program.buffers), list(program.costs)
        self.ends: dict[int, list[int]] = {}
        for buffer, end in enumerate(self.last):
            if end >= 0 and self._counts(buffer):
                self.ends.setdefault(end, []).append(buffer)
        self.written = [0] * len(self.buffers)
        self.taken = dict.fromkeys((facts.core for facts in self.buffers), 0)
        self.widths = [3 * (c.reads + c.writes) for c in program.costs]
        self.starts = np.concatenate(([0], np.cumsum(np.array(self.widths)[program.kinds()])))
        self.filled = self._written_once()
        self.loads = {b: n for b, n in self.filled.items() if self._is_load(n)}
        self.spills = "spills" not in self.without
        self.repeated = self._to_repeat() if self.spills else frozenset()
        self.heads, self.operands = program.heads[:0], program.operands[:0]

    def _counts(self, buffer: int) -> bool:
        """Whether a tensor takes room that this pass can give to others."""
        facts = self.buffers[buffer]
        return facts.space == "sbuf" and not facts.placed

    def run(self) -> Program:
        """The program with loads left out, repeated and added."""
        heads = self.program.heads.tolist()
        for number in range(self.program.count):
            kind, place, core = heads[3 * number : 3 * number + 3]
            touched = self._touched(number)
            if self._superfluous(number, kind, place, core, touched):
                self._end(number)
                continue
            self._prepare(number, self.costs[kind].writes, place, touched)
            self.heads.extend((kind, place, core))
            self.operands.extend(touched)
            self._end(number)
        return replace(
            self.program, heads=self.heads, operands=self.operands, buffers=self.buffers,
            costs=self.costs,
        )  # fmt: skip

    def _superfluous(
        self, number: int, kind: int, place: int, core: int, touched: list[int]
    ) -> bool:
        """Whether what an instruction would make is there already."""
        made = touched[0] if touched else -1
        if self.loads.get(made) == number:
            if "load_reuse" not in self.without and self._left_out(touched, core):
                return True
            if made not in self.repeated:
                self.loaded = number
            return False
        hoisted = "hoisting" not in self.without and self.filled.get(made) == number
        return hoisted and self._known(kind, place, core, touched)

    def _touched(self, number: int) -> list[int]:
        return self.program.operands[self.starts[number] : self.starts[number + 1]].tolist()

    def _prepare(self, number: int, writes: int, place: int, touched: list[int]) -> None:
        """Brings the operands of an instruction into SBUF, and names them as they are now."""
        for i in range(0, len(touched), 3):
            name = self.owner.get(touched[i], touched[i])
            if name in self.repeated:
                self._repeat(number, name, place)
            if name in self.away:
                self._bring(number, name, place)
            elif self.first[name] == number and name not in self.live and self._counts(name):
                self._begin(number, name, place)
            touched[i] = self.now.get(name, name)
            if i < 3 * writes:
                self.written[name] += 1
                self.home.pop(name, None)

    def _written_once(self) -> dict[int, int]:
        """The tensors on chip that one instruction fills, and nothing else writes."""
        program, operands = self.program, self.program.operands
        writers: dict[int, int] = {}
        for number, kind in enumerate(program.kinds().tolist()):
            cost, at = program.costs[kind], int(self.starts[number])
            for i in range(cost.writes):
                buffer = operands[at + 3 * i]
                facts = self.buffers[buffer]
                filled = cost.writes == 1 and buffer not in writers and not facts.placed
                filled = filled and facts.space != "hbm" and self._covers(buffer, operands[at + 1])
                writers[buffer] = number if filled else -1
        return {buffer: number for buffer, number in writers.items() if number >= 0}

    def _is_load(self, number: int) -> bool:
        cost, at = self.costs[self.program.heads[3 * number]], int(self.starts[number])
        source = self.buffers[self.program.operands[at + 3]] if cost.reads == 1 else None
        return cost.is_transfer and source is not None and source.space == "hbm"

    def _covers(self, buffer: int, number: int) -> bool:
        facts, here = self.buffers[buffer], LAYOUTS[number]
        return here.size * here.itemsize == facts.rows * facts.row_bytes

    def _left_out(self, touched: list[int], core: int) -> bool:
        """Whether SBUF holds what a load would bring; if not, it will from now on."""
        dst, source = touched[0], touched[3]
        key = (*touched[3:6], touched[1], self.written[source], core)
        held = self.held.get(key)
        if held is None or held in self.repeated:
            self.held[key], self.keys[dst] = dst, key
            return False
        self.idle.pop(held, None)
        self._share(dst, held)
        return True

    def _known(self, kind: int, place: int, core: int, touched: list[int]) -> bool:
        """Whether a line computes what it computed the last time, as in a loop around it."""
        cost = self.costs[kind]
        if cost.is_transfer or cost.name in IMPURE:
            return False
        reads = [self.owner.get(b, b) for b in touched[3::3]]
        key = (
            *touched[1:3],
            *reads,
            *touched[4::3],
            *touched[5::3],
            *(self.written[b] for b in reads),
        )
        before = self.latest.get((kind, place, core))
        if before is None or before[0] != key or before[1] in self.away:
            self.latest[kind, place, core] = key, touched[0]
            return False
        held = before[1]
        self._share(touched[0], held)
        if held not in self.live and self._counts(held):
            self.live[held] = None
            self.taken[core] += self.buffers[held].row_bytes
        return True

    def _share(self, name: int, held: int) -> None:
        """From now on a tensor stands for another that holds the same."""
        self.owner[name] = held
        if self.last[name] > self.last[held]:
            self.last[held] = self.last[name]
            self.ends.setdefault(self.last[name], []).append(held)
        if self.users:
            self.users[held] = sorted({*self.users.get(held, ()), *self.users.get(name, ())})

    # --- loads that are repeated

    def _to_repeat(self) -> frozenset[int]:
        """Tensors loaded by the one line that takes most where not everything fits."""
        need = max(
            (n for n in needs(self.program, self.core) if n.space == "sbuf"), key=lambda n: n.over
        )
        index = {id(facts): number for number, facts in enumerate(self.buffers)}
        groups: dict[int, int] = {}
        for facts in need.live:
            if index[id(facts)] in self.loads:
                line = self._line(index[id(facts)])
                groups[line] = groups.get(line, 0) + facts.row_bytes
        place = max(groups, key=lambda p: groups[p], default=-1)
        if not need.over or place < 0 or groups[place] < need.over:
            return frozenset()
        return frozenset(b for b in self.loads if self._line(b) == place)

    def _line(self, buffer: int) -> int:
        """Where a tensor is loaded."""
        return self.program.heads[3 * self.loads[buffer] + 1]

    def _repeat(self, number: int, name: int, place: int) -> None:
        """Loads a tile again where a loop comes back to it after other loads."""
        if number <= self.loads[name]:
            return
        lines = self.used.setdefault(name, {})
        if lines.get(place, self.loaded) < self.loaded:
            lines.clear()
            self._drop(name)
            self.away.add(name)
        lines[place] = number

    # --- room

    def _begin(self, number: int, name: int, place: int) -> None:
        """A tensor takes room; what is only kept makes way, then what is needed last."""
        facts, room = self.buffers[name], self.core.sbuf.usable
        self.taken[facts.core] += facts.row_bytes
        self.live[name] = None
        for other in list(self.idle):
            if self.taken[facts.core] <= room:
                return
            if self.buffers[other].core == facts.core:
                del self.idle[other]
                self.held.pop(self.keys[other], None)
                self._drop(other)
        if self.repeated or not self.spills:  # what is repeated gives the room that was short
            return
        while self.taken[facts.core] > room and self._spill(number, name, place):
            pass

    def _drop(self, name: int) -> None:
        if name in self.live:
            del self.live[name]
            facts = self.buffers[name]
            self.taken[facts.core] -= facts.row_bytes

    def _spill(self, number: int, keep: int, place: int) -> bool:
        """Moves the tile that is needed last out of SBUF; False where there is none."""
        core = self.buffers[keep].core
        others = (n for n in self.live if n != keep and n not in self.repeated)
        found = [(self._next_use(n, number), n) for n in others if self.buffers[n].core == core]
        when, name = max(found, default=(0, -1))
        if not number + 1 < when < NEVER:
            return False
        if name not in self.home and name not in self.loads:
            facts = self.buffers[name]
            self.home[name] = len(self.buffers)
            hbm = BufferFacts("spill", "hbm", facts.rows, facts.row_bytes, core, place)
            self.buffers.append(hbm)
            self._move(self.home[name], self.now.get(name, name), place, "spill_save")
        self.away.add(name)
        self._drop(name)
        return True

    def _next_use(self, name: int, number: int) -> int:
        if not self.users:
            for index in range(self.program.count):
                for buffer in self._touched(index)[::3]:
                    self.users.setdefault(self.owner.get(buffer, buffer), []).append(index)
        mine = self.users.get(name, [])
        here = bisect_right(mine, number)
        return mine[here] if here < len(mine) else NEVER

    def _bring(self, number: int, name: int, place: int) -> None:
        """Loads a tile again, from where its copy is or from where it came."""
        self.away.discard(name)
        fresh = self.now[name] = len(self.buffers)
        self.buffers.append(self.buffers[name])
        self._begin(number, name, place)
        if name in self.home:
            self._move(fresh, self.home[name], place, "spill_reload")
        else:
            first = self.loads[name]
            self.heads.extend(self.program.heads[3 * first : 3 * first + 3])
            self.operands.extend((fresh, *self._touched(first)[1:]))

    def _move(self, dst: int, src: int, place: int, name: str) -> None:
        facts = self.buffers[dst]
        whole = layout(
            Space.sbuf, np.dtype(np.uint8), (facts.rows, facts.row_bytes), (facts.row_bytes, 1),
            facts.row_bytes,
        ).index  # fmt: skip
        self.heads.extend((len(self.costs), place, facts.core))
        self.costs.append(spill_cost(name, facts.rows, facts.row_bytes, self.core))
        self.operands.extend((dst, whole, 0, src, whole, 0))

    def _end(self, number: int) -> None:
        """After an instruction: tensors that it was the last to use are kept, or give room."""
        for name in self.ends.pop(number, ()):
            if self.last[name] != number or name in self.owner:
                continue
            key = self.keys.get(name)
            if name in self.live and key is not None and self.held.get(key) == name:
                self.idle[name] = None
            else:
                self._drop(name)
                self.away.discard(name)
