"""Rows of numbers in memory, by address: what lies next to what can be multiplied at once."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.isa.tile import Tile
from trnlab.sim import memory


@dataclass(eq=False, slots=True)
class Rows:
    """A matrix among raw bytes: where it starts, byte strides, sizes."""

    raw: np.ndarray
    start: int
    strides: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: Any

    def above(self, below: "Rows") -> bool:
        """Whether other rows lie directly behind these."""
        return (
            self.raw is below.raw
            and self.strides == below.strides
            and self.shape[1] == below.shape[1]
            and below.start == self.start + self.shape[0] * self.strides[0]
        )

    def beside(self, other: "Rows") -> bool:
        """Whether other columns lie directly behind these."""
        return (
            self.raw is other.raw
            and self.strides == other.strides
            and self.shape[0] == other.shape[0]
            and other.start == self.start + self.shape[1] * self.strides[1]
        )

    def same_as(self, other: "Rows") -> bool:
        """Whether both are the same numbers."""
        return (
            self.raw is other.raw
            and self.start == other.start
            and self.strides == other.strides
            and self.shape == other.shape
        )

    def wide(self) -> np.ndarray:
        """The numbers in fp32."""
        kind = formats.storage(self.dtype)
        array = np.ndarray(self.shape, kind, self.raw, self.start, self.strides)
        return formats.widen(array, self.dtype)


def rows_of(tile: Tile) -> Rows:
    """A tile as a matrix of partitions by free elements."""
    here = tile.layout
    if len(here.shape) == 2:
        return Rows(*memory.locate(tile), here.shape, here.dtype)
    flat = np.ascontiguousarray(memory.array(tile).reshape(here.partitions, -1))
    return Rows(flat.reshape(-1).view(np.uint8), 0, flat.strides, flat.shape, here.dtype)


def join_below(pairs: list[tuple[Rows, Rows]]) -> list[tuple[Rows, Rows]]:
    """Pairs whose rows follow each other in memory become one pair of more rows."""
    joined = [pairs[0]]
    for left, right in pairs[1:]:
        over, beside = joined[-1]
        if over.above(left) and beside.above(right):
            joined[-1] = (_taller(over, left), _taller(beside, right))
        else:
            joined.append((left, right))
    return joined


def _taller(top: Rows, bottom: Rows) -> Rows:
    height = top.shape[0] + bottom.shape[0]
    return Rows(top.raw, top.start, top.strides, (height, top.shape[1]), top.dtype)


def join_beside(parts: list[Rows]) -> Rows:
    """Matrices that lie side by side, as one."""
    first = parts[0]
    width = sum(part.shape[1] for part in parts)
    return Rows(first.raw, first.start, first.strides, (first.shape[0], width), first.dtype)
