"""When everything happens: a program on the engines, queues and memories of its cores.

One pass in program order. Every queue starts its instructions in order; an instruction waits for the
bytes it reads (written by others), for the bytes it overwrites (read or written by others), and for
room when its tensor is new. A transfer is triggered in order on its queue and then moves when its
data is there and DMA engines are free.
"""

from array import array
from dataclasses import dataclass, field
from heapq import heappop, heappush

from trnlab.machine.chip import Core
from trnlab.sim.cost import Cost
from trnlab.sim.program import BufferFacts, Program
from trnlab.sim.regions import Regions
from trnlab.trace import CAUSES

FIRST, ENGINE, DATA, BUFFER, MEMORY, QUEUE, CLOCK = range(len(CAUSES))
QUEUES = ("tensor", "vector", "scalar", "gpsimd", "sync")


@dataclass
class Columns:
    """The trace while it grows."""

    lane: array = field(default_factory=lambda: array("i"))
    cost: array = field(default_factory=lambda: array("i"))
    place: array = field(default_factory=lambda: array("i"))
    start: array = field(default_factory=lambda: array("d"))
    busy: array = field(default_factory=lambda: array("d"))
    stop: array = field(default_factory=lambda: array("d"))
    cause: array = field(default_factory=lambda: array("b"))
    blocker: array = field(default_factory=lambda: array("i"))

    def add(
        self, lane: int, cost: int, place: int, times: tuple[float, float, float], why: int, by: int
    ) -> int:
        """Appends a span and returns its row."""
        row = len(self.lane)
        self.lane.append(lane)
        self.cost.append(cost)
        self.place.append(place)
        self.start.append(times[0])
        self.busy.append(times[1])
        self.stop.append(times[2])
        self.cause.append(why)
        self.blocker.append(by)
        return row


class Scheduler:
    """The state of the cores between two instructions of one pass."""

    def __init__(self, program: Program, core: Core, cores: int = 1) -> None:
        self.program, self.core, self.cores = program, core, cores
        self.columns = Columns()
        self.regions = Regions(program.buffers)
        self.free_at = [0.0] * (len(QUEUES) * cores)  # when each queue can take an instruction
        self.last_row = [-1] * (len(QUEUES) * cores)
        self.moving_until = [[0.0] * core.dma.engines for _ in range(cores)]
        self.moving_row = [-1] * cores
        self.tables: list[str | None] = [None] * cores
        self.warm_since = [0.0] * cores
        self.written_at: list[float] = []
        self.written_by: list[int] = []
        self.read_at: list[float] = []
        self.read_by: list[int] = []
        self.stays: list[tuple[int, float, float]] = []  # buffer, from, until
        self.arrived: dict[int, float] = {}
        self.rooms = {
            (space, n): Room(space, core) for space in ("sbuf", "psum") for n in range(cores)
        }

    def run(self) -> Columns:
        """Schedules every row; the columns of the trace."""
        rows = self.program.rows.tolist()
        costs = self.program.costs
        shapes = [(c, QUEUES.index(c.queue), 3 + 3 * (c.writes + c.reads)) for c in costs]
        last_use = _last_uses(rows, costs)
        number: dict[tuple[int, int, int], int] = {}
        at, row_number = 0, 0
        while at < len(rows):
            index, place, core = rows[at], rows[at + 1], rows[at + 2]
            cost, queue, length = shapes[index]
            touched = []
            for k in range(at + 3, at + length, 3):
                key = (rows[k], rows[k + 1], rows[k + 2])
                region = number.get(key)
                if region is None:
                    region = number[key] = self._meet(*key)
                touched.append(region)
            self._issue(index, cost, queue + core * len(QUEUES), place, core, touched)
            for buffer in last_use.get(row_number, ()):
                self._release(buffer)
            at += length
            row_number += 1
        return self.columns

    def _meet(self, buffer: int, layout: int, offset: int) -> int:
        region = self.regions.add(buffer, layout, offset)
        self.written_at.append(0.0)
        self.written_by.append(-1)
        self.read_at.append(0.0)
        self.read_by.append(-1)
        return region

    def _issue(
        self, index: int, cost: Cost, queue: int, place: int, core: int, touched: list[int]
    ) -> None:
        ready, why, by = self._ready(cost, queue, touched)
        for region in touched[: cost.writes]:
            facts = self.program.buffers[self.regions.owner[region]]
            room = self.rooms.get((facts.space, core))
            if room and not facts.placed:
                when, row = room.take(self.regions.owner[region], facts)
                if when > ready:
                    ready, why, by = when, MEMORY, row
        if cost.is_transfer:
            done, row = self._transfer(index, cost, queue, place, core, (ready, why, by))
            read_until = done
        else:
            read_until, done, row = self._compute(
                index, cost, queue, place, core, (ready, why, by)
            )
        for region in touched[: cost.writes]:
            self.written_at[region], self.written_by[region] = done, row
            self.arrived.setdefault(self.regions.owner[region], self.columns.start[row])
        for region in touched[cost.writes :]:
            if read_until >= self.read_at[region]:
                self.read_at[region], self.read_by[region] = read_until, row

    def _ready(self, cost: Cost, queue: int, touched: list[int]) -> tuple[float, int, int]:
        """When operands allow a start, why not earlier, and which row that was.

        Reading waits for writers; overwriting waits for readers and writers on other queues only,
        because a queue is in order.
        """
        hop = self.core.timing.semaphore
        overlaps, lane = self.regions.overlaps, self.columns.lane
        ready, why, by = 0.0, FIRST, -1
        for region in touched[cost.writes :]:
            for other in overlaps[region]:
                row = self.written_by[other]
                if row >= 0:
                    when = self.written_at[other]
                    if lane[row] != queue:
                        when += hop
                    if when > ready:
                        ready, why, by = when, DATA, row
        for region in touched[: cost.writes]:
            for other in overlaps[region]:
                row = self.written_by[other]
                if row >= 0 and lane[row] != queue and self.written_at[other] + hop > ready:
                    ready, why, by = self.written_at[other] + hop, BUFFER, row
                row = self.read_by[other]
                if row >= 0 and lane[row] != queue and self.read_at[other] + hop > ready:
                    ready, why, by = self.read_at[other] + hop, BUFFER, row
        return ready, why, by

    def _compute(
        self, index: int, cost: Cost, queue: int, place: int, core: int,
        ready: tuple[float, int, int],
    ) -> tuple[float, float, int]:
        start, why, by = ready
        if self.free_at[queue] >= start:
            start, by = self.free_at[queue], self.last_row[queue]
            why = ENGINE if by >= 0 else FIRST
        busy = cost.busy
        if cost.table and cost.table != self.tables[core]:
            start += self.core.timing.table_load
            self.tables[core] = cost.table
        if cost.is_array:
            busy = self._on_clock(core, queue, start, busy)
        until = start + busy
        done = until + cost.fixed
        row = self.columns.add(queue, index, place, (start, until, done), why, by)
        self.free_at[queue], self.last_row[queue] = until, row
        return until, done, row

    def _on_clock(self, core: int, queue: int, start: float, busy: float) -> float:
        """Work on the array runs at the cold rate until it has been busy for a while."""
        array_ = self.core.array
        if start - self.free_at[queue] > array_.warm_after:
            self.warm_since[core] = start
        cold_left = self.warm_since[core] + array_.warm_after - start
        if cold_left <= 0 or array_.cold_rate >= 1:
            return busy
        cold_work = cold_left * array_.cold_rate
        return busy / array_.cold_rate if busy <= cold_work else cold_left + busy - cold_work

    def _transfer(
        self, index: int, cost: Cost, queue: int, place: int, core: int,
        ready: tuple[float, int, int],
    ) -> tuple[float, int]:
        """Triggers in order on the queue; moves when data and engines are there."""
        trigger = self.free_at[queue]
        row = self.columns.add(
            queue, index, place, (trigger, trigger + cost.busy, trigger + cost.busy),
            ENGINE if self.last_row[queue] >= 0 else FIRST, self.last_row[queue],
        )  # fmt: skip
        self.free_at[queue], self.last_row[queue] = trigger + cost.busy, row
        start, why, by = ready
        if trigger + cost.busy >= start:
            start, why, by = trigger + cost.busy, QUEUE, row
        start += cost.latency
        lanes = self.moving_until[core]
        if cost.engines == len(lanes):
            free = max(lanes)
            chosen = range(len(lanes))
        else:
            chosen = sorted(range(len(lanes)), key=lanes.__getitem__)[: cost.engines]
            free = lanes[chosen[-1]]
        if free > start:
            start, why, by = free, ENGINE, self.moving_row[core]
        done = start + cost.moving
        for lane in chosen:
            lanes[lane] = done
        dma_lane = len(self.free_at) + queue
        moved = self.columns.add(dma_lane, index, place, (start, done, done), why, by)
        self.moving_row[core] = moved
        return done, moved

    def _release(self, buffer: int) -> None:
        facts = self.program.buffers[buffer]
        room = self.rooms.get((facts.space, facts.core))
        if room is None:
            return
        when, row = 0.0, -1
        for region in self.regions.of_buffer[buffer]:
            if self.written_at[region] > when:
                when, row = self.written_at[region], self.written_by[region]
            if self.read_at[region] > when:
                when, row = self.read_at[region], self.read_by[region]
        self.stays.append((buffer, self.arrived.get(buffer, when), when))
        if not facts.placed:
            room.give(buffer, when, row)


class Room:
    """Space for tensors that the kernel did not place: the oldest free space is taken first."""

    def __init__(self, space: str, core: Core) -> None:
        memory = core.sbuf if space == "sbuf" else core.psum
        self.unit = memory.bank if space == "psum" else 1
        self.left = memory.usable
        self.taken: dict[int, int] = {}
        self.returned: list[tuple[float, int, int]] = []

    def take(self, buffer: int, facts: BufferFacts) -> tuple[float, int]:
        """Reserves room at a tensor's first write: from when, and which row freed it."""
        if buffer in self.taken:
            return 0.0, -1
        size = -(-facts.row_bytes // self.unit) * self.unit
        self.taken[buffer] = size
        self.left -= size
        when, row = 0.0, -1
        while self.left < 0 and self.returned:
            when, row, freed = heappop(self.returned)
            self.left += freed
        return when, row

    def give(self, buffer: int, when: float, row: int) -> None:
        """Returns a tensor's room after its last use."""
        size = self.taken.get(buffer)
        if size is not None:
            heappush(self.returned, (when, row, size))


def _last_uses(rows: list[int], costs: list[Cost]) -> dict[int, list[int]]:
    """Which buffers each row of the program is the last to touch."""
    lengths = [3 + 3 * (c.writes + c.reads) for c in costs]
    last: dict[int, int] = {}
    at, number = 0, 0
    while at < len(rows):
        length = lengths[rows[at]]
        for k in range(at + 3, at + length, 3):
            last[rows[k]] = number
        at += length
        number += 1
    uses: dict[int, list[int]] = {}
    for buffer, row in last.items():
        uses.setdefault(row, []).append(buffer)
    return uses
