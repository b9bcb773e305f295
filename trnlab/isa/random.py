"""Instructions that draw random numbers.

The sequences of the device are not public in enough detail to be repeated. Each lane here has a
32-bit state that steps by a constant and is scrambled (splitmix32): the same program and seed give
the same numbers, on every machine, and different ones from the device.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.isa.instruction import (
    Instruction,
    Queue,
    Rule,
    column,
    column_rules,
    float32_rules,
    same_rows,
)
from trnlab.isa.tile import Tile
from trnlab.machine.chip import Core

LANES = 128
STEP = 0x9E3779B9  # 2**32 divided by the golden ratio, odd
STATE = "random state"  # 128 words of 32 bits, kept where the reduction registers are


class Dropout(Instruction, engines=("vector",), page="nki.isa.dropout"):
    """dst = data, with each element replaced by 0 with probability prob, one number or [P, 1]."""

    dst: Tile
    data: Tile
    prob: Tile | float

    accumulator = STATE

    def rules(self, core: Core) -> Iterator[Rule]:
        yield (
            "dst and data span the same partitions, with equally long rows",
            same_rows(self.dst, self.data),
        )
        yield "dst and data have one dtype", self.dst.dtype == self.data.dtype
        yield from column_rules("prob", self.prob, self.data)
        if formats.is_integer(self.data.dtype):
            yield from float32_rules("prob", self.prob)
        elif isinstance(self.prob, Tile):
            yield "prob is a float", formats.is_float(self.prob.dtype)

    @property
    def keeps_bits(self) -> bool:
        return True

    def value(self, data: np.ndarray, *prob: np.ndarray, registers: np.ndarray) -> np.ndarray:
        drawn = uniform(registers, len(data), data[0].size).reshape(data.shape)
        limit: Any = np.asarray(prob[0] if prob else self.prob).astype(np.float32)
        limit = column(limit, data) if prob else limit
        return np.where(drawn >= limit, data, np.zeros((), data.dtype))


class Rng(Instruction, engines=("vector", "gpsimd"), page="nki.isa.rng"):
    """dst = 32 random bits an element, of which narrower integers take the lowest."""

    dst: Tile
    engine: Queue = Queue.vector

    accumulator = STATE

    def rules(self, core: Core) -> Iterator[Rule]:
        yield "dst is an integer", formats.is_integer(self.dst.dtype)
        if self.queue == "gpsimd":
            yield "GpSimd draws random numbers", "gpsimd_rng" in core.can

    @property
    def keeps_bits(self) -> bool:
        return True

    def value(self, *, registers: np.ndarray) -> np.ndarray:
        stored = formats.storage(self.dst.dtype)
        bits = draw(registers, self.dst.partitions, self.dst.free)
        return bits.astype(f"u{stored.itemsize}").view(stored)


class Rand2(Instruction, engines=("vector",), page="nki.isa.rand2", needs="rand2"):
    """dst = numbers drawn evenly between min and max, each one number or fp32 [P, 1]."""

    dst: Tile
    min: Tile | float
    max: Tile | float

    accumulator = STATE

    def rules(self, core: Core) -> Iterator[Rule]:
        for name in ("min", "max"):
            yield from column_rules(name, getattr(self, name), self.dst)
            yield from float32_rules(name, getattr(self, name))
        if not isinstance(self.min, Tile) and not isinstance(self.max, Tile):
            yield "min is below max", self.min < self.max

    def passes(self, core: Core) -> float:
        return 0.25  # Trainium3 architecture guide: four numbers a lane and cycle

    def value(self, *bounds: np.ndarray, registers: np.ndarray) -> np.ndarray:
        given = iter(bounds)
        low: Any = next(given) if isinstance(self.min, Tile) else np.float32(self.min)
        high: Any = next(given) if isinstance(self.max, Tile) else np.float32(self.max)
        drawn = uniform(registers, self.dst.partitions, self.dst.free)
        low, high = column(low, drawn), column(high, drawn)
        return low + drawn * (high - low)


class SetRngSeed(Instruction, engines=("vector",), page="nki.isa.set_rng_seed"):
    """Starts the random numbers of all lanes anew, from one 32-bit seed [1, 1]."""

    src_seeds: Tile

    writes = ()
    accumulator = STATE

    def rules(self, core: Core) -> Iterator[Rule]:
        yield "src_seeds has shape [1, 1]", self.src_seeds.size == 1
        yield "src_seeds has 32 bits", self.src_seeds.itemsize == 4

    @property
    def keeps_bits(self) -> bool:
        return True

    def value(self, src_seeds: np.ndarray, *, registers: np.ndarray) -> None:
        whole = registers if registers.base is None else registers.base
        word = np.ascontiguousarray(src_seeds).view(np.uint32).reshape(-1)
        lanes = np.arange(LANES, dtype=np.uint32)
        whole.view(np.uint32)[:] = scrambled(word ^ scrambled(lanes + np.uint32(1)))


def draw(registers: np.ndarray, rows: int, count: int) -> np.ndarray:
    """The next 32-bit words of each lane, uint32 [rows, count]; moves the states on.

    ``registers`` are those from the first lane in use to the last of all; 0 is a lane that nobody
    has used, which starts from its number.
    """
    state = registers[:rows].view(np.uint32)
    lanes = np.arange(rows, dtype=np.uint32) + np.uint32(LANES - len(registers) + 1)
    start = np.where(state == 0, scrambled(lanes), state)
    steps = np.arange(1, count + 1, dtype=np.uint32) * np.uint32(STEP)
    words = start[:, None] + steps
    state[:] = words[:, -1]
    return scrambled(words)


def uniform(registers: np.ndarray, rows: int, count: int) -> np.ndarray:
    """Numbers from 0 to just below 1, fp32 [rows, count], in steps of 2**-24."""
    return (draw(registers, rows, count) >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)


def scrambled(words: np.ndarray) -> np.ndarray:
    """Words whose every bit depends on every bit of the input: the finalizer of MurmurHash3."""
    words = (words ^ (words >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    words = (words ^ (words >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return words ^ (words >> np.uint32(16))
