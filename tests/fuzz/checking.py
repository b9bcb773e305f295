"""Running random kernels and comparing them with the oracle, and with themselves."""

import warnings
from typing import Any

import ml_dtypes
import numpy as np

import trnlab
from tests.fuzz.arrays import wide
from tests.fuzz.programs import Program
from trnlab.sim.values import execute
from trnlab.sim.values.execute import Executor

REWRITES = (  # what the older compiler does to a program
    "bank_sharing", "batching", "hoisting", "identities", "load_reuse", "loop_fusion",
    "operator_joining", "phases", "spills", "tile_rotation",
)  # fmt: skip


class Wrong(AssertionError):
    """A program that does not do what it must."""


def kernel_of(source: str, seed: int):
    """The kernel in a source text."""
    scope = {"np": np, "ml_dtypes": ml_dtypes}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # the wrong ones call and index numbers
        exec(compile(source, f"<program {seed}>", "exec"), scope)
    return scope["kernel"]


def launch(program: Program, api: str = "nki", *, source: str = "", **how: Any):
    """Outputs by name, the updated inputs among them, and the trace."""
    kernel: Any = kernel_of(source or program.source(api), program.seed)
    if program.instances > 1:
        kernel = kernel[program.instances]
    arrays = [given.array() for given in program.inputs]
    returned, trace = trnlab.run(kernel, program.chip, **how)(*arrays)
    found = dict(zip(program.outputs, returned or (), strict=True))
    return found | {g.name: a for g, a in zip(program.inputs, arrays, strict=True)}, trace


def compare(program: Program, found: dict[str, np.ndarray], how: str) -> None:
    """Raises Wrong where an output is not what the oracle gives."""
    for name in (*program.outputs, *(given.name for given in program.inputs)):
        want, got = program.expected(name), np.asarray(found[name])
        if got.shape != want.shape or got.dtype != want.dtype:
            raise Wrong(f"{how}: {name} is {got.dtype} {got.shape}, not {want.dtype} {want.shape}")
        left, right = wide(got), wide(want)
        if name in program.loose:
            good = np.isclose(left, right, rtol=2e-6, atol=1e-30, equal_nan=True)
        else:
            good = (left == right) | (np.isnan(left) & np.isnan(right))
            if got.dtype.itemsize == 4 and got.dtype.kind in "iu":
                good = got == want
        good |= ~program.wrote(name)
        if not good.all():
            at = tuple(int(n) for n in np.argwhere(~good)[0])
            raise Wrong(f"{how}: {name}{list(at)} is {got[at]}, not {want[at]}")


def eagerly(function):
    """Calls a function with every matmul computed at once and all bytes moved."""
    compute, borrow = Executor.compute, execute.memory.borrow

    def at_once(self, entry, operands, mask):
        compute(self, entry, operands, mask)
        self.groups.flush()

    Executor.compute, execute.memory.borrow = at_once, lambda *_, **__: False
    try:
        return function()
    finally:
        Executor.compute, execute.memory.borrow = compute, borrow


def same_trace(a, b) -> bool:
    """Whether two traces show the same program at the same times."""
    columns = ("lane", "name", "start", "busy_until", "stop", "cause", "blocker")
    alike = all(np.array_equal(getattr(a, c), getattr(b, c)) for c in columns)
    return alike and (a.lanes, a.names, a.totals) == (b.lanes, b.names, b.totals)


def names_of(trace) -> list[str]:
    """The instructions of a trace in program order."""
    return [trace.names[n] for n in trace.name]


def check(program: Program) -> int:
    """Runs a legal program in every way; how many runs that were."""
    apis = ("nki", "neuronxcc.nki") if program.portable else ("nki",)
    runs, traces = 0, {}
    for api in apis:
        if api == "nki" and any(step.mask for step in program.steps):
            continue
        found, traces[api] = launch(program, api)
        compare(program, found, api)
        found, _ = eagerly(lambda api=api: launch(program, api))
        compare(program, found, f"{api}, eagerly")
        _, timed = launch(program, api, values=False)
        if not same_trace(traces[api], timed):
            raise Wrong(f"{api}: time only is another program")
        runs += 3
    if len(traces) == 2 and program.instances == 1:
        as_written = launch(program, "neuronxcc.nki", values=False, without=REWRITES)[1]
        new, old = names_of(traces["nki"]), names_of(as_written)
        if new != old:
            raise Wrong(f"the generations differ: {new} and {old}")
    return runs
