"""A random program, its source, and what it must give: the oracle runs while the program is made.

A step is kept only if its result does not depend on the order in which things are summed, so that
every comparison is exact; what the scalar engine approximates is compared loosely and goes nowhere
but to an output.
"""

from dataclasses import dataclass, field

import numpy as np

from tests.fuzz.arrays import DTYPES, INTEGERS, Inexact, stored, surely_exact, wide
from tests.fuzz.steps import COMPUTE, Fresh, Step, dtype_of, product
from tests.fuzz.text import HEAD, lines
from tests.fuzz.views import Ref


@dataclass
class State:
    """Every tensor of one instance of the kernel: contents, who was written, which hold sums."""

    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    written: dict[str, np.ndarray] = field(default_factory=dict)
    summed: dict[str, np.ndarray] = field(default_factory=dict)
    mass: dict[str, np.ndarray] = field(default_factory=dict)  # magnitudes behind the sums
    power: dict[str, int] = field(default_factory=dict)

    def make(self, name: str, fresh: Fresh) -> None:
        """A tensor that nobody has written."""
        kind = DTYPES[fresh.dtype]
        self.arrays[name] = np.zeros(fresh.shape, kind)
        self.written[name] = np.zeros(fresh.shape, bool)
        self.summed[name] = np.zeros(fresh.shape, bool)
        self.mass[name] = np.zeros(fresh.shape)
        self.power[name] = 10_000

    def view(self, ref: Ref) -> np.ndarray:
        """A part of a tensor."""
        return ref.of(self.arrays[ref.name])


@dataclass
class Input:
    """An array that the kernel is called with: whole numbers times a power of two."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    seed: int
    reach: int
    scale: float

    def text(self) -> str:
        """A Python expression that makes it."""
        low = 0 if self.dtype.startswith("uint") else -self.reach
        draw = f"np.random.default_rng({self.seed}).integers({low}, {self.reach + 1}, {self.shape})"
        scaled = draw if self.dtype in INTEGERS else f"({draw} * {self.scale})"
        kind = DTYPES[self.dtype]
        owner = "np" if kind.type.__module__ == "numpy" else "ml_dtypes"
        return f"{scaled}.astype({owner}.{self.dtype})"

    def array(self) -> np.ndarray:
        """The array."""
        import ml_dtypes

        return eval(self.text(), {"np": np, "ml_dtypes": ml_dtypes})


@dataclass
class Program:
    """Steps on inputs, for so many instances of the kernel on a chip."""

    seed: int
    chip: str
    instances: int
    portable: bool  # whether the older API can spell it too
    inputs: list[Input] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    loose: set[str] = field(default_factory=set)  # outputs of approximated functions
    outputs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.states = [State() for _ in range(self.instances)]

    def add_input(self, given: Input) -> None:
        """Adds an array that the kernel is called with."""
        self.inputs.append(given)
        whole = given.array()
        for number, state in enumerate(self.states):
            part = whole[number] if self.instances > 1 else whole
            state.make(given.name, Fresh("shared_hbm", given.dtype, part.shape))
            state.arrays[given.name][...] = part
            state.written[given.name][...] = True

    def add(self, step: Step) -> None:
        """Runs a step on every instance and keeps it; raises Inexact before anything changes."""
        with np.errstate(all="ignore"):
            results = [evaluate(step, state) for state in self.states]
        if step.kind == "sendrecv":
            results.reverse()
        for state, made in zip(self.states, results, strict=True):
            for name, fresh in step.fresh:
                state.make(name, fresh)
            commit(step, state, made)
        self.steps.append(step)
        self.outputs += [n for n, f in step.fresh if f.space == "shared_hbm"]

    def expected(self, name: str) -> np.ndarray:
        """What an output or an updated input holds at the end."""
        parts = [state.arrays[name] for state in self.states]
        return np.stack(parts) if self.instances > 1 else parts[0]

    def wrote(self, name: str) -> np.ndarray:
        """Which elements of an output were written."""
        parts = [state.written[name] for state in self.states]
        return np.stack(parts) if self.instances > 1 else parts[0]

    def source(self, api: str = "nki", changed: dict | None = None) -> str:
        """The kernel; ``changed`` replaces the call of a step by its number."""
        body = ["i = nl.program_id(0)"] if self.instances > 1 else []
        for number, step in enumerate(self.steps):
            body += lines(self._stacked(step), api, (changed or {}).get(number))
        body.append(f"return {', '.join(self.outputs) or 'None'}{',' * (len(self.outputs) == 1)}")
        names = ", ".join(given.name for given in self.inputs)
        return f"{HEAD[api]}\n\n@jit\ndef kernel({names}):\n    " + "\n    ".join(body) + "\n"

    def _stacked(self, step: Step) -> Step:
        """HBM tensors that all instances share have a first dimension for the instance."""
        if self.instances == 1:
            return step
        fresh = tuple(
            (n, Fresh(f.space, f.dtype, (self.instances, *f.shape)) if "hbm" in f.space else f)
            for n, f in step.fresh
        )
        return Step(step.kind, step.dsts, step.srcs, step.args, fresh, step.mask)

    def script(self, api: str = "nki", source: str = "") -> str:
        """A script that runs the kernel and prints what it gives."""
        arrays = ", ".join(given.text() for given in self.inputs)
        grid = f"[{self.instances}]" if self.instances > 1 else ""
        head = "import ml_dtypes\nimport numpy as np\n\nimport trnlab\n"
        call = f"print(trnlab.run(kernel{grid}, {self.chip!r})({arrays})[0])\n"
        return f"{head}{source or self.source(api)}\n\n{call}"


def evaluate(step: Step, state: State) -> tuple[np.ndarray, ...]:
    """What a step writes, as stored; more for a matmul."""
    shapes = dict(step.fresh)
    srcs = [state.view(r) for r in step.srcs]
    dsts = [
        r.of(np.zeros(shapes[r.name].shape, DTYPES[shapes[r.name].dtype]))
        if r.name in shapes
        else state.view(r)
        for r in step.dsts
    ]
    if step.kind == "core_barrier":
        return ()
    if step.kind == "sendrecv":
        return (srcs[0].copy(),)
    if step.kind == "nc_matmul":
        return _matmul(step, state, srcs, dsts[0])
    out = COMPUTE[step.kind](step, srcs, *dsts)
    return tuple(np.array(o) for o in (out if isinstance(out, tuple) else (out,)))


def _matmul(step: Step, state: State, srcs: list[np.ndarray], dst: np.ndarray) -> tuple:
    ref, accumulate = step.dsts[0], step.args["accumulate"]
    sums, mass, power = product(*srcs)
    sums, mass = sums.reshape(dst.shape), mass.reshape(dst.shape)
    if ref.name not in dict(step.fresh) and accumulate is not False:
        old = np.ones(dst.shape, bool) if accumulate else ref.of(state.summed[ref.name])
        sums = sums + np.where(old, wide(dst), 0)
        mass = mass + np.where(old, ref.of(state.mass[ref.name]), 0)
        power = min(power, state.power[ref.name])
        surely_exact(mass, power)
    return stored(sums, dtype_of(dst)), mass, power


def commit(step: Step, state: State, made: tuple) -> None:
    """Writes what a step gave."""
    for ref, result in zip(step.dsts, made, strict=False):
        target = ref.of(state.arrays[ref.name])
        flags, sums = ref.of(state.written[ref.name]), ref.of(state.summed[ref.name])
        chosen = np.ones(target.shape, bool)
        if step.mask:
            a, b, c = step.mask
            rows, columns = np.indices(target.shape)
            chosen = a * rows + b * columns + c >= 0
        target[chosen] = result.reshape(target.shape)[chosen]
        flags[chosen] = True
        sums[...] = step.kind == "nc_matmul"
    if step.kind == "nc_matmul":
        ref = step.dsts[0]
        ref.of(state.mass[ref.name])[...] = made[1]
        state.power[ref.name] = min(state.power[ref.name], made[2])


__all__ = ["Inexact", "Input", "Program", "State"]
