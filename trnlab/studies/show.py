"""The report of a run: text for people, JSON for programs, a timeline for the browser."""

import json
import sys
from pathlib import Path
from typing import Any

from trnlab.errors import BadArguments, MissingExtra, UnknownName
from trnlab.nki.clients import artifacts
from trnlab.nki.jit import Result
from trnlab.report.explain import explain
from trnlab.report.page import save_page
from trnlab.report.parquet import save_profile
from trnlab.report.perfetto import WRITERS, save
from trnlab.report.profile_facts import SCHEMA_VERSION
from trnlab.report.summary import summarise
from trnlab.report.terminal import console
from trnlab.report.text import render
from trnlab.report.why import render_why
from trnlab.studies.departures import describe, record
from trnlab.studies.legality import legality
from trnlab.studies.whatif import why

FOLDER = "trnlab-traces"
WARNINGS = 3  # that are shown in full
SAVED = ".run"  # a whole trace, which `trnlab diff` reads
PAGES = (".html", ".htm")
FULL_REPORTS = 3  # of a script with many kernel calls, only the last ones are shown in full


def show(
    results: list[Result],
    *,
    as_json: bool = False,
    trace_path: str = "",
    explained: bool = False,
    page_path: str = "",
    profile_path: str = "",
) -> None:
    """Prints the report of every kernel call and saves the timelines that were asked for.

    ``explained`` adds what each limit costs and what to change: `studies.whatif`.
    ``page_path`` is where the last call gets a page for the browser, ``profile_path`` the folder
    of its tables.
    """
    if profile_path:
        save_last_profile(results, profile_path)
    if page_path:
        save_last_page(results, page_path)
    paths = save_trace(results, trace_path)
    if as_json:
        reports = [_record(r, paths, explained) for r in results]
        sys.stdout.write(json.dumps(reports if len(reports) > 1 else reports[0], indent=2) + "\n")
        return
    screen = console()
    for number, result in enumerate(results[:-FULL_REPORTS], 1):
        time = f"{result.trace.seconds * 1e6:,.2f} us" if result.trace else "not timed"
        screen.print(f"call {number}  {result.kernel}  {time}")
    for result in results[-FULL_REPORTS:]:
        path = paths.get(id(result))
        alone = path and not trace_path and len(results) > 1
        _print(
            screen,
            result,
            f"{path}, the last of {len(results)} calls" if alone else path,
            explained,
        )


def check_trace_path(trace_path: str, *, timed: bool) -> None:
    """Raises before a run what saving its timeline would raise after it."""
    if not trace_path:
        return
    if not timed:
        raise BadArguments("there is no timeline to write", fix="run without --no-time")
    path = Path(trace_path)
    if path.suffix not in (*WRITERS, SAVED):
        raise UnknownName("trace format", path.suffix or path.name, (*WRITERS, SAVED))
    if path.is_dir() or not path.parent.is_dir():
        wrong = "it is a folder" if path.is_dir() else f"there is no folder '{path.parent}'"
        raise BadArguments(f"cannot save '{path.name}': {wrong}")


def check_page_path(page_path: str) -> None:
    """Raises before a run what saving its page would raise after it."""
    if not page_path:
        return
    path = Path(page_path)
    if path.suffix not in PAGES:
        raise UnknownName("page format", path.suffix or path.name, PAGES)
    if path.is_dir() or not path.parent.is_dir():
        wrong = "it is a folder" if path.is_dir() else f"there is no folder '{path.parent}'"
        raise BadArguments(f"cannot save '{path.name}': {wrong}")


def save_last_page(results: list[Result], page_path: str) -> None:
    """Writes the page of the last call that was timed."""
    last = [r for r in results if r.trace is not None][-1:]
    for result in last:
        assert result.trace is not None
        found = why(result) if result.retime else None
        try:
            save_page(result.trace, result.chip, page_path, found)
        except OSError as error:
            raise BadArguments(f"cannot save '{page_path}': {error.strerror}") from None
        sys.stderr.write(f"wrote {page_path}: {result.kernel}, for any browser\n")


def save_last_profile(results: list[Result], folder: str) -> None:
    """Writes the Parquet tables of the last call that was timed."""
    for result in [r for r in results if r.trace is not None][-1:]:
        assert result.trace is not None
        save_profile(result.trace, result.chip, folder)
        sys.stderr.write(f"wrote {folder}: {result.kernel}, a profile of schema {SCHEMA_VERSION}\n")


def save_trace(results: list[Result], trace_path: str) -> dict[int, str]:
    """Saves timelines of timed calls; their paths, by the id of the result.

    Asked for as ``t.json``: the last call there, and the calls before it that are reported in full
    as ``t-1.json``, by their number. Unasked: the last call.
    """
    timed = [(n, r) for n, r in enumerate(results, 1) if r.trace is not None]
    saved = {}
    for number, result in timed[-FULL_REPORTS if trace_path else -1 :]:
        last = result is timed[-1][1]
        path = _save_as(result, trace_path, "" if last else f"-{number}")
        if path is not None:
            saved[id(result)] = str(path)
    return saved


def _save_as(result: Result, trace_path: str, more: str) -> Path | None:
    assert result.trace is not None
    path = Path(trace_path)
    try:
        if trace_path:
            path = path.with_name(f"{path.stem}{more}{path.suffix}")
            if path.suffix == SAVED:
                told = result.kernel, result.chip.key, result.trace
                return artifacts.write(path, artifacts.RUN, *told)
            return save(result.trace, path)
        return _save_in_folder(result)
    except OSError as error:
        if trace_path:
            raise BadArguments(f"cannot save '{trace_path}': {error.strerror}") from None
        sys.stderr.write(f"the timeline was not saved in {FOLDER}: {error.strerror}\n")
        return None


def _save_in_folder(result: Result) -> Path:
    assert result.trace is not None
    folder = Path(FOLDER)
    folder.mkdir(exist_ok=True)
    try:
        return save(result.trace, folder / f"{result.kernel}.pftrace")
    except MissingExtra:
        return save(result.trace, folder / f"{result.kernel}.json")


def _record(result: Result, paths: dict[int, str], explained: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "kernel": result.kernel, "chip": result.chip.key, "api": result.api,
        "instructions": result.instructions, "notes": list(result.notes),
    }  # fmt: skip
    if result.trace:
        told |= summarise(result.trace, result.chip)
    if result.trace and explained:
        found = why(result)
        told["why"]["without"] = [gain._asdict() for gain in found.gains]
        told["why"]["advice"] = [item._asdict() for item in found.advice]
    told["legality"] = [
        {"chip": chip, "legal": legal, "reason": reason} for chip, legal, reason in legality(result)
    ]
    told["violations"] = [str(v) for v in result.violations]
    told["warnings"] = [str(w) for w in result.warnings]
    if result.departures is not None:
        told["departures"] = [record(d) for d in result.departures]
    told["trace"] = paths.get(id(result))
    return told


def _print(screen: Any, result: Result, path: str | None, explained: bool) -> None:
    for violation in result.violations:
        screen.print(f"warning: {violation}\n", style="yellow", markup=False)
    for warning in result.warnings[:WARNINGS]:
        screen.print(f"warning: {warning}\n", style="yellow", markup=False)
    if len(result.warnings) > WARNINGS:
        more = f"{len(result.warnings) - WARNINGS} more warnings; --json has them all\n"
        screen.print(more, style="yellow")
    if result.trace is None:
        count = f"{result.instructions:,} instruction{'' if result.instructions == 1 else 's'}"
        screen.print(f"{result.kernel} on {result.chip.name}: {count}, not timed")
        _print_departures(screen, result)
        return
    screen.print(render(summarise(result.trace, result.chip), legality(result), path))
    if explained:
        screen.print()
        screen.print(render_why(explain(result.trace, result.chip), why(result)))
    _print_departures(screen, result)


def _print_departures(screen: Any, result: Result) -> None:
    if result.departures is not None:
        screen.print(describe(result.departures), markup=False, highlight=False, soft_wrap=True)
