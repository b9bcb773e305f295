"""Kernels: from a Python function to a run. The only place with ambient state.

Kernels call ``nisa.tensor_tensor(...)`` without saying where, so the run that is under way is held
here. Everything else is passed as arguments.
"""

import functools
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any, ClassVar, NoReturn

import numpy as np

from trnlab.errors import BadArguments, ProgramError, Violations
from trnlab.machine.catalogue import chip as find_chip
from trnlab.machine.chip import Chip
from trnlab.nki.arguments import Arguments
from trnlab.nki.blame import called
from trnlab.nki.grids import instances_of, size_of
from trnlab.nki.judging import (
    check_nested,
    check_target,
    may_follow,
    read_source,
    run_for,
    tell_again,
)
from trnlab.nki.modes import few_collections, set_rounding
from trnlab.nki.order import add_edges
from trnlab.nki.receipt import meta_of, name_of, passes_of
from trnlab.nki.settings import Settings
from trnlab.nki.turns import Rank, Turns
from trnlab.sim.checks.races import Witness
from trnlab.sim.core import Run
from trnlab.sim.progression import Unclear
from trnlab.sim.timing.mechanisms import without
from trnlab.sim.timing.repricing import retimed
from trnlab.sim.timing.tracing import trace_of
from trnlab.sim.values.departures import Departure
from trnlab.trace import Trace

REMEMBERED = 16  # results that `results` remembers

_state: "list[Launch]" = []
_finished: "list[Result]" = []
_settings: "Settings | None" = None
_listeners: "list[Callable[[Result], None]]" = []


@dataclass(eq=False)
class Launch:
    """One call of a kernel while it runs: which instance of its grid, and what all share."""

    run: Run
    grid: tuple[int, ...] = ()
    ids: tuple[int, ...] = ()
    shared: list[Any] = field(default_factory=list)  # shared_hbm tensors, in order of declaration
    next_shared: int = 0
    pending: Any = None  # the older API's instruction whose destination is not known yet
    settle: Callable[[], None] | None = None  # issues it
    together: Turns | None = None  # the cores, where several run at the same time
    rank: Rank | None = None  # which part of a system this is
    inputs: set[int] = field(default_factory=set)  # tensors that are arguments
    exchanged: dict[int, Any] = field(default_factory=dict)  # tensors that collectives touch
    order: Random | None = None  # shuffles the iterations of parallel loops
    assume: int | None = None
    turns: dict[Any, int] = field(default_factory=dict)  # of loops whose length was assumed
    follows: bool = False  # iterations of loops may be written instead of run
    followed: bool = False  # some may have been
    watches: list[Any] = field(default_factory=list)  # on the loops that are followed now

    def start(self, core: int, ids: tuple[int, ...], next_shared: int = 0) -> None:
        """An instance of the kernel starts, or goes on."""
        self.run.switch(core)
        self.ids, self.next_shared = ids, next_shared

    declared: dict[Any, Any] = field(default_factory=dict)  # addresses by where they were given


@dataclass(eq=False)
class Result:
    """What a kernel call left behind."""

    kernel: str
    outputs: Any
    trace: Trace | None
    chip: Chip
    api: str
    violations: tuple[ProgramError, ...]
    warnings: tuple[ProgramError, ...]
    notes: tuple[str, ...]
    instructions: int
    rerun: Callable[[str], "Result"]
    departures: tuple[Departure, ...] | None = None  # where values were traced
    retime: Callable[..., Trace] | None = None  # the same program on another chip, where kept


def running() -> Run:
    """The run that is under way; raises BadArguments outside of a kernel."""
    return _state[-1].run if _state else _outside()


def _outside() -> NoReturn:
    raise BadArguments(
        "an NKI function was called outside of a kernel",
        fix="call it inside a function with @nki.jit, and call that with arrays",
    )


def in_kernel() -> bool:
    """Whether a kernel is under way: hosts plan with a kernel's own functions."""
    return bool(_state)


def launch() -> Launch:
    """The kernel call that is under way."""
    return _state[-1] if _state else _outside()


def together_as_pair(here: Launch, name: str) -> Turns:
    """The turns that two cores take; raises BadArguments where a kernel runs on one."""
    if here.together is None or (here.rank is not None and here.rank.lnc == 1):
        raise BadArguments(
            f"{name} needs two cores that run at the same time",
            fix="launch the kernel as kernel[2](...)",
            see=f"nki.isa.{name}",
        )
    return here.together


def settings() -> Settings:
    """How kernels run now."""
    return _settings or Settings()


def configure(**changes: Any) -> Settings:
    """Changes how kernels run from now on; returns what was before."""
    global _settings
    before = settings()
    _settings = replace(before, **changes)
    return before


def results() -> list[Result]:
    """Every kernel call that has finished, oldest first."""
    return _finished


def last_trace() -> Trace | None:
    """The trace of the last kernel call."""
    return _finished[-1].trace if _finished else None


def chip_in_use(given: str | Chip | None = None, target: str | None = None) -> Chip:
    """The chip asked for, else the environment's, else the kernel's own target, else Trainium2."""
    if isinstance(given, Chip):
        return given
    environment = os.environ.get("NEURON_PLATFORM_TARGET_OVERRIDE")
    return find_chip(given or settings().chip or environment or target or "trn2")


@dataclass(eq=False)
class Kernel:
    """A kernel function that can be called with arrays, or with ``kernel[grid](...)``."""

    function: Callable[..., Any]
    is_kernel: ClassVar[bool] = True
    api: str = "nki"
    grid: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        functools.update_wrapper(self, self.function)

    def __getitem__(self, grid: Any) -> "Kernel":
        return replace(self, grid=grid if isinstance(grid, tuple) else (grid,))

    @property
    def func(self) -> Callable[..., Any]:
        """The function that was decorated."""
        return self.function

    def with_schedule(self, edges: Sequence[tuple[str, str | Sequence[str]]]) -> "Kernel":
        """The kernel with pairs of instruction names: the first waits for the second, or for all.

        Naming an instruction that the kernel does not issue is an error when it runs.
        """
        return replace(self, options=self.options | {"schedule": tuple(edges)})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True  # a test that fails shows the user's lines
        if _state:  # a kernel that calls another is one kernel
            check_nested(running(), self.grid, name_of(self))
            return self.function(*args, **kwargs)
        result = simulate(self, args, kwargs, settings())
        self.left(result)
        return result.outputs

    def left(self, result: Result) -> None:
        """What is done with the result of a call besides returning its outputs; here nothing."""


def simulate(
    kernel: Any,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    how: Settings,
    chip: str | Chip | None = None,
) -> Result:
    """Runs a kernel on a chip and returns all it left behind.

    Raises Violations when rules were broken and ``how.strict`` holds, and whatever the kernel
    itself raises.
    """
    __tracebackhide__ = True
    with few_collections():
        result = _simulate(kernel, args, kwargs, how, chip)
    publish(result)
    return result


def publish(result: Result) -> None:
    """Lets everybody who listens see a result."""
    _finished.append(result)
    del _finished[:-REMEMBERED]
    for listener in _listeners:
        listener(result)


def _simulate(
    kernel: Any,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    how: Settings,
    chip: str | Chip | None,
) -> Result:
    __tracebackhide__ = True
    kernel = kernel if isinstance(kernel, Kernel) else Kernel(kernel)
    if how.loops and how.shuffle is None:
        try:
            return _attempt(kernel, args, kwargs, how, chip, follows=True)
        except Unclear:
            pass
    return _attempt(kernel, args, kwargs, how, chip)


def _attempt(
    kernel: Kernel,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    how: Settings,
    chip: str | Chip | None,
    *,
    follows: bool = False,
) -> Result:
    __tracebackhide__ = True
    target = chip_in_use(chip or how.chip, kernel.options.get("platform_target"))
    cores, instances = instances_of(kernel.grid, kernel.api)
    check_target(kernel.api, name_of(kernel), target, cores, strict=how.strict)
    run = run_for(how, without(target, how.without), kernel.api, cores)
    departures = set_rounding(run, how.precise, how.stochastic, how.trace_values > 0, how.bound)
    here = Launch(run, tuple(size_of(g) for g in kernel.grid), assume=how.assume)
    here.order = None if how.shuffle is None else Random(how.shuffle)
    here.follows = follows and may_follow(run, len(instances))
    bound = Arguments(run, kernel.function, args, kwargs)
    read_source(run, kernel, [*args, *kwargs.values()])
    if len(instances) > 1 and run.values:
        run.executor.witness = Witness(run.program)
    before = len(run.found), len(run.warned)
    try:
        with _following(kernel, here.follows):
            returned = execute(here, kernel, bound)
        bound.check_outputs(returned)
        if here.followed and not run.values and before != (len(run.found), len(run.warned)):
            raise Unclear
    except Exception as last:
        tell_again(here, bound, last)
        if not isinstance(last, ProgramError):
            raise  # else nothing after this has a meaning, but what came before counts
        last.place = last.place or run.here()
        if not how.strict and isinstance(last.__cause__, IndexError):
            raise IndexError(str(last.__cause__)) from last  # as the vendor's simulator says it
        if not run.found or isinstance(last, Violations):
            raise
        raise Violations([*run.found.values(), last]) from None
    add_edges(run, kernel.options.get("schedule", ()))
    run.finish()
    bound.check_effect(kernel.options)
    found = tuple(run.found.values())
    timed = how.timed and (not found or not how.strict)
    trace = _trace(run, kernel, how.without) if timed else None
    if found and how.strict:
        raise Violations(found)
    bound.write_back()
    keep = trace and (how.keep or settings().keep)
    return Result(
        name_of(kernel), bound.outputs(returned), trace, target, kernel.api, found,
        tuple(run.warned.values()), tuple(run.program.notes), run.program.count,
        lambda other: _again(kernel, args, kwargs, other, how),
        tuple(departures.ranked(how.trace_values)) if departures else None,
        partial(retimed, run, lambda r: _trace(r, kernel, how.without)) if keep else None,
    )  # fmt: skip


def _following(kernel: Kernel, follows: bool) -> Any:
    from trnlab.nki.loops.repeats import following

    return following(kernel.function) if follows else nullcontext()


def _again(
    kernel: Kernel, args: Sequence[Any], kwargs: dict[str, Any], chip: str, before: Settings
) -> Result:
    how = Settings(chip, False, False, False, api_version=before.api_version)
    with few_collections():
        return _simulate(kernel, args, kwargs, how, chip)


def listen(listener: Callable[[Result], None]) -> None:
    """Calls a function with every result from now on."""
    _listeners.append(listener)


def unlisten(listener: Callable[[Result], None]) -> None:
    """Stops calling a function that `listen` was given."""
    _listeners.remove(listener)


def execute(here: Launch, kernel: Kernel, bound: Arguments) -> Any:
    """Runs every instance of a kernel; what the last one returned."""
    __tracebackhide__ = True
    cores, instances = instances_of(kernel.grid, kernel.api)
    if kernel.api == "nki" and cores == 2:
        return bound.joined(_execute_pair(here, kernel, bound))
    returned = None
    for core, ids in instances:
        here.run.program.instances.append(here.run.program.count)
        here.start(core, ids)
        returned = _execute(here, kernel, bound)
    return returned


def _execute(here: Launch, kernel: Kernel, bound: Arguments) -> Any:
    __tracebackhide__ = True
    _state.append(here)
    try:
        with np.errstate(all="ignore"):
            returned = called(kernel.function, bound.args, bound.kwargs)
            if here.settle is not None:
                here.settle()
            return returned
    finally:
        _state.pop()


def _execute_pair(here: Launch, kernel: Kernel, bound: Arguments) -> list[Any]:
    """Runs a kernel on two cores at the same time; what each of them returns."""
    fix = "let both cores make the same calls, in the same order, with the same pipe_id"
    turns = Turns(here.run, mine, switch, lambda core: f"core {core}", fix)
    bodies = [lambda: called(kernel.function, bound.args, bound.kwargs)] * 2
    return execute_together(turns, [(here, 0, (0,), 0), (here, 1, (1,), 0)], bodies)


def execute_together(turns: Turns, starts: list[Any], bodies: list[Callable[[], Any]]) -> list[Any]:
    """Runs a body on each core, in turns; what each returned.

    ``starts`` holds the launch of every core, its number, its ids and 0.
    """
    for here, *_ in starts:
        here.together = turns
    _state.append(starts[0][0])
    try:
        return turns.execute(bodies, starts)
    finally:
        _state.pop()


def mine() -> Any:
    """What is the running core's own."""
    here = _state[-1]
    return here, here.run.core_index, here.ids, here.next_shared


def switch(core: Any) -> None:
    """Another core runs from here on."""
    _state[-1] = here = core[0]
    here.start(*core[1:])


def _trace(run: Run, kernel: Kernel, off: frozenset[str]) -> Trace:
    trace = trace_of(run.program, run.chip, run.cores, passes_of(kernel), off)
    trace.meta = meta_of(run, kernel) | {"without": tuple(sorted(off))}
    return trace
