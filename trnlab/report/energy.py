"""What a run costs: joules from the work it did, dollars from the time it took."""

from dataclasses import dataclass, fields
from typing import cast

from trnlab.errors import NotModelled
from trnlab.machine.chip import Chip
from trnlab.trace import Trace

_ONCHIP = ("sbuf_read_bytes", "sbuf_write_bytes", "psum_read_bytes", "psum_write_bytes")
_HBM = ("hbm_read_bytes", "hbm_write_bytes")
_ARRAY = "tensor_sram_bytes"


@dataclass(frozen=True)
class Joules:
    """Energy of one run by where it went, in joules; ``watts`` is the average power.

    ``compute`` is arithmetic, ``sram`` SBUF and PSUM bytes, ``hbm`` HBM bytes, ``static`` what the
    cores in use draw whether or not they work; ``basis`` says what the figures rest on.
    """

    compute: float
    sram: float
    hbm: float
    static: float
    total: float
    watts: float
    basis: str


def energy(trace: Trace, chip: Chip) -> Joules:
    """Energy of a run: operations and bytes times their joules, and a share of static power.

    Charged per copy of the trace. Links between chips and the host are not included. Raises
    NotModelled for a number format whose energy the chip does not give.
    """
    unit = chip.energy
    alu = trace.totals.get("alu_ops", 0.0) * (unit.fp32_add + unit.fp32_multiply) / 2
    array = sum(count * _per_flop(chip, name) for name, count in matmul_flops(trace).items())
    array += trace.totals.get("transpose_flops", 0.0) * unit.bf16_flop
    sram = (_sum(trace, _ONCHIP) - trace.totals.get(_ARRAY, 0.0)) * unit.sram_byte
    hbm = _sum(trace, _HBM) * unit.hbm_byte
    static = unit.static_share * chip.watts * share_of_chip(trace, chip) * trace.seconds
    total = array + alu + sram + hbm + static
    watts = total / trace.seconds if trace.seconds else 0.0
    return Joules(array + alu, sram, hbm, static, total, watts, _basis(trace, chip))


def dollars(trace: Trace, chip: Chip) -> float | None:
    """Price of the cores in use for the time of the run; None where no price is public."""
    if chip.dollars_per_hour is None:
        return None
    return chip.dollars_per_hour / 3600 * share_of_chip(trace, chip) * trace.seconds


def matmul_flops(trace: Trace) -> dict[str, float]:
    """FLOPs of matrix multiplications by format of their inputs; transposes are not among them."""
    return {
        key.removeprefix("flops."): count
        for key, count in trace.totals.items()
        if key.startswith("flops.")
    }


def hbm_bytes(trace: Trace) -> float:
    """Bytes read from and written to HBM."""
    return _sum(trace, _HBM)


def cores_used(trace: Trace) -> int:
    """Cores that the run occupied; one where the trace does not say."""
    return cast(int, trace.meta.get("cores", 1))


def share_of_chip(trace: Trace, chip: Chip) -> float:
    """Share of the chip's cores that the run occupied."""
    return cores_used(trace) / chip.cores


def _per_flop(chip: Chip, number: str) -> float:
    """Joules a FLOP; wide formats pass through the same array several times."""
    bf16 = chip.energy.bf16_flop
    known = {
        "fp8": chip.energy.fp8_flop,
        "bf16": bf16,
        "fp16": bf16,
        "tf32": bf16,
        "fp32": chip.core.array.fp32_passes * bf16,
    }
    if number not in known:
        raise NotModelled(f"the energy of {number} multiplications", "joules per FLOP in Energy")
    return known[number]


def _sum(trace: Trace, keys: tuple[str, ...]) -> float:
    return sum(trace.totals.get(key, 0.0) for key in keys)


def _basis(trace: Trace, chip: Chip) -> str:
    numbers = (getattr(chip.energy, item.name) for item in fields(chip.energy))
    kinds = sorted({getattr(number, "kind", "unsourced") for number in numbers})
    # joules per FLOP are fitted to whole chips, so they hold the array's own SBUF and PSUM traffic
    array = "counted once, in its FLOPs" if _ARRAY in trace.totals else "counted in FLOPs and bytes"
    return (
        f"joules per operation and byte ({', '.join(kinds)}), not metered; "
        f"SBUF and PSUM traffic of the array is {array}"
    )
