"""Running a kernel on the ranks of a system: each with arguments, memory and a trace of its own.

All ranks record into one program, so that one schedule has them all: a collective is an
instruction that waits for the tensors of every rank.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from trnlab.errors import BadArguments, NotModelled, ProgramError, Violations
from trnlab.machine.facts import numbers
from trnlab.machine.system import System
from trnlab.nki import blame
from trnlab.nki.arguments import Arguments
from trnlab.nki.grids import instances_of, size_of
from trnlab.nki.jit import (
    Kernel,
    Launch,
    Result,
    Settings,
    chip_in_use,
    execute_together,
    mine,
    publish,
    switch,
)
from trnlab.nki.judging import check_target, read_source, run_for
from trnlab.nki.meeting import report_outside
from trnlab.nki.modes import few_collections, set_rounding
from trnlab.nki.receipt import meta_of, name_of
from trnlab.nki.turns import Rank, Turns
from trnlab.sim.checks.races import Witness
from trnlab.sim.core import Run
from trnlab.sim.timing.tracing import traces_of
from trnlab.trace import Trace

Call = tuple[Sequence[Any], dict[str, Any]]
FIX = "let every rank of a group make the same calls in the same order"


def simulate_ranks(
    kernel: Kernel, calls: Sequence[Call], how: Settings, system: System
) -> list[Result]:
    """Runs a kernel once for each call, all at the same time; what each rank left behind.

    The grid of the kernel says how many cores a rank has: one, or two that share their HBM. Of all
    results the one of the rank that ends last goes to whoever listens. Raises as `simulate` does,
    and Deadlock where a rank waits for one that never comes.
    """
    with few_collections():
        results = _simulate(kernel, calls, how, system)
    publish(max(results, key=lambda r: r.trace.seconds if r.trace else 0.0))
    return results


def _simulate(kernel: Kernel, calls: Sequence[Call], how: Settings, system: System) -> list[Result]:
    if kernel.options.get("schedule"):
        raise NotModelled("with_schedule on several ranks", "names of instructions for each rank")
    lnc, instances = instances_of(kernel.grid, kernel.api)  # cores of a rank
    check_target(kernel.api, name_of(kernel), system.chip, lnc, strict=how.strict)
    if len(instances) > lnc:
        raise NotModelled(
            "a launch grid on ranks", "one instance a core: kernel, or kernel[nl.nc(2)]"
        )
    if not 0 < len(calls) * lnc <= system.cores:
        raise BadArguments(
            f"{len(calls)} ranks of {lnc} cores do not fit on {system.key}",
            limit=f"1 to {system.cores // lnc} ranks",
            fix="use a larger system, such as two of them: system='2xtrn2.48xlarge'",
        )
    run = run_for(how, system.chip, kernel.api, lnc * len(calls))
    if kernel.api != "nki":
        run.note("on ranks, what the older compiler does to loads, queues and order is left out")
    departures = set_rounding(run, how.precise, how.stochastic, how.trace_values > 0, how.bound)
    if lnc > 1 and run.values:
        run.executor.witness = Witness(run.program)
    given = [value for args, kwargs in calls for value in (*args, *kwargs.values())]
    read_source(run, kernel, given)
    launches, bounds = _launches(run, kernel, calls, how.assume, lnc, system)
    try:
        returned = _execute(run, kernel, launches, bounds, lnc)
        for here, bound, result in zip(launches, bounds, returned, strict=True):
            bound.check_outputs(result)
            _report_results(here, bound.indices(result), kernel.api)
    except ProgramError as last:  # nothing after this has a meaning, but what came before counts
        last.place = last.place or run.here()
        if not run.found or isinstance(last, Violations):
            raise
        raise Violations([*run.found.values(), last]) from None
    run.finish()
    found = tuple(run.found.values())
    timed = how.timed and (not found or not how.strict)
    traces = _traces(run, kernel, launches, system) if timed else [None] * len(calls)
    if found and how.strict:
        raise Violations(found)
    _write_back(bounds)
    warned, notes = tuple(run.warned.values()), tuple(run.program.notes)
    ranked = tuple(departures.ranked(how.trace_values)) if departures else None

    def again(chip: str) -> Result:
        elsewhere = replace(system, chip=chip_in_use(chip))
        tried = replace(how, values=False, timed=False, strict=False)
        return _simulate(kernel, calls, tried, elsewhere)[0]

    return [
        Result(name_of(kernel), bound.outputs(result), trace, system.chip, kernel.api, found,
               warned, notes, run.program.count, again, ranked)
        for bound, result, trace in zip(bounds, returned, traces, strict=True)
    ]  # fmt: skip


def _launches(
    run: Run, kernel: Kernel, calls: Sequence[Call], assume: int | None, lnc: int, system: System
) -> tuple[list[Launch], list[Arguments]]:
    """Every rank with its arguments in its own HBM."""
    launches, bounds = [], []
    grid = tuple(size_of(part) for part in kernel.grid)
    places: dict[tuple[int, ...], Any] = {}
    taken: list[np.ndarray] = []
    for number, (args, kwargs) in enumerate(calls):
        rank = Rank(number, len(calls), lnc, system, places)
        run.switch(number * lnc)
        bound = Arguments(run, kernel.function, args, kwargs, taken)
        taken += [held for _, held, _ in bound.taken]
        launches.append(Launch(run, grid, rank=rank, inputs=bound.inputs, assume=assume))
        bounds.append(bound)
    return launches, bounds


def _execute(
    run: Run, kernel: Kernel, launches: list[Launch], bounds: list[Arguments], lnc: int
) -> list[Any]:
    """Runs the kernel on the cores of all ranks, in turns; what each rank returned."""

    def called(core: int) -> str:
        rank, number = divmod(core, lnc)
        return f"rank {rank}" if lnc == 1 else f"rank {rank} core {number}"

    starts, bodies = [], []
    for here, bound in zip(launches, bounds, strict=True):
        for core in range(lnc):
            ids = (core,) if here.grid else ()
            starts.append((here, here.rank.number * lnc + core, ids, 0))  # type: ignore[union-attr]
            bodies.append(lambda b=bound, h=here: _body(kernel, h, b))
    turns = Turns(run, mine, switch, called, FIX)
    returned = execute_together(turns, starts, bodies)
    return [bound.joined(returned[i * lnc : (i + 1) * lnc]) for i, bound in enumerate(bounds)]


def _report_results(here: Launch, results: set[int], api: str) -> None:
    """Reports results that a collective has touched; kernels of the older API return them."""
    for index in here.exchanged.keys() & results if api == "nki" else ():
        report_outside(here, index, "a result")


def _body(kernel: Kernel, here: Launch, bound: Arguments) -> Any:
    returned = blame.called(kernel.function, bound.args, bound.kwargs)
    if here.settle is not None:
        here.settle()
    return returned


def _traces(run: Run, kernel: Kernel, launches: list[Launch], system: System) -> list[Trace]:
    ranks = len(launches)
    traces = traces_of(run.program, run.chip, run.cores // ranks, ranks)
    sources = {getattr(value, "source", "") for _, value in numbers(system.levels)}
    for number, trace in enumerate(traces):
        trace.meta = meta_of(run, kernel) | {
            "cores": run.cores // ranks,
            "system": system.key,
            "rank": number,
            "ranks": ranks,
        }
        trace.meta["constants"] = int(str(trace.meta["constants"])) + sum(
            "fitted" in source for source in sources
        )
    return traces


def _write_back(bounds: list[Arguments]) -> None:
    """Updates the caller's arrays; one that several ranks have written has no single value."""
    writers: dict[int, int] = {}
    for rank, bound in enumerate(bounds):
        for given, name in bound.changed():
            other = writers.setdefault(id(given), rank)
            if other != rank:
                raise BadArguments(
                    f"ranks {other} and {rank} were given one array as {name}, and write to it",
                    fix="give each rank an array of its own",
                )
    for bound in bounds:
        bound.write_back()
