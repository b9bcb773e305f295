"""How close a run came to what its cores and their memory allow."""

from trnlab.machine.chip import Chip
from trnlab.report.energy import cores_used, hbm_bytes, matmul_flops, share_of_chip
from trnlab.trace import Trace


def roofline(trace: Trace, chip: Chip) -> dict[str, object]:
    """Attained FLOP/s and HBM bytes a second against their ceilings, as a JSON-able dict.

    ``peak`` weighs each input format by its FLOPs; ``ceiling`` is min(peak, intensity x rate);
    ``intensity`` is FLOPs per HBM byte, None without HBM traffic. Without matrix multiplications
    only the memory side says anything, and ``bound`` is "memory".
    """
    flops, moved, seconds = sum(matmul_flops(trace).values()), hbm_bytes(trace), trace.seconds
    peak, rate = peak_flops(trace, chip), memory_rate(trace, chip)
    ceiling = min(peak, flops / moved * rate) if moved else peak
    attained = flops / seconds if seconds else 0.0
    speed = moved / seconds if seconds else 0.0
    return {
        "flops": flops,
        "bytes": moved,
        "intensity": flops / moved if moved else None,
        "attained": attained,
        "peak": peak,
        "ceiling": ceiling,
        "bound": "compute" if ceiling == peak else "memory",
        "share": attained / ceiling if ceiling else 0.0,
        "memory_attained": speed,
        "memory_rate": rate,
        "memory_share": speed / rate,
    }


def peak_flops(trace: Trace, chip: Chip) -> float:
    """FLOP/s of the arrays in use for the mix of formats in the trace; bf16 where it has none."""
    flops = matmul_flops(trace)
    work = sum(flops.values())
    passes = sum(count * _passes(chip, name) for name, count in flops.items()) / work if work else 1
    return chip.core.peak(passes) * cores_used(trace)


def memory_rate(trace: Trace, chip: Chip) -> float:
    """HBM bytes a second within reach: what the DMA engines move and the stacks in reach give.

    A core reads at least one whole stack, also where it shares that stack with another core.
    """
    dma = chip.core.dma.engines * chip.core.dma.rate * cores_used(trace)
    return min(dma, chip.hbm.rate * max(share_of_chip(trace, chip), 1 / chip.hbm.stacks))


def _passes(chip: Chip, number: str) -> float:
    """How often data of a format goes through the array, at best."""
    if number == "fp32":
        return chip.core.array.fp32_passes
    if number == "fp8":  # contracts over 512 or 256 rows in the time of 128
        return 0.25 if "mx" in chip.core.can else 0.5 if "double_row" in chip.core.can else 1
    return 1
