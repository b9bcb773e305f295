"""Base units everywhere: bytes, seconds, hertz, joules, dollars, watts."""

from math import floor, isfinite, log10

KiB, MiB, GiB = 2**10, 2**20, 2**30
KB, MB, GB, TB = 1e3, 1e6, 1e9, 1e12
kHz, MHz, GHz = 1e3, 1e6, 1e9
ms, us, ns = 1e-3, 1e-6, 1e-9
pJ, mJ = 1e-12, 1e-3
TFLOPS = 1e12

PREFIXES = {5: "P", 4: "T", 3: "G", 2: "M", 1: "k", 0: "", -1: "m", -2: "u", -3: "n", -4: "p",
            -5: "f", -6: "a"}  # fmt: skip


def si(value: float, unit: str) -> str:
    """Writes a quantity with three digits and a prefix: ``si(2.9e12, "B/s")`` is ``2.90 TB/s``."""
    if not isfinite(value):
        return f"{value} {unit}"
    if value == 0:
        return f"0 {unit}"
    rounded = float(f"{abs(value):.2e}")  # first, so that 999.9 becomes 1.00 k
    exponent = min(max(floor(log10(rounded) / 3), -6), 5)
    scaled = value / 10.0 ** (3 * exponent)
    return f"{scaled:.{_decimals(scaled)}f} {PREFIXES[exponent]}{unit}"


def binary(size: float) -> str:
    """Writes a number of bytes the way memories are sized: ``binary(24576)`` is ``24 KiB``."""
    for factor, prefix in ((GiB, "GiB"), (MiB, "MiB"), (KiB, "KiB")):
        if size >= factor:
            return f"{size / factor:.4g} {prefix}"
    return f"{size:g} B"


def _decimals(scaled: float) -> int:
    return max(0, 2 - floor(log10(float(f"{abs(scaled):.2e}")))) if abs(scaled) >= 1 else 2
