"""Two runs side by side: what moved, by lane, by instruction, by line of source."""

from collections.abc import Callable, Iterable
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from trnlab.report.text import grid, labelled, plain
from trnlab.units import si

if TYPE_CHECKING:
    from rich.console import RenderableType

ROWS = 8  # of each table, on paper


class Moved(NamedTuple):
    """Something in two runs: what it is, seconds and how often in each."""

    what: str
    before: float
    after: float
    counts: tuple[int, int]

    @property
    def change(self) -> float:
        """Seconds more than before."""
        return self.after - self.before


class Diff(NamedTuple):
    """Two runs: their summaries, and what moved, the largest change first."""

    before: dict[str, Any]
    after: dict[str, Any]
    path: list[Moved]
    lanes: list[Moved]
    instructions: list[Moved]
    lines: list[Moved]
    totals: dict[str, tuple[float, float]]


def diff(before: dict[str, Any], after: dict[str, Any]) -> Diff:
    """Compares two runs as `summarise` describes them.

    Lanes and instructions go by name; lines by their text where it is known, so that a line that
    only moved within its file is the same, else by file and number.
    """
    runs = before, after
    return Diff(
        before,
        after,
        _moved(runs, _path),
        _moved(runs, _lanes),
        _moved(runs, _instructions),
        _moved(runs, _lines),
        _totals(before["totals"], after["totals"]),
    )


Held = Iterable[tuple[str, float, int]]


def _path(run: dict[str, Any]) -> Held:
    return ((p["text"], p["seconds"], p["steps"]) for p in run["why"]["path"])


def _lanes(run: dict[str, Any]) -> Held:
    for entry in run["engines"]:
        yield entry["lane"], entry["busy"] * run["seconds"], 0


def _instructions(run: dict[str, Any]) -> Held:
    for entry in run["instructions_by_lane"]:
        yield f"{entry['name']} on {entry['lane']}", entry["seconds"], entry["spans"]


def _lines(run: dict[str, Any]) -> Held:
    for line in run["lines"]:
        file, _, number = line["where"].rpartition(":")
        text = line.get("text") or f"{PurePath(file).name}:{number}"
        yield f"{line['lane']}  {text}", line["seconds"], line["spans"]


def _moved(
    runs: tuple[dict[str, Any], dict[str, Any]], held: Callable[[dict[str, Any]], Held]
) -> list[Moved]:
    seconds: dict[str, list[float]] = {}
    counts: dict[str, list[int]] = {}
    for side, run in enumerate(runs):
        for what, spent, count in held(run):
            seconds.setdefault(what, [0.0, 0.0])[side] += spent
            counts.setdefault(what, [0, 0])[side] += count
    found = [
        Moved(what, first, last, (counts[what][0], counts[what][1]))
        for what, (first, last) in seconds.items()
    ]
    return sorted(found, key=lambda moved: -abs(moved.change))


def _totals(before: dict[str, float], after: dict[str, float]) -> dict[str, tuple[float, float]]:
    names = dict.fromkeys((*before, *after))
    both = {name: (before.get(name, 0.0), after.get(name, 0.0)) for name in names}
    return {name: pair for name, pair in both.items() if pair[0] != pair[1]}


def record(found: Diff) -> dict[str, Any]:
    """A comparison as a dictionary that JSON can hold; times in seconds."""
    return {
        "seconds": [found.before["seconds"], found.after["seconds"]],
        "limit": [found.before["limit"]["sentence"], found.after["limit"]["sentence"]],
        **{
            name: [m._asdict() | {"change": m.change} for m in getattr(found, name)]
            for name in ("path", "lanes", "instructions", "lines")
        },
        "totals": found.totals,
    }


def render_diff(found: Diff) -> "RenderableType":
    """Lays out a comparison for a terminal."""
    blank = ("", plain(""))
    rows = [
        ("time", _headline(found)),
        ("before", _said(found.before, found.after)),
        ("now", _said(found.after, found.before)),
    ]
    for label, moved in (
        ("path", found.path),
        ("lanes", found.lanes),
        ("by name", found.instructions),
        ("lines", found.lines),
    ):
        changed = [m for m in moved if abs(m.change) > 1e-12 or m.counts[0] != m.counts[1]]
        rows += [blank, (label, _table(changed) if changed else plain("nothing moved"))]
    rows += [blank, ("work", _work(found.totals))]
    return labelled(rows)


def _headline(found: Diff) -> "RenderableType":
    first, last = found.before["seconds"], found.after["seconds"]
    if first == last:
        return plain(f"{si(first, 's')}, as before")
    share = f" ({100 * (last / first - 1):+.1f} %)" if first else ""
    return plain(f"{si(first, 's')} -> {si(last, 's')}: {_signed(last - first)}{share}")


def _said(run: dict[str, Any], other: dict[str, Any]) -> "RenderableType":
    told = run["receipt"]
    what = f"{told['kernel'] or 'a program'} on {told['chip']}"
    if told["version"] != other["receipt"]["version"]:
        what += f" by trnlab {told['version']}"
    if told.get("without"):
        what += f" without {', '.join(told['without'])}"
    return plain(f"{what}: {run['limit']['sentence']}")


def _table(moved: list[Moved]) -> "RenderableType":
    table = grid("right", "right", "right", "right", "left")
    table.add_row("before", "now", "change", "times", "", style="bright_black")
    for item in moved[:ROWS]:
        first, last = item.counts
        times = f"{first} -> {last}" if first != last else f"{first}" if first else ""
        cells = (si(item.before, "s"), si(item.after, "s"), _signed(item.change), times, item.what)
        table.add_row(*(plain(cell) for cell in cells))
    if len(moved) > ROWS:
        table.add_row("", "", "", "", f"and {len(moved) - ROWS} more")
    return table


def _work(totals: dict[str, tuple[float, float]]) -> "RenderableType":
    if not totals:
        return plain("the same")
    table = grid("left", "right", "right")
    for name, (first, last) in totals.items():
        table.add_row(plain(name), f"{first:,.0f}", f"-> {last:,.0f}")
    return table


def _signed(seconds: float) -> str:
    return f"{'+' if seconds > 0 else '-'}{si(abs(seconds), 's')}" if seconds else "0 s"
