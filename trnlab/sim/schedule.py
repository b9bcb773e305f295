"""When everything happens: a program on the engines, queues and memories of its cores.

One pass in program order. Every queue starts its instructions in order; an instruction waits for
the bytes it reads (written by others), for the bytes it overwrites (read or written by others), and
for room when its tensor is new. A transfer is triggered in order on its queue and then moves when
its data is there and DMA engines are free.

The pass runs once for every instruction of programs that have millions, so its state is flat lists
indexed by region, and what happens rarely (a new tensor, a full memory) is kept out of the way.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from trnlab.machine.chip import Core
from trnlab.sim.cost import Cost
from trnlab.sim.pipe import Pipe, Stack
from trnlab.sim.program import Program
from trnlab.sim.regions import Regions, number_regions
from trnlab.sim.rooms import Rooms
from trnlab.trace import CAUSES, QUEUES

FIRST, ENGINE, DATA, BUFFER, MEMORY, QUEUE, CLOCK, RANK = range(len(CAUSES))

NOBODY: dict[int, tuple[float, int]] = {}  # has read a region since it was written

# lane, cost, place, start, busy until, result visible, cause, blocking row
Row = tuple[int, int, int, float, float, float, int, int]
Ready = tuple[float, int, int]  # from when, why not earlier, which row that was
Work = Callable[[Cost, int, int, int, Ready], tuple[float, float, int]]


@dataclass
class Engines:
    """The queues, DMA engines, function tables and array clocks of all cores, at one moment."""

    core: Core
    cores: int
    stack: tuple[int, float] = (1, inf)  # cores that share one of HBM, its bytes a second
    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        queues = len(QUEUES) * self.cores
        self.free_at = [0.0] * queues
        self.last_row = [-1] * queues
        self.pipes = [Pipe() for _ in range(self.cores)]
        self.triggers: list[dict[int, float]] = [{} for _ in range(self.cores)]
        self.tables: list[str | None] = [None] * self.cores
        self.warm_since = [0.0] * self.cores
        members, rate = self.stack
        wanted = members * self.core.dma.engines * self.core.dma.rate
        shared = self.cores > 1 and members > 1 and wanted > rate
        self.stacks = [Stack() for _ in range(-(-self.cores // members))] if shared else []
        self.exchanging = [(0.0, -1)] * self.cores  # until when, last row

    def compute(
        self, cost: Cost, index: int, lane: int, place: int, ready: Ready
    ) -> tuple[float, float, int]:
        """Runs an instruction: until when it reads, when its result is visible, its row."""
        start, why, by = ready
        free = self.free_at[lane]
        if free >= start:
            start, by = free, self.last_row[lane]
            why = ENGINE if by >= 0 else FIRST
        busy = cost.busy
        if cost.is_array:
            busy = self._on_clock(lane, start, busy)
        elif cost.table is not None and cost.table != self.tables[lane // len(QUEUES)]:
            if self.tables[lane // len(QUEUES)] is not None:  # the first is there at the launch
                start += self.core.timing.table_load
            self.tables[lane // len(QUEUES)] = cost.table
        until = start + busy
        done = until + cost.fixed
        rows = self.rows
        row = len(rows)
        rows.append((lane, index, place, start, until, done, why, by))
        self.free_at[lane] = until
        self.last_row[lane] = row
        return until, done, row

    def _on_clock(self, lane: int, start: float, busy: float) -> float:
        """Work on the array runs at the cold rate until it has been busy for a while."""
        array, number = self.core.array, lane // len(QUEUES)
        if start - self.free_at[lane] > array.warm_after:
            self.warm_since[number] = start
        cold_left = self.warm_since[number] + array.warm_after - start
        if cold_left <= 0 or array.cold_rate >= 1:
            return busy
        cold_work = cold_left * array.cold_rate
        return busy / array.cold_rate if busy <= cold_work else cold_left + busy - cold_work

    def transfer(
        self, cost: Cost, index: int, lane: int, place: int, ready: Ready
    ) -> tuple[float, float, int]:
        """Triggers in order on the queue; moves when data and DMA engines are there."""
        rows = self.rows
        trigger = self.free_at[lane]
        triggered = trigger + cost.busy
        last = self.last_row[lane]
        row = len(rows)
        rows.append(
            (
                lane,
                index,
                place,
                trigger,
                triggered,
                triggered,
                ENGINE if last >= 0 else FIRST,
                last,
            )
        )
        self.free_at[lane] = triggered
        self.last_row[lane] = row
        start, why, by = ready
        if by >= 0:
            start += cost.wakes
        if triggered >= start:
            start, why, by = triggered, QUEUE, row
        return self._move(cost, index, lane, place, (start, why, by))

    def _move(
        self, cost: Cost, index: int, lane: int, place: int, ready: Ready
    ) -> tuple[float, float, int]:
        """The DMA engines do their part, some time after the trigger and the data are there."""
        rows, number = self.rows, lane // len(QUEUES)
        row, triggered = len(rows) - 1, rows[-1][4]
        start, why, by = ready
        start += cost.latency
        share = cost.engines / self.core.dma.engines
        soonest = self._soonest(lane, triggered) + cost.latency
        begin, before = self.pipes[number].place(start, cost.moving, share, row + 1, soonest)
        if begin > start:
            start, why, by = begin, ENGINE, before
        done = start + cost.moving
        if self.stacks:
            done = max(done, self._through_stack(cost, number, start))
        rows.append((len(self.free_at) + lane, index, place, start, done, done, why, by))
        return done, done, row + 1

    def _through_stack(self, cost: Cost, number: int, start: float) -> float:
        """When the stack of HBM that a core shares with others has moved the bytes."""
        members, rate = self.stack
        seconds = (cost.hbm_read + cost.hbm_write) / rate
        return self.stacks[number // members].take(start, seconds) if seconds else start

    def _soonest(self, lane: int, triggered: float) -> float:
        """The earliest trigger that any later transfer can have."""
        triggers = self.triggers[lane // len(QUEUES)]
        triggers[lane] = triggered
        return triggered if len(triggers) == 1 else min(triggers.values())

    def collective(
        self, cost: Cost, index: int, lane: int, place: int, ready: Ready
    ) -> tuple[float, float, int]:
        """Runs a collective on all its cores at once, when the last of them is ready."""
        start, why, by = ready
        for core, _ in cost.callers:
            free, row = self.exchanging[core]
            if row >= 0 and free >= start:
                start, why, by = free, ENGINE, row
        done = start + cost.busy
        first = len(self.rows)
        for core, where in cost.callers:
            self.exchanging[core] = done, len(self.rows)
            row = (2 * len(self.free_at) + core, index, where, start, done, done, why, by)
            self.rows.append(row)
        return done, done, first


class Scheduler:
    """One pass over a program; ``rows`` is the trace, ``stays`` how long tensors were held.

    ``engines`` may be others than those that keep the order of the program, and ``loose`` says so.
    """

    def __init__(
        self,
        program: Program,
        core: Core,
        cores: int = 1,
        engines: Engines | None = None,
        *,
        loose: bool = False,
    ) -> None:
        self.program, self.core, self.cores, self.loose = program, core, cores, loose
        self.engines = engines or Engines(core, cores)
        self.stays: list[tuple[int, float, float]] = []  # buffer, from, until

    def run(self) -> list[Row]:
        """Schedules every instruction of the program; the rows of the trace."""
        program, engines = self.program, self.engines
        numbers, keys = number_regions(program)
        regions = Regions(program.buffers, keys)
        rooms = Rooms(program, self.core, regions.owner, self.cores, shared=self.loose)
        written_at, written_by = [0.0] * len(keys), [-1] * len(keys)
        writer = [-1] * len(keys)  # lane
        readers: list[dict[int, tuple[float, int]]] = [NOBODY] * len(keys)  # lane -> until, row
        overlaps, owner, loose = regions.overlaps, regions.owner, self.loose
        hop = self.core.timing.semaphore
        kinds = [(c, *self._how(c), c.writes, c.writes + c.reads) for c in program.costs]
        heads = iter(program.heads)
        at = 0
        last_uses = rooms.last_uses(program.lifetimes()[1])
        fresh: list[int] = []  # tensors that this instruction writes first
        edges, ends = program.edges, {}  # what instructions that others wait for, ended with
        awaited = {p for producers in edges.values() for p in producers}
        for number, (index, place, core) in enumerate(zip(heads, heads, heads, strict=True)):
            cost, queue, work, writes, count = kinds[index]
            lane = queue + core * len(QUEUES)
            touched = numbers[at : at + count]
            at += count
            ready, why, by = 0.0, FIRST, -1
            for region in touched[writes:]:
                for other in overlaps[region]:
                    row = written_by[other]
                    if row >= 0:
                        when = written_at[other]
                        if writer[other] != lane:
                            when += hop
                        if when > ready:
                            ready, why, by = when, DATA, row
            for region in touched[:writes]:
                for other in overlaps[region]:
                    row = written_by[other]
                    if row >= 0 and writer[other] != lane and written_at[other] + hop > ready:
                        ready, why, by = written_at[other] + hop, BUFFER, row
                    elif loose and row >= 0 and engines.rows[row][4] > ready:
                        ready, why, by = engines.rows[row][4], BUFFER, row
                    if readers[other] is not NOBODY:
                        for reader, (when, row) in readers[other].items():
                            if (loose or reader != lane) and when + hop > ready:
                                ready, why, by = when + hop, BUFFER, row
                if rooms.new[owner[region]]:
                    when, row = rooms.take(owner[region])
                    fresh.append(owner[region])
                    if when > ready:
                        ready, why, by = when, MEMORY, row
            for producer in edges.get(number, ()) if edges else ():
                when, row = ends[producer]
                if when + hop > ready:
                    ready, why, by = when + hop, DATA, row
            until, done, row = work(cost, index, lane, place, (ready, why, by))
            if number in awaited:
                ends[number] = done, row
            while fresh:
                rooms.arrived[fresh.pop()] = engines.rows[row][3]
            actual = engines.rows[row][0]
            for region in touched[:writes]:
                written_at[region], written_by[region] = done, row
                writer[region] = actual
                readers[region] = NOBODY  # whoever overwrites this waits for the write
            for region in touched[writes:]:
                reading = readers[region]
                if reading is NOBODY:
                    readers[region] = {actual: (until, row)}
                elif actual not in reading or until > reading[actual][0]:  # transfers may overtake
                    reading[actual] = until, row
            for buffer, mine in last_uses.get(number, ()):
                end = (0.0, -1)
                for r in mine:
                    end = max(end, (written_at[r], written_by[r]), *readers[r].values())
                self._release(rooms, buffer, end)
        return engines.rows

    def _how(self, cost: Cost) -> tuple[int, Work]:
        """The queue of an instruction among those of its core, and what runs it."""
        if cost.callers:  # on no queue of one core, so that it waits for every one
            return 2 * len(self.engines.free_at), self.engines.collective
        work = self.engines.transfer if cost.is_transfer else self.engines.compute
        return QUEUES.index(cost.queue), work

    def _release(self, rooms: Rooms, buffer: int, end: tuple[float, int]) -> None:
        """A tensor was used for the last time."""
        arrived = rooms.arrived.get(buffer, 0.0)
        self.stays.append((buffer, arrived, end[0]))
        rooms.give(buffer, *end)
