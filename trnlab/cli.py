"""The command line: thin verbs, each calling a function that a user can import."""

import sys
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from typing import Annotated, Any, Optional

import typer

from trnlab import __version__
from trnlab.errors import BadArguments, TrnlabError, UnknownName
from trnlab.studies.complaint import placed, user_lines, users_fault

app = typer.Typer(
    help="A Trainium system in software: run NKI kernels; values, time, energy and why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"trnlab {__version__}")
        raise typer.Exit


@app.callback()
def start(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print it and stop")
    ] = False,
) -> None:
    """What every command has."""


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
    parquet: Annotated[
        str, typer.Option(help="write the tables of the vendor's profiler to this folder")
    ] = "",
    why: Annotated[
        bool, typer.Option("--why", help="what each limit costs, and what to change")
    ] = False,
    without: Annotated[
        str, typer.Option(help="mechanisms of time to leave out, such as cold_clock,launch")
    ] = "",
    shuffle: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="run iterations of nl.affine_range in another order, of this seed"),
    ] = None,
    seed: Annotated[int, typer.Option(help="of made-up inputs")] = 0,
) -> None:
    """Run a script or a kernel on a simulated NeuronCore and report every kernel call."""
    from trnlab.report.parquet import check_folder
    from trnlab.sim.timing.mechanisms import known
    from trnlab.studies import run as study

    how = {"chip": chip or None, "values": not time_only, "timed": not no_time,
           "strict": not as_vendor_sim, "shadow": shadow, "assume": assume,
           "trace_values": trace_values, "bound": bound, "keep": why or bool(html),
           "api_version": api or None, "without": known(without), "shuffle": shuffle}  # fmt: skip
    from trnlab.studies.show import check_page_path, check_trace_path, show

    if time_only and no_time:
        raise BadArguments(
            "--time-only and --no-time leave nothing to do", fix="give at most one of them"
        )
    path, kernel = _split(file)
    check_trace_path(trace, timed=not no_time)
    check_page_path(html)
    if parquet:
        check_folder(parquet)
    if (why or html or parquet) and no_time:
        raise BadArguments("--why, --html and --parquet explain a time; --no-time asks for none")
    with _waiting(f"running {file}", quiet=json), _prints_aside(json):
        if kernel:
            _no_more(context.args)
            found = study.run_kernel(path, kernel, inputs or [], seed, **how)
        else:
            _no_inputs(inputs, path)
            found = study.run_script(path, list(context.args), **how)
    show(found, as_json=json, trace_path=trace, explained=why, page_path=html, profile_path=parquet)


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
def systems(
    name: Annotated[str, typer.Argument(help="one system, with every source")] = "",
) -> None:
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
    from trnlab.studies.reference.handbook import handbook
    from trnlab.studies.reference.manual import index, page

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

    from trnlab.studies.migration.migrate import migrate_all, record, report

    found = migrate_all(files, to)
    if json:
        typer.echo(dumps([r for places in found.values() for r in record(places)], indent=2))
        return
    typer.echo("\n".join(report(file, places, to) for file, places in found.items()), nl=False)


@app.command()
def score(
    kernel: Annotated[
        str, typer.Argument(help="the candidate: FILE, or FILE:KERNEL where it has several")
    ],
    reference: Annotated[
        str, typer.Argument(help="what is right: FILE with `reference`, or FILE:FUNCTION")
    ],
    inputs: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads this at run time
        typer.Option("--in", help="an input: 'bf16[128,512]', 'scale=0.5'"),
    ] = None,
    hidden: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="inputs of a case that is not told: 'bf16[256,512]; scale=0.5'"),
    ] = None,
    seeds: Annotated[int, typer.Option(help="how many sets of values to try")] = 3,
    seed: Annotated[int, typer.Option(help="a secret that the values depend on")] = 0,
    chip: Annotated[str, typer.Option(help="trn1, trn2 or trn3")] = "trn2",
    grid: Annotated[
        Optional[list[int]],  # noqa: UP045
        typer.Option(help="of the launch, one number a dimension"),
    ] = None,
    tolerance: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="relative error; otherwise by the formats of the inputs"),
    ] = None,
    seconds: Annotated[float, typer.Option(help="of CPU, to make the candidate's program")] = 10,
    json: Annotated[bool, typer.Option("--json", help="print the answer as JSON")] = False,
) -> None:
    """Score a kernel nobody knows: right or not, time, counters, violations."""
    from json import dumps

    from trnlab.studies.scoring.score import describe, score_files

    with _waiting(f"scoring {kernel}", quiet=json):
        told = score_files(
            kernel, reference, inputs=inputs or [], seeds=seeds, seed=seed, chip=chip,
            hidden=[case.split(";") for case in hidden or []], grid=grid or [],
            tolerance=tolerance, seconds=seconds,
        )  # fmt: skip
    typer.echo(dumps(told, indent=2) if json else describe(told))
    sys.exit(0 if told["correct"] else 1)


@app.command()
def serve(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="of 127.0.0.1; 0 takes a free one")
    ] = 8711,
    workers: Annotated[int, typer.Option(min=1, help="candidates at the same time")] = 2,
    token: Annotated[str, typer.Option(envvar="TRNLAB_TOKEN", help="what callers must show")] = "",
) -> None:
    """Score kernels for many callers on this machine: POST JSON to /score."""
    from trnlab.studies.scoring.serve import Service

    with Service(port, workers, token) as service:
        typer.echo(f"scoring at {service.url}/score, {workers} at a time")
        try:
            service.serve_forever()
        except KeyboardInterrupt:
            typer.echo(f"{service.answered} answered, {service.refused} refused")


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
    from trnlab.studies.reference.explain import explain as page

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
    held_out: Annotated[
        bool, typer.Option("--held-out", help="each family by constants that never saw it")
    ] = False,
) -> None:
    """Print predicted against published for every figure that the project holds."""
    from trnlab.studies.validation import accuracy, heldout
    from trnlab.studies.validation import validate as study

    if held_out:
        unseen = heldout.held_out_again() if again else heldout.held_out()
        typer.echo(heldout.written(unseen) if csv else accuracy.unseen(unseen), nl=not csv)
        return
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
        str, typer.Argument(help="a CSV with kernel, shape, dtype, chip, seconds; docs/why.md")
    ] = "",
    chip: Annotated[str, typer.Option(help="trn1 or trn2")] = "trn2",
    constant: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads this at run time
        typer.Option(help="a constant to fit, such as core.timing.launch; else the fitted ones"),
    ] = None,
) -> None:
    """Fit the constants of a chip again, to the project's data or to own device timings."""
    from trnlab.studies.validation import calibrate as study
    from trnlab.studies.validation.measurements import read
    from trnlab.studies.validation.timed import KERNELS

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
        _fail(placed(error))
    except UserWarning as warning:
        _fail(str(warning))
    except Exception as error:
        if not users_fault(error):
            raise
        _fail("".join(user_lines(error)).rstrip())


def _fail(text: str) -> None:
    typer.echo(f"error: {text}", err=True)
    sys.exit(1)
