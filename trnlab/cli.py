"""The command line: thin verbs, each calling a function that a user can import."""

import os
import sys
import traceback
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from dataclasses import replace
from pathlib import Path
from sysconfig import get_paths
from typing import Annotated, Any, Optional

import typer

from trnlab.errors import (
    BadArguments,
    Place,
    ProgramError,
    TrnlabError,
    UnknownName,
    Violations,
)

app = typer.Typer(
    help="A Trainium system in software: run NKI kernels; values, time, energy and why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True}


@app.command(context_settings=PASS_ON)
def run(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="a script, or FILE:KERNEL for a bare kernel")],
    inputs: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads this at run time
        typer.Option("--in", help="an input of a bare kernel: 'bf16[128,512]', 'scale=0.5'"),
    ] = None,
    chip: Annotated[str, typer.Option(help="trn1, trn2 or trn3")] = "",
    json: Annotated[bool, typer.Option("--json", help="print the report as JSON")] = False,
    trace: Annotated[
        str, typer.Option(help="write it to this .pftrace, .json or .run (for diff)")
    ] = "",
    time_only: Annotated[bool, typer.Option("--time-only", help="compute no values")] = False,
    no_time: Annotated[bool, typer.Option("--no-time", help="compute values only")] = False,
    as_vendor_sim: Annotated[
        bool, typer.Option("--as-vendor-sim", help="broken rules are warnings")
    ] = False,
    trace_values: Annotated[
        int, typer.Option(min=0, help="show the N first lines that depart from an fp64 shadow")
    ] = 0,
    bound: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="relative error that counts as departing, for --trace-values"),
    ] = None,
    api: Annotated[str, typer.Option(help="version of nki whose rules count: 0.2 to 0.6")] = "",
    shadow: Annotated[
        bool, typer.Option("--shadow", help="stand in for an installed vendor package")
    ] = False,
    assume: Annotated[
        Optional[int],  # noqa: UP045 - typer reads this at run time
        typer.Option(help="with --time-only: the length of loops that data decides"),
    ] = None,
    html: Annotated[str, typer.Option(help="write one page with everything to this file")] = "",
    why: Annotated[
        bool, typer.Option("--why", help="what each limit costs, and what to change")
    ] = False,
    without: Annotated[
        str, typer.Option(help="mechanisms of time to leave out, such as cold_clock,launch")
    ] = "",
    seed: Annotated[int, typer.Option(help="of made-up inputs")] = 0,
) -> None:
    """Run a script or a kernel on a simulated NeuronCore and report every kernel call."""
    from trnlab.sim.mechanisms import known
    from trnlab.studies import run as study

    how = {"chip": chip or None, "values": not time_only, "timed": not no_time,
           "strict": not as_vendor_sim, "shadow": shadow, "assume": assume,
           "trace_values": trace_values, "bound": bound, "keep": why or bool(html),
           "api_version": api or None, "without": known(without)}  # fmt: skip
    from trnlab.studies.show import check_page_path, check_trace_path, show

    if time_only and no_time:
        raise BadArguments(
            "--time-only and --no-time leave nothing to do", fix="give at most one of them"
        )
    path, kernel = _split(file)
    check_trace_path(trace, timed=not no_time)
    check_page_path(html)
    if (why or html) and no_time:
        raise BadArguments("--why and --html explain a time, and --no-time asks for none")
    with _waiting(f"running {file}", quiet=json), _prints_aside(json):
        if kernel:
            _no_more(context.args)
            found = study.run_kernel(path, kernel, inputs or [], seed, **how)
        else:
            _no_inputs(inputs, path)
            found = study.run_script(path, list(context.args), **how)
    show(found, as_json=json, trace_path=trace, explained=why, page_path=html)


@app.command()
def diff(
    before: Annotated[str, typer.Argument(help="a run: .run of --trace, or a --json report")],
    after: Annotated[str, typer.Argument(help="another one")],
    json: Annotated[bool, typer.Option("--json", help="print it as JSON")] = False,
) -> None:
    """Compare two saved runs: what moved, by lane, by instruction, by line of source."""
    from json import dumps

    from trnlab.report.diff import record, render_diff
    from trnlab.report.terminal import console
    from trnlab.studies.compare import compare

    found = compare(before, after)
    if json:
        typer.echo(dumps(record(found), indent=2))
        return
    console().print(render_diff(found))


@app.command()
def chips(name: Annotated[str, typer.Argument(help="one chip, with every source")] = "") -> None:
    """Print the datasheets: every number with its kind and source."""
    from trnlab.machine.catalogue import chip
    from trnlab.report.datasheet import chips_table, datasheet
    from trnlab.report.terminal import console

    console().print(datasheet(chip(name)) if name else chips_table())


@app.command()
def systems(name: Annotated[str, typer.Argument(help="one system, every source")] = "") -> None:
    """Print the machines that chips are sold in: levels of links, with kind and source."""
    from trnlab.machine.catalogue.systems import system
    from trnlab.report.systems import system_sheet, systems_table
    from trnlab.report.terminal import console

    console().print(system_sheet(system(name)) if name else systems_table())


@app.command()
def isa(
    name: Annotated[str, typer.Argument(help="an instruction, or a function such as nl.exp")] = "",
    markdown: Annotated[bool, typer.Option("--markdown", help="all of it, as docs/isa.md")] = False,
) -> None:
    """Print the manual page of an instruction, or the list of them."""
    from trnlab.report.terminal import console
    from trnlab.studies.handbook import handbook
    from trnlab.studies.manual import index, page

    if markdown:
        typer.echo(handbook(), nl=False)
    elif name:
        typer.echo(page(name))
    else:
        console().print(index())


@app.command()
def migrate(
    files: Annotated[list[str], typer.Argument(help="Python files with kernels; none is run")],
    to: Annotated[str, typer.Option(help="version of NKI to reach: 0.2 to 0.6")] = "0.6",
    json: Annotated[bool, typer.Option("--json", help="print every place as JSON")] = False,
) -> None:
    """Say what in kernels belongs to another version of NKI, and what replaces it."""
    from json import dumps

    from trnlab.studies.migrate import migrate_all, record, report

    found = migrate_all(files, to)
    if json:
        typer.echo(dumps([r for places in found.values() for r in record(places)], indent=2))
        return
    typer.echo("\n".join(report(file, places, to) for file, places in found.items()), nl=False)


@app.command("pytest", context_settings=PASS_ON | {"help_option_names": []})
def pytest(context: typer.Context) -> None:
    """Run a test-suite with pytest: its kernels run on a simulated NeuronCore."""
    from trnlab.studies.suite import run_suite

    sys.exit(run_suite(context.args))


@app.command("neuron-profile", context_settings=PASS_ON | {"help_option_names": []})
def neuron_profile(context: typer.Context) -> None:
    """Stand in for the vendor's tool: capture, and view --output-format summary-json."""
    from trnlab.studies.profiler import neuron_profile as study

    typer.echo(study(context.args), nl=False)


@app.command()
def explain(
    words: Annotated[list[str], typer.Argument(help="a rule's name, an error code, or words")],
) -> None:
    """Explain a rule of ours or an error code of the vendor's tools, with an example."""
    from trnlab.studies.explain import explain as page

    typer.echo(page(" ".join(words)))


@app.command()
def validate(
    kind: Annotated[str, typer.Option(help="only this kind of figure")] = "",
    again: Annotated[
        bool, typer.Option("--again", help="predict again, instead of reading what is on file")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="with --again: no long kernels")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="as docs/accuracy.md")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="predictions only, to keep on file")] = False,
) -> None:
    """Print predicted against published for every figure that the project holds."""
    from trnlab.studies import accuracy
    from trnlab.studies import validate as study

    if kind and kind not in study.KINDS:
        raise UnknownName("kind of figure", kind, study.KINDS)
    found = study.predicted_again(quick=quick, kind=kind) if again else study.remembered()
    held = [c for c in found if not kind or c.kind == kind]
    if csv:
        typer.echo(study.written(held), nl=False)
    elif markdown:
        typer.echo(accuracy.page(held), nl=False)
    else:
        typer.echo(f"{accuracy.rows(held)}\n\n{accuracy.overview(held)}")


@app.command()
def calibrate(
    timings: Annotated[
        str, typer.Argument(help="a CSV with kernel, shape, dtype, chip, seconds, perhaps clock")
    ] = "",
    chip: Annotated[str, typer.Option(help="trn1 or trn2")] = "trn2",
    constant: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads this at run time
        typer.Option(help="a constant to fit, such as core.timing.launch; else the fitted ones"),
    ] = None,
) -> None:
    """Fit the constants of a chip again, to the project's data or to own device timings."""
    from trnlab.studies import calibrate as study
    from trnlab.studies.measurements import read
    from trnlab.studies.timed import KERNELS

    rows = read(timings, KERNELS) if timings else None
    typer.echo(study.report(study.calibrate(rows, chip, constant or (), typer.echo)))


@app.command()
def version() -> None:
    """Print the version."""
    from trnlab import __version__

    typer.echo(f"trnlab {__version__}")


def _split(file: str) -> tuple[str, str]:
    path, colon, kernel = file.rpartition(":")
    drive = len(path) == 1 and path.isalpha()  # C:\kernel.py
    return (path, kernel) if colon and not drive and kernel.isidentifier() else (file, "")


def _no_more(arguments: list[str]) -> None:
    if arguments:
        raise BadArguments(
            f"a bare kernel takes no arguments such as '{arguments[0]}'",
            fix="give its inputs with --in; `trnlab run --help` lists the options",
        )


def _no_inputs(inputs: list[str] | None, path: str) -> None:
    if inputs:
        raise BadArguments(
            f"--in '{inputs[0]}' is for a bare kernel, and {path} is a script",
            fix=f"name the kernel: trnlab run {path}:KERNEL --in '{inputs[0]}'",
        )


def _prints_aside(aside: bool) -> AbstractContextManager[Any]:
    """Sends what a script prints to stderr, so that stdout holds JSON and nothing else."""
    return redirect_stdout(sys.stderr) if aside else nullcontext()


def _waiting(what: str, *, quiet: bool) -> AbstractContextManager[Any]:
    if quiet or not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(what)


def main() -> None:
    """The entry point: errors meant for users are printed without a traceback, exit code 1."""
    try:
        app()
    except TrnlabError as error:
        _fail(_placed(error))
    except UserWarning as warning:
        _fail(str(warning))
    except Exception as error:
        if not _users_fault(error):
            raise
        _fail("".join(_user_lines(error)).rstrip())


def _fail(text: str) -> None:
    typer.echo(f"error: {text}", err=True)
    sys.exit(1)


def _placed(error: TrnlabError) -> str:
    """An error's text with the user's line, which errors from deep inside do not know."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if _owner(f) == "user"]
    if not frames or getattr(error, "place", None) or isinstance(error, Violations):
        return str(error)
    place = Place(frames[-1].filename, frames[-1].lineno or 0)
    if isinstance(error, ProgramError):
        return str(replace(error, place=place))
    return f"{error}\n  at  {place}"


OURS = str(Path(__file__).parent) + os.sep
LIBRARIES = tuple({str(Path(p)) + os.sep for n, p in get_paths().items() if n != "data"})


def _owner(frame: traceback.FrameSummary) -> str:
    """Whose code a frame is: ours, a library's (Python's own included) or the user's."""
    if frame.filename.startswith((OURS, "<trnlab")):
        return "ours"
    return "library" if frame.filename.startswith(("<", *LIBRARIES)) else "user"


def _users_fault(error: BaseException) -> bool:
    """Whether the user's code caused this: it, or a library that it called, raised it."""
    if isinstance(error, SyntaxError):
        return not (error.filename or "").startswith(OURS)
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        owner = _owner(frame)
        if owner == "user":
            return True
        if owner == "ours" and frame.name != "__getattr__":  # a misspelled name is not our fault
            return False
    return False


def _user_lines(error: BaseException) -> list[str]:
    """The user's own traceback: from their first line on, without what lies between in trnlab."""
    frames = list(traceback.extract_tb(error.__traceback__))
    while frames and _owner(frames[0]) != "user":
        del frames[0]
    shown = traceback.format_list([f for f in frames if _owner(f) != "ours"])
    return ["the script raised an exception of its own\n", *shown,
            *traceback.format_exception_only(error)]  # fmt: skip
