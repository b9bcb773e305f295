"""Which instruction destroyed the accuracy: results that leave their fp64 shadow behind.

The error of a tile is the largest difference between a number and its ideal, relative to the ideal
or to the root mean square of its row, whichever is larger: elements that happen to be near zero do
not count more than their neighbours. Numbers below 1e-30 count as 0.

Rounding is expected, so each format has a bound, and a tile is held to that of the coarsest format
that has rounded on the way to it:

- float32 1e-5, which is what libraries compare with, and 168 roundings;
- float16 and tfloat32 2**-8, bfloat16 2**-6: eight roundings of half a unit in the last place;
- float8_e4m3 2**-2, float8_e5m2 2**-1: four roundings;
- integers: no difference where the inputs are exact, else by 1.

A result *departs* when it is beyond its bound while every input was within, or is four times as
wrong as its worst input. Later ones only inherit; on a line that has departed they are counted.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import ml_dtypes
import numpy as np

from trnlab import formats
from trnlab.errors import Place
from trnlab.isa.tile import Buffer, Tile
from trnlab.sim import memory
from trnlab.sim.values.execute import Entry

BOUNDS = {
    "float32": 1e-5,
    "tfloat32": 2.0**-8,
    "float16": 2.0**-8,
    "bfloat16": 2.0**-6,
    "float8_e4m3": 2.0**-2,
    "float8_e4m3fn": 2.0**-2,
    "float8_e5m2": 2.0**-1,
    "float8_e8m0fnu": 2.0**-1,
}
NOTHING = 1e-30
WORSE = 4.0  # times the error of the inputs
EXACT_IN_FP32 = 2.0**24


@dataclass
class Departure:
    """A line of the kernel where results leave their shadow, with the first and the worst case.

    ``error`` is relative, ``inputs`` the largest one among its inputs; ``count`` says how many of
    its results were beyond the bound, ``number`` which instruction of the run was the first.
    """

    instruction: str
    place: Place
    number: int
    operands: dict[str, str]
    dtype: str
    error: float
    bound: float
    inputs: float
    element: tuple[int, ...]
    value: float
    ideal: float
    why: str
    count: int = 1
    worst: float = 0.0

    @property
    def beyond(self) -> bool:
        """Whether the error is larger than what rounding explains."""
        return self.error > self.bound


@dataclass
class Seen:
    """An instruction before it was computed: operands, and the real and ideal inputs."""

    entry: Entry
    operands: tuple[Any, ...]
    reads: list[Tile]
    arrays: list[np.ndarray]
    ideals: list[np.ndarray]
    mask: np.ndarray | None


@dataclass
class Departures:
    """What departed so far; ``bound`` replaces those of the formats."""

    place: Callable[[], Place]
    number: Callable[[], int]
    bound: float | None = None
    found: dict[tuple[str, Place], Departure] = field(default_factory=dict)
    largest: dict[tuple[str, Place], Departure] = field(default_factory=dict)  # within bounds
    coarse: WeakKeyDictionary[Buffer, str] = field(default_factory=WeakKeyDictionary)

    def look(self, seen: Seen, tile: Tile, ideal: np.ndarray) -> None:
        """Compares what an instruction wrote with its ideal."""
        real = real_numbers(tile)
        keep = memory.written_mask(tile)
        if seen.mask is not None:
            keep &= seen.mask
        coarse = self._coarsest(seen, tile)
        error, element = _error(real, ideal, keep)
        if error == 0.0:
            return
        inputs = max(
            (_error(numbers(a, t.dtype), i)[0] for t, a, i in
             zip(seen.reads, seen.arrays, seen.ideals, strict=True)),
            default=0.0,
        )  # fmt: skip
        bound = self.bound if self.bound is not None else BOUNDS[coarse]
        if formats.is_integer(tile.dtype) and self.bound is None:
            off = abs(float(real[element]) - float(ideal[element]))
            bound = bound if inputs and off > 1 else np.inf if inputs else 0.0
        here = Departure(
            seen.entry.model.name, self.place(), self.number(), _described(seen),
            formats.name(tile.dtype), error, bound, inputs, element,
            float(real[element]), float(ideal[element]), "", worst=error,
        )  # fmt: skip
        self._keep(here, seen, tile)

    def _keep(self, here: Departure, seen: Seen, tile: Tile) -> None:
        key = (here.instruction, here.place)
        before = self.found.get(key)
        if before is not None:
            before.count += here.beyond
            before.worst = max(before.worst, here.error)
        elif here.beyond and (here.inputs <= here.bound or here.error > WORSE * here.inputs):
            here.why = _why(here, seen, tile)
            self.found[key] = here
        elif not here.beyond and here.error > getattr(self.largest.get(key), "error", 0.0):
            here.why = "rounding, as expected"
            self.largest[key] = here

    def _coarsest(self, seen: Seen, tile: Tile) -> str:
        """The coarsest format that has rounded on the way to a result."""
        names = [self.coarse.get(t.storage, "float32") for t in seen.reads]
        own = formats.facts(tile.dtype)
        if own.is_float and not seen.entry.model.keeps_bits:
            names.append(own.name)
        if not memory.covers_all(tile) or tile.storage in {t.storage for t in seen.reads}:
            names.append(self.coarse.get(tile.storage, "float32"))
        coarsest = max(names, key=BOUNDS.__getitem__, default="float32")
        self.coarse[tile.storage] = coarsest
        return coarsest

    def ranked(self, count: int) -> list[Departure]:
        """The first departures in the order of the program; else the largest errors within."""
        if self.found:
            return sorted(self.found.values(), key=lambda d: d.number)[:count]
        order = sorted(self.largest.values(), key=lambda d: -d.error / max(d.bound, 1e-300))
        return order[:count]


def numbers(array: np.ndarray, dtype: Any) -> np.ndarray:
    """What memory holds, in fp64."""
    if array.dtype.kind in "iub" and formats.facts(dtype).element is None:
        return array.astype(np.float64)
    return formats.widen(array, dtype).astype(np.float64)


def real_numbers(tile: Tile) -> np.ndarray:
    """What memory holds of a tile, in fp64."""
    return numbers(memory.array(tile), tile.dtype)


def _error(
    real: np.ndarray, ideal: np.ndarray, keep: np.ndarray | None = None
) -> tuple[float, tuple[int, ...]]:
    """The largest relative error, and the element that has it."""
    if real.shape != ideal.shape or not real.size:
        return 0.0, ()
    with np.errstate(all="ignore"):
        off = np.abs(real - ideal)
        off[(real == ideal) | (np.isnan(real) & np.isnan(ideal))] = 0.0
        if keep is not None:
            off[~keep] = 0.0
        size = np.where(np.isfinite(ideal), np.abs(ideal), 0.0)
        rows = size.reshape(size.shape[0], -1) if size.ndim > 1 else size.reshape(-1, 1)
        mean = np.sqrt(np.mean(rows * rows, axis=1)).reshape(-1, *(1,) * (size.ndim - 1))
        relative = off / np.maximum(
            np.maximum(size, mean.reshape(mean.shape[: size.ndim])), NOTHING
        )
        relative[np.isnan(relative)] = np.inf
    place = np.unravel_index(int(relative.argmax()), relative.shape)
    return float(relative[place]), tuple(int(n) for n in place)


def _described(seen: Seen) -> dict[str, str]:
    given = {}
    for f, value in zip(seen.entry.model.parameters, seen.operands, strict=False):
        if isinstance(value, Tile):
            given[f.name] = value.describe()
        elif isinstance(value, list):
            given[f.name] = ", ".join(t.describe() for t in value)
    return given


def _why(here: Departure, seen: Seen, tile: Tile) -> str:
    """What most likely happened, in words of a kernel author."""
    entry = formats.facts(tile.dtype)
    if np.isfinite(here.ideal) and not np.isfinite(here.value):
        return _why_not_finite(here, seen, entry)
    whole = [t for t in (*seen.reads, tile) if formats.is_integer(t.dtype)]
    if whole and abs(here.ideal) > EXACT_IN_FP32 and not seen.entry.model.keeps_bits:
        return "integers beyond 2**24 lose their last bits: the engine computes in fp32"
    if {here.value, here.ideal} == {0.0, 1.0}:
        return "a comparison came out the other way: its inputs are almost equal"
    narrow = entry.is_float and BOUNDS[entry.name] > BOUNDS["float32"]
    in_place = tile.storage in {t.storage for t in seen.reads} or seen.entry.accumulates
    if narrow and in_place:
        return f"a sum is kept in {here.dtype}: every addition rounds it, and small ones are lost"
    if narrow and here.inputs < here.error / WORSE:
        return f"rounding to {here.dtype}"
    if here.inputs and here.error > WORSE * here.inputs:
        return "inputs nearly cancel, or are amplified: what they were wrong by is now large"
    if not here.inputs:
        return "rounding inside of this instruction, which computes in fp32"
    return "roundings of the instructions before have added up"


def _why_not_finite(here: Departure, seen: Seen, entry: formats.Format) -> str:
    largest = _largest(entry)
    if abs(here.ideal) > largest:
        return f"overflow: {here.ideal:.3g} is beyond {entry.name} (at most {largest:.3g})"
    if any(not np.isfinite(numbers(a, t.dtype)).all() for a, t in
           zip(seen.arrays, seen.reads, strict=True)):  # fmt: skip
        return "infinity or NaN among its inputs"
    return f"overflow on the way: at most {np.finfo(np.float32).max:.3g} in fp32"


def _largest(entry: formats.Format) -> float:
    return float(ml_dtypes.finfo(entry.storage).max) if entry.is_float else np.inf
