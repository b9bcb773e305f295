"""Engines whose order a compiler chose: what is ready goes first.

The older compiler schedules the instructions of a kernel itself: iterations of loops overlap, and
work it may place on two engines goes where it ends first. Here an instruction takes the first idle
time of its engine after its data is there.
"""

from dataclasses import dataclass, field, replace

from trnlab.sim.cost import Cost
from trnlab.sim.schedule import ENGINE, FIRST, QUEUE, QUEUES, Engines, Ready

KEPT = 64  # idle times of an engine that may still be filled; a compiler's window is finite too

Gap = tuple[float, float, int]  # from, until, row that was busy before


@dataclass
class Reordering(Engines):
    """As `Engines`, but idle times are filled by what comes later in the program."""

    gaps: dict[int, list[Gap]] = field(default_factory=dict)

    def compute(
        self, cost: Cost, index: int, lane: int, place: int, ready: Ready
    ) -> tuple[float, float, int]:
        """Runs an instruction in the first idle time that is long enough."""
        if cost.also is not None:
            other = cost.also
            there = lane - lane % len(QUEUES) + QUEUES.index(other.queue)
            here_ends = self._slot(lane, ready[0], cost.busy)[0] + cost.busy + cost.fixed
            there_ends = self._slot(there, ready[0], other.busy)[0] + other.busy + other.fixed
            if there_ends < here_ends:
                cost, lane = other, there
        gap = self._slot(lane, ready[0], cost.busy)[1]
        if gap < 0:
            free = self.free_at[lane]
            if ready[0] > free:
                kept = self.gaps.setdefault(lane, [])
                kept.append((free, ready[0], self.last_row[lane]))
                del kept[:-KEPT]
            return super().compute(cost, index, lane, place, ready)
        return self._fill(cost, index, lane, place, ready, gap)

    def transfer(
        self, cost: Cost, index: int, lane: int, place: int, ready: Ready
    ) -> tuple[float, float, int]:
        """Triggers when the data is there: the queue waits for that, or does something else."""
        when, why, by = ready
        if by >= 0 and cost.busy:
            when += cost.wakes
        if not cost.busy:  # part of a transfer that was triggered before
            self.rows.append((lane, index, place, when, when, when, why, by))
            return self._move(cost, index, lane, place, (when, why, by))
        price = replace(cost, fixed=0.0, table=None, also=None, is_array=False)
        triggered, _, row = self.compute(price, index, lane, place, (when, why, by))
        return self._move(cost, index, lane, place, (triggered, QUEUE, row))

    def _soonest(self, lane: int, triggered: float) -> float:
        """Any time, as later transfers may go first; of the idle times the last are kept."""
        del self.pipes[lane // len(QUEUES)].gaps[:-KEPT]
        return 0.0

    def _slot(self, lane: int, ready: float, busy: float) -> tuple[float, int]:
        """When an instruction of that length can start, and in which idle time; -1 for none."""
        for number, (start, until, _) in enumerate(self.gaps.get(lane, ())):
            begin = start if start > ready else ready
            if begin + busy <= until:
                return begin, number
        return max(self.free_at[lane], ready), -1

    def _fill(
        self, cost: Cost, index: int, lane: int, place: int, ready: Ready, gap: int
    ) -> tuple[float, float, int]:
        first, last, before = self.gaps[lane].pop(gap)
        start, why, by = ready
        if first >= start:
            start, by = first, before
            why = ENGINE if by >= 0 else FIRST
        until = start + cost.busy
        row = len(self.rows)
        self.rows.append((lane, index, place, start, until, until + cost.fixed, why, by))
        kept = self.gaps[lane]
        if until < last:
            kept.insert(gap, (until, last, row))
        if first < start:
            kept.insert(gap, (first, start, before))
        return until, until + cost.fixed, row
