"""An instruction says how much, a chip says how fast: the price of one instruction on one core."""

from dataclasses import dataclass, field, replace
from typing import Any

from trnlab import formats
from trnlab.isa.dma import DgeMode, DmaCopy, Transfer, moved_bytes
from trnlab.isa.elementwise import TensorScalar, TensorTensor
from trnlab.isa.indirect import DmaGather, DmaScatter
from trnlab.isa.instruction import Instruction, Queue
from trnlab.isa.matmul import NcMatmul
from trnlab.isa.move import TensorCopy
from trnlab.isa.mx import NcMatmulMx
from trnlab.isa.tile import Space
from trnlab.machine.chip import Core


@dataclass(frozen=True)
class Cost:
    """Times in seconds.

    ``busy`` is how long the queue is occupied, ``fixed`` how much later the result is visible.
    For transfers ``moving`` is the time each of ``engines`` DMA engines takes.
    """

    name: str
    queue: str
    busy: float
    fixed: float
    reads: int  # operands that are read, after the written ones
    writes: int
    table: str | None = None  # function table of the scalar engine
    is_array: bool = False  # runs on the systolic array, whose clock ramps
    is_transfer: bool = False
    dynamic: bool = False  # data decides which of the bytes it may touch it does
    adds: bool = False  # to what the written operand holds already
    moving: float = 0.0
    latency: float = 0.0
    engines: int = 0
    hbm_read: float = 0.0
    hbm_write: float = 0.0
    callers: tuple[tuple[int, int], ...] = ()  # of a collective: core and source line of each
    how: str = ""  # algorithms of a collective
    wakes: float = 0.0  # how long software takes to notice that a transfer may start
    holds: int = 0  # ports of the core, as bits
    waits: int = 0
    banked: bool = False  # takes turns at banks
    joins: bool = False  # one operator, which a compiler may join with another
    also: "Cost | None" = None  # the price on another engine, where a compiler may choose
    totals: dict[str, float] = field(default_factory=dict)


def cost(instruction: Instruction, core: Core) -> Cost:
    """Prices an instruction; the same instruction always costs the same on one core."""
    if isinstance(instruction, Transfer):
        return _transfer(instruction, core)
    engine = core.engine(instruction.queue)
    passes = instruction.passes(core)
    cycles = max(engine.floor, engine.start + passes * instruction.elements())
    op = getattr(instruction, "op", None)
    busy = cycles / engine.hz + instruction.overhead(core)
    if instruction.queue == "tensor" and passes == core.array.fp32_passes:
        busy += core.array.weight_wait
    return Cost(
        instruction.name,
        instruction.queue,
        busy,
        engine.fixed,
        len(instruction.reads()),
        len(instruction.written()),
        table=getattr(op, "table", None) if instruction.queue == "scalar" else None,
        is_array=instruction.queue == "tensor",
        adds=getattr(instruction, "accumulate", False) is not False,
        totals=_totals(instruction),
        also=_elsewhere(instruction, core),
        joins=_joins(instruction),
        **_ports(instruction, core, fast=passes < 1),
    )


def _ports(instruction: Instruction, core: Core, *, fast: bool) -> dict[str, Any]:
    """The ports that an instruction holds, and those that it waits for."""
    queue, memories = instruction.queue, {_memory(t) for t in instruction.tiles().values()}
    used = [port for port in core.ports if port.memory in memories]
    plain = [(1 << n, p) for n, p in enumerate(core.ports) if p in used and not p.banked]
    return {
        "holds": sum(b for b, p in plain if queue in p.holds and (fast or not p.fast)),
        "waits": sum(b for b, p in plain if queue in p.waits),
        "banked": any(p.banked and queue in p.waits for p in used),
    }


def _joins(instruction: Instruction) -> bool:
    """Whether this is arithmetic with one operator, on an engine that the kernel leaves open."""
    if not isinstance(instruction, (TensorScalar, TensorTensor)) or instruction.keeps_bits:
        return False
    single = getattr(instruction, "op1", None) is None
    return single and instruction.engine is Queue.unknown and instruction.queue == "vector"


def _elsewhere(instruction: Instruction, core: Core) -> "Cost | None":
    """The price on the scalar engine of what a kernel lets the compiler place there."""
    if not isinstance(instruction, (TensorCopy, TensorScalar)):
        return None
    if instruction.engine is not Queue.unknown or instruction.queue != "vector":
        return None
    if isinstance(instruction, TensorScalar) and instruction.keeps_bits:
        return None
    return cost(replace(instruction, engine=Queue.scalar), core)


def with_addresses(price: Cost, core: Core, addresses: int) -> Cost:
    """The price when ``addresses`` operands begin where a register or a tile in SBUF says."""
    least = core.timing.dynamic / core.engine(price.queue).hz
    busy = price.busy if price.is_transfer else max(price.busy, least)
    return replace(price, reads=price.reads + addresses, busy=busy, dynamic=True)


def whole_tile_cost(name: str, rows: int, row_bytes: int, core: Core) -> Cost:
    """The price of moving a whole tile between SBUF and HBM, as a compiler adds it."""
    dma = core.dma
    cuts = -(-row_bytes // dma.packet_max)
    engines = min(dma.engines, -(-rows * dma.engines // core.lanes))
    size, reads = float(rows * row_bytes), name != "spill_save"
    ways = (
        ("hbm_read_bytes", "sbuf_write_bytes") if reads else ("sbuf_read_bytes", "hbm_write_bytes")
    )
    return Cost(
        name,
        "sync",
        dma.trigger,
        0.0,
        1,
        1,
        is_transfer=True,
        moving=rows * cuts * (dma.packet + row_bytes / cuts / dma.rate) / engines,
        latency=dma.latency,
        engines=engines,
        hbm_read=size * reads,
        hbm_write=size * (not reads),
        totals=dict.fromkeys((*ways, "dma_bytes", f"{name}_bytes"), size)
        | {"instructions": 1.0, "dma_transfers": 1.0},
    )


def _transfer(transfer: Transfer, core: Core) -> Cost:
    dma = core.dma
    packets, each = transfer.packets(core)
    engines = transfer.lanes(core)
    software = getattr(transfer, "dge_mode", None) is DgeMode.swdge
    by_software = transfer.queue == "gpsimd"
    a_packet = (dma.packet + each / dma.rate) / transfer.share(core)
    if software:
        a_packet = max(a_packet, dma.packet_software)
    totals = _totals(transfer)
    return Cost(
        transfer.name,
        transfer.queue,
        max(dma.interval_software, dma.trigger_software) if by_software else dma.trigger,
        0.0,
        len(transfer.reads()),
        len(transfer.written()),
        is_transfer=True,
        dynamic=isinstance(transfer, (DmaGather, DmaScatter)),
        moving=max(packets * a_packet / engines, dma.alone if engines == 1 else 0.0),
        latency=dma.latency,
        engines=dma.engines if engines == 1 and dma.alone else engines,  # all begin on the first
        hbm_read=totals.get("hbm_read_bytes", 0.0),
        hbm_write=totals.get("hbm_write_bytes", 0.0),
        wakes=dma.wake_software if by_software else 0.0,
        also=_by_software(transfer, core),
        totals=totals
        | {"dma_transfers": 1.0, "dma_packets": packets, "dma_bytes": moved_bytes(transfer)},
    )


def _by_software(transfer: Transfer, core: Core) -> Cost | None:
    """The price with descriptors written by GpSimd, where a kernel leaves that open."""
    if not isinstance(transfer, DmaCopy) or transfer.dge_mode is not DgeMode.unknown:
        return None
    if transfer.engine is not Queue.unknown:
        return None
    return cost(replace(transfer, dge_mode=DgeMode.swdge), core)


def _totals(instruction: Instruction) -> dict[str, float]:
    totals: dict[str, float] = {"instructions": 1.0}
    if not instruction.moves:
        return totals
    tiles = instruction.tiles()
    for name in instruction.reads():
        if tiles[name].space is Space.register:
            continue
        key = f"{_memory(tiles[name])}_read_bytes"
        totals[key] = totals.get(key, 0.0) + instruction.touched(name) * tiles[name].itemsize
    for name in instruction.written():
        if tiles[name].space is Space.register:
            continue
        key = f"{_memory(tiles[name])}_write_bytes"
        totals[key] = totals.get(key, 0.0) + instruction.touched(name) * tiles[name].itemsize
    if isinstance(instruction, NcMatmulMx):
        totals["flops.fp8"] = instruction.operations()
    elif isinstance(instruction, NcMatmul) and not instruction.is_transpose:
        totals[f"flops.{_array_format(instruction)}"] = instruction.operations()
    elif instruction.queue == "tensor":
        totals["transpose_flops"] = instruction.operations()
        if any(formats.name(tiles[name].dtype) == "float32" for name in instruction.reads()):
            totals["transpose_flops.fp32"] = instruction.operations()
    else:
        totals["alu_ops"] = instruction.operations()
    if instruction.queue == "tensor":
        totals["tensor_sram_bytes"] = sum(v for k, v in totals.items() if k.endswith("_bytes"))
    return totals


def _memory(tile: object) -> str:
    space = tile.layout.space.name  # type: ignore[attr-defined]
    return space if space in ("sbuf", "psum") else "hbm"


def _array_format(matmul: NcMatmul) -> str:
    name = formats.name(matmul.moving.dtype)
    short = {"bfloat16": "bf16", "float16": "fp16", "tfloat32": "tf32", "float32": "fp32"}
    return short.get(name, "fp8")
