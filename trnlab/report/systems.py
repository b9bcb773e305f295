"""What a system is, level by level, and all systems side by side."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trnlab.machine.catalogue.systems import SYSTEMS
from trnlab.machine.facts import numbers
from trnlab.machine.system import Level, System
from trnlab.report.datasheet import KIND_STYLES
from trnlab.units import si

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


def systems_table(systems: Sequence[System] = SYSTEMS) -> "Table":
    """Returns a table with a row for every machine and what its chips can send to each other."""
    from rich.table import Table

    table = Table(title="Systems", title_justify="left", caption_justify="left")
    table.caption = "trnlab systems NAME prints every number with its source; rates one way"
    for title in ("", "chips", "cores", "levels", "a chip sends", "network", "price"):
        table.add_column(title, justify="left" if title in ("", "levels") else "right")
    for entry in systems:
        wired = [level for level in entry.levels if level.wiring != "shared"]
        rate = sum(level.links * level.rate for level in wired)
        network = entry.network
        table.add_row(
            entry.key,
            f"{entry.chips}",
            f"{entry.cores}",
            ", ".join(f"{level.name} {_shape(level)}" for level in entry.levels),
            si(rate, "B/s") if wired else "",
            si(network.links * network.rate, "B/s") if network else "",
            "not public" if entry.dollars_per_hour is None else f"${entry.dollars_per_hour:.5g}/h",
        )
    return table


def system_sheet(system: System) -> "RenderableType":
    """Returns all that is known of one machine: every number of its levels, kind and source."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table()
    table.add_column("Number", no_wrap=True)
    table.add_column("Value", justify="right", no_wrap=True)
    table.add_column("Kind", no_wrap=True)
    table.add_column("Source", overflow="fold")
    for level in (*system.levels, *filter(None, [system.network])):
        table.add_section()
        table.add_row(f"{level.name}: {level.wiring}", _shape(level))
        for path, value in numbers(level):
            kind = getattr(value, "kind", "unsourced")
            style = KIND_STYLES.get(kind, "red")
            source = Text(getattr(value, "source", "given by the user"))
            table.add_row(f"  {path}", _write(path, value), Text(kind, style=style), source)
    head = f"{system.name}: {system.chips} of {system.chip.name}, {system.cores} cores"
    names = ", ".join((system.key, *system.aliases))
    notes = (Text(f"- {note}") for note in system.notes)
    return Group(Text(head, style="bold"), Text(f"called {names}"), *notes, table)


def _shape(level: Level) -> str:
    return " x ".join(f"{size}" for size in level.shape)


def _write(path: str, value: float) -> str:
    units = {"rate": "B/s", "latency": "s"}
    return si(value, units[path]) if path in units else f"{value:g}"
