"""A Trainium system in software: values, time, energy and money of kernels, on any laptop."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
pytest_plugins = ("trnlab.studies.plugin",)  # pytest -p trnlab

_WHERE = {
    "run": "trnlab.studies.run",
    "run_ranks": "trnlab.studies.ranks",
    "activate": "trnlab.kernels.shipped.names",
    "chip": "trnlab.machine.catalogue",
    "CHIPS": "trnlab.machine.catalogue",
    "system": "trnlab.machine.catalogue.systems",
    "SYSTEMS": "trnlab.machine.catalogue.systems",
    "Deadlock": "trnlab.errors",
    "Trace": "trnlab.trace",
    "trace_values": "trnlab.studies.departures",
    "last_trace": "trnlab.nki.jit",
    "NotModelled": "trnlab.errors",
    "TrnlabError": "trnlab.errors",
    "Violations": "trnlab.errors",
}
__all__ = ["CHIPS", "SYSTEMS", "Deadlock", "NotModelled", "Trace", "TrnlabError", "Violations",
           "activate", "chip", "last_trace", "run", "run_ranks", "system",
           "trace_values"]  # fmt: skip

if TYPE_CHECKING:
    from trnlab.errors import Deadlock, NotModelled, TrnlabError, Violations
    from trnlab.kernels.shipped.names import activate
    from trnlab.machine.catalogue import CHIPS, chip
    from trnlab.machine.catalogue.systems import SYSTEMS, system
    from trnlab.nki.jit import last_trace
    from trnlab.studies.departures import trace_values
    from trnlab.studies.ranks import run_ranks
    from trnlab.studies.run import run
    from trnlab.trace import Trace


def __getattr__(name: str) -> Any:
    """Imports public names when they are first used, so that `import trnlab` stays quick."""
    if name not in _WHERE:
        raise AttributeError(f"module 'trnlab' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_WHERE[name]), name)
