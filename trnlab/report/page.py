"""One self-contained page of a run: timeline, roofline, engines, memory, lines of source."""

import json
from html import escape
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from trnlab.errors import TrnlabError
from trnlab.machine.chip import Chip
from trnlab.report.memory_map import memory_maps
from trnlab.report.summary import summarise
from trnlab.report.timeline import timeline
from trnlab.report.why import Why
from trnlab.trace import CAUSES, Trace

SPANS = 200_000  # on one page; of a longer run neighbours are drawn as one
STEPS = 4_000  # of one counter
LINES = 40

_HOME = Path(__file__).parent


def save_page(trace: Trace, chip: Chip, path: str | PathLike[str], why: Why | None = None) -> Path:
    """Writes the page of a run and returns where; it needs no network and no server.

    Raises TrnlabError where the folder does not exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise TrnlabError(f"cannot save '{path.name}': there is no folder '{path.parent}'")
    path.write_text(page(trace, chip, why), encoding="utf-8")
    return path


def page(trace: Trace, chip: Chip, why: Why | None = None) -> str:
    """The page as text; the same trace gives the same text."""
    data = contents(trace, chip, why)
    told = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    title = escape(f"{data['title']}, trnlab")
    shell = (_HOME / "page.html").read_text(encoding="utf-8")
    style, script = ((_HOME / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    parts = {"TITLE": title, "STYLE": style, "SCRIPT": script, "DATA": told}
    for name in ("TITLE", "STYLE", "SCRIPT", "DATA"):  # last the data, which may hold any text
        shell = shell.replace(f"{{{{{name}}}}}", parts[name], 1)
    return shell


def contents(trace: Trace, chip: Chip, why: Why | None = None) -> dict[str, Any]:
    """What the page draws, ready for JSON; times in nanoseconds unless a summary says seconds."""
    drawn, summary = timeline(trace), summarise(trace, chip)
    rows, end, merged = _fewer(drawn.order, drawn.track, drawn.begin, drawn.end, trace.name)
    path = np.zeros(len(trace), bool)
    path[trace.critical_path()] = True
    tensors = {(name, where): tensor for name, where, tensor in trace.tensors}
    moved = [tensors.get(key, "") for key in zip(trace.name.tolist(), trace.where.tolist())]  # noqa: B905
    texts = tuple(dict.fromkeys(moved))
    number = {text: index for index, text in enumerate(texts)}
    del summary["lines"][LINES:]
    return {
        "title": drawn.title,
        "ns": round(trace.seconds * 1e9),
        "tracks": drawn.tracks,
        "names": trace.names,
        "wheres": trace.wheres,
        "causes": CAUSES,
        "tensors": texts,
        "spans": {
            "track": drawn.track[rows].tolist(),
            "begin": drawn.begin[rows].tolist(),
            "length": (end - drawn.begin[rows]).tolist(),
            "name": trace.name[rows].tolist(),
            "where": trace.where[rows].tolist(),
            "cause": trace.cause[rows].tolist(),
            "tensor": [number[moved[row]] for row in rows.tolist()],
            "path": path[rows].astype(int).tolist(),
        },
        "merged": merged,
        "counters": {name: _thin(*steps) for name, steps in drawn.counters.items()},
        "maps": memory_maps(trace),
        "holders": trace.holders,
        "without": [gain._asdict() for gain in why.gains] if why else None,
        "advice": [item._asdict() for item in why.advice] if why else None,
        "summary": summary,
    }


def _fewer(
    order: np.ndarray, track: np.ndarray, begin: np.ndarray, end: np.ndarray, name: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """Spans in drawing order, until when each is drawn, and how many were drawn with another.

    Where there are too many, a span is drawn with the one before it on its track if they do the
    same and hardly anything lies between.
    """
    if len(order) <= SPANS:
        return order, end[order], 0
    gap = int(end.max()) // SPANS
    while True:
        lane, start, stop = track[order], begin[order], end[order]
        same = (lane[1:] == lane[:-1]) & (name[order][1:] == name[order][:-1])
        near = start[1:] - stop[:-1] <= gap
        alone = np.append(True, ~((same | (stop[1:] - start[:-1] <= gap)) & near & _level(lane)))
        first = np.flatnonzero(alone)
        if len(first) <= SPANS or gap > int(end.max()):
            return order[first], np.maximum.reduceat(stop, first), len(order) - len(first)
        gap = 2 * gap + 1


def _level(lane: np.ndarray) -> np.ndarray:
    return lane[1:] == lane[:-1]


def _thin(times: list[int], values: list[float]) -> list[list[float]]:
    """A step function with at most STEPS steps: of neighbours the highest stays."""
    if len(times) <= STEPS:
        return [list(times), list(values)]
    edges = np.linspace(0, len(times), STEPS + 1).astype(int)[:-1]
    highest = np.maximum.reduceat(np.array(values), edges)
    return [np.array(times)[edges].tolist(), highest.tolist()]
