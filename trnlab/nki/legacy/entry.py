"""`neuronxcc.nki`: decorators and runners of the older API."""

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from trnlab.errors import NotModelled, UnknownName
from trnlab.nki import jit as core
from trnlab.nki.arguments import Shaped
from trnlab.nki.clients.runners import (
    BenchmarkKernel,
    Described,
    FileKernel,
    check_options,
    made,
    profiled,
)
from trnlab.nki.jit import Kernel, settings
from trnlab.nki.legacy.contract import mutable_tensor

API = "neuronxcc.nki"


MODES = ("auto", "jax", "torchxla", "baremetal", "benchmark", "simulation", "trace")


def jit(function: Any = None, **options: Any) -> Any:
    """Marks a kernel; calling it with arrays runs it on the simulated core, whatever the mode."""
    check_options("jit", options)
    mode = options.get("mode", "auto")
    if mode not in MODES:
        raise UnknownName("mode of nki.jit", str(mode), MODES)
    kinds = {"benchmark": BenchmarkKernel, "baremetal": FileKernel}
    if function is None:
        return lambda inner: jit(inner, **options)
    inner = function.function if isinstance(function, Kernel) else function
    return kinds.get(mode, Kernel)(inner, API, options={"mode": mode} | options)


def trace(function: Any = None, **options: Any) -> Any:
    """Marks a kernel that writes its last arguments, or a function for other kernels to call."""
    return jit(function, **({"mode": "trace"} | options))


def simulate_kernel(kernel: Any, *args: Any, **kwargs: Any) -> Any:
    """Runs a kernel on arrays and returns arrays."""
    known = kernel if isinstance(kernel, Kernel) else Kernel(kernel, API)
    return core.simulate(known, args, kwargs, settings()).outputs


def baremetal(function: Any = None, **options: Any) -> Any:
    """Runs a kernel; files that would hold a compiled program are written and say what they are."""
    check_options("baremetal", options)
    return made(FileKernel, function, API, options)


def benchmark(function: Any = None, **options: Any) -> Any:
    """Runs a kernel and keeps its latency in ``benchmark_result``."""
    check_options("benchmark", options)
    return made(BenchmarkKernel, function, API, options)


def profile(function: Any = None, **options: Any) -> Any:
    """Runs a kernel and leaves profiles in ``working_directory``; they say what they are."""
    check_options("profile", options)
    return profiled(function, API, options)


class _Annotation:
    """``nt.tensor[128, 512]`` annotates; ``nt.tensor[[128, 512], dtype]`` stands for an array."""

    def __class_getitem__(cls, key: Any) -> Any:
        if key is mutable_tensor:
            return mutable_tensor
        if isinstance(key, tuple) and len(key) == 2 and isinstance(key[0], (list, tuple)):
            return Described(tuple(key[0]), key[1])
        sizes = key if isinstance(key, tuple) else (key,)
        return Shaped(sizes) if all(isinstance(n, int) for n in sizes) else cls


class tensor(_Annotation):
    """A tensor that the kernel reads."""


mutable = mutable_tensor


def passes_through(function: Any = None, **_: Any) -> Any:
    """A compiler directive without a meaning for the simulated core."""
    return function if function is not None else lambda inner: inner


def as_written(function: Any = None, **_: Any) -> Any:
    """Asks the compiler to leave loads and transfers as they stand in the kernel."""
    if function is None:
        return as_written
    if isinstance(function, Kernel):
        return replace(function, options=function.options | {"compiler": "as written"})
    return function


def no_reorder(*_: Any, **__: Any) -> Any:
    """Asks the compiler to keep program order, which is what is simulated anyway."""
    return nullcontext()


class FrameworkKernel:
    """A kernel in a graph of a framework; here kernels are called with its tensors directly."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise NotModelled("nki.FrameworkKernel", "a framework: call the kernel with its tensors")


def allclose(one: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, **_: Any) -> bool:
    """Whether two arrays of the host agree, in fp64."""
    return bool(np.allclose(_wide(one), _wide(other), rtol=rtol, atol=atol))


def _wide(value: Any) -> np.ndarray:
    return np.asarray(value).astype(np.float64)
