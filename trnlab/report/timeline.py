"""A trace laid out for drawing: whole nanoseconds, one row for whatever overlaps, and arrows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from trnlab.trace import CAUSES, Trace

RUN, PATH = "run", "critical path"
# Neighbours on a lane show these by themselves.
_NO_ARROW = tuple(CAUSES.index(cause) for cause in ("engine busy", "queue busy"))


class Slice(NamedTuple):
    """A box on a track: begin and end in ns, and what it says when it is clicked."""

    track: int
    begin: int
    end: int
    name: str
    args: dict[str, str | int]


class Arrow(NamedTuple):
    """One span that waited for another; both are rows of the trace."""

    blocker: int
    span: int


@dataclass(frozen=True)
class Timeline:
    """Tracks in drawing order and what is on them; times in whole nanoseconds.

    ``tracks`` names them: a lane whose spans overlap has several in succession. ``track``,
    ``begin``, ``end`` and ``visible`` (when the result is) have an entry per span; ``order`` lists
    spans by track, then by begin; ``counters`` maps names to (times, values).
    """

    title: str
    trace: Trace
    tracks: tuple[str, ...]
    track: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    visible: np.ndarray
    order: np.ndarray
    arrows: Sequence[Arrow]
    extra: tuple[Slice, ...]
    counters: dict[str, tuple[list[int], list[float]]]


def timeline(trace: Trace) -> Timeline:
    """Lays a trace out: the run, the critical path, then each lane in as few rows as it needs.

    A span is drawn for as long as it occupies its lane. Rounding keeps the order of times, so what
    did not overlap still does not.
    """
    begin, end, visible = (_ns(column) for column in (trace.start, trace.busy_until, trace.stop))
    tracks, track = [RUN, PATH], np.zeros(len(trace), np.int64)
    for lane, name in enumerate(trace.lanes):
        rows = np.flatnonzero(trace.lane == lane)
        rows = rows[np.argsort(begin[rows], kind="stable")]
        row = _rows(begin[rows], end[rows])
        track[rows] = len(tracks) + row
        tracks += [name] * (int(row.max(initial=0)) + 1)
    kernel = str(trace.meta.get("kernel", "")) or "program"
    return Timeline(
        title=f"{kernel} on {trace.meta['chip']}" if "chip" in trace.meta else kernel,
        trace=trace,
        tracks=tuple(tracks),
        track=track,
        begin=begin,
        end=end,
        visible=visible,
        order=np.lexsort((begin, track)),
        arrows=_arrows(trace),
        extra=(_run(trace, kernel), *_path(trace, begin)),
        counters={
            name: (_ns(times).tolist(), np.asarray(values, np.float64).tolist())
            for name, (times, values) in trace.counters.items()
        },
    )


def _ns(seconds: np.ndarray | list[float]) -> np.ndarray:
    return np.rint(np.asarray(seconds, np.float64) * 1e9).astype(np.int64)


def _rows(begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """First row that is free for each span; ``begin`` ascends."""
    row = np.zeros(len(begin), np.int64)
    if np.all(begin[1:] >= np.maximum.accumulate(end)[:-1]):
        return row
    taken: list[tuple[int, int]] = []
    free: list[int] = []
    for span, (start, stop) in enumerate(zip(begin.tolist(), end.tolist(), strict=True)):
        while taken and taken[0][0] <= start:
            heappush(free, heappop(taken)[1])
        row[span] = heappop(free) if free else len(taken)
        heappush(taken, (stop, int(row[span])))
    return row


def _arrows(trace: Trace) -> list[Arrow]:
    spans = np.flatnonzero((trace.blocker >= 0) & ~np.isin(trace.cause, _NO_ARROW))
    return [*map(Arrow, trace.blocker[spans].tolist(), spans.tolist())]


def _run(trace: Trace, kernel: str) -> Slice:
    """The whole run, which carries the receipt."""
    receipt: dict[str, str | int] = {key: _said(value) for key, value in trace.meta.items()}
    return Slice(0, 0, int(_ns([trace.seconds])[0]), kernel, receipt)


def _path(trace: Trace, begin: np.ndarray) -> Iterator[Slice]:
    """The critical path, one slice per stay on a lane."""
    path = np.array(trace.critical_path(), np.int64)
    lanes = trace.lane[path]
    stays = np.flatnonzero(np.diff(lanes, prepend=-1)).tolist()
    edges = np.append(begin[path], _ns([trace.seconds]))
    for first, after in pairwise([*stays, len(path)]):
        place = trace.wheres[trace.where[path[first]]]
        said: dict[str, str | int] = {"spans": after - first, "first": place}
        yield Slice(1, int(edges[first]), int(edges[after]), trace.lanes[lanes[first]], said)


def _said(value: object) -> str:
    return "; ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
