"""The terminal: where reports are printed."""

import sys
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PIPED = 100  # columns, where there is no terminal to ask


def console() -> "Console":
    """Returns a console as wide as the terminal, or `PIPED` columns."""
    from rich.console import Console

    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(width=PIPED, highlight=False, file=_Bare())


class _Bare(StringIO):
    """Standard output, without the blanks that fill lines up to the width of a table."""

    def write(self, text: str, /) -> int:
        return sys.stdout.write("\n".join(line.rstrip(" ") for line in text.split("\n")))


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> "Table":
    """Returns a plain table; only its last column wraps."""
    from rich.table import Table

    made = Table(title=title, box=None, title_justify="left", pad_edge=False)
    for name in header:
        made.add_column(name, no_wrap=name != header[-1])
    for row in rows:
        made.add_row(*row)
    return made
