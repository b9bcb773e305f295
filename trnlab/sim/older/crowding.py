"""Where stores take longest, results that wait for them fill SBUF and leave little to others.

What more than one result is made from shares the room that two of them need in a row: the operands
of the next one are there before the last is made. Of those, what was computed makes way, and what
was loaded stays. The evidence is the batched product of NKIBench: of four transposed tiles, all of
which would fit, three were stored and loaded eight times in all; no input was loaded twice.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from trnlab.machine.chip import Core
from trnlab.sim.program import Program
from trnlab.sim.timing.capacity import needs, room_of
from trnlab.trace import MEMORIES


@dataclass(frozen=True)
class Crowd:
    """What results leave to the tiles that more than one of them is made from."""

    room: int  # bytes a partition
    sizes: np.ndarray  # of each tensor in that room; other tensors take none of it
    stored: np.ndarray  # results before each instruction

    def until(self, numbers: np.ndarray) -> np.ndarray:
        """When the room of tiles is free that instructions are the last to use."""
        return np.searchsorted(self.stored, self.stored[numbers] + 1, "right") - 1


def crowded(program: Program, core: Core) -> Crowd | None:
    """What results leave to others in a program that fits; None where they need not wait."""
    starts, counts, _ = program.spans()
    tensors, table = np.frombuffer(program.operands, np.int64)[::3], program.tensors()
    in_sbuf = (table.memory == MEMORIES.index("sbuf")) & ~table.placed
    sources = tensors[starts + counts - 1]
    moves = np.array([cost.is_transfer for cost in program.costs])[program.kinds()]
    stores = moves & (table.memory[tensors[starts]] < 0) & in_sbuf[sources]
    lag = _lag(program, core, stores)
    if lag <= 0 or program.edges:
        return None
    sizes = room_of("sbuf", table.rows, table.row_bytes, core)
    fullest = max(need.peak for need in needs(program, core) if need.space == "sbuf")
    if lag * sizes[np.unique(sources[stores])].sum() <= core.sbuf.usable - fullest:
        return None
    stored = np.cumsum(stores) - stores
    number, _ = program.accesses()
    turns, tiles = np.divmod(np.unique(stored[number] * len(sizes) + tensors), len(sizes))
    several = in_sbuf & (np.bincount(tiles, minlength=len(sizes)) > 1)
    turns, tiles = turns[several[tiles]], tiles[several[tiles]]
    cuts = np.searchsorted(turns, np.arange(stored[-1] + 2)).tolist()
    used = [set(tiles[a:b].tolist()) for a, b in pairwise(cuts)]
    sizes *= several
    room = max(int(sizes[list(one | two)].sum()) for one, two in pairwise([set(), *used]))
    return Crowd(room, sizes, stored)


def _lag(program: Program, core: Core, stores: np.ndarray) -> float:
    """The share of results that are not stored yet when the last of them is made."""
    kinds, size = program.kinds(), len(program.costs)
    often, stored = np.bincount(kinds, minlength=size), np.bincount(kinds[stores], minlength=size)
    times = {"stores": 0.0}
    for cost, count, mine in zip(program.costs, often.tolist(), stored.tolist(), strict=True):
        each = cost.moving * cost.engines / core.dma.engines if cost.is_transfer else cost.busy
        what = "loads" if cost.is_transfer else cost.queue
        times["stores"] += each * mine
        times[what] = times.get(what, 0.0) + each * (count - mine)
    slowest = times.pop("stores")
    return 1.0 - max(times.values(), default=0.0) / slowest if slowest else 0.0
