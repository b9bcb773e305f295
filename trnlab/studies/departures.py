"""Which instruction destroyed the accuracy: a kernel beside its fp64 shadow."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

from trnlab.errors import BadArguments
from trnlab.machine.chip import Chip
from trnlab.nki import jit
from trnlab.nki.jit import Kernel, Settings
from trnlab.sim.values.departures import Departure
from trnlab.studies.run import api_of


def trace_values(
    kernel: Any, chip: str | Chip | None = None, *, top: int = 5, bound: float | None = None
) -> Callable[..., tuple[Any, tuple[Departure, ...]]]:
    """Returns a function that runs a kernel on arrays and gives (outputs, departures).

    The departures are the first ``top`` lines whose results leave an fp64 shadow by more than
    ``bound``, a relative error, or by more than their format explains where none is given. If
    there are none, the largest errors within bounds are given instead.
    """
    if top < 1:
        raise BadArguments(f"the {top} first departures cannot be shown", limit="at least 1")

    def call(*args: Any, **kwargs: Any) -> tuple[Any, tuple[Departure, ...]]:
        made = kernel if isinstance(kernel, Kernel) else Kernel(kernel, api_of(kernel))
        how = Settings(timed=False, trace_values=top, bound=bound)
        result = jit.simulate(made, args, kwargs, how, chip)
        return result.outputs, result.departures or ()

    return call


def describe(departures: Sequence[Departure]) -> str:
    """What departs, first to last, or that nothing does and which errors are the largest."""
    if not departures:
        return "values: every result equals its fp64 shadow"
    if not departures[0].beyond:
        lines = [
            f"  {_percent(d.error):>8}  of {_percent(d.bound)}  {d.instruction} to {d.dtype} "
            f"at {d.place}"
            for d in departures
        ]
        title = "values: no result departs from its fp64 shadow; the largest errors, and bounds"
        return "\n".join([title, *lines])
    count = f"{len(departures)} line{'s' if len(departures) > 1 else ''}"
    title = f"values: results depart from their fp64 shadow on {count}, first to last"
    return "\n".join([title, *(_told(d) for d in departures)])


def _told(d: Departure) -> str:
    often = f"; {d.count:,} times, at worst by {_percent(d.worst)}" if d.count > 1 else ""
    inputs = f"its inputs by {_percent(d.inputs)}" if d.inputs else "its inputs are exact"
    element = ", ".join(str(n) for n in d.element)
    rows = [
        f"  {d.instruction}, instruction {d.number:,}, at {d.place}",
        d.why,
        f"off by {_percent(d.error)}, bound {_percent(d.bound)}, {inputs}{often}",
        f"element [{element}] is {d.value:.9g} and should be {d.ideal:.9g}",
        *(f"{name}: {what}" for name, what in d.operands.items()),
    ]
    return "\n    ".join(rows)


def record(departure: Departure) -> dict[str, Any]:
    """A departure for JSON, where infinity is no number."""
    told = asdict(departure) | {"place": str(departure.place), "beyond": departure.beyond}
    return {
        key: str(value) if isinstance(value, float) and not isfinite(value) else value
        for key, value in told.items()
    }


def _percent(error: float) -> str:
    if not isfinite(error):
        return "everything"
    if error == 0:
        return "0"
    return f"{error:.2g}" if error < 1e-4 else f"{100 * error:.2g} %"
