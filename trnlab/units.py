"""Base units everywhere: bytes, seconds, hertz, joules, dollars, watts."""

KiB, MiB, GiB = 2**10, 2**20, 2**30
KB, MB, GB, TB = 1e3, 1e6, 1e9, 1e12
kHz, MHz, GHz = 1e3, 1e6, 1e9
ms, us, ns = 1e-3, 1e-6, 1e-9
pJ, mJ = 1e-12, 1e-3
TFLOPS = 1e12


def si(value: float, unit: str) -> str:
    """Writes a quantity with three digits and an SI prefix: ``si(2.9e12, "B/s")`` is ``2.90 TB/s``."""
    if value != value or value in (float("inf"), float("-inf")):
        return f"{value} {unit}"
    for factor, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")):
        if abs(value) >= factor:
            return f"{value / factor:.{_decimals(value / factor)}f} {prefix}{unit}"
    for factor, prefix in ((1e-3, "m"), (1e-6, "u"), (1e-9, "n"), (1e-12, "p")):
        if abs(value) >= factor:
            return f"{value / factor:.{_decimals(value / factor)}f} {prefix}{unit}"
    return f"0 {unit}"


def binary(size: float) -> str:
    """Writes a number of bytes the way memories are sized: ``binary(24576)`` is ``24 KiB``."""
    for factor, prefix in ((GiB, "GiB"), (MiB, "MiB"), (KiB, "KiB")):
        if size >= factor:
            return f"{size / factor:.4g} {prefix}"
    return f"{size:g} B"


def _decimals(scaled: float) -> int:
    return max(0, 2 - len(str(int(abs(scaled)))) + 1) if abs(scaled) >= 1 else 2
