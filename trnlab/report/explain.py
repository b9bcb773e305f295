"""The critical path in sentences: what the time of a run went into, step by step."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from trnlab.machine.chip import Chip
from trnlab.report.waiting import KERNEL, group
from trnlab.trace import CAUSES, Trace

NAMED = 4  # parts that a sentence names
LEAST = 0.005  # share of the run that is worth a line


class Part(NamedTuple):
    """One part of the critical path: what it is, how long, in how many steps, where mostly.

    ``kind`` is one of KINDS, ``lane`` the engine or DMA queue and ``tensor`` what it moves;
    ``seconds`` is time and ``share`` the same as a share of the run.
    """

    kind: str
    lane: str
    tensor: str
    seconds: float
    share: float
    steps: int
    where: str

    def __str__(self) -> str:
        if self.kind == "work" and _engine(self.lane) == KERNEL:
            return "start and end"
        return KINDS[self.kind].format(lane=self.lane, of=_of(self.tensor))


KINDS = {
    "work": "{lane}",
    "trigger": "triggering DMA on {lane}",
    "start": "waiting for DMA{of} to start",
    "move": "waiting for DMA{of}",
    "result": "waiting for results of {lane}",
    "signal": "signals to {lane}",
    "table": "function tables of {lane}",
    "rank": "waiting for another rank",
    "before": "before the first instruction",
}


def explain(trace: Trace, chip: Chip) -> list[Part]:
    """The critical path in parts, longest first; their seconds add up to those of the run.

    A step lasts from the start of a span to the start of the one that it held up: work, then until
    the result is visible, then until the other has seen that.
    """
    path = np.array(trace.critical_path(), np.int64)
    if not len(path):
        return []
    found: dict[tuple[str, str, str], list[tuple[float, str]]] = {}
    for key, seconds, where in _steps(trace, chip, path):
        if seconds > 0:
            found.setdefault(key, []).append((seconds, where))
    parts = [
        Part(*key, sum(s for s, _ in steps), 0.0, len(steps), _costliest(steps))
        for key, steps in found.items()
    ]
    whole = trace.seconds or 1.0
    parts.sort(key=lambda part: -part.seconds)
    return [part._replace(share=part.seconds / whole) for part in parts]


def sentence(parts: list[Part]) -> str:
    """The longest parts in one sentence: ``41 % tensor, 33 % waiting for DMA of `w`, 26 % other``.

    A transfer is one part here, from its trigger's end to its last byte.
    """
    shares: dict[str, float] = {}
    for part in parts:
        name = str(part._replace(kind="move") if part.kind == "start" else part)
        shares[name] = shares.get(name, 0.0) + part.share
    order = sorted(shares, key=lambda name: -shares[name])
    said = [f"{100 * shares[n]:.0f} % {n}" for n in order[:NAMED] if shares[n] >= LEAST]
    rest = 100 * sum(shares[n] for n in order[len(said) :])
    return ", ".join(said + ([f"{rest:.0f} % other"] if rest >= 0.5 else []))


def _steps(
    trace: Trace, chip: Chip, path: np.ndarray
) -> Iterator[tuple[tuple[str, str, str], float, str]]:
    """Kind, lane and tensor, seconds, and line of everything on the path."""
    moved = {(name, where): tensor for name, where, tensor in trace.tensors}
    triggers = _triggers(trace)
    first = int(path[0])
    kind = "rank" if CAUSES[trace.cause[first]] == "rank" else "before"
    yield (kind, "", ""), float(trace.start[first]), trace.wheres[trace.where[first]]
    for row, after in zip(path.tolist(), [*path[1:].tolist(), -1], strict=True):
        lane, where = trace.lanes[trace.lane[row]], trace.wheres[trace.where[row]]
        start, busy, stop = (float(c[row]) for c in (trace.start, trace.busy_until, trace.stop))
        end = trace.seconds if after < 0 else float(trace.start[after])
        busy, stop = min(busy, end), min(max(stop, busy), end)
        if after >= 0 and CAUSES[trace.cause[after]] in ("engine busy", "queue busy", "port"):
            stop = busy  # the next one waited for the lane and not for the result
        tensor = moved.get((int(trace.name[row]), int(trace.where[row])), "")
        if _is_dma(lane):
            yield ("move", group(lane), tensor), busy - start, where
        elif triggers[row]:
            yield ("trigger", lane, ""), busy - start, where
        else:
            yield ("work", lane, ""), busy - start, where
        yield ("result", group(lane), ""), stop - busy, where
        if after >= 0:
            yield from _gap(trace, chip, moved, after, end - stop)


def _gap(
    trace: Trace, chip: Chip, moved: dict[tuple[int, int], str], row: int, gap: float
) -> Iterator[tuple[tuple[str, str, str], float, str]]:
    """What lies between a result and the start of the span that waited for it."""
    lane, where = trace.lanes[trace.lane[row]], trace.wheres[trace.where[row]]
    if _is_dma(lane):
        tensor = moved.get((int(trace.name[row]), int(trace.where[row])), "")
        yield ("start", group(lane), tensor), gap, where
        return
    load = float(chip.core.timing.table_load)
    table = load if 0 < load <= gap * (1 + 1e-9) and _engine(lane) == "scalar" else 0.0
    yield ("table", lane, ""), table, where
    yield ("signal", lane, ""), gap - table, where


def table_loads(trace: Trace, chip: Chip) -> int:
    """How often the scalar engines loaded a table, as far as their idle times show it."""
    load = float(chip.core.timing.table_load)
    if not load:
        return 0
    count = 0
    for lane, name in enumerate(trace.lanes):
        if _engine(name) == "scalar" and not _is_dma(name):
            rows = np.flatnonzero(trace.lane == lane)
            rows = rows[np.argsort(trace.start[rows], kind="stable")]
            free = np.append(0.0, trace.busy_until[rows])[:-1]
            blocker = trace.blocker[rows]
            seen = np.where(blocker >= 0, trace.stop[blocker], 0.0)
            own = np.where(trace.lane[blocker] == lane, trace.busy_until[blocker], seen)
            gap = trace.start[rows] - np.maximum(free, np.where(blocker >= 0, own, 0.0))
            count += int(np.count_nonzero(gap >= load * (1 - 1e-9)))
    return count


def _triggers(trace: Trace) -> np.ndarray:
    """Which rows are the trigger of a transfer: those that a queue spends on it."""
    dma = np.array([_is_dma(lane) for lane in trace.lanes], bool)[trace.lane]
    return ~dma & np.isin(trace.name, np.unique(trace.name[dma]))


def _is_dma(lane: str) -> bool:
    return "dma" in lane.split("/")


def _engine(lane: str) -> str:
    return lane.rpartition("/")[2]


def _of(tensor: str) -> str:
    name, _, more = tensor.partition(" ")
    return f" of `{name}`{' ' + more if more else ''}" if tensor else ""


def _costliest(steps: list[tuple[float, str]]) -> str:
    lines: dict[str, float] = {}
    for seconds, where in steps:
        lines[where] = lines.get(where, 0.0) + seconds
    return max(lines, key=lambda where: lines[where])
