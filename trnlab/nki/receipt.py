"""What ran on what: the receipt of a run."""

from typing import Any

from trnlab import __version__
from trnlab.machine.chip import Chip
from trnlab.machine.facts import numbers
from trnlab.sim.core import Run


def meta_of(run: Run, kernel: Any) -> dict[str, object]:
    """What ran on what, for the receipt of a trace."""
    return {
        "kernel": name_of(kernel),
        "chip": run.chip.key,
        "core": run.core.name,
        "api": run.api,
        "api_version": ".".join(str(part) for part in run.compiler.version),
        "cores": run.cores,
        "time_only": not run.values,
        "notes": tuple(run.program.notes),
        "constants": fitted(run.chip),
        "version": __version__,
    }


def fitted(chip: Chip) -> int:
    """How many numbers of a chip's timing were adjusted to kernel latencies on that chip."""
    sources = (getattr(value, "source", "") for _, value in numbers(chip.core))
    return sum("fitted" in source and not source.startswith("as on ") for source in sources)


def passes_of(kernel: Any) -> str:
    """What the compiler of a kernel's API does to its program, for `trace_of`."""
    return "" if kernel.api == "nki" else kernel.options.get("compiler", "older")


def name_of(kernel: Any) -> str:
    """What a kernel is called."""
    return getattr(kernel.function, "__name__", "kernel")
