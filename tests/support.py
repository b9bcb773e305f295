"""What tests of kernels share: a chip of round numbers, kernels in few lines, the command line."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import trnlab
from trnlab.machine.catalogue import chip as find_chip
from trnlab.machine.chip import Array, Chip, Core, Dma, Engine, OnChip, Timing
from trnlab.nki import isa as nisa
from trnlab.nki import language as nl
from trnlab.trace import CAUSES, Trace

NS = 1e-9
QUEUES = ("tensor", "vector", "scalar", "gpsimd", "sync")

# Every engine does one element a nanosecond and shows its result 100 ns later; a transfer costs
# 100 ns to trigger and starts 1,000 ns later; each of its packets takes 10 ns and 1 ns a byte.
TOY_CORE = Core(
    name="ToyCore",
    lanes=128,
    array=Array(
        rows=128,
        columns=128,
        moving_max=512,
        fp32_passes=4,
        cold_rate=1.0,
        warm_after=0.0,
        weight_load=4.0,
    ),
    engines=tuple(Engine(name=name, hz=1e9, fixed=100 * NS) for name in QUEUES),
    sbuf=OnChip(partitions=128, size=65536, usable=65536),
    psum=OnChip(partitions=128, size=16384, usable=16384, banks=8),
    dma=Dma(
        engines=16,
        rate=1e9,
        packet=10 * NS,
        packet_max=4096,
        latency=1000 * NS,
        trigger=100 * NS,
        trigger_software=20 * NS,
        packet_software=500 * NS,
        transpose=0.5,
        compute=0.25,
    ),
    timing=Timing(
        semaphore=10 * NS, table_load=500 * NS, function=0.0, scalar_operand=0.0, dynamic=600
    ),
    can=frozenset(),
)
TOY = replace(find_chip("trn2"), key="toy", name="Toy", core=TOY_CORE)


def toy(**changes: Any) -> Chip:
    """The toy chip with another core, such as ``sbuf=OnChip(...)``."""
    return replace(TOY, core=replace(TOY_CORE, **changes))


@dataclass(frozen=True)
class Bar:
    """A row of a trace in whole nanoseconds."""

    lane: str
    name: str
    start: float
    busy_until: float
    stop: float
    cause: str
    blocker: int


def bars(trace: Trace) -> list[Bar]:
    """The rows of a trace, times in nanoseconds without the noise of floating point."""

    def ns(column: np.ndarray, row: int) -> float:
        return round(float(column[row]) / NS, 3)

    return [
        Bar(
            trace.lanes[trace.lane[row]],
            trace.names[trace.name[row]],
            ns(trace.start, row),
            ns(trace.busy_until, row),
            ns(trace.stop, row),
            CAUSES[trace.cause[row]],
            int(trace.blocker[row]),
        )
        for row in range(len(trace))
    ]


def times(trace: Trace) -> list[tuple[str, float, float, float]]:
    """Lane, start, end of occupancy and visible result of every row, in nanoseconds."""
    return [(bar.lane, bar.start, bar.busy_until, bar.stop) for bar in bars(trace)]


def simulate(kernel: Any, *arrays: Any, chip: str | Chip = "trn2", **how: Any) -> tuple[Any, Trace]:
    """What a kernel returns and its trace; ``how`` as `trnlab.run` takes it."""
    return trnlab.run(kernel, chip, **how)(*arrays)


def value(kernel: Any, *arrays: Any, **how: Any) -> Any:
    """What a kernel returns."""
    return simulate(kernel, *arrays, **how)[0]


def load(array: Any, dtype: Any = None) -> Any:
    """Inside a kernel: a new tile in SBUF with the contents of an HBM tensor."""
    tile = nl.ndarray(array.shape, dtype or array.dtype)
    nisa.dma_copy(tile, array)
    return tile


def store(tile: Any, dtype: Any = None) -> Any:
    """Inside a kernel: a new output with the contents of a tile."""
    out = nl.ndarray(tile.shape, dtype or tile.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(out, tile)
    return out


def whole_numbers(*shape: int, seed: int = 0, below: int = 8) -> np.ndarray:
    """fp32 whole numbers in [-below, below), so that sums are exact in any order."""
    return np.random.default_rng(seed).integers(-below, below, shape).astype(np.float32)


def same(left: Any, right: Any) -> bool:
    """Whether arrays are equal in shape, dtype and every bit."""
    left, right = np.asarray(left), np.asarray(right)
    alike = left.shape == right.shape and left.dtype == right.dtype
    return alike and left.tobytes() == right.tobytes()


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


def command(arguments: Sequence[str], capsys: Any, monkeypatch: Any) -> Said:
    """Runs `trnlab` in this process with arguments."""
    from trnlab import cli

    monkeypatch.setattr("sys.argv", ["trnlab", *arguments])
    capsys.readouterr()
    try:
        cli.main()
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    told = capsys.readouterr()
    return Said(code, told.out, told.err)
