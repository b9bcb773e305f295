"""Instructions that draw random numbers.

All draw by XORWOW (Marsaglia, Xorshift RNGs, 2003, section 3.1), whose state is six words of 32
bits. Documented for Trainium3: that algorithm, and four such states in each lane of the vector
engine. Documented for GpSimd: six words a lane. Chosen here, because nobody says: the words are x,
y, z, w, v, d; element i of a row comes from state i mod 4; a draw steps all states of its lanes;
how a seed of one word fills the states; that dropout draws from them too. Vector engines before
Trainium3 have a shift register that is not published, for which XORWOW stands in. So the same
program and seed give the same numbers on every machine, but on a device only after rand_set_state.
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
    in_sbuf,
    same_rows,
)
from trnlab.isa.limits import NUMBERS, dtype_rules
from trnlab.isa.tile import Tile
from trnlab.machine.chip import Core

LANES = 128
WORDS = 6  # of one state: x, y, z, w, v, d
GENERATORS = {"vector": 4, "gpsimd": 1}  # states in each lane
WEYL = np.uint32(362437)  # what d grows by
UNIT = np.float32(2**-24)


class Drawing(Instruction):
    """What draws from the states of its engine, or changes them."""

    @property
    def accumulator(self) -> str:  # type: ignore[override]
        """The states of one engine, kept where the reduction registers are."""
        return f"{self.queue} random"

    def fresh_registers(self) -> np.ndarray:
        """The states before anybody has set them, which the device does not define: seed 0."""
        return seeded(0, GENERATORS[self.queue])


class Dropout(Drawing, engines=("vector",), page="nki.isa.dropout"):
    """dst = data, with each element replaced by 0 with probability prob, one number or [P, 1].

    An element is dropped where 24 random bits, as a fraction of one, are below prob.
    """

    dst: Tile
    data: Tile
    prob: Tile | float

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


class Rng(Drawing, engines=("vector", "gpsimd"), page="nki.isa.rng"):
    """dst = 32 random bits an element, of which narrower integers take the lowest.

    XORWOW, as all random numbers here; vector engines before Trainium3 use another generator.
    """

    dst: Tile
    engine: Queue = Queue.vector

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


class Rand2(Drawing, engines=("vector",), page="nki.isa.rand2", needs="rand2"):
    """dst = numbers drawn evenly between min and max, each one number or fp32 [P, 1].

    min + u (max - min) in fp32, where u is the upper 24 of XORWOW's 32 bits as a fraction of one:
    how the device makes a fraction is not published.
    """

    dst: Tile
    min: Tile | float
    max: Tile | float

    def rules(self, core: Core) -> Iterator[Rule]:
        for name in ("min", "max"):
            yield from column_rules(name, getattr(self, name), self.dst)
            yield from float32_rules(name, getattr(self, name))
        yield from dtype_rules("dst", self.dst, (*NUMBERS, "tfloat32", "uint32"))
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


class SetRngSeed(Drawing, engines=("vector",), page="nki.isa.set_rng_seed"):
    """Starts the random numbers of the vector engine anew, from one 32-bit seed [1, 1].

    Each word of each state is a hash of the seed and of where it is: the device's own way is not
    published.
    """

    src_seeds: Tile

    writes = ()

    def rules(self, core: Core) -> Iterator[Rule]:
        yield "src_seeds has shape [1, 1]", self.src_seeds.size == 1
        yield "src_seeds has 32 bits", self.src_seeds.itemsize == 4

    @property
    def keeps_bits(self) -> bool:
        return True

    def value(self, src_seeds: np.ndarray, *, registers: np.ndarray) -> None:
        whole = registers if registers.base is None else registers.base
        word = np.ascontiguousarray(src_seeds).view(np.uint32).reshape(-1)[0]
        whole[:] = seeded(int(word), GENERATORS["vector"])


class RandSetState(
    Drawing, engines=("gpsimd", "vector"), page="nki.isa.rand_set_state", needs="rand_state"
):
    """The states of an engine's lanes = src_seeds, uint32 [P, 6] on GpSimd and [P, 24] on Vector.

    Each six are x, y, z, w, v, d of XORWOW: the order is not published.
    """

    src_seeds: Tile
    engine: Queue = Queue.gpsimd

    writes = ()

    def rules(self, core: Core) -> Iterator[Rule]:
        yield "src_seeds is in SBUF", in_sbuf(self.src_seeds)
        yield from _state_rules("src_seeds", self.src_seeds, self.queue, core)

    @property
    def keeps_bits(self) -> bool:
        return True

    def value(self, src_seeds: np.ndarray, *, registers: np.ndarray) -> None:
        registers[: len(src_seeds)] = src_seeds.reshape(len(src_seeds), -1)


class RandGetState(
    Drawing, engines=("gpsimd", "vector"), page="nki.isa.rand_get_state", needs="rand_state"
):
    """dst = the states of an engine's lanes, uint32 [P, 6] on GpSimd and [P, 24] on Vector.

    Each six are x, y, z, w, v, d of XORWOW: the order is not published.
    """

    dst: Tile
    engine: Queue = Queue.gpsimd

    def rules(self, core: Core) -> Iterator[Rule]:
        yield from _state_rules("dst", self.dst, self.queue, core)

    @property
    def keeps_bits(self) -> bool:
        return True

    def value(self, *, registers: np.ndarray) -> np.ndarray:
        return registers[: self.dst.partitions].copy()


def _state_rules(name: str, tile: Tile, queue: str, core: Core) -> Iterator[Rule]:
    count = WORDS * GENERATORS.get(queue, 1)
    yield f"{name} is uint32", formats.name(tile.dtype) == "uint32"
    yield f"{name} has 2 dimensions", tile.ndim == 2
    yield f"{name} has {count} elements a partition", tile.free == count
    if queue == "vector":
        able = "vector_rand_state" in core.can
        yield "the states of the vector engine need a core with 'vector_rand_state'", able


def seeded(seed: int, generators: int) -> np.ndarray:
    """States of all lanes for one seed, uint32 [128, 6 * generators]."""
    count = LANES * generators * WORDS
    words = scrambled(np.arange(1, count + 1, dtype=np.uint32))
    words = scrambled(words ^ scrambled(np.array([seed], np.uint32)))
    words = words.reshape(LANES, generators, WORDS)
    words[:, :, 0] |= np.uint32(1)  # all zeros would stay so
    return words.reshape(LANES, -1).copy()


def draw(registers: np.ndarray, rows: int, count: int) -> np.ndarray:
    """The next 32-bit words of each lane, uint32 [rows, count]; moves the states on.

    ``registers`` are the states from the first lane in use to the last of all.
    """
    state = registers[:rows].reshape(rows, -1, WORDS)
    x, y, z, w, v, d = (state[:, :, i].copy() for i in range(WORDS))
    steps = -(-count // state.shape[1])
    words = np.empty((steps, *v.shape), np.uint32)
    one, two, four = np.uint32(1), np.uint32(2), np.uint32(4)
    for step in range(steps):
        t = x ^ (x >> two)
        x, y, z, w = y, z, w, v
        v = v ^ (v << four) ^ t ^ (t << one)
        d = d + WEYL
        words[step] = v + d
    registers[:rows] = np.stack([x, y, z, w, v, d], axis=-1).reshape(rows, -1)
    return words.transpose(1, 0, 2).reshape(rows, -1)[:, :count]


def uniform(registers: np.ndarray, rows: int, count: int) -> np.ndarray:
    """Numbers from 0 to just below 1, fp32 [rows, count], in steps of 2**-24."""
    return (draw(registers, rows, count) >> np.uint32(8)).astype(np.float32) * UNIT


def scrambled(words: np.ndarray) -> np.ndarray:
    """Words whose every bit depends on every bit of the input: the finalizer of MurmurHash3."""
    words = (words ^ (words >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    words = (words ^ (words >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return words ^ (words >> np.uint32(16))
