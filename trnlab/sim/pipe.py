"""The DMA engines of a core as one pipe, shared by everything in flight."""

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field


@dataclass(slots=True)
class Pipe:
    """When the DMA engines are taken.

    A transfer on some of the engines takes its share of the pipe. One that waits for its data holds
    nothing, so another that was triggered later may go first: idle times in front of waiting
    transfers are kept and filled. Each gap is (from, until, row that was busy before it).
    """

    tail: float = 0.0
    row: int = -1
    gaps: list[tuple[float, float, int]] = field(default_factory=list)

    def place(
        self, ready: float, moving: float, share: float, row: int, soonest: float
    ) -> tuple[float, int]:
        """When a transfer can start that takes ``moving`` seconds on a share of the engines.

        Returns the time and the row that was in the way. No later transfer will be ready before
        ``soonest``, so that idle times before then can be forgotten.
        """
        length = moving * share
        begin, before = self._take(ready, length, row, soonest)
        late = begin - ready - (moving - length)
        return (ready + late, before) if late > 0 else (ready, before)

    def _take(self, ready: float, length: float, row: int, soonest: float) -> tuple[float, int]:
        gaps = self.gaps
        while gaps and gaps[0][1] <= soonest:
            del gaps[0]
        first = max(0, bisect_left(gaps, (ready, ready, 0)) - 1)  # what ends before is too early
        for index in range(first, len(gaps)):
            start, stop, before = gaps[index]
            begin = start if start > ready else ready
            if begin + length <= stop:
                del gaps[index]
                if begin > start:
                    insort(gaps, (start, begin, before))
                if begin + length < stop:
                    insort(gaps, (begin + length, stop, row))
                return begin, before
        begin, before = (self.tail, self.row) if self.tail > ready else (ready, self.row)
        if begin > self.tail and begin > soonest:
            gaps.append((self.tail, begin, before))
        self.tail, self.row = begin + length, row
        return begin, before


@dataclass(slots=True)
class Stack:
    """When a stack of HBM is taken, by the transfers of the cores that share it.

    A transfer takes all the time that others have left, from when it starts until its bytes are
    through. Who asked first has its whole rate and the others share what is left of the stack.
    """

    starts: list[float] = field(default_factory=list)  # of when it is busy, without overlap
    stops: list[float] = field(default_factory=list)

    def take(self, start: float, seconds: float) -> float:
        """When a transfer is through that starts then and needs the whole stack for ``seconds``."""
        starts, stops = self.starts, self.stops
        first = last = bisect_right(stops, start)
        now, left = start, seconds
        while last < len(starts) and starts[last] - now < left:
            left -= max(0.0, starts[last] - now)
            now = stops[last]
            last += 1
        end = now + left
        begin = min(start, starts[first]) if first < last else start
        starts[first:last], stops[first:last] = [begin], [end]
        return end
