"""`neuronxcc.nki`: decorators and runners of the older API."""

import json
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from trnlab.errors import NotModelled
from trnlab.nki import jit as core
from trnlab.nki.jit import Kernel, settings

API = "neuronxcc.nki"


def jit(function: Any = None, **options: Any) -> Any:
    """Marks a kernel; calling it with arrays runs it on the simulated core, whatever the mode."""
    if function is None:
        return lambda inner: jit(inner, **options)
    inner = function.function if isinstance(function, Kernel) else function
    kernel = BenchmarkKernel if options.get("mode") == "benchmark" else Kernel
    return kernel(inner, API, options=options)


trace = jit


def simulate_kernel(kernel: Any, *args: Any, **kwargs: Any) -> Any:
    """Runs a kernel on arrays and returns arrays."""
    made = kernel if isinstance(kernel, Kernel) else Kernel(kernel, API)
    return core.simulate(made, args, kwargs, settings()).outputs


def baremetal(function: Any = None, **options: Any) -> Any:
    """Runs a kernel; files that would hold a compiled program are written and say what they are."""
    if function is None:
        return lambda inner: baremetal(inner, **options)
    made = function if isinstance(function, Kernel) else Kernel(function, API)
    return FileKernel(made.function, API, made.grid, options)


class FileKernel(Kernel):
    """A kernel that leaves the files its caller asked for."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        outputs = super().__call__(*args, **kwargs)
        _write_stand_ins(self.options)
        return outputs


def _write_stand_ins(options: dict[str, Any]) -> None:
    folder = Path(options.get("artifacts_dir") or options.get("working_directory") or ".")
    for key in ("save_neff_name", "save_trace_name"):
        if options.get(key):
            folder.mkdir(parents=True, exist_ok=True)
            last = core.results()[-1]
            told = {"made_by": "trnlab", "stands_in_for": key, "kernel": last.kernel,
                    "seconds": last.trace.seconds if last.trace else None}  # fmt: skip
            (folder / options[key]).write_text(json.dumps(told) + "\n")


class BenchmarkKernel(FileKernel):
    """A kernel that remembers its latency; ``benchmark_result.nc_latency`` reads it."""

    benchmark_result: Any

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        described = any(isinstance(v, Described) for v in (*args, *kwargs.values()))
        before = core.configure(values=settings().values and not described)
        try:
            outputs = super().__call__(*args, **kwargs)
        finally:
            core.configure(values=before.values)
        last = core.results()[-1].trace
        self.benchmark_result = SimpleNamespace(nc_latency=Latency(last.seconds if last else None))
        return outputs


class Latency:
    """Device latency from the timing model; the same at every percentile, it is deterministic."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds

    def get_latency_percentile(self, percentile: float) -> float:
        """Microseconds."""
        if not 0 <= percentile <= 100:
            raise ValueError(f"percentile {percentile} is not between 0 and 100")
        return (self.seconds or float("nan")) * 1e6


def benchmark(function: Any = None, **options: Any) -> Any:
    """Runs a kernel and keeps its latency in ``benchmark_result``."""
    if function is None:
        return lambda inner: benchmark(inner, **options)
    made = function if isinstance(function, Kernel) else Kernel(function, API)
    return BenchmarkKernel(made.function, API, made.grid, options)


def profile(function: Any = None, **options: Any) -> Any:
    """Runs a kernel and writes stand-ins for the files a profiler would."""
    return baremetal(function, **options) if function is not None else baremetal(**options)


@dataclass(frozen=True)
class Described:
    """An argument of a benchmark of which only shape and dtype are known."""

    shape: tuple[int, ...]
    dtype: Any


class _Annotation:
    """``nt.tensor[128, 512]`` annotates; ``nt.tensor[[128, 512], dtype]`` stands for an array."""

    def __class_getitem__(cls, key: Any) -> Any:
        if isinstance(key, tuple) and len(key) == 2 and isinstance(key[0], (list, tuple)):
            return Described(tuple(key[0]), key[1])
        return cls


class tensor(_Annotation):
    """A tensor that the kernel reads."""


class mutable_tensor(_Annotation):
    """A tensor that the kernel may write."""


mutable = mutable_tensor


def passes_through(function: Any = None, **_: Any) -> Any:
    """A compiler directive without a meaning for the simulated core."""
    return function if function is not None else lambda inner: inner


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
