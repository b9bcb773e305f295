"""The terminal: where reports are printed."""

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PIPED = 100  # columns, where there is no terminal to ask


def console() -> "Console":
    """Returns a console as wide as the terminal, or `PIPED` columns."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPED, highlight=False)


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> "Table":
    """Returns a plain table; only its last column wraps."""
    from rich.table import Table

    made = Table(title=title, box=None, title_justify="left", pad_edge=False)
    for name in header:
        made.add_column(name, no_wrap=name != header[-1])
    for row in rows:
        made.add_row(*row)
    return made
