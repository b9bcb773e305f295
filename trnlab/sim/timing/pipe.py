"""Pipes that flow: the DMA engines of a core, and the stacks of HBM that cores share."""

from bisect import bisect_left

from trnlab.sim.timing.state import Gap


def flowed(idle: list[Gap], ready: float, seconds: float, row: int) -> tuple[float, float, int]:
    """From when until when a pipe works so long on a transfer, and the row it worked on before.

    A transfer is many packets, which go through whenever the pipe is idle from ``ready`` on: who
    asked first keeps its time, and the others get what is left in front of it and between.
    """
    if seconds <= 0:
        return ready, ready, -1
    first = max(0, bisect_left(idle, (ready, ready, 0)) - 1)
    if idle[first][1] <= ready:
        first += 1
    start, stop, ahead = idle[first]
    begin, last = max(start, ready), first
    now = begin
    while now + seconds > stop:
        seconds -= stop - now
        last += 1
        now, stop, _ = idle[last]
    end = now + seconds
    if end < stop:
        idle[last] = end, stop, row
        last -= 1
    del idle[first : last + 1]
    if start < ready:
        idle.insert(first, (start, ready, ahead))
    return begin, end, ahead


def forget(idle: list[Gap], soonest: float) -> None:
    """Drops idle times that end before any later transfer can be ready."""
    while idle[0][1] <= soonest:
        del idle[0]
