"""Whose rules a kernel is held to, and what its source says before anything runs."""

from collections.abc import Iterable
from typing import Any

from trnlab.errors import BadArguments, NotModelled
from trnlab.isa.rules import NEWEST, OLDER, RELEASES, Compiler, version_of
from trnlab.machine.chip import Chip
from trnlab.nki.subset import SHARED, argument_findings, findings
from trnlab.sim.core import Run
from trnlab.sim.progression import Unclear
from trnlab.sim.values.execute import Executor

# The last release that compiles the older API (SDK 2.29) knows two generations of cores.
TARGETS = {"neuronxcc.nki": (2, 3), "nki": (2, 3, 4)}


UNCHECKED = "skip-non-top-level-shared-hbm-check"  # of the decorator's experimental_flags


def check_target(api: str, kernel: str, target: Chip, cores: int, *, strict: bool) -> None:
    """Raises BadArguments where a kernel's API or its cores cannot be compiled for a chip."""
    if strict and cores > 1 and "core_barrier" not in target.core.can:
        raise BadArguments(
            f"{target.key} does not join cores to a pair",
            {"kernel": f"{kernel} on {cores} cores"},
            "one core on this chip; two from NeuronCore-v3 on",
            fix="launch it on one core, or choose another chip",
        )
    if strict and target.generation not in TARGETS[api]:
        raise BadArguments(
            f"{api} does not target {target.key}",
            {"kernel": kernel},
            f"core generations {', '.join(str(n) for n in TARGETS[api])}",
            fix="choose another chip, or move the kernel to the current API",
        )


def check_nested(run: Run, grid: tuple[Any, ...], kernel: str) -> None:
    """Reports a grid that one kernel gives another."""
    if grid:
        run.report(
            BadArguments,
            f"a kernel calls {kernel} with a grid of its own",
            {"grid": str(list(grid))},
            "one grid a launch",
            f"call {kernel} without [...], and give the grid to the outer kernel",
            "nki.jit",
        )


def run_for(how: Any, chip: Chip, api: str, cores: int) -> Run:
    """A run of a kernel that imports this API, with these `Settings`."""
    return Run(chip, how.values, api, cores, compiler=compiler_for(api, how.api_version))


def may_follow(run: Run, instances: int) -> bool:
    """Whether what iterations of loops compute may be put off, where values are wanted."""
    alone = instances == run.cores == 1
    return not run.values or (alone and type(run.executor) is Executor)


def tell_again(here: Any, bound: Any, error: Exception) -> None:
    """Raises Unclear where an error may read otherwise if every iteration of a loop is run.

    Else computes what was put off, which may be wrong as well. Where the caller's arrays are
    written already, the kernel cannot run again.
    """
    run = here.run
    early = isinstance(error, Unclear) or (run.later is not None and run.later.early > 0)
    if not run.values:
        if here.followed:
            raise Unclear from None
    elif not early:
        run.catch_up()
    elif not bound.inputs & run.program.written(run.later.row if run.later else None):
        raise Unclear from None
    elif isinstance(error, Unclear):
        raise NotModelled("a value that is asked for in this loop", "Settings(loops=False)")


def read_source(run: Run, kernel: Any, values: Iterable[Any]) -> None:
    """Tells what a kernel's source and its arguments are that its compiler does not take."""
    function, compiler = kernel.function, run.compiler
    unchecked = UNCHECKED in str(kernel.options.get("experimental_flags", ""))
    for finding in [*findings(function, compiler), *argument_findings(function, values, compiler)]:
        if not (unchecked and finding.construct.name == SHARED):
            run.tell(finding.error, warning=not finding.construct.known)


def compiler_for(api: str, version: str | None = None) -> Compiler:
    """Who judges a kernel: the API it imports decides, and for `nki` the version asked for."""
    asked = version_of(version) if version else NEWEST
    if api != "nki":
        return Compiler(OLDER)
    if asked == OLDER:
        raise BadArguments(
            "a kernel that imports nki is not judged by the older API",
            {"version": str(version)},
            f"versions {', '.join(name for name in RELEASES if version_of(name) != OLDER)}",
            fix="import neuronxcc.nki for the older API",
        )
    return Compiler(asked)
