"""The one row of the profiler's Summary table: counters, and times by engine."""

from collections.abc import Callable
from typing import Any

import numpy as np

from trnlab.machine.chip import Chip
from trnlab.report.counters import counters
from trnlab.report.energy import cores_used, hbm_bytes
from trnlab.trace import QUEUES, Trace

ALONE = ("receipt",)
DMA_QUEUES = ("software_dynamic", "hardware_dynamic")

Amounts = Callable[[Trace, str, np.ndarray], np.ndarray]


def summary(trace: Trace, chip: Chip, rows: Any, amounts: Amounts, count: int) -> dict[str, Any]:
    """The columns of Summary; what `counters` has is as it is there.

    Times of engines are the mean of the cores in use, percentages fractions of the device latency.
    """
    told = {k: v for k, v in counters(trace, chip).items() if k not in ALONE}
    told |= _engines(trace, rows, told) | _dma(trace, chip, rows, amounts)
    names = np.array(trace.names or ("",))[trace.name[rows.instructions]]
    acts = np.char.startswith(names, "activat") if len(names) else np.zeros(0, bool)
    every = np.concatenate([rows.instructions, rows.transfers, rows.collectives])
    moved = np.concatenate([rows.transfers, rows.collectives])
    ends = np.concatenate([trace.busy_until[rows.instructions], trace.stop[moved]])
    active = length(*merged(trace.start[every], ends))
    told |= {
        "matmul_instruction_count": int(np.char.startswith(names, "nc_matmul").sum()),
        "activate_instruction_count": int(acts.sum()),
        "activate_instruction_time": _spent(trace, rows.instructions[acts]),
        "cc_op_count": len(rows.collectives),
        "cc_op_time": _spent(trace, rows.collectives),
        "cc_op_active_time": _union(trace, rows.collectives),
        "cc_op_active_time_percent": _union(trace, rows.collectives) / (trace.seconds or 1.0),
        "total_active_time": active,
        "total_active_time_percent": active / (trace.seconds or 1.0),
        "total_exec_time": float(np.ptp([*trace.start[every], *trace.stop[every]] or [0.0])),
        "trace_count": len(every),
        "total_row_count": count,
        "mbu_estimated_percent": hbm_bytes(trace) / (told["total_time"] * _hbm(trace, chip)),
    }
    return {name: [value] for name, value in told.items()}


def _hbm(trace: Trace, chip: Chip) -> float:
    """Bytes a second that HBM gives the cores in use."""
    return chip.hbm.rate * cores_used(trace) / chip.cores


def _spent(trace: Trace, rows: np.ndarray) -> float:
    return float((trace.stop[rows] - trace.start[rows]).sum())


def occupied(trace: Trace, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """When engines work on at least one of some instructions, as starts and ends; seconds.

    An engine is free before its result can be seen, as in `counters`.
    """
    return merged(trace.start[rows], trace.busy_until[rows])


def merged(start: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intervals that overlap made one, in order."""
    order = np.argsort(start, kind="stable")
    start, reach = start[order], np.maximum.accumulate(stop[order])
    new = np.append(True, start[1:] > reach[:-1])[: len(start)]
    return start[new], reach[np.append(new[1:], True)[: len(start)]]


def length(start: np.ndarray, stop: np.ndarray) -> float:
    """Seconds of intervals that do not overlap."""
    return float((stop - start).sum())


def _union(trace: Trace, rows: np.ndarray) -> float:
    """Seconds in which at least one of some transfers is under way."""
    return length(*merged(trace.start[rows], trace.stop[rows]))


def _engines(trace: Trace, rows: Any, told: dict[str, Any]) -> dict[str, Any]:
    here = rows.instructions
    lanes = np.array(rows.engine or [""])[trace.lane[here]]
    found: dict[str, Any] = {}
    for engine in QUEUES:
        mine = here[lanes == engine]
        found[f"{engine}_engine_instruction_count"] = len(mine)
        found[f"{engine}_engine_instruction_time"] = _spent(trace, mine)
        share = told[f"{engine}_engine_active_time_percent"]
        found[f"{engine}_engine_active_time"] = share * trace.seconds
    return found


def _dma(trace: Trace, chip: Chip, rows: Any, amounts: Amounts) -> dict[str, Any]:
    here, whole = rows.transfers, trace.seconds or 1.0
    size, packets = amounts(trace, "dma_bytes", here), amounts(trace, "dma_packets", here)
    queues = np.array(rows.engine or [""])[trace.lane[here]]
    by = {"software_dynamic": queues == "gpsimd"}
    if "hardware_dge" in chip.core.can:
        by["hardware_dynamic"] = queues != "gpsimd"
    found: dict[str, Any] = {
        "dma_active_time": _union(trace, here),
        "dma_active_time_percent": _union(trace, here) / whole,
        "dma_transfer_time": _spent(trace, here),
        "dma_transfer_total_bytes": int(size.sum()),
        "dma_transfer_average_bytes": float(size.mean()) if len(size) else 0.0,
        "dma_queue_count": len(set(trace.lane[here].tolist())),
    }
    for kind, which in by.items():
        mine, name = here[which], f"{kind}_dma"
        found |= {
            f"{name}_active_time": _union(trace, mine),
            f"{name}_active_time_percent": _union(trace, mine) / whole,
            f"{name}_packet_count": int(packets[which].sum()),
            f"{name}_size": int(size[which].sum()),
            f"{name}_packet_percent": float(packets[which].sum() / (packets.sum() or 1.0)),
            f"{name}_size_percent": float(size[which].sum() / (size.sum() or 1.0)),
        }
    return found
