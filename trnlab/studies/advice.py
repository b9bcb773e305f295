"""Suggestions that follow from a trace, each with the seconds that it is worth when tried."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from trnlab.machine.chip import Chip, Core
from trnlab.report.energy import matmul_flops
from trnlab.report.explain import table_loads
from trnlab.report.why import Advice
from trnlab.sim.timing.repricing import renamed
from trnlab.trace import CAUSES, Trace

LEAST = 0.005  # share of a run that is worth a suggestion
PACKET = 2048  # bytes that a packet should have: most of what its engine moves is then bytes
TRANSFER = 256 * 1024  # bytes that a transfer should have, so that its start is hidden
KiB = 1024


class Try(NamedTuple):
    """A suggestion, and the trace of what it asks for."""

    name: str
    text: str
    where: str
    assumed: str
    trace: Trace


def advise(trace: Trace, chip: Chip, retime: Callable[..., Trace]) -> list[Advice]:
    """Suggestions that are worth something, best first; each was timed again by ``retime``."""
    found = []
    for look in (_fp32, _packets, _transfers, _single, _tables, _cold):
        for tried in look(trace, chip, retime):
            saved = trace.seconds - tried.trace.seconds
            if saved > LEAST * trace.seconds:
                share = saved / trace.seconds
                found.append(
                    Advice(tried.name, tried.text, tried.where, saved, share, tried.assumed)
                )
    return sorted(found, key=lambda advice: -advice.seconds)


def _fp32(trace: Trace, chip: Chip, retime: Callable[..., Trace]) -> Iterator[Try]:
    flops = matmul_flops(trace)
    if not flops.get("fp32"):
        return
    core = chip.core
    share = flops["fp32"] / sum(flops.values())
    once = retime(_with(chip, array=replace(core.array, fp32_passes=1)))
    yield Try(
        "fp32",
        f"{100 * share:.0f} % of the matmul FLOPs are fp32, which goes through the array "
        f"{int(core.array.fp32_passes)} times: use bf16 inputs where 8 bits of precision suffice",
        _line(trace, _rows(trace, "tensor")),
        "matmuls and transposes in one pass; the cast, and that loads halve, are not counted",
        once,
    )


def _packets(trace: Trace, chip: Chip, retime: Callable[..., Trace]) -> Iterator[Try]:
    packets, dma = trace.totals.get("dma_packets", 0.0), chip.core.dma
    size = trace.totals.get("dma_bytes", 0.0) / packets if packets else PACKET
    if size >= PACKET / 2:
        return
    part = size / PACKET
    larger = replace(dma, packet=dma.packet * part, packet_software=dma.packet_software * part)
    yield Try(
        "short rows",
        f"DMA packets hold {_bytes(size)} on average: let the free dimension of what is "
        f"transferred be {PACKET // KiB} KiB or more, contiguous on both sides",
        _line(trace, _moving(trace)),
        f"the same bytes in packets of {PACKET // KiB} KiB",
        retime(_with(chip, dma=larger)),
    )


def _transfers(trace: Trace, chip: Chip, retime: Callable[..., Trace]) -> Iterator[Try]:
    count, dma = trace.totals.get("dma_transfers", 0.0), chip.core.dma
    size = trace.totals.get("dma_bytes", 0.0) / count if count else TRANSFER
    if size >= TRANSFER / 2 or count < 4:
        return
    part = max(size / TRANSFER, 1 / count)
    fewer = replace(
        dma, trigger=dma.trigger * part, trigger_software=dma.trigger_software * part,
        latency=dma.latency * part,
    )  # fmt: skip
    yield Try(
        "small transfers",
        f"{count:,.0f} transfers move {_bytes(size)} each: move larger tiles, "
        f"{TRANSFER // KiB} KiB at a time where SBUF has room",
        _line(trace, _moving(trace)),
        f"triggers and starts shared by transfers of {_bytes(size / part)}",
        retime(_with(chip, dma=fewer)),
    )


def _single(trace: Trace, chip: Chip, retime: Callable[..., Trace]) -> Iterator[Try]:
    waits = np.flatnonzero(trace.cause == CAUSES.index("buffer"))
    if not len(waits):
        return
    yield Try(
        "single buffer",
        f"{len(waits):,} times a tile is overwritten only after its last reader: allocate it "
        "inside of the loop, or two of them in turns, so that iterations overlap",
        _line(trace, waits),
        "a fresh tile for every full overwrite, as far as there is room",
        retime(chip, renamed),
    )


def _tables(trace: Trace, chip: Chip, retime: Callable[..., Trace]) -> Iterator[Try]:
    loads = table_loads(trace, chip)
    if loads < 3:
        return
    once = replace(chip.core.timing, table_load=chip.core.timing.table_load / loads)
    yield Try(
        "table thrash",
        f"the scalar engine loads a function table {loads:,} times: do all of one function "
        "before the next, or use functions of one table",
        _line(trace, _rows(trace, "scalar")),
        "one load in all",
        retime(_with(chip, timing=once)),
    )


def _cold(trace: Trace, chip: Chip, retime: Callable[..., Trace]) -> Iterator[Try]:
    array = chip.core.array
    if array.cold_rate >= 1 or not len(_rows(trace, "tensor")):
        return
    yield Try(
        "cold clock",
        f"the array runs at {100 * array.cold_rate:.0f} % of its clock until it has worked for "
        f"{array.warm_after * 1e6:.1f} us, and cools when it idles as long: keep it fed, or "
        "let it start early on work that is thrown away",
        _line(trace, _rows(trace, "tensor")),
        "an array that is always warm",
        retime(_with(chip, array=replace(array, cold_rate=1.0))),
    )


def _with(chip: Chip, **changes: object) -> Chip:
    core: Core = replace(chip.core, **changes)  # type: ignore[arg-type]
    return replace(chip, core=core)


def _rows(trace: Trace, engine: str) -> np.ndarray:
    mine = [lane.rpartition("/")[2] == engine and "dma" not in lane for lane in trace.lanes]
    return np.flatnonzero(np.array(mine, bool)[trace.lane])


def _moving(trace: Trace) -> np.ndarray:
    mine = ["dma" in lane.split("/") for lane in trace.lanes]
    return np.flatnonzero(np.array(mine, bool)[trace.lane])


def _line(trace: Trace, rows: np.ndarray) -> str:
    """The line on which these rows take longest."""
    if not len(rows):
        return ""
    seconds = np.bincount(trace.where[rows], (trace.busy_until - trace.start)[rows])
    return trace.wheres[int(np.argmax(seconds))]


def _bytes(size: float) -> str:
    return f"{size / KiB:.3g} KiB" if size >= KiB else f"{size:.0f} B"
