"""Instructions that summarise each row: mean, variance, largest elements."""

from collections.abc import Iterator

import numpy as np

from trnlab.isa.instruction import Instruction, Rule
from trnlab.isa.tile import Tile
from trnlab.machine.chip import Core

BN_STATS_MAX = 512  # elements a partition, nl.tile_size.bn_stats_fmax


class BnStats(Instruction, engines=("vector",), page="nki.isa.bn_stats"):
    """dst [P, 6] = count, mean and variance x count of the even elements, then of the odd ones."""

    dst: Tile
    data: Tile

    def rules(self, core: Core) -> Iterator[Rule]:
        yield "dst and data span the same partitions", self.dst.partitions == self.data.partitions
        yield "dst has 6 elements a partition", self.dst.free == 6
        short = self.data.free <= BN_STATS_MAX
        yield f"data has at most {BN_STATS_MAX} elements a partition", short

    def operations(self) -> float:
        return 4.0 * self.data.size

    def value(self, data: np.ndarray) -> np.ndarray:
        flat = data.reshape(data.shape[0], -1)
        return np.stack([*_moments(flat[:, 0::2]), *_moments(flat[:, 1::2])], axis=1)


class BnAggr(Instruction, engines=("vector",), page="nki.isa.bn_aggr"):
    """dst [P, 2] = mean and variance, from the (count, mean, variance x count) triples in data."""

    dst: Tile
    data: Tile

    def rules(self, core: Core) -> Iterator[Rule]:
        yield "dst and data span the same partitions", self.dst.partitions == self.data.partitions
        yield "dst has 2 elements a partition", self.dst.free == 2
        yield "data has 3 elements a partition or a multiple of 3", self.data.free % 3 == 0

    def passes(self, core: Core) -> float:
        return 13 / 3  # 13 cycles a triple: NKI API reference 2.21 to 2.26, cost note

    def operations(self) -> float:
        return 2.0 * self.data.size

    def value(self, data: np.ndarray) -> np.ndarray:
        triples = data.reshape(data.shape[0], -1, 3)
        count, mean, spread = triples[..., 0], triples[..., 1], triples[..., 2]
        total = count.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):  # no elements at all: NaN
            center = (count * mean).sum(axis=1) / total
            between = (count * np.square(mean - center[:, None])).sum(axis=1)
            variance = (spread.sum(axis=1) + between) / total
        return np.stack([center, variance], axis=1)


class Max8(Instruction, engines=("vector",), page="nki.isa.max8"):
    """dst [P, 8] = the eight largest elements of each partition, largest first."""

    dst: Tile
    src: Tile

    def rules(self, core: Core) -> Iterator[Rule]:
        yield "dst and src span the same partitions", self.dst.partitions == self.src.partitions
        yield "dst has shape [P, 8]", self.dst.ndim == 2 and self.dst.free == 8
        yield "src has at most 3 dimensions", self.src.ndim <= 3
        yield "src has 8 to 16384 elements a partition", 8 <= self.src.free <= 16384

    def value(self, src: np.ndarray) -> np.ndarray:
        flat = _candidates(src.reshape(src.shape[0], -1))
        largest = np.partition(flat, flat.shape[1] - 8, axis=1)[:, -8:]
        return np.sort(largest, axis=1)[:, ::-1]


HEIGHT = 32  # of the stacks in which long rows are searched


def _candidates(rows: np.ndarray) -> np.ndarray:
    """Columns of which the eight largest are those of the rows: of long rows, a few.

    Rows are cut into stacks; the eight stacks with the largest maxima hold what is looked for.
    """
    count, width = len(rows), rows.shape[1] // HEIGHT
    if width < HEIGHT:
        return rows
    stacks = rows[:, : HEIGHT * width].reshape(count, HEIGHT, width)
    best = np.argpartition(stacks.max(axis=1), width - 8, axis=1)[:, -8:]
    chosen = np.take_along_axis(stacks, best[:, None, :], axis=2).reshape(count, -1)
    return np.concatenate([chosen, rows[:, HEIGHT * width :]], axis=1)


def _moments(part: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows, count = part.shape
    if count == 0:
        zero = np.zeros(rows, part.dtype)
        return zero, zero, zero
    mean = part.mean(axis=1, dtype=part.dtype)
    spread = np.square(part - mean[:, None]).sum(axis=1, dtype=part.dtype)
    return np.full(rows, count, part.dtype), mean, spread
