"""A run in one dictionary that JSON can hold."""

import linecache
from dataclasses import asdict
from typing import Any

from trnlab.errors import TrnlabError
from trnlab.machine.chip import Chip, OnChip
from trnlab.machine.facts import Amount, Count, numbers
from trnlab.report.energy import cores_used, dollars, energy, matmul_flops
from trnlab.report.explain import Part, explain, sentence
from trnlab.report.roofline import roofline
from trnlab.report.waiting import (
    KERNEL,
    Line,
    by_line,
    by_name,
    engine_waits,
    grouped,
    path_seconds,
    waits,
)
from trnlab.trace import Trace

BAND = "±13 %"  # four of five latencies of kernels are within it: docs/accuracy.md
TIMED_API = "neuronxcc.nki"  # the API of all kernels whose times on devices were published
LINES = 100  # lines of source that a summary keeps

_FOR = {
    "first": "its first work",
    "engine busy": "the engine",
    "data": "data",
    "buffer": "a free buffer",
    "memory": "memory",
    "queue busy": "the queue",
    "clock": "the clock",
    "rank": "another rank",
    "port": "a port of SBUF or PSUM",
}


def summarise(trace: Trace, chip: Chip) -> dict[str, Any]:
    """Everything a report says about a run, ready for JSON; shares are of 1, the rest base units.

    Keys: seconds, band, basis, limit (lane, busy, path, sentence), why (the critical path in a
    sentence and in parts), engines (one entry per engine, DMA queues together), busy (share per
    lane and of ``dma``), waits, lines, instructions_by_lane, flops (by format), totals, roofline,
    memory (peak bytes a partition against usable), joules, dollars, receipt.
    Raises TrnlabError where the trace was made on another chip.
    """
    _same_chip(trace, chip)
    engines, parts = _engines(trace), explain(trace, chip)
    return {
        "seconds": trace.seconds,
        "band": band(trace, chip),
        "basis": trace.basis,
        "limit": _limit(engines),
        "why": {"sentence": sentence(parts), "path": [_part(part) for part in parts]},
        "engines": engines,
        "busy": _shares(trace, trace.busy()) | {e["lane"]: e["busy"] for e in engines},
        "waits": [
            {"lane": lane, "cause": cause, "blocker": blocker, "seconds": seconds}
            for lane, found in waits(trace).items()
            for (cause, blocker), seconds in found.items()
        ],
        "lines": [_line(line) for line in by_line(trace, LINES)],
        "instructions_by_lane": [entry._asdict() for entry in by_name(trace)],
        "flops": matmul_flops(trace),
        "totals": dict(trace.totals),
        "roofline": roofline(trace, chip),
        "memory": {
            "sbuf": _peak(trace, "sbuf_peak_bytes", chip.core.sbuf),
            "psum": _peak(trace, "psum_peak_bytes", chip.core.psum),
        },
        "joules": asdict(energy(trace, chip)),
        "dollars": dollars(trace, chip),
        "receipt": _receipt(trace, chip),
    }


def band(trace: Trace, chip: Chip) -> str:
    """How far off the time may be, and what that rests on: ``band: ±13 %, docs/accuracy.md``.

    The band of the kernels that were timed holds for their API on chips where something was
    measured, is carried over to the other API, and there is none where nothing was measured or
    mechanisms were left out.
    """
    if trace.meta.get("without"):
        return "no band: mechanisms of time are left out"
    known = (n for _, n in numbers(chip.core))
    if not any(isinstance(n, Count | Amount) and n.kind == "measured" for n in known):
        return f"no band: nothing was measured on {chip.key}"
    if trace.meta.get("api") == TIMED_API:
        return f"band: {BAND}, docs/accuracy.md"
    return f"band: {BAND}, carried over from the older API"


def reason(cause: str, blocker: str, lane: str) -> str:
    """Says what a lane waited for: ``reason("data", "dma/sync", "vector")``."""
    if blocker.rpartition("/")[2] == KERNEL:
        return "the kernel to start"
    return _FOR[cause] + (f" from {blocker}" if blocker not in ("", lane) else "")


def percent(share: float) -> str:
    """Writes a share: ``percent(0.83)`` is ``83 %``; small ones keep a decimal."""
    return f"{share:.1%}".replace("%", " %") if 0 < share < 0.0995 else f"{100 * share:.0f} %"


def _part(part: Part) -> dict[str, Any]:
    return part._asdict() | {"text": str(part)}


def _line(line: Line) -> dict[str, Any]:
    """A line of source with its text, where the file is still there."""
    file, _, number = line.where.rpartition(":")
    text = linecache.getline(file, int(number)).strip() if number.isdigit() else ""
    return line._asdict() | {"text": text}


def _engines(trace: Trace) -> list[dict[str, Any]]:
    """Busy share, share of the critical path and longest wait, per engine that did something."""
    together = grouped(trace)
    seconds, found = together.busy(), engine_waits(trace)
    busy, path = _shares(trace, seconds), _shares(trace, path_seconds(together))
    return [
        {
            "lane": name,
            "busy": busy[name],
            "path": path[name],
            "wait": _longest(name, found[name], trace.seconds, trace.seconds - seconds[name]),
        }
        for name in sorted(together.lanes, key=_core_then_dma)
        if busy[name] > 0
    ]


def _core_then_dma(lane: str) -> tuple[str, bool]:
    return lane.rpartition("/")[0], lane.endswith("dma")


def _longest(
    lane: str, found: dict[tuple[str, str], float], whole: float, idle: float
) -> dict[str, Any] | None:
    """The longest wait of an engine, as a share of the run and of the engine's idle time."""
    for (cause, blocker), seconds in found.items():
        return {
            "cause": cause,
            "blocker": blocker,
            "text": reason(cause, blocker, lane),
            "share": seconds / whole,
            "of_idle": seconds / idle,
        }
    return None


FULL = 0.75  # of the time: an engine this busy is the limit


def _limit(engines: list[dict[str, Any]]) -> dict[str, Any]:
    """The engine that the critical path mostly runs through, or the busiest where it is broken."""
    if not engines:
        return {"lane": "", "busy": 0.0, "path": 0.0, "sentence": "nothing ran"}
    whole = sum(entry["path"] for entry in engines) > 0.5
    first = max(engines, key=lambda entry: entry["path" if whole else "busy"])
    busiest = max(engines, key=lambda entry: entry["busy"])
    if busiest["busy"] >= FULL:  # however the path runs, this one could not do much more
        first = busiest
    wait = _telling(engines, first)
    sentence = _verdict(engines, first) + (f"; {wait}" if wait else "")
    return {key: first[key] for key in ("lane", "busy", "path")} | {"sentence": sentence}


def _verdict(engines: list[dict[str, Any]], first: dict[str, Any]) -> str:
    name, busy, path = _name(first["lane"]), percent(first["busy"]), percent(first["path"])
    most = max(entry["busy"] for entry in engines)
    if first["busy"] >= 0.5:
        return f"{name} is the limit: busy {busy} of the time, {path} of the critical path"
    if most < 0.5:
        return (
            f"latency is the limit: no engine is busy more than {percent(most)} of the time; "
            f"{path} of the critical path is {name}"
        )
    return f"{name} is the limit: {path} of the critical path, though busy only {busy} of the time"


def _telling(engines: list[dict[str, Any]], first: dict[str, Any]) -> str:
    """The wait worth naming: the limiting engine's own unless it hardly waits, else the longest."""
    waiting = [entry for entry in engines if entry["wait"] and entry["wait"]["cause"] != "first"]
    own = [entry for entry in waiting if entry is first and entry["busy"] < 0.95]
    entry = max(own or waiting, key=lambda entry: entry["wait"]["share"], default=None)
    if entry is None:
        return ""
    wait = entry["wait"]
    return f"{entry['lane']} waited {percent(wait['of_idle'])} of its idle time for {wait['text']}"


def _name(lane: str) -> str:
    if lane.rpartition("/")[2] == "cc":
        return f"{lane} (collectives)"
    if lane.rpartition("/")[2] == KERNEL:
        return "the start and end of the kernel"
    return lane.replace("dma", "DMA") if lane.endswith("dma") else f"{lane} engine"


def _shares(trace: Trace, seconds: dict[str, float]) -> dict[str, float]:
    whole = trace.seconds or 1.0
    return {name: value / whole for name, value in seconds.items()}


def _peak(trace: Trace, key: str, memory: OnChip) -> dict[str, float]:
    peak = trace.totals.get(key, 0.0)
    return {"peak": peak, "usable": int(memory.usable), "share": peak / memory.usable}


def _receipt(trace: Trace, chip: Chip) -> dict[str, Any]:
    """What ran, on which model of what, with how many fitted constants, and what was left out."""
    meta = trace.meta
    return {
        "kernel": meta.get("kernel", ""),
        "chip": chip.key,
        "core": meta.get("core", chip.core.name),
        "api": meta.get("api", ""),
        "cores": cores_used(trace),
        "chip_cores": int(chip.cores),
        "system": meta.get("system", ""),
        "ranks": meta.get("ranks", 1),
        "time_only": meta.get("time_only", False),
        "constants": meta.get("constants", 0),
        "notes": list(_notes(meta.get("notes", ()))),
        "without": list(_notes(meta.get("without", ()))),
        "version": meta.get("version", ""),
    }


def _notes(notes: object) -> tuple[str, ...]:
    return tuple(str(note) for note in notes) if isinstance(notes, tuple | list) else (str(notes),)


def _same_chip(trace: Trace, chip: Chip) -> None:
    made = trace.meta.get("chip", chip.key)
    if made not in (chip.key, *chip.aliases):
        raise TrnlabError(
            f"the trace was made on '{made}' and cannot be read as '{chip.key}'; "
            f"run the kernel again with chip='{chip.key}'"
        )
