"""What a chip is, number by number, and all chips side by side."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from trnlab.machine.catalogue import CAPABILITIES, CHIPS
from trnlab.machine.chip import Chip, OnChip
from trnlab.machine.facts import Amount, Count, numbers
from trnlab.units import binary, pJ, si

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

KIND_STYLES = {
    "measured": "green",
    "vendor": "",
    "derived": "cyan",
    "rumoured": "yellow",
    "assumed": "magenta",
}


def _unit(unit: str) -> Callable[[float], str]:
    return lambda value: si(value, unit)


def _plain(suffix: str = "") -> Callable[[float], str]:
    return lambda value: f"{value:g} {suffix}".rstrip()


def _picojoules(value: float) -> str:
    return f"{value / pJ:.3g} pJ"


def _share(value: float) -> str:
    return f"{100 * value:.3g} %"


# How to write a field, by its name; a new field without an entry fails a test.
WRITERS: dict[str, Callable[[float], str]] = {
    **dict.fromkeys(
        ("rows", "columns", "moving_max", "fp32_passes", "partitions", "banks", "stacks"), _plain()
    ),
    **dict.fromkeys(("generation", "cores", "lanes", "engines"), _plain()),
    **dict.fromkeys(("floor", "start", "dynamic"), _plain("cycles")),
    **dict.fromkeys(("size", "usable", "packet_max", "merged"), binary),
    **dict.fromkeys(("rate", "dma_claimed", "link"), _unit("B/s")),
    **dict.fromkeys(("fixed", "warm_after", "packet", "latency", "trigger"), _unit("s")),
    **dict.fromkeys(("trigger_software", "packet_software", "interval_software"), _unit("s")),
    **dict.fromkeys(("wake_software", "alone", "weight_fill", "weight_wait"), _unit("s")),
    **dict.fromkeys(("launch", "finish"), _unit("s")),
    **dict.fromkeys(("semaphore", "table_load", "function", "scalar_operand"), _unit("s")),
    "profiler": _unit("s"),
    **dict.fromkeys(("bf16_flop", "fp8_flop", "fp32_add", "fp32_multiply"), _picojoules),
    **dict.fromkeys(("sram_byte", "hbm_byte"), _picojoules),
    **dict.fromkeys(("cold_rate", "transpose", "compute", "static_share"), _share),
    "hz": _unit("Hz"),
    "at_once": _plain(),
    "weight_load": _plain("columns/cycle"),
    "reciprocal": _plain("passes"),
    "claimed": _unit("FLOP/s"),
    "watts": _unit("W"),
    "dollars_per_hour": lambda value: f"${value:.4g}/h",
}


def write(path: str, value: float) -> str:
    """Writes a number of a chip with its unit: ``write("hbm.rate", 2.9e12)`` is ``2.90 TB/s``.

    ``path`` is a path of ``numbers``; raises KeyError for a field without a unit.
    """
    *group, name = path.split(".")
    return WRITERS[group[-1] if "claimed" in group else name](value)


def peaks(chip: Chip) -> dict[str, float]:
    """Returns the FLOP/s that all arrays of a chip do by their clock, for three number formats.

    The formula is cores x 2 x rows x columns x clock / passes. fp8 takes one pass, half of one in
    double rows (two elements a cell) and a quarter in block-scaled formats (four).
    """
    core = chip.core
    fp8 = 0.25 if "mx" in core.can else 0.5 if "double_row" in core.can else 1.0
    passes = {"bf16": 1.0, "fp8": fp8, "fp32": core.array.fp32_passes}
    return {name: chip.cores * core.peak(count) for name, count in passes.items()}


def chips_table(chips: Sequence[Chip] = CHIPS) -> "Table":
    """Returns a table with a column for every chip and a row for every figure people compare."""
    from rich.table import Table

    table = Table(title="Chips", title_justify="left", caption_justify="left")
    table.caption = "trnlab chips NAME prints every number with its source"
    table.add_column("")
    for chip in chips:
        table.add_column(chip.key, justify="right")
    for title, rows in _sections(chips):
        table.add_section()
        table.add_row(f"[bold]{title}[/]")
        for name, texts in rows:
            table.add_row(f"  {name}", *texts)
    return table


def datasheet(chip: Chip) -> "RenderableType":
    """Returns all that is known of one chip: every number, its kind and its source.

    A source of several numbers is listed once, below them.
    """
    from rich.console import Group
    from rich.text import Text

    names = ", ".join((chip.key, *chip.aliases))
    uses = Counter(_provenance(value)[1] for _, value in numbers(chip))
    shared = {
        source: f"[{index}]"
        for index, source in enumerate((source for source, count in uses.items() if count > 1), 1)
    }
    head = [
        f"also called {names}; launched {chip.launched}; {chip.process}",
        *(f"- {note}" for note in chip.notes),
    ]
    return Group(
        Text(f"{chip.name}, {chip.core.name}", style="bold"),
        *map(Text, head),
        _numbers_table(chip, shared),
        *(Text(f"{mark} {source}") for source, mark in shared.items()),
        Text(),
        _capabilities_table(chip),
    )


def _numbers_table(chip: Chip, shared: dict[str, str]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    found = list(numbers(chip))
    counts = Counter(_provenance(value)[0] for _, value in found)
    table = Table(caption_justify="left")
    table.caption = f"{len(found)} numbers: " + ", ".join(
        f"{count} {kind}" for kind, count in counts.most_common()
    )
    table.add_column("Number", no_wrap=True)
    table.add_column("Value", justify="right", no_wrap=True)
    table.add_column("Kind", no_wrap=True)
    table.add_column("Source", overflow="fold")
    group = ""
    for path, value in found:
        if path.rpartition(".")[0] != group:
            table.add_section()
            group = path.rpartition(".")[0]
        kind, source = _provenance(value)
        style = KIND_STYLES.get(kind, "red")
        source = shared.get(source, source)
        table.add_row(path, write(path, value), Text(kind, style=style), Text(source))
    return table


def _capabilities_table(chip: Chip) -> "Table":
    from rich.table import Table

    table = Table("Capability", "What it gives", title=f"{chip.core.name} can")
    table.title_justify = "left"
    for name, sentence in CAPABILITIES.items():
        if name in chip.core.can:
            table.add_row(name, sentence)
    if not table.row_count:
        table.add_row("none", "Later generations add to this one.")
    return table


def _provenance(value: float) -> tuple[str, str]:
    """A chip somebody changed may hold plain numbers; they are shown as such."""
    if isinstance(value, Count | Amount):
        return value.kind, value.source
    return "unsourced", "given by the user"


def _sections(chips: Sequence[Chip]) -> Iterator[tuple[str, list[tuple[str, list[str]]]]]:
    """Titles, and under each the names of rows with a text for every chip."""

    def row(name: str, text: Callable[[Chip], str]) -> tuple[str, list[str]]:
        return name, [text(chip) for chip in chips]

    def clock(engine: str) -> Callable[[Chip], str]:
        return lambda chip: si(chip.core.engine(engine).hz, "Hz")

    def by_clock(number: str) -> Callable[[Chip], str]:
        return lambda chip: si(peaks(chip)[number], "FLOP/s")

    def claimed(number: str) -> Callable[[Chip], str]:
        return lambda chip: si(chip.claimed[number], "FLOP/s")

    yield (
        "Chip",
        [
            row("launched", lambda chip: chip.launched),
            row("cores", lambda chip: f"{chip.cores} x {chip.core.name}"),
            row("power", lambda chip: si(chip.watts, "W")),
            row("price", _price),
        ],
    )
    yield (
        "Clocks",
        [row(name, clock(name)) for name in ("tensor", "vector", "scalar", "gpsimd")],
    )
    yield (
        "Peak",
        [
            entry
            for number in ("bf16", "fp8", "fp32")
            for entry in (
                row(f"{number}, arrays x clock", by_clock(number)),
                row(f"{number}, as claimed", claimed(number)),
            )
        ],
    )
    yield (
        "Memory",
        [
            row("SBUF a core", lambda chip: _whole(chip.core.sbuf)),
            row("usable a partition", lambda chip: binary(chip.core.sbuf.usable)),
            row("PSUM a core", lambda chip: _whole(chip.core.psum)),
            row("HBM", lambda chip: binary(chip.hbm.size)),
            row("HBM rate", lambda chip: si(chip.hbm.rate, "B/s")),
        ],
    )
    yield (
        "Transfers",
        [
            row("DMA, engines x rate", lambda chip: si(dma_rate(chip), "B/s")),
            row("DMA, as claimed", lambda chip: si(chip.dma_claimed, "B/s")),
            row("link, both ways", lambda chip: si(chip.link, "B/s")),
        ],
    )


def dma_rate(chip: Chip) -> float:
    """Returns the bytes a second that all DMA engines of a chip move, packets not counted."""
    return chip.cores * chip.core.dma.engines * chip.core.dma.rate


def _whole(memory: OnChip) -> str:
    return binary(memory.partitions * memory.size)


def _price(chip: Chip) -> str:
    return "not public" if chip.dollars_per_hour is None else f"${chip.dollars_per_hour:.4g}/h"
