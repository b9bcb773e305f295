"""The counters of a profiler, read from a trace under the names that the vendor's tools print.

Definitions are those of the vendor's profile schema (aws-neuron-sdk at 81ce03ae,
tools/neuron-explorer/profile-schema-reference.rst). What was settled with published profiles
(zhang677/AccelOpt at 47e29a7, profile_results.csv, six kernels on trn1) says so.
"""

from typing import Any

from trnlab.machine.chip import Chip
from trnlab.report.energy import cores_used, hbm_bytes, matmul_flops
from trnlab.trace import QUEUES, Trace

UNKNOWN = (
    "not modelled: the kernel needs more SBUF or PSUM than there is, and what spills is unknown"
)
NO_SPILL = "none: every tensor has room"
_BYTES = ("hbm_read", "hbm_write", "psum_read", "psum_write", "sbuf_read", "sbuf_write")


def counters(trace: Trace, chip: Chip) -> dict[str, Any]:
    """Counters of one run; times in seconds, sizes in bytes, percentages as fractions of 1.

    ``total_time`` is the profiler's clock: device latency and the start and end that a profiler
    sees. Utilisation and active shares are of the device latency, as in the published profiles,
    although the schema says ``total_time``. ``receipt`` says what the figures rest on.
    """
    transposed = _transposed(trace)
    flops = _multiplied(trace) + transposed
    moved, seconds = hbm_bytes(trace), trace.seconds
    cores = cores_used(trace)
    spills, spilled = _spills(trace, chip)
    return {
        "total_time": seconds + chip.core.timing.profiler,
        **{f"{name}_bytes": int(trace.totals.get(f"{name}_bytes", 0.0)) for name in _BYTES},
        **spills,
        "hardware_flops": int(flops),
        "transpose_flops": int(transposed),
        "peak_flops_bandwidth_ratio": chip.core.peak() / (chip.hbm.rate / chip.cores),
        "mm_arithmetic_intensity": (flops - transposed) / moved if moved else 0.0,
        "hfu_estimated_percent": flops / (chip.core.peak() * cores * seconds) if seconds else 0.0,
        **_active(trace, cores),
        "dma_transfer_count": int(trace.totals.get("dma_transfers", 0.0)),
        "receipt": {
            "made_by": "trnlab",
            "kernel": trace.meta.get("kernel", ""),
            "chip": chip.key,
            "clock": f"device latency and {chip.core.timing.profiler * 1e6:.1f} us around it",
            "device_latency": seconds,
            "spills": spilled,
        },
    }


def _multiplied(trace: Trace) -> float:
    """FLOPs as the array executes them: fp32 counts twice, in agreement with published profiles.

    One fp32 multiplication is two instructions of two cycles a column (six profiles agree to the
    last digit with 2 x 2KMN).
    """
    flops = matmul_flops(trace)
    return sum(flops.values()) + flops.get("fp32", 0.0)


def _transposed(trace: Trace) -> float:
    totals = trace.totals
    return totals.get("transpose_flops", 0.0) + totals.get("transpose_flops.fp32", 0.0)


def _spills(trace: Trace, chip: Chip) -> tuple[dict[str, int | None], str]:
    """Bytes to HBM and back because SBUF was full, and how that is known; None where it is not."""
    names = ("spill_reload_bytes", "spill_save_bytes")
    if any(name in trace.totals for name in names):
        return {name: int(trace.totals.get(name, 0.0)) for name in names}, "simulated"
    peaks = (("sbuf", chip.core.sbuf), ("psum", chip.core.psum))
    if any(trace.totals.get(f"{name}_peak_bytes", 0.0) > room.usable for name, room in peaks):
        return dict.fromkeys(names), UNKNOWN
    return dict.fromkeys(names, 0), NO_SPILL


def _active(trace: Trace, cores: int) -> dict[str, float]:
    """Share of the time in which an engine works, the mean of the cores in use."""
    busy = dict.fromkeys(QUEUES, 0.0)
    for lane, seconds in trace.busy().items():
        engine = lane.rpartition("/")[2]
        if engine in busy and "dma" not in lane.split("/"):
            busy[engine] += seconds
    whole = trace.seconds * cores or 1.0
    return {f"{name}_engine_active_time_percent": busy[name] / whole for name in QUEUES}
