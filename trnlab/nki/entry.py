"""`nki` as it is today: `jit`, `simulate`, and what clients call besides."""

from typing import Any

from trnlab.errors import BadArguments
from trnlab.nki import jit as core
from trnlab.nki.clients.runners import BenchmarkKernel, FileKernel, check_options, made, profiled
from trnlab.nki.jit import Kernel, settings


def jit(function: Any = None, **options: Any) -> Any:
    """Marks a kernel; calling it with arrays runs it on the simulated core."""
    check_options("jit", options)
    if function is None:
        return lambda inner: jit(inner, **options)
    if isinstance(function, Kernel):
        return function
    if not callable(function):
        raise BadArguments(f"nki.jit takes a function, not a {type(function).__name__}")
    return Kernel(function, "nki", options=options)


def simulate(kernel: Any) -> Any:
    """Returns a function that runs the kernel on arrays."""
    known = kernel if isinstance(kernel, Kernel) else Kernel(kernel)

    def call(*args: Any, **kwargs: Any) -> Any:
        return core.simulate(known, args, kwargs, settings()).outputs

    return call


def simulate_kernel(kernel: Any, *args: Any, **kwargs: Any) -> Any:
    """Runs a kernel on arrays and returns arrays."""
    return simulate(kernel)(*args, **kwargs)


def baremetal(function: Any = None, **options: Any) -> Any:
    """Runs a kernel; files that would hold a compiled program are written and say what they are."""
    check_options("baremetal", options)
    return made(FileKernel, function, "nki", options)


def benchmark(function: Any = None, **options: Any) -> Any:
    """Runs a kernel and keeps its latency in ``benchmark_result``."""
    check_options("benchmark", options)
    return made(BenchmarkKernel, function, "nki", options)


def profile(function: Any = None, **options: Any) -> Any:
    """Runs a kernel and leaves profiles in ``working_directory``; they say what they are."""
    check_options("profile", options)
    return profiled(function, "nki", options)
