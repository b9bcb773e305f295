"""A chip and a trace so small that every figure of a report can be worked out by hand."""

from dataclasses import replace

import numpy as np

from trnlab.machine.chip import Array, Chip, Core, Dma, Energy, Engine, Memory, OnChip, Timing
from trnlab.trace import CAUSES, Trace
from trnlab.units import GHz, pJ, us

TOY = Chip(
    name="Toy",
    key="toy",
    aliases=("plaything",),
    generation=1,
    launched="2024-01-01",
    process="paper",
    cores=2,
    core=Core(
        name="ToyCore",
        lanes=4,
        array=Array(
            rows=4,
            columns=4,
            moving_max=8,
            fp32_passes=4,
            cold_rate=1.0,
            warm_after=0.0,
            weight_load=1.0,
        ),
        engines=(Engine(name="tensor", hz=1 * GHz), Engine(name="vector", hz=1 * GHz)),
        sbuf=OnChip(partitions=4, size=2048, usable=2000),
        psum=OnChip(partitions=4, size=512, usable=512, banks=2),
        dma=Dma(
            engines=2,
            rate=1e9,
            packet=0.0,
            packet_max=512,
            latency=0.0,
            trigger=0.0,
            trigger_software=0.0,
            packet_software=0.0,
            transpose=1.0,
            compute=1.0,
        ),
        timing=Timing(semaphore=0.0, table_load=0.0, function=0.0, scalar_operand=0.0, dynamic=0),
        can=frozenset({"double_row"}),
    ),
    hbm=Memory(size=1 << 20, rate=8e9, stacks=2),
    dma_claimed=4e9,
    claimed={"bf16": 64e9},
    link=1e9,
    watts=10.0,
    energy=Energy(
        bf16_flop=1 * pJ,
        fp8_flop=0.5 * pJ,
        fp32_add=1 * pJ,
        fp32_multiply=3 * pJ,
        sram_byte=1 * pJ,
        hbm_byte=10 * pJ,
        static_share=0.1,
    ),
    dollars_per_hour=3.6,
)

# lane, name, line, start, busy until, result visible (us), cause, blocker
ROWS = (
    ("dma/sync", "load a", 1, 0, 2, 2, "first", -1),
    ("dma/sync", "load b", 1, 1, 3, 3, "queue busy", 0),
    ("tensor", "nc_matmul", 2, 2, 6, 7, "data", 0),
    ("tensor", "nc_matmul", 2, 6, 8, 9, "engine busy", 2),
    ("vector", "tensor_copy", 3, 9, 11, 11, "data", 3),
    ("dma/gpsimd", "store", 4, 11, 12, 12, "data", 4),
)
TOTALS = {
    "instructions": 3.0,
    "dma_transfers": 3.0,
    "flops.bf16": 96_000.0,
    "transpose_flops": 1_000.0,
    "alu_ops": 500.0,
    "hbm_read_bytes": 8_000.0,
    "hbm_write_bytes": 4_000.0,
    "sbuf_read_bytes": 3_000.0,
    "sbuf_write_bytes": 2_000.0,
    "psum_read_bytes": 1_000.0,
    "psum_write_bytes": 4_000.0,
    "sbuf_peak_bytes": 500.0,
    "psum_peak_bytes": 128.0,
}
META: dict[str, object] = {
    "kernel": "toy_matmul",
    "chip": "toy",
    "core": "ToyCore",
    "api": "nki",
    "cores": 1,
    "time_only": False,
    "notes": ("collectives are not modelled",),
    "constants": 3,
    "version": "0.1.0",
}


def trace_of(rows: tuple[tuple, ...] = ROWS, **changes: object) -> Trace:
    """Columns from rows as in ROWS, times in microseconds."""
    columns = list(zip(*rows, strict=True)) or [()] * 8
    lanes, names = (tuple(dict.fromkeys(columns[index])) for index in (0, 1))
    wheres = tuple(f"k.py:{line}" for line in dict.fromkeys(columns[2]))
    start, busy, stop = (np.array(columns[index], float) * us for index in (3, 4, 5))
    made = Trace(
        lanes=lanes,
        names=names,
        wheres=wheres,
        lane=np.array([lanes.index(lane) for lane in columns[0]], np.int32),
        name=np.array([names.index(name) for name in columns[1]], np.int32),
        where=np.array([wheres.index(f"k.py:{line}") for line in columns[2]], np.int32),
        start=start,
        busy_until=busy,
        stop=stop,
        cause=np.array([CAUSES.index(cause) for cause in columns[6]], np.int8),
        blocker=np.array(columns[7], np.int32),
        counters={"sbuf bytes": (np.array([0.0, 3 * us]), np.array([500.0, 0.0]))},
        totals=dict(TOTALS),
        meta=dict(META),
    )
    return replace(made, **changes)


def many(spans: int) -> Trace:
    """A long trace with several lanes and transfers that overlap, for measuring."""
    row = np.arange(spans)
    start = row * 50e-9
    return Trace(
        lanes=("tensor", "vector", "scalar", "dma/sync", "dma/gpsimd"),
        names=("nc_matmul", "tensor_copy", "activation", "load", "store"),
        wheres=tuple(f"kernel.py:{line}" for line in range(40)),
        lane=(row % 5).astype(np.int32),
        name=(row % 5).astype(np.int32),
        where=(row % 40).astype(np.int32),
        start=start,
        busy_until=start + np.where(row % 5 < 3, 200e-9, 2e-6),
        stop=start + np.where(row % 5 < 3, 220e-9, 2e-6),
        cause=np.where(row % 2, CAUSES.index("data"), CAUSES.index("engine busy")).astype(np.int8),
        blocker=np.where(row >= 45, row - 45, -1).astype(np.int32),
        totals=dict(TOTALS),
        meta=dict(META),
    )
