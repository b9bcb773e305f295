"""What kept each lane from starting: idle seconds, the critical path, the lines that cost most."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from trnlab.trace import CAUSES, Trace

KERNEL = "kernel"  # the lane of its start and end, which no line causes and nothing delays


class Line(NamedTuple):
    """One line of source on one lane: seconds that it occupied it, their share of the run, how many
    spans it made there, and the seconds of the critical path that these account for.
    """

    where: str
    lane: str
    seconds: float
    share: float
    spans: int
    path: float


class Named(NamedTuple):
    """Instructions of one name on one lane: the seconds that they occupied it, and how many."""

    name: str
    lane: str
    seconds: float
    spans: int


def by_name(trace: Trace) -> list[Named]:
    """Instructions by the seconds for which they occupied a lane, most expensive first."""
    names = tuple(dict.fromkeys(trace.names))
    same = np.array([names.index(name) for name in trace.names], np.int64)
    size = len(names) * len(trace.lanes)
    key = same[trace.name] * len(trace.lanes) + trace.lane if len(trace) else np.zeros(0, int)
    seconds = np.bincount(key, weights=trace.busy_until - trace.start, minlength=size)
    spans = np.bincount(key, minlength=size)
    return [
        Named(names[row // len(trace.lanes)], trace.lanes[row % len(trace.lanes)],
              float(seconds[row]), int(spans[row]))
        for row in np.argsort(-seconds, kind="stable").tolist()
        if spans[row]
    ]  # fmt: skip


def group(lane: str) -> str:
    """Engine or DMA that a lane belongs to: all DMA queues of a core are one."""
    head, dma, _ = lane.partition("dma/")
    return head + "dma" if dma else lane


def grouped(trace: Trace) -> Trace:
    """The same trace with the DMA queues of a core as one lane."""
    groups = tuple(dict.fromkeys(group(lane) for lane in trace.lanes))
    index = np.array([groups.index(group(lane)) for lane in trace.lanes], np.int32)
    return replace(trace, lanes=groups, lane=index[trace.lane])


def waits(trace: Trace) -> dict[str, dict[tuple[str, str], float]]:
    """Seconds each lane was idle before a span, by (cause, blocking lane), longest first.

    The blocking lane is empty where a span waited for nobody. Idle time after a lane's last span
    belongs to nobody and is not counted.
    """
    return _waits(trace, trace)


def engine_waits(trace: Trace) -> dict[str, dict[tuple[str, str], float]]:
    """The same per engine: DMA is idle while none of its queues moves anything."""
    return _waits(grouped(trace), trace)


def _waits(trace: Trace, blocking: Trace) -> dict[str, dict[tuple[str, str], float]]:
    idle, width = _idle(trace), len(blocking.lanes) + 1
    blocker = np.where(trace.blocker >= 0, blocking.lane[trace.blocker], width - 1)
    key = (trace.lane.astype(np.int64) * len(CAUSES) + trace.cause) * width + blocker
    kinds, which = np.unique(key[idle > 0], return_inverse=True)
    seconds = np.bincount(which, weights=idle[idle > 0], minlength=len(kinds))
    found: dict[str, dict[tuple[str, str], float]] = {lane: {} for lane in trace.lanes}
    names = (*blocking.lanes, "")
    for row in np.argsort(-seconds, kind="stable"):
        rest, by = divmod(int(kinds[row]), width)
        lane, cause = divmod(rest, len(CAUSES))
        found[trace.lanes[lane]][CAUSES[cause], names[by]] = float(seconds[row])
    return found


def path_seconds(trace: Trace) -> dict[str, float]:
    """Seconds of the critical path that each lane accounts for.

    A span accounts for the time from its start to the start of the span that it held up, its own
    latency and the signal included.
    """
    path, held = _held(trace)
    spent = np.bincount(trace.lane[path], weights=held, minlength=len(trace.lanes))
    return dict(zip(trace.lanes, spent.tolist(), strict=True))


def by_line(trace: Trace, top: int | None = None) -> list[Line]:
    """Lines of source by the seconds for which they occupied a lane, most expensive first.

    A line that occupies several lanes stands once for each. The start and the end of a kernel are
    nobody's.
    """
    lanes = len(trace.lanes)
    size = len(trace.wheres) * lanes
    key = trace.where.astype(np.int64) * lanes + trace.lane
    seconds = np.bincount(key, weights=trace.busy_until - trace.start, minlength=size)
    spans = np.bincount(key, minlength=size)
    path, held = _held(trace)
    spent = np.bincount(key[path], weights=held, minlength=size)
    used = [lane != KERNEL for lane in trace.lanes]
    ordered = np.argsort(-seconds, kind="stable").tolist()
    order = [row for row in ordered if spans[row] and used[row % lanes]][:top]
    return [
        Line(
            where=trace.wheres[int(row) // lanes],
            lane=trace.lanes[int(row) % lanes],
            seconds=float(seconds[row]),
            share=float(seconds[row] / (trace.seconds or 1.0)),
            spans=int(spans[row]),
            path=float(spent[row]),
        )
        for row in order
    ]


def _held(trace: Trace) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the critical path, and seconds from the start of each to the start of the next."""
    path = np.array(trace.critical_path(), np.int64)
    return path, np.diff(np.append(trace.start[path], trace.seconds))[: len(path)]


def _idle(trace: Trace) -> np.ndarray:
    """Seconds before each span for which its lane had nothing to do."""
    idle = np.zeros(len(trace))
    for lane, name in enumerate(trace.lanes):
        if name == KERNEL:
            continue
        rows = np.flatnonzero(trace.lane == lane)
        rows = rows[np.argsort(trace.start[rows], kind="stable")]
        free = np.maximum.accumulate(np.append(0.0, trace.busy_until[rows]))[:-1]
        idle[rows] = np.maximum(trace.start[rows] - free, 0.0)
    return idle
