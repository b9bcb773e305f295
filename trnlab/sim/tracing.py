"""From a scheduled program to a trace."""

from typing import Any

import numpy as np

from trnlab.machine.chip import Chip
from trnlab.sim.capacity import needs, occupancy
from trnlab.sim.program import Program
from trnlab.sim.schedule import QUEUES, Scheduler
from trnlab.trace import Trace

COLUMNS = {
    "lane": np.int32,
    "name": np.int32,
    "where": np.int32,
    "start": np.float64,
    "busy_until": np.float64,
    "stop": np.float64,
    "cause": np.int8,
    "blocker": np.int32,
}


def trace_of(program: Program, chip: Chip, cores: int = 1) -> Trace:
    """Schedules a program on ``cores`` cores of a chip; times in seconds."""
    scheduler = Scheduler(program, chip.core, cores)
    rows = scheduler.run()
    columns = zip(*rows, strict=True) if rows else iter([()] * len(COLUMNS))
    held: dict[str, Any] = {
        name: np.array(column, kind)
        for (name, kind), column in zip(COLUMNS.items(), columns, strict=True)
    }
    trace = Trace(
        lanes=_lanes(cores),
        names=tuple(c.name for c in program.costs),
        wheres=tuple(f"{code.co_filename}:{line}" for code, line in program.places),
        **held,
    )
    trace.totals = _totals(program)
    for need in needs(program, chip.core):
        key = f"{need.space}_peak_bytes"
        trace.totals[key] = max(trace.totals.get(key, 0.0), float(need.peak))
    trace.counters = _counters(program, trace, scheduler)
    return trace


def _lanes(cores: int) -> tuple[str, ...]:
    prefixes = [""] if cores == 1 else [f"nc{n}/" for n in range(cores)]
    queues = [f"{prefix}{queue}" for prefix in prefixes for queue in QUEUES]
    return (*queues, *(f"{p}dma/{q}" for p in prefixes for q in QUEUES))


def _totals(program: Program) -> dict[str, float]:
    counts = np.bincount(program.kinds(), minlength=len(program.costs))
    totals: dict[str, float] = {}
    for count, cost in zip(counts.tolist(), program.costs, strict=True):
        for key, amount in cost.totals.items():
            totals[key] = totals.get(key, 0.0) + count * amount
    return totals


def _counters(
    program: Program, trace: Trace, scheduler: Scheduler
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    counters = {}
    for space in ("sbuf", "psum"):
        stays = [s for s in scheduler.stays if program.buffers[s[0]].space == space]
        if stays:
            index, starts, stops = zip(*stays, strict=True)
            sizes = np.array([program.buffers[i].row_bytes for i in index], float)
            counters[f"{space} bytes"] = occupancy(np.array(starts), np.array(stops), sizes)
    moving = np.flatnonzero(trace.lane >= len(trace.lanes) // 2)
    start, stop, kinds = trace.start[moving], trace.stop[moving], trace.name[moving]
    length = np.maximum(stop - start, 1e-12)
    for name, attribute in (("hbm read B/s", "hbm_read"), ("hbm write B/s", "hbm_write")):
        amounts = np.array([getattr(c, attribute) for c in program.costs])[kinds]
        used = amounts > 0
        if used.any():
            counters[name] = occupancy(start[used], stop[used], (amounts / length)[used])
    return counters
