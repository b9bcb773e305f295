"""Stochastic rounding: up or down by chance, so that many roundings are right on average.

"The hardware will round the floating point value up or down using a proportional probability" (data
types, Neuron SDK 2.32), "when casting from FP32 to a reduced precision data type (FP16, BF16, FP8,
TF32)" (runtime environment variables). Integers and packed formats are rounded to nearest. The
device's random numbers are not public; here the same program and seed give the same results.
"""

from typing import Any

import numpy as np

from trnlab import formats

TF32_STEP = 1 << 13  # the bits of float32 that tfloat32 lacks


class Stochastic:
    """Rounds as `formats.narrow` does, but by chance."""

    def __init__(self, seed: int) -> None:
        self.generator = np.random.Generator(np.random.PCG64(seed))

    def __call__(self, values: Any, dtype: Any) -> np.ndarray:
        """fp32 values in a format."""
        entry = formats.facts(dtype)
        nearest = formats.narrow(values, dtype)
        step = TF32_STEP if entry.name == "tfloat32" else 1 if entry.bits < 32 else 0
        if not entry.is_float or not step or entry.name == "float8_e8m0fnu":
            return nearest
        wanted = np.asarray(values, np.float32)
        held = formats.widen(nearest, dtype)
        off = (wanted != held) & np.isfinite(held)
        if not off.any():
            return nearest
        return self._moved(wanted, nearest, held, off, dtype, step)

    def _moved(
        self,
        wanted: np.ndarray,
        nearest: np.ndarray,
        held: np.ndarray,
        off: np.ndarray,
        dtype: Any,
        step: int,
    ) -> np.ndarray:
        """Some values go to the neighbour on their other side, as often as they are near it."""
        out = nearest.copy()
        codes = out.view(np.dtype(f"u{out.itemsize}"))
        chosen, near, mine = wanted[off].astype(np.float64), held[off], codes[off]
        below_zero = np.signbit(chosen)
        sign = mine.dtype.type(1 << (8 * out.itemsize - 1))
        mine = np.where(near == 0, np.where(below_zero, sign, 0).astype(mine.dtype), mine)
        outwards = np.abs(chosen) > np.abs(near)
        other = np.where(outwards, mine + step, mine - step).astype(mine.dtype)
        far = formats.widen(other.view(out.dtype), dtype).astype(np.float64)
        with np.errstate(invalid="ignore"):
            chance = (chosen - near) / (far - near)  # 0 where the neighbour is infinite
        moves = self.generator.random(len(chosen)) < chance
        codes[off] = np.where(moves, other, mine)
        return out
