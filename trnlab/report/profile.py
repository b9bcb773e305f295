"""What the tables of the vendor's profiler say of a run, column by column.

Definitions are those of the profile schema (see `trnlab.report.parquet`). Times are nanoseconds
from the start of the run; a DMA transfer is one row, whose packets are counted and not timed.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trnlab.machine.chip import Chip
from trnlab.report.energy import cores_used
from trnlab.report.profile_facts import execution, header, metadata, warnings
from trnlab.report.profile_summary import length, occupied, summary
from trnlab.trace import CAUSES, MEMORIES, QUEUES, Trace

DMA = "dma"
CORE = re.compile(r"nc(\d+)/(.*)")  # lanes of a run on two cores
BYTES = (
    "hbm_read_bytes", "hbm_write_bytes", "sbuf_read_bytes", "sbuf_write_bytes", "psum_read_bytes",
    "psum_write_bytes", "spill_save_bytes", "spill_reload_bytes",
)  # fmt: skip
Columns = dict[str, Any]


class Rows(NamedTuple):
    """The rows of a trace that are instructions, transfers or collectives, with their core."""

    instructions: np.ndarray
    transfers: np.ndarray
    collectives: np.ndarray
    engine: list[str]  # of every lane: its engine, or the queue that triggers its transfers
    core: np.ndarray  # of every row


def tables(trace: Trace, chip: Chip) -> dict[str, Columns]:
    """The columns of every table that has rows, by name; a missing column is null."""
    rows = rows_of(trace)
    found = {
        "Instruction": _instructions(trace, rows),
        "KernelInstructions": _lines(trace, rows),
        "DmaPacketAggregated": _transfers(trace, chip, rows),
        "DmaQueuesInfo": _queues(trace, rows),
        "CcOp": _collectives(trace, rows),
        "ActiveTime": _active(trace, rows),
        "OpcodeSummary": _opcodes(trace, rows),
        "Flow": _flow(trace, rows),
        "TensorInfo": _tensors(trace, rows),
        "HbmUsage": _rates(trace, "hbm_read_bytes", "hbm_write_bytes", rows=rows),
        "DmaUsage": _rates(trace, "dma_bytes", rows=rows),
        "SbufUsage": _fullness(trace, "sbuf", chip.core.sbuf.size),
        "PsumUsage": _fullness(trace, "psum", chip.core.psum.size),
        "SbufAllocation": _held(trace),
        "Metadata": metadata(trace, chip),
        "NeffHeader": header(trace),
        "ExecutionInfo": execution(trace, chip),
        "Warning": warnings(trace),
    }
    count = sum(max((len(c) for c in t.values()), default=0) for t in found.values()) + 1
    return found | {"Summary": summary(trace, chip, rows, amounts, count)}


def rows_of(trace: Trace) -> Rows:
    """Which rows of a trace are what; its start and end are none of them."""
    engine, core, kind = [], [], []
    for lane in trace.lanes:
        of = CORE.match(lane)
        number, name = (int(of[1]), of[2]) if of else (0, lane)
        dma = name.startswith(f"{DMA}/")
        engine.append(name.removeprefix(f"{DMA}/"))
        core.append(number)
        kind.append(1 if dma else 0 if name in QUEUES else 2 if name == "cc" else 3)
    kinds = np.array(kind or [3])[trace.lane]
    first, second, third = (np.flatnonzero(kinds == n) for n in range(3))
    return Rows(first, second, third, engine, np.array(core or [0])[trace.lane])


def amounts(trace: Trace, key: str, rows: np.ndarray) -> np.ndarray:
    """What each of some rows adds to a total of the trace."""
    each = np.zeros(len(trace.names))
    for number, work in enumerate(trace.work):
        each[number] = work.get(key, 0.0)
    return each[trace.name[rows]]


def _times(trace: Trace, rows: np.ndarray) -> Columns:
    start, stop = _ns(trace.start[rows]), _ns(trace.stop[rows])
    return {"start_ts": start, "end_ts": stop, "duration_ns": stop - start}


def _ns(seconds: Any) -> np.ndarray:
    return np.rint(np.asarray(seconds) * 1e9).astype(np.int64)


def _named(trace: Trace, rows: np.ndarray) -> list[str]:
    return [trace.names[n] for n in trace.name[rows].tolist()]


def _engines(trace: Trace, rows: np.ndarray, engine: list[str]) -> list[str]:
    return [engine[lane] for lane in trace.lane[rows].tolist()]


def _instructions(trace: Trace, rows: Rows) -> Columns:
    here, names = rows.instructions, _named(trace, rows.instructions)
    counted = {key: amounts(trace, key, here).astype(np.int64) for key in BYTES}
    flops = {f: amounts(trace, f"flops.{f}", here) for f in ("fp8", "bf16", "fp16", "tf32", "fp32")}
    turned = amounts(trace, "transpose_flops", here)
    raw = (sum(flops.values()) + turned).astype(np.int64)
    transfer = _triggered(trace, rows)
    has = transfer >= 0
    engine = _engines(trace, here, rows.engine)
    places = [trace.wheres[w] for w in trace.where[here].tolist()]
    return {
        **_times(trace, here),
        "engine": engine,
        "pcore_idx": rows.core[here],
        "opcode": names,
        "id": here,
        "pc": _counted(trace.lane[here]),
        "kernel_instruction_name": _unique(names, here),
        "nki_source_location": [_short(place) for place in places],
        "dma_trigger_start_ts": _where(has, _ns(trace.start[transfer])),
        "dma_trigger_end_ts": _where(has, _ns(trace.stop[transfer])),
        "dma_wait_time_ns": _where(has, _ns(trace.start[transfer]) - _ns(trace.stop[here])),
        **counted,
        "tensor_instruction_type": [
            None if e != "tensor" else "TRANSPOSE" if t else "REGULAR"
            for e, t in zip(engine, turned.tolist(), strict=True)
        ],
        "raw_flops": raw,
        "flops_transpose": turned.astype(np.int64),
    }


def _counted(groups: np.ndarray) -> np.ndarray:
    """The number of each row within its group."""
    found = np.zeros(len(groups), np.int64)
    for group in np.unique(groups):
        mine = groups == group
        found[mine] = np.arange(mine.sum())
    return found


def _unique(names: list[str], rows: np.ndarray) -> list[str]:
    return [f"{name}.{row}:0" for name, row in zip(names, rows.tolist(), strict=True)]


def _short(place: str) -> str | None:
    file, _, line = place.rpartition(":")
    return f"{Path(file).name}:{line}" if file else None


def _where(has: np.ndarray, values: np.ndarray) -> Any:
    return np.ma.array(values, mask=~has).tolist()


def _triggered(trace: Trace, rows: Rows) -> np.ndarray:
    """For every instruction the transfer that it triggers, which is the next row; else -1."""
    here, after = rows.instructions, rows.instructions + 1
    found = np.full(len(here), -1)
    fits = np.isin(after, rows.transfers)
    same = after[fits], here[fits]
    engines = np.array(rows.engine)[trace.lane] if rows.engine else np.zeros(0)
    alike = (trace.name[same[0]] == trace.name[same[1]]) & (engines[same[0]] == engines[same[1]])
    found[np.flatnonzero(fits)[alike]] = same[0][alike]
    return found


def _lines(trace: Trace, rows: Rows) -> Columns:
    here = rows.instructions
    places = [trace.wheres[w].rpartition(":") for w in trace.where[here].tolist()]
    return {
        "kernel_instruction_name": _unique(_named(trace, here), here),
        "pcore_idx": rows.core[here],
        "file_path": [file or None for file, _, _ in places],
        "line_number": [int(line) if line.isdecimal() else None for _, _, line in places],
    }


def _variables(trace: Trace, rows: np.ndarray) -> list[str | None]:
    moved = {(name, where): tensor for name, where, tensor in trace.tensors}
    pairs = zip(trace.name[rows].tolist(), trace.where[rows].tolist(), strict=True)
    return [moved.get(pair) for pair in pairs]


def _transfers(trace: Trace, chip: Chip, rows: Rows) -> Columns:
    here = rows.transfers
    spaces = ("hbm", "sbuf", "psum")
    moved = {
        way: {s: amounts(trace, f"{s}_{way}_bytes", here) for s in spaces}
        for way in ("read", "write")
    }
    size, times = amounts(trace, "dma_bytes", here), _times(trace, here)
    seconds = np.maximum(trace.stop[here] - trace.start[here], 1e-12)
    queues = _engines(trace, here, rows.engine)
    triggered = _triggered(trace, rows)
    started = dict(zip(triggered.tolist(), rows.instructions.tolist(), strict=True))
    trigger = np.array([started.get(row, -1) for row in here.tolist()], np.int64)
    has = trigger >= 0
    ends = {"hbm": "[DRAM]", "sbuf": "[SB]", "psum": "[PSUM]"}
    return {
        **times,
        "id": here,
        "pcore_idx": rows.core[here],
        "block_id": _counted(trace.lane[here]),
        "queue_idx": [QUEUES.index(q) if q in QUEUES else None for q in queues],
        "queue_name": [queue_name(q) for q in queues],
        "queue_type": [queue_type(q, chip) for q in queues],
        "op": np.where(moved["write"]["hbm"] > 0, "write", "read").tolist(),
        "variable": _variables(trace, here),
        "read_bytes": sum(moved["read"].values()).astype(np.int64),  # type: ignore[union-attr]
        "write_bytes": sum(moved["write"].values()).astype(np.int64),  # type: ignore[union-attr]
        "transfer_bytes": size.astype(np.int64),
        "throughput": size / seconds,
        "source": _ends(moved["read"], ends),
        "dest": _ends(moved["write"], ends),
        "trigger": _where(has, _ns(trace.start[trigger])),
        "completion": _where(has, _ns(trace.stop[trigger])),
    }


def queue_name(queue: str) -> str:
    """What the transfers that an engine triggers wait in; a name of ours, in the vendor's form."""
    return f"q{queue.capitalize()}Dynamic"


def queue_type(queue: str, chip: Chip) -> str | None:
    """Who writes the descriptors of transfers; None where a compiler may have done it."""
    if queue == "gpsimd":
        return "software_dynamic"
    return "hardware_dynamic" if "hardware_dge" in chip.core.can else None


def _ends(moved: dict[str, np.ndarray], names: dict[str, str]) -> list[str | None]:
    found: list[str | None] = [None] * len(next(iter(moved.values())))
    for space, count in moved.items():
        for row in np.flatnonzero(count > 0).tolist():
            found[row] = found[row] or names[space]
    return found


def _queues(trace: Trace, rows: Rows) -> Columns:
    used = sorted({(int(rows.core[r]), rows.engine[trace.lane[r]]) for r in rows.transfers})
    return {
        "name": [queue_name(queue) for _, queue in used],
        "pcore_idx": [core for core, _ in used],
        "idx": [QUEUES.index(q) if q in QUEUES else None for _, q in used],
    }


def _collectives(trace: Trace, rows: Rows) -> Columns:
    here = rows.collectives
    return {**_times(trace, here), "operation": _named(trace, here), "op_id": here}


def _active(trace: Trace, rows: Rows) -> Columns:
    found: list[tuple[int, int, str, int]] = []
    for lane in np.unique(trace.lane[rows.instructions]).tolist():
        mine = rows.instructions[trace.lane[rows.instructions] == lane]
        core = int(rows.core[mine[0]])
        for start, stop in zip(*(_ns(t).tolist() for t in occupied(trace, mine)), strict=True):
            found.append((start, stop, rows.engine[lane], core))
    start, stop, engine, core = zip(*found, strict=True) if found else ([], [], [], [])
    durations = [b - a for a, b in zip(start, stop, strict=True)]
    return {
        "start_ts": list(start), "end_ts": list(stop), "engine": list(engine),
        "pcore_idx": list(core), "duration_ns": durations,
    }  # fmt: skip


def _opcodes(trace: Trace, rows: Rows) -> Columns:
    groups: dict[tuple[str, str], list[int]] = {}
    here = rows.instructions
    engines, names = _engines(trace, here, rows.engine), _named(trace, here)
    for row, engine, name in zip(here.tolist(), engines, names, strict=True):
        groups.setdefault((engine, name), []).append(row)
    found = {key: np.array(mine) for key, mine in sorted(groups.items())}
    active = [_worked(trace, rows, mine) for mine in found.values()]
    whole = trace.seconds or 1.0
    return {
        "engine": [engine for engine, _ in found],
        "opcode": [name for _, name in found],
        "instruction_count": [len(mine) for mine in found.values()],
        "instruction_time_ns": [
            int(_times(trace, mine)["duration_ns"].sum()) for mine in found.values()
        ],
        "active_time_ns": _ns(active),
        "active_time_percent": [seconds / whole for seconds in active],
    }


def _worked(trace: Trace, rows: Rows, mine: np.ndarray) -> float:
    """Seconds in which an engine works on some instructions, the mean of the cores in use."""
    parts = [mine[rows.core[mine] == core] for core in set(rows.core[mine].tolist())]
    return sum(length(*occupied(trace, part)) for part in parts) / cores_used(trace)


def _flow(trace: Trace, rows: Rows) -> Columns:
    known = np.full(len(trace), -1)
    known[rows.instructions], known[rows.transfers] = 0, 1
    after = np.flatnonzero((trace.blocker >= 0) & (known >= 0))
    after = after[known[trace.blocker[after]] >= 0]
    before = trace.blocker[after]
    names = ("instruction", "dma_block")
    data = CAUSES.index("data")
    return {
        "in_id": before,
        "out_id": after,
        "in_table": [names[k] for k in known[before].tolist()],
        "out_table": [names[k] for k in known[after].tolist()],
        "dependency_type": ["FLOW_DEPENDENCE" if c == data else None for c in trace.cause[after]],
        "gap_time": _ns(trace.start[after]) - _ns(trace.stop[before]),
    }


def _tensors(trace: Trace, rows: Rows) -> Columns:
    here = rows.transfers
    loads = (amounts(trace, "hbm_read_bytes", here) > 0) & (
        amounts(trace, "sbuf_write_bytes", here) > 0
    )
    sizes = amounts(trace, "sbuf_write_bytes", here)
    found: dict[str, list[float]] = {}
    for name, size, is_load in zip(_variables(trace, here), sizes, loads, strict=True):
        if name is not None:
            found.setdefault(name, []).extend([float(size)] if is_load else [])
    return {
        "variable_name": list(found),
        "load_to_sbuf_avg_size_bytes": [int(np.mean(s)) if s else None for s in found.values()],
        "load_to_sbuf_total_size_bytes": [int(sum(sizes)) for sizes in found.values()],
        "load_to_sbuf_dma_count": [len(sizes) for sizes in found.values()],
    }


def _held(trace: Trace) -> Columns:
    here = trace.held[trace.held["memory"] == MEMORIES.index("sbuf")]
    chosen = here["byte"] >= 0  # by the kernel; others have no address
    return {
        "start_ts": _ns(here["since"]),
        "end_ts": _ns(here["until"]),
        "start_address": _where(chosen, here["byte"]),
        "end_address": _where(chosen, here["byte"] + here["size"] - 1),
        "tensor_name": [trace.holders[n] for n in here["tensor"].tolist()],
        "pcore_idx": here["core"],
    }


def _rates(trace: Trace, *keys: str, rows: Rows) -> Columns:
    """Bytes a second over time, each transfer at an even rate, and all bytes until then."""
    here = rows.transfers[trace.stop[rows.transfers] > trace.start[rows.transfers]]
    size = sum((amounts(trace, key, here) for key in keys), np.zeros(len(here)))
    start, stop = trace.start[here], trace.stop[here]
    times, at = np.unique(np.concatenate([start, stop]), return_inverse=True)
    change, rate = np.zeros(len(times)), size / (stop - start)
    np.add.at(change, at[: len(here)], rate)
    np.add.at(change, at[len(here) :], -rate)
    rates = np.maximum(np.cumsum(change), 0.0)
    total = np.append(0.0, np.cumsum(rates[:-1] * np.diff(times)))[: len(times)]
    return {
        "timestamp": _ns(times),
        "current_throughput": rates,
        "total_transfer_bytes": np.rint(total).astype(np.int64),
    }


def _fullness(trace: Trace, space: str, size: int) -> Columns:
    times, values = trace.counters.get(f"{space} bytes", (np.zeros(0), np.zeros(0)))
    cores = cores_used(trace)
    return {"timestamp": _ns(times), "avg_util_percent": np.asarray(values) / (size * cores)}
