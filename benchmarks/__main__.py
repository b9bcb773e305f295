"""All bars in one run: `make bench`. Prints ratios to something real that ran beside it."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import trnlab
from benchmarks import kernels
from trnlab.kernels.validation import products
from trnlab.nki.jit import results
from trnlab.sim.timing import timed

ROOT = Path(__file__).parents[1]
SIZE = 4096


def best(work: Callable[[], object], times: int = 3) -> float:
    """Seconds of the quickest of several goes."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


def show(bar: str, what: str, value: str, limit: str) -> None:
    """One line of the table."""
    print(f"{bar:<4} {what:<58} {value:>12}   {limit}", flush=True)


def time_only() -> None:
    """Instructions a second from Python kernel to trace, against bare Python calls."""
    zeros = np.zeros((SIZE, SIZE), np.float32)
    work = lambda: trnlab.run(kernels.matmul_tiled, values=False)(zeros, zeros)  # noqa: E731
    count = int(work()[1].totals["instructions"])
    what = f"time only: instructions/s ({count:,} of a tiled matmul)"
    rate = count / best(work)
    bare = count / best(lambda: [_call(i, i, i) for i in range(count)])
    show("1", what, f"{rate:,.0f}", "bar 60,000")
    show("1", "  bare Python calls/s in the same run, ratio", f"{bare / rate:.0f}x", "")
    if find_spec("numba") is None:
        show("8", "  with the fast extra", "", "pip install numba")
        return
    first = best(lambda: import_module(timed.COMPILED), 1) + best(work, 1)
    show("8", "  with the fast extra", f"{count / best(work):,.0f}", "bar 200,000, aim 1,000,000")
    show("8", "  its first run, seconds", f"{first:.1f}", "")


def older() -> None:
    """The same for the largest product of NKIBench: the older API, with what its compiler does."""
    tiles = np.zeros((32, 128, 40, 128), np.float32), np.zeros((40, 128, 12288), np.float32)
    work = lambda: trnlab.run(products.matmul, "trn1", values=False)(*tiles)  # noqa: E731
    work()
    count = results()[-1].instructions
    what = f"time only, older API: instructions/s ({count:,})"
    show("8", what, f"{count / best(work):,.0f}", "bar 60,000")


def _call(a: int, b: int, c: int) -> tuple[int, int, int]:
    return a, b, c


def share(of: Callable[[], object], ours: Callable[[], object], times: int = 3) -> float:
    """How much of our quickest time other work takes that runs in turns with it."""
    theirs, mine = [], []
    for _ in range(times):
        theirs.append(best(of, 1))
        mine.append(best(ours, 1))
    return min(theirs) / min(mine)


def with_values() -> None:
    """Values: kernels against the NumPy call that computes the same."""
    generator = np.random.default_rng(0)
    a = generator.random((SIZE, SIZE), dtype=np.float32)
    b = generator.random((SIZE, SIZE), dtype=np.float32)
    for kernel in (kernels.matmul_blocked, kernels.matmul_tiled):
        plain = share(lambda: np.matmul(a.T, b), lambda k=kernel: trnlab.run(k, time=False)(a, b))
        timed = share(lambda: np.matmul(a.T, b), lambda k=kernel: trnlab.run(k)(a, b))
        show("2", f"{kernel.__name__} 4096^3 fp32, share of numpy.matmul",
             f"{plain:.2f}", "bar 0.6, aim 0.9")  # fmt: skip
        show("2", "  with the timeline as well", f"{timed:.2f}", "")
    for kernel, numpy_work, args in (
        (kernels.add, lambda: a + b, (a, b)),
        (kernels.exponential, lambda: np.exp(a), (a,)),
    ):
        found = share(numpy_work, lambda k=kernel, x=args: trnlab.run(k)(*x), 9)
        show("2", f"{kernel.__name__} on 64 MiB, share of NumPy", f"{found:.2f}", "bar 0.33")


def largest() -> None:
    """The largest product of NKIBench, values and time, against the NumPy call."""
    rows, depth, columns = 4096, 5120, 12288
    generator = np.random.default_rng(0)
    a = generator.random((rows, depth), dtype=np.float32)
    b = generator.random((depth, columns), dtype=np.float32)
    tiles = a.reshape(rows // 128, 128, depth // 128, 128), b.reshape(depth // 128, 128, columns)
    found = share(
        lambda: np.matmul(a, b), lambda: trnlab.run(products.matmul, "trn1")(*tiles), times=2
    )
    show("9", "NKIBench matmul 4096 x 5120 x 12288, times numpy.matmul",
         f"{1 / found:.2f}", "bar 2, aim 1.3")  # fmt: skip


def memory() -> None:
    """Peak memory of a run over what its tensors take, in a process of its own."""
    code = """
import resource, sys, numpy as np, trnlab
from benchmarks import kernels
a = np.ones((4096, 4096), np.float32)
b = np.ones((4096, 4096), np.float32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
trnlab.run(kernels.matmul_blocked)(a, b)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) * 1024)
"""
    grown = float(_python(code))
    tensors = 3 * SIZE * SIZE * 4
    inputs = 2 * SIZE * SIZE * 4
    show(
        "2",
        "memory: peak over the tensors involved",
        f"{(inputs + grown) / tensors:.2f}x",
        "bar 2x",
    )


def starting() -> None:
    """From command to report, and importing, against starting Python."""
    python = best(lambda: _python("pass"))
    show(
        "3",
        "import trnlab, seconds",
        f"{best(lambda: _python('import trnlab')) - python:.2f}",
        "bar 0.5",
    )
    example = ROOT / "examples" / "02_first_kernel.py"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", "from trnlab.cli import main; main()", "run", str(example)]
        seconds = best(lambda: subprocess.run(command, cwd=folder, check=True, capture_output=True))
    show("3", "trnlab run examples/02_first_kernel.py, seconds", f"{seconds:.2f}", "bar 5")


def _python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
    ).stdout


def main() -> None:
    """Runs the bars that are named, or all."""
    bars = {
        "time_only": time_only,
        "older": older,
        "with_values": with_values,
        "memory": memory,
        "starting": starting,
        "largest": largest,
    }
    for name in sys.argv[1:] or bars:
        bars[name]()


if __name__ == "__main__":
    main()
