"""Ways to run a kernel that leave something behind: files, a latency, a profile.

Both generations of NKI have them; the kernel's API is the one that its module says.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from trnlab.errors import BadArguments, UnknownName
from trnlab.nki import jit as core
from trnlab.nki.clients import artifacts
from trnlab.nki.jit import Kernel, Result, settings
from trnlab.trace import Trace

# What the vendor's decorators take, in one version or another, and clients give them.
OPTIONS = frozenset({
    "mode", "platform_target", "experimental_flags", "debug_kernel", "show_compiler_tb",
    "kernel_return", "enable_out_of_bound_check", "additional_compile_opt", "artifacts_dir",
    "save_neff_name", "save_trace_name", "working_directory", "overwrite", "profile_nth",
    "num_execs", "warmup", "iters",
})  # fmt: skip
REPORTS = "json_reports"  # the folder in which a profile summarises each execution


class FileKernel(Kernel):
    """A kernel that leaves the files its caller asked for."""

    def left(self, result: Result) -> None:
        """Writes a stand-in under every name that was asked for."""
        folder = Path(self.options.get("artifacts_dir") or ".")
        for key, what in (
            ("save_neff_name", artifacts.COMPILED),
            ("save_trace_name", artifacts.PROFILE),
        ):
            if self.options.get(key):
                _write(folder / self.options[key], what, result)


class ProfiledKernel(Kernel):
    """A kernel of which every so-manieth execution leaves a profile."""

    def left(self, result: Result) -> None:
        """Writes a stand-in for the program, and for each execution that is profiled."""
        folder = Path(self.options["working_directory"])
        _write(folder / (self.options.get("save_neff_name") or "file.neff"),
               artifacts.COMPILED, result)  # fmt: skip
        name = Path(self.options.get("save_trace_name") or "profile.ntff")
        nth = int(self.options.get("profile_nth") or 1)
        count = max(nth, int(self.options.get("num_execs") or nth))
        for number in range(nth, count + 1, nth):
            stem = name.stem if number == 1 else f"{name.stem}_exec_{number}"
            _write(folder / name.with_name(f"{stem}.ntff"), artifacts.PROFILE, result)
            _report(folder / REPORTS / f"{stem}.json", result)


class BenchmarkKernel(FileKernel):
    """A kernel that remembers its latency; ``benchmark_result.nc_latency`` reads it."""

    benchmark_result: Any

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        described = any(isinstance(v, Described) for v in (*args, *kwargs.values()))
        before = core.configure(values=settings().values and not described)
        try:
            return super().__call__(*args, **kwargs)
        finally:
            core.configure(values=before.values)

    def left(self, result: Result) -> None:
        """Keeps the latency, and writes what was asked for."""
        super().left(result)
        latency = Latency(result.trace.seconds if result.trace else None)
        self.benchmark_result = SimpleNamespace(nc_latency=latency)


class Latency:
    """Device latency from the timing model; the same at every percentile, it is deterministic."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds

    def get_latency_percentile(self, percentile: float) -> float:
        """Microseconds; NaN where the call was not timed."""
        if not 0 <= percentile <= 100:
            raise ValueError(f"percentile {percentile} is not between 0 and 100")
        return float("nan") if self.seconds is None else self.seconds * 1e6


@dataclass(frozen=True)
class Described:
    """An argument of a benchmark of which only shape and dtype are known."""

    shape: tuple[int, ...]
    dtype: Any


def check_options(name: str, options: Iterable[str]) -> None:
    """Raises UnknownName for an option that no decorator of the vendor has."""
    for option in options:
        if option not in OPTIONS:
            raise UnknownName(f"option of nki.{name}", option, OPTIONS)


def made(kind: type[Kernel], function: Any, api: str, options: dict[str, Any]) -> Any:
    """A kernel of that kind; a decorator of functions where there is no function yet."""
    if function is None:
        return lambda inner: made(kind, inner, api, options)
    if not callable(function):
        raise BadArguments(f"a kernel is a function, not a {type(function).__name__}")
    known = function if isinstance(function, Kernel) else Kernel(function, api)
    return kind(known.function, known.api, known.grid, known.options | options)


def profiled(function: Any, api: str, options: dict[str, Any]) -> Any:
    """A kernel that leaves profiles in ``working_directory``, which must be given."""
    if not options.get("working_directory"):
        raise BadArguments(
            "nki.profile needs a folder for its files",
            fix="give working_directory='/absolute/path'",
        )
    return made(ProfiledKernel, function, api, options)


class CompileKernel:
    """``nki.framework``'s way to run a function: ``CompileKernel(func=f, artifacts_dir=d)(...)``.

    ``lnc`` is the number of cores, and so is ``[lnc]``.
    """

    def __init__(
        self, func: Any, artifacts_dir: str | Path | None = None, lnc: int = 1, **options: Any
    ) -> None:
        asked = {"artifacts_dir": artifacts_dir, "save_neff_name": "kernel.neff"}
        chosen = options | (asked if artifacts_dir else {})
        known = func if isinstance(func, Kernel) else Kernel(func)
        self.kernel = made(FileKernel, known[lnc] if lnc > 1 else known, "nki", chosen)

    def __getitem__(self, grid: Any) -> Kernel:
        return self.kernel[grid]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.kernel(*args, **kwargs)


def _write(path: Path, stands_in_for: str, result: Result) -> None:
    artifacts.write(path, stands_in_for, result.kernel, result.chip.key, result.trace)


def _report(path: Path, result: Result) -> None:
    """The amounts of work of a profile; `neuron-profile view` derives the rest."""
    told: dict[str, Any] = {"made_by": "trnlab", "kernel": result.kernel, "chip": result.chip.key}
    trace: Trace | None = result.trace
    if trace is not None:
        total = trace.seconds + result.chip.core.timing.profiler
        told |= {"total_time": total, "device_latency": trace.seconds} | trace.totals
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"nc0": told}, indent=2) + "\n", encoding="utf-8")
