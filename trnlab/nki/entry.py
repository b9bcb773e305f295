"""`nki` as it is today: `jit`, `simulate`, and what clients call besides."""

from typing import Any

from trnlab.errors import BadArguments
from trnlab.nki import jit as core
from trnlab.nki.jit import Kernel, settings


def jit(function: Any = None, **options: Any) -> Any:
    """Marks a kernel; calling it with arrays runs it on the simulated core."""
    if function is None:
        return lambda inner: jit(inner, **options)
    if isinstance(function, Kernel):
        return function
    if not callable(function):
        raise BadArguments(f"nki.jit takes a function, not a {type(function).__name__}")
    return Kernel(function, "nki", options=options)


def simulate(kernel: Any) -> Any:
    """Returns a function that runs the kernel on arrays."""
    made = kernel if isinstance(kernel, Kernel) else Kernel(kernel)

    def call(*args: Any, **kwargs: Any) -> Any:
        return core.simulate(made, args, kwargs, settings()).outputs

    return call


def simulate_kernel(kernel: Any, *args: Any, **kwargs: Any) -> Any:
    """Runs a kernel on arrays and returns arrays."""
    return simulate(kernel)(*args, **kwargs)
