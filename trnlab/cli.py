"""The command line: thin verbs, each calling a function that a user can import."""

import json as json_
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from trnlab.errors import TrnlabError, UnknownName

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
    trace: Annotated[str, typer.Option(help="write the timeline to this .pftrace or .json")] = "",
    time_only: Annotated[bool, typer.Option("--time-only", help="compute no values")] = False,
    no_time: Annotated[bool, typer.Option("--no-time", help="compute values only")] = False,
    as_vendor_sim: Annotated[
        bool, typer.Option("--as-vendor-sim", help="broken rules are warnings")
    ] = False,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="stand in for an installed vendor package")
    ] = False,
    seed: Annotated[int, typer.Option(help="of made-up inputs")] = 0,
) -> None:
    """Run a script or a kernel on a simulated NeuronCore and report every kernel call."""
    from trnlab.studies import run as study

    how = {"chip": chip or None, "values": not time_only, "timed": not no_time,
           "strict": not as_vendor_sim, "shadow": shadow}  # fmt: skip
    path, kernel = _split(file)
    with _waiting(f"running {file}", quiet=json):
        if kernel:
            found = study.run_kernel(path, kernel, inputs or [], seed, **how)
        else:
            found = study.run_script(path, list(context.args), **how)
    from trnlab.studies.show import show

    show(found, as_json=json, trace_path=trace)


@app.command()
def chips(name: Annotated[str, typer.Argument(help="one chip, with every source")] = "") -> None:
    """Print the datasheets: every number with its kind and source."""
    from rich.console import Console

    from trnlab.machine.catalogue import chip
    from trnlab.report.datasheet import chips_table, datasheet

    Console().print(datasheet(chip(name)) if name else chips_table())


@app.command()
def isa(name: Annotated[str, typer.Argument(help="one instruction")] = "") -> None:
    """Print the manual page of an instruction, or the list of them."""
    from rich.console import Console

    from trnlab.studies.manual import index, page

    Console().print(page(name) if name else index())


@app.command()
def version() -> None:
    """Print the version."""
    from trnlab import __version__

    typer.echo(f"trnlab {__version__}")


def _split(file: str) -> tuple[str, str]:
    path, colon, kernel = file.rpartition(":")
    drive = len(path) == 1 and path.isalpha()  # C:\kernel.py
    return (path, kernel) if colon and not drive and kernel.isidentifier() else (file, "")


def _waiting(what: str, *, quiet: bool) -> Any:
    from contextlib import nullcontext

    if quiet or not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(what)


def main() -> None:
    """The entry point: errors meant for users are printed without a traceback, exit code 1."""
    try:
        app()
    except TrnlabError as error:
        _fail(str(error))
    except UserWarning as warning:
        _fail(str(warning))
    except Exception as error:
        if not _users_fault(error):
            raise
        _fail("".join(_user_lines(error)).rstrip())


def _fail(text: str) -> None:
    typer.echo(f"error: {text}", err=True)
    sys.exit(1)


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    ours = str(Path(__file__).parent)
    return [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((ours, "<frozen", "<trnlab"))
        and "typer" not in frame.filename
        and "click" not in frame.filename
        and not frame.filename.endswith(("runpy.py", "/bin/trnlab"))
    ]


def _users_fault(error: BaseException) -> bool:
    """Whether the exception was raised by the user's code rather than by ours."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return not last.filename.startswith((str(Path(__file__).parent), "<trnlab"))


def _user_lines(error: BaseException) -> list[str]:
    shown = traceback.format_list(_frames(error))
    return ["the script raised an exception of its own\n", *shown,
            *traceback.format_exception_only(error)]  # fmt: skip


__all__ = ["UnknownName", "app", "json_", "main"]
