"""The DMA engines of a core as one pipe, and the stacks of HBM that cores share."""

from bisect import bisect_left, bisect_right, insort

from trnlab.sim.timing.state import State


def placed(
    state: State, core: int, ready: float, moving: float, share: float, row: int, soonest: float
) -> tuple[float, int]:
    """When a transfer can start that takes ``moving`` seconds on a share of the engines.

    It takes its share of the pipe. One that waits for its data holds nothing, so another that was
    triggered later may go first: idle times in front of waiting transfers are kept and filled.
    Returns the time and the row that was in the way. No later transfer will be ready before
    ``soonest``, so that idle times before then can be forgotten.
    """
    length = moving * share
    begin, before = taken(state, core, ready, length, row, soonest)
    late = begin - ready - (moving - length)
    return (ready + late, before) if late > 0 else (ready, before)


def taken(
    state: State, core: int, ready: float, length: float, row: int, soonest: float
) -> tuple[float, int]:
    """The first time for so much of the pipe, and the row that was busy before it."""
    idle = state.idle[core]
    while len(idle) > 0 and idle[0][1] <= soonest:
        del idle[0]
    first = max(0, bisect_left(idle, (ready, ready, 0)) - 1)  # what ends before is too early
    for index in range(first, len(idle)):
        start, stop, before = idle[index]
        begin = start if start > ready else ready
        if begin + length <= stop:
            del idle[index]
            if begin > start:
                insort(idle, (start, begin, before))
            if begin + length < stop:
                insort(idle, (begin + length, stop, row))
            return begin, before
    tail, before = state.tail[core], state.tail_row[core]
    begin = tail if tail > ready else ready
    if begin > tail and begin > soonest:
        idle.append((tail, begin, before))
    state.tail[core], state.tail_row[core] = begin + length, row
    return begin, before


def through(state: State, stack: int, start: float, seconds: float) -> float:
    """When a stack of HBM has moved what a transfer moves, which starts then.

    A transfer that needs the whole stack for ``seconds`` takes all the time that others have left,
    until its bytes are through. Who asked first has its whole rate and the others share the rest.
    """
    starts, stops = state.busy_from[stack], state.busy_until[stack]
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
