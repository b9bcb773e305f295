"""From a scheduled program to a trace."""

import numpy as np

from trnlab.machine.chip import Chip
from trnlab.sim.capacity import needs, occupancy
from trnlab.sim.program import Program
from trnlab.sim.schedule import QUEUES, Columns, Scheduler
from trnlab.trace import Trace


def trace_of(program: Program, chip: Chip, cores: int = 1) -> Trace:
    """Schedules a program on ``cores`` cores of a chip; times in seconds."""
    scheduler = Scheduler(program, chip.core, cores)
    columns = scheduler.run()
    trace = Trace(
        lanes=_lanes(cores),
        names=tuple(c.name for c in program.costs),
        wheres=tuple(f"{code.co_filename}:{line}" for code, line in program.places),
        lane=np.array(columns.lane, np.int32),
        name=np.array(columns.cost, np.int32),
        where=np.array(columns.place, np.int32),
        start=np.array(columns.start, np.float64),
        busy_until=np.array(columns.busy, np.float64),
        stop=np.array(columns.stop, np.float64),
        cause=np.array(columns.cause, np.int8),
        blocker=np.array(columns.blocker, np.int32),
    )
    trace.totals = _totals(program, columns, cores)
    for need in needs(program, chip.core):
        key = f"{need.space}_peak_bytes"
        trace.totals[key] = max(trace.totals.get(key, 0.0), float(need.peak))
    trace.counters = _counters(program, columns, scheduler)
    return trace


def _lanes(cores: int) -> tuple[str, ...]:
    prefixes = [""] if cores == 1 else [f"nc{n}/" for n in range(cores)]
    queues = [f"{prefix}{queue}" for prefix in prefixes for queue in QUEUES]
    return (*queues, *(f"{p}dma/{q}" for p in prefixes for q in QUEUES))


def _totals(program: Program, columns: Columns, cores: int) -> dict[str, float]:
    lanes = np.array(columns.lane, np.int32)
    issued = np.array(columns.cost, np.int64)[lanes < len(QUEUES) * cores]
    counts = np.bincount(issued, minlength=len(program.costs))
    totals: dict[str, float] = {}
    for count, cost in zip(counts.tolist(), program.costs, strict=True):
        for key, amount in cost.totals.items():
            totals[key] = totals.get(key, 0.0) + count * amount
    return totals


def _counters(
    program: Program, columns: Columns, scheduler: Scheduler
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    counters = {}
    for space in ("sbuf", "psum"):
        stays = [s for s in scheduler.stays if program.buffers[s[0]].space == space]
        if stays:
            index, starts, stops = zip(*stays, strict=True)
            sizes = np.array([program.buffers[i].row_bytes for i in index], float)
            counters[f"{space} bytes"] = occupancy(np.array(starts), np.array(stops), sizes)
    lanes = np.array(columns.lane, np.int32)
    moving = np.flatnonzero(lanes >= len(scheduler.free_at))
    if len(moving):
        start, stop = np.array(columns.start)[moving], np.array(columns.stop)[moving]
        kinds = np.array(columns.cost)[moving]
        length = np.maximum(stop - start, 1e-12)
        for name, attribute in (("hbm read B/s", "hbm_read"), ("hbm write B/s", "hbm_write")):
            amounts = np.array([getattr(c, attribute) for c in program.costs])[kinds]
            used = amounts > 0
            if used.any():
                rate = (amounts / length)[used]
                counters[name] = occupancy(start[used], stop[used], rate)
    return counters
