"""What the older compiler computes and loads once: tiles that hold the same as one before.

A tile that is filled first and only read afterwards is known by its recipe: what wrote it, from
what. A tile with the recipe of an earlier one is left out, and whoever reads it reads the other,
if a loop around the line that made it can keep all that this line makes between the two: as much as
tiles that are not loaded leave of SBUF. What nobody reads any longer is not computed.
"""

from array import array
from collections import OrderedDict
from dataclasses import dataclass, field, replace

import numpy as np

from trnlab.isa.tile import LAYOUTS
from trnlab.machine.chip import Core
from trnlab.sim.older.numbering import Making, needed, numbered
from trnlab.sim.older.origins import origins
from trnlab.sim.program import Program
from trnlab.sim.quick import quick
from trnlab.sim.timing.capacity import Need, needs
from trnlab.sim.timing.cost import Cost

IMPURE = {"rng", "rand2", "dropout", "get_rng_state", "rand_get_state"}  # new numbers every time
PLAIN = {"nc_matmul", "nc_transpose", "tensor_copy", "dma_copy"}  # operands say all they do


def merged(program: Program, core: Core, without: frozenset[str]) -> Program:
    """The program without loads and computations that would only repeat what SBUF holds."""
    if {"load_reuse", "hoisting"} <= without or len(program.edges):
        return program
    return _Merging(program, core, without).run()


@dataclass
class _Merging:
    program: Program
    core: Core
    without: frozenset[str]
    owner: dict[int, int] = field(default_factory=dict)  # tile -> the tile that stands for it

    def __post_init__(self) -> None:
        program = self.program
        self.kinds = program.kinds()
        self.writes = np.array([c.writes for c in program.costs])
        self.starts, counts, _ = program.spans()
        self.operand_at = np.append(self.starts, counts.sum())
        self.table = np.frombuffer(program.operands, np.int64).reshape(-1, 3)
        self.number, self.is_write = program.accesses()
        self.origins = origins(program).tolist()
        self._find_phases()

    def _find_phases(self) -> None:
        """Which tiles are filled first and only read afterwards."""
        count = len(self.program.buffers)
        self.first_write, self.last_write = np.full(count, -1), np.full(count, -1)
        self.first_read = np.full(count, self.program.count)
        tensors, number, writes = self.table[:, 0], self.number, self.is_write
        self.last_write[tensors[writes]] = number[writes]
        self.first_write[tensors[writes][::-1]] = number[writes][::-1]
        self.first_read[tensors[~writes][::-1]] = number[~writes][::-1]
        on_chip = np.array([f.space != "hbm" and not f.placed for f in self.program.buffers])
        self.clean = on_chip & (self.first_write >= 0) & (self.last_write < self.first_read)
        self.is_read = self.first_read < self.program.count

    def run(self) -> Program:
        """The program with every recipe made once."""
        self._merge(self._recipes())
        if not self.owner:
            return self.program
        kept, last = self._kept()
        self._give_up(kept, last)
        kept, _ = self._kept()
        return self._rewritten(kept)

    # --- recipes

    def _recipes(self) -> list[int]:
        """For every tile a number that tiles with the same contents share."""
        costs, kinds = self.program.costs, self.kinds
        whats = np.array([what or (False, -1) for what in self._whats()], np.int64)[kinds]
        places, cores = np.frombuffer(self.program.heads, np.int64).reshape(-1, 3)[:, 1:].T
        lines = np.where(whats[:, 0] > 0, 0, 1 + places) * (1 + cores.max()) + cores
        does = np.where(whats[:, 1] < 0, -1, whats[:, 1] * (1 + lines.max()) + lines)
        copies = np.array([c.name == "tensor_copy" for c in costs])
        # what has one partition is loaded and spread over the others for each use, with new ones
        single = np.array([here.partitions == 1 for here in LAYOUTS])
        _, layouts, offsets = self.table.T
        starts, ends = self.operand_at[:-1], self.operand_at[1:]
        reads = starts + self.writes[kinds] < ends
        first = np.where(reads, starts + self.writes[kinds], starts)  # it reads, or else makes
        spreads = (starts < ends) & ((whats[:, 0] > 0) | ~reads)
        spreads[spreads] = single[layouts[first[spreads]]]
        offsets = offsets - offsets.min(initial=0)
        making = Making(
            self.operand_at, self.writes[kinds], does, whats[:, 0] > 0, copies[kinds], spreads,
            self.table[:, 0], layouts * (1 + offsets.max(initial=0)) + offsets,
            self.clean, self.last_write,
        )  # fmt: skip
        values, self.plain = quick(numbered, making)
        return values

    def _whats(self) -> list[tuple[bool, int] | None]:
        """What each cost does, as a number; and whether the line matters; None if unknown."""
        alike: dict[object, int] = {}
        found: list[tuple[bool, int] | None] = []
        for index, cost in enumerate(self.program.costs):
            if cost.name in IMPURE or cost.dynamic or cost.callers:
                found.append(None)
            elif cost.name in PLAIN:
                found.append((True, alike.setdefault(_signature(cost), index)))
            else:
                found.append((False, index))
        return found

    # --- which of them are made once

    def _merge(self, values: list[int]) -> None:
        """Lets later tiles stand for earlier ones, as long as their line has kept those."""
        buffers, first, lines = self.program.buffers, self.first_write, self.origins
        used = np.flatnonzero(self.clean & self.is_read).tolist()
        mine = [n for n in used if buffers[n].space == "sbuf"]
        self.loads = {n for n in mine if self._is_load(int(first[n]))}
        room = self._room() if mine else 0
        kept: dict[int, OrderedDict[int, int]] = {}  # line -> values, the oldest first
        left: dict[int, int] = {}
        made: dict[int, int] = {}  # value -> tile
        for tensor in sorted(mine, key=first.__getitem__):
            value = values[tensor]
            if ("load_reuse" if tensor in self.loads else "hoisting") in self.without:
                continue
            before = made.get(value)
            if before is not None:
                line = lines[first[before]]
                if value in kept[line]:
                    kept[line].move_to_end(value)
                    self.owner[tensor] = before
                    continue
            made[value] = tensor
            line = lines[first[tensor]]
            kept.setdefault(line, OrderedDict())[value] = buffers[tensor].row_bytes
            left[line] = left.get(line, room) - buffers[tensor].row_bytes
            while left[line] < 0 or (len(kept[line]) > 1 and not self.plain[tensor]):
                left[line] += kept[line].popitem(last=False)[1]

    def _fullest(self) -> Need:
        """The moment when most of SBUF is taken."""
        found = (n for n in needs(self.program, self.core) if n.space == "sbuf")
        return max(found, key=lambda n: n.peak)

    def _room(self) -> int:
        """Bytes that tiles which are not loaded leave when most is taken."""
        need = self._fullest()
        others = (self.program.buffers[n].row_bytes for n in need.live if n not in self.loads)
        return max(need.usable - sum(others), 0)

    def _is_load(self, number: int) -> bool:
        cost, at = self.program.costs[self.kinds[number]], self.starts[number]
        return (
            cost.is_transfer
            and cost.reads == 1
            and self.program.buffers[self.table[at + cost.writes, 0]].space == "hbm"
        )

    def _give_up(self, kept: np.ndarray, last: list[int]) -> None:
        """Loads that are repeated after all, because iterations that overlap need the room.

        The loops of a program that fits twice are pipelined: while one iteration computes, another
        one loads. What is kept for later iterations has what that leaves.
        """
        room = self._left_by_pipelining()
        if room is None:
            return
        loads = sorted(
            (int(self.first_write[n]), n)
            for n in self.loads
            if kept[self.first_write[n]] or self.owner.get(n, n) != n
        )
        order = {n: number for number, (_, n) in enumerate(loads)}
        chains: dict[int, list[int]] = {}
        for _, n in loads:
            chains.setdefault(self.owner.get(n, n), []).append(n)
        held: list[tuple[int, int]] = []  # until when, bytes
        for tile, chain in sorted(chains.items(), key=lambda c: self.first_write[c[0]]):
            runs = _runs(chain, order)
            start, until = int(self.first_write[tile]), last[tile]
            if len(runs) < 2 or until < self.first_write[runs[1][0]]:
                continue
            size = self.program.buffers[tile].row_bytes
            held = [h for h in held if h[0] >= start]
            if sum(h[1] for h in held) + size <= room:
                held.append((until, size))
                continue
            for run in runs[1:]:
                self.owner.pop(run[0], None)
                self.owner.update(dict.fromkeys(run[1:], run[0]))

    def _left_by_pipelining(self) -> int | None:
        """Bytes that two iterations at once leave; None where they do not fit."""
        need = self._fullest()
        lines, live = dict[int, tuple[int, bool]](), set(need.live)
        for tile in self.loads:
            facts = self.program.buffers[tile]
            line = self.origins[self.first_write[tile]]
            size, here = lines.get(line, (0, False))
            lines[line] = max(size, facts.row_bytes), here or tile in live
        ahead = max((size for size, here in lines.values() if not here), default=0)
        room = need.usable - 2 * (need.peak + ahead)
        return room if room >= 0 else None

    # --- the program that is left

    def _kept(self) -> tuple[np.ndarray, list[int]]:
        """Which instructions still make what somebody reads; the last reader of each tile."""
        on_chip = np.array([facts.space != "hbm" for facts in self.program.buffers])
        kept, last = quick(
            needed, self.operand_at, self.writes[self.kinds], self.table[:, 0], self._names(),
            on_chip & self.is_read,
        )  # fmt: skip
        return np.array(kept), last

    def _names(self) -> np.ndarray:
        """For every tensor the one that stands for it."""
        names = np.arange(len(self.program.buffers))
        names[list(self.owner)] = list(self.owner.values())
        return names

    def _rewritten(self, kept: np.ndarray) -> Program:
        table = self.table[kept[self.number]]
        table[:, 0] = self._names()[table[:, 0]]
        heads = np.frombuffer(self.program.heads, np.int64).reshape(-1, 3)[kept]
        return replace(
            self.program,
            heads=array("q", heads.tobytes()),
            operands=array("q", table.tobytes()),
            loops=[],
        )


def _runs(chain: list[int], order: dict[int, int]) -> list[list[int]]:
    """Loads of the same, cut where other loads come between."""
    runs: list[list[int]] = []
    for tile in chain:
        if runs and order[tile] == order[runs[-1][-1]] + 1:
            runs[-1].append(tile)
        else:
            runs.append([tile])
    return runs


def _signature(cost: Cost) -> tuple[object, ...]:
    return (
        cost.name, cost.queue, cost.busy, cost.fixed, cost.moving, cost.engines, cost.reads,
        cost.writes, cost.adds, *sorted(cost.totals.items()),
    )  # fmt: skip
