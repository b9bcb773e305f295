"""Why a run takes as long as it does, for people: its path, its limits, what to change."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from trnlab.report.explain import LEAST, Part
from trnlab.report.summary import percent
from trnlab.report.text import grid, labelled, near, plain
from trnlab.units import si

if TYPE_CHECKING:
    from rich.console import RenderableType


class Gain(NamedTuple):
    """What a run would save, in seconds and as a share of it, without a limit."""

    name: str
    text: str
    seconds: float
    share: float


class Advice(NamedTuple):
    """What to change, why, where mostly, and the seconds (and share) that this would save.

    ``assumed`` says what was timed again to find out.
    """

    name: str
    text: str
    where: str
    seconds: float
    share: float
    assumed: str


class Why(NamedTuple):
    """What holds a run up: gains without each limit, and advice, each longest first."""

    gains: Sequence[Gain]
    advice: Sequence[Advice]


def render_why(parts: Sequence[Part], why: Why) -> "RenderableType":
    """Lays out the critical path, what each limit costs and what to change."""
    blank = ("", plain(""))
    return labelled(
        [
            ("path", _path(parts)),
            blank,
            ("without", _gains(why.gains)),
            blank,
            ("try", _advice(why.advice)),
        ]
    )


def _path(parts: Sequence[Part]) -> "RenderableType":
    table = grid("right", "right", "left", "left")
    table.add_row("seconds", "share", "the critical path", "", style="bright_black")
    for part in parts:
        if part.share < LEAST:
            continue
        table.add_row(
            plain(si(part.seconds, "s")),
            percent(part.share),
            plain(f"{part} x{part.steps}"),
            plain(near(part.where)),
        )
    return table


def _gains(gains: Sequence[Gain]) -> "RenderableType":
    if not gains:
        return plain("no single limit costs more than 0.5 %")
    table = grid("right", "right", "left")
    table.add_row("saves", "share", "the same program, with", style="bright_black")
    for gain in gains:
        table.add_row(plain(si(gain.seconds, "s")), percent(gain.share), plain(gain.text))
    return table


def _advice(advice: Sequence[Advice]) -> "RenderableType":
    if not advice:
        return plain("nothing that this looks for: see `without` for what there is to gain")
    table = grid("right", "right", "left")
    for item in advice:
        where = f"\nmostly {near(item.where)}" if item.where else ""
        text = f"{item.name}: {item.text}{where}\ntimed with {item.assumed}"
        table.add_row(plain(si(item.seconds, "s")), percent(item.share), plain(text))
    return table
