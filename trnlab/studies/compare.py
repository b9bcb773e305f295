"""Two saved runs: read, and compared."""

import json
from pathlib import Path
from typing import Any

from trnlab import __version__
from trnlab.errors import BadArguments
from trnlab.machine.catalogue import chip as find_chip
from trnlab.nki.clients import artifacts
from trnlab.report.diff import Diff, diff
from trnlab.report.summary import summarise

SAVE = "save one with: trnlab run KERNEL.py --trace NAME.run, or --json > NAME.json"
NEEDED = (
    "seconds",
    "limit",
    "why",
    "engines",
    "instructions_by_lane",
    "lines",
    "totals",
    "receipt",
)


def compare(before: str, after: str) -> Diff:
    """Compares two saved runs: files of `trnlab run --trace NAME.run`, or its JSON reports.

    Raises BadArguments for files that are neither, that hold no times, or several runs.
    """
    return diff(load(before), load(after))


def load(path: str) -> dict[str, Any]:
    """The summary of a saved run."""
    file = Path(path)
    try:
        with file.open("rb") as opened:
            start = opened.read(1 << 16)
    except OSError as error:
        raise BadArguments(f"cannot read '{path}': {error.strerror}", fix=SAVE) from None
    if not start.startswith(b'{"made_by"'):
        return _report(file)
    told, trace = artifacts.read(file)
    if trace is None:
        raise BadArguments(
            f"'{file.name}' holds no times: {told['kernel']} ran without them", fix=SAVE
        )
    return summarise(trace, find_chip(told["chip"]))


def _report(file: Path) -> dict[str, Any]:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise BadArguments(f"'{file.name}' is no saved run", fix=SAVE) from None
    if isinstance(told, list):
        raise BadArguments(
            f"'{file.name}' holds {len(told)} runs",
            fix="compare single ones: let the script call one kernel, or cut the list",
        )
    if not isinstance(told, dict) or "receipt" not in told:
        raise BadArguments(f"'{file.name}' is no saved run", fix=SAVE)
    missing = [name for name in NEEDED if name not in told]
    if missing:
        raise BadArguments(
            f"'{file.name}' is a report of another version: it says nothing of {missing[0]}",
            {"written by": f"trnlab {told['receipt'].get('version')}", "this is": __version__},
            fix="run the kernel again, with this version",
        )
    return told
