"""A summary for people: one screen in a terminal, plain text in a pipe."""

import os
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trnlab.report.summary import percent
from trnlab.units import binary, si

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult
    from rich.measure import Measurement
    from rich.table import Table

WIDTH = 100
WIDE = 24  # columns of a bar
LINES = 5  # of source
ENGINES = 8
NOTES = 3
_EIGHTHS = " ▏▎▍▌▋▊▉"


class Bar:
    """A share as a bar of blocks; ASCII where the terminal has no others."""

    def __init__(self, share: float, style: str = "cyan") -> None:
        self.share, self.style = min(max(share, 0.0), 1.0), style

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich.segment import Segment

        width = min(WIDE, options.max_width)
        drawn = _ascii(self.share, width) if options.ascii_only else _blocks(self.share, width)
        rest = "." if options.ascii_only else "·"
        yield Segment(drawn, console.get_style(self.style))
        yield Segment(rest * (width - len(drawn)), console.get_style("bright_black"))

    def __rich_measure__(self, console: "Console", options: "ConsoleOptions") -> "Measurement":
        from rich.measure import Measurement

        return Measurement(min(8, options.max_width), min(WIDE, options.max_width))


def render(
    summary: dict[str, Any],
    legality: Sequence[tuple[str, bool, str]] | None = None,
    trace_path: str | PathLike[str] | None = None,
) -> "RenderableType":
    """Lays out what `summarise` found for a terminal: at most 100 columns and 46 lines.

    ``legality`` holds (chip key, legal, reason) for each chip that was asked about; ``trace_path``
    is where a trace for ui.perfetto.dev was saved.
    """
    return labelled(_rows(summary, legality or (), trace_path))


def labelled(rows: Iterable[tuple[str, "RenderableType"]]) -> "RenderableType":
    """A page of labels and what stands beside them."""
    from rich.constrain import Constrain
    from rich.table import Table

    page = Table.grid(padding=(0, 2, 0, 0))
    page.add_column(style="bright_black", no_wrap=True, min_width=8)
    page.add_column(overflow="fold")
    for label, content in rows:
        page.add_row(label, content)
    return Constrain(page, WIDTH)


def _rows(
    summary: dict[str, Any],
    legality: Sequence[tuple[str, bool, str]],
    trace_path: str | PathLike[str] | None,
) -> Iterable[tuple[str, "RenderableType"]]:
    yield "time", _headline(summary)
    yield "limit", _limit(summary["limit"]["sentence"])
    if summary["why"]["sentence"]:
        yield "path", plain(summary["why"]["sentence"])
    yield "", ""
    if summary["engines"]:
        yield "engines", _engines(summary["engines"], summary["limit"]["lane"])
    yield "memory", _memory(summary["memory"])
    yield "roofline", _roofline(summary["roofline"])
    yield "energy", _energy(summary)
    if summary["lines"]:
        yield "", ""
        yield "lines", _lines(summary["lines"], summary["seconds"])
    if legality:
        yield "", ""
        yield "legal", _legality(legality)
    yield "", ""
    yield "receipt", _receipt(summary)
    if trace_path is not None:
        saved = str(trace_path).endswith(".run")
        opened = "compare with: trnlab diff" if saved else "open at ui.perfetto.dev"
        yield "trace", plain(f"{trace_path}\n{opened}")


def _headline(summary: dict[str, Any]) -> "RenderableType":
    from rich.text import Text

    what = summary["receipt"]
    cores = f"{what['cores']} of {what['chip_cores']} cores"
    if what["ranks"] > 1:
        cores += f", one of {what['ranks']} ranks on {what['system']}"
    return Text.assemble(
        (si(summary["seconds"], "s"), "bold"),
        f"  {what['kernel'] or 'a program'} on {what['chip']}, {cores}  ",
        (f"({summary['band']})", "yellow"),
    )


def _limit(sentence: str) -> "RenderableType":
    from rich.text import Text

    verdict, semicolon, wait = sentence.partition(";")
    return Text.assemble((verdict, "bold"), semicolon + wait)


def _engines(engines: list[dict[str, Any]], limit: str) -> "RenderableType":
    """The busiest engines in their order; the one that limits the run stands out."""
    from rich.text import Text

    table = _bars()
    idlest = sorted(engines, key=lambda entry: -entry["busy"])[ENGINES:]
    for entry in engines:
        if entry in idlest:
            continue
        lane, wait = entry["lane"], entry["wait"]
        why = f"waits {percent(wait['share'])} for {wait['text']}" if wait else ""
        name = Text(lane, style="bold" if lane == limit else "")
        table.add_row(name, Bar(entry["busy"]), percent(entry["busy"]), plain(why))
    if idlest:
        most = percent(idlest[0]["busy"])
        table.add_row("", "", "", f"and {len(idlest)} more, at most {most} busy")
    return table


def _memory(memory: dict[str, dict[str, float]]) -> "RenderableType":
    table = _bars()
    for name, entry in memory.items():
        limit = f"needs {binary(entry['peak'])} of {binary(entry['usable'])} a partition"
        if entry["share"] > 1:
            limit += ", more than there is: see the receipt"
        style = "red" if entry["share"] > 1 else "magenta"
        table.add_row(name, Bar(entry["share"], style=style), percent(entry["share"]), limit)
    return table


def _roofline(found: dict[str, Any]) -> "RenderableType":
    hbm = (
        f"HBM {si(found['memory_attained'], 'B/s')}: {percent(found['memory_share'])} "
        f"of {si(found['memory_rate'], 'B/s')}"
    )
    if not found["flops"]:
        return plain(f"no matrix multiplications\n{hbm}")
    roof = si(found["ceiling"], "FLOP/s")
    if found["intensity"] is not None:
        roof += f" at {found['intensity']:.3g} FLOP/B"
    if found["bound"] == "memory":
        hbm += f"; array peak {si(found['peak'], 'FLOP/s')}"
    reached = f"{si(found['attained'], 'FLOP/s')}: {percent(found['share'])}"
    return plain(f"{reached} of the {found['bound']} roof ({roof})\n{hbm}")


def _energy(summary: dict[str, Any]) -> "RenderableType":
    found = summary["joules"]
    whole = found["total"] or 1.0
    parts = ", ".join(
        f"{name} {percent(found[name] / whole)}" for name in ("compute", "sram", "hbm", "static")
    )
    price = summary["dollars"]
    cost = "no public price" if price is None else f"${price * 1e6:.3g} per million runs"
    return plain(
        f"{si(found['total'], 'J')}, {si(found['watts'], 'W')} on average ({parts})\n"
        f"{cost}; joules are modelled, not metered"
    )


def _lines(lines: list[dict[str, Any]], seconds: float) -> "RenderableType":
    table = grid("right", "right", "right", "left", "left")
    table.add_row("occupied", "share", "critical", "lane", "", style="bright_black")
    for line in lines[:LINES]:
        table.add_row(
            plain(si(line["seconds"], "s")),
            percent(line["share"]),
            percent(line["path"] / (seconds or 1.0)),
            plain(f"{line['lane']} x{line['spans']}"),
            plain(near(line["where"]) or "(no source line)"),
        )
    return table


def near(where: str) -> str:
    """A file in the current folder or below, named from there; others keep their whole path."""
    here = f"{Path.cwd()}{os.sep}"
    return where.removeprefix(here)


def _legality(legality: Sequence[tuple[str, bool, str]]) -> "RenderableType":
    from rich.text import Text

    table = grid("left", "left", "left")
    for key, legal, why in legality:
        mark = Text("yes", style="green") if legal else Text("no", style="bold red")
        table.add_row(plain(key), mark, plain(why))
    return table


def _receipt(summary: dict[str, Any]) -> "RenderableType":
    what, totals = summary["receipt"], summary["totals"]
    parts = [
        f"trnlab {what['version']}".strip(),
        what["api"],
        what["core"],
        f"{totals.get('instructions', 0):,.0f} instructions",
        f"{totals.get('dma_transfers', 0):,.0f} DMA transfers",
        f"{what['constants']} fitted constant{'' if what['constants'] == 1 else 's'}",
    ]
    notes = what["notes"][:NOTES]
    if len(what["notes"]) > NOTES:
        notes.append(f"and {len(what['notes']) - NOTES} more notes")
    if what["without"]:
        notes = [f"without {', '.join(what['without'])}", *notes]
    if what["time_only"]:
        notes = ["time only: no values were computed", *notes]
    return plain("\n".join([", ".join(part for part in parts if part), *notes]))


def _bars() -> "Table":
    """Name, bar, share, remark: the same widths wherever bars are drawn, so that they line up."""
    table = grid("left", "left", "right", "left")
    table.columns[0].min_width, table.columns[2].min_width = 7, 5
    return table


def grid(*sides: "JustifyMethod") -> "Table":
    """A table without lines, a column for each side that text is pushed to."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    for side in sides:
        table.add_column(justify=side)
    return table


def plain(text: str) -> "RenderableType":
    """Text as it is: brackets in names are not markup."""
    from rich.text import Text

    return Text(text, overflow="fold")


def _blocks(share: float, width: int) -> str:
    eighths = max(round(share * width * 8), 1 if share > 0 else 0)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _ascii(share: float, width: int) -> str:
    return "#" * max(round(share * width), 1 if share > 0 else 0)
