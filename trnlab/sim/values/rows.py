"""Rows of numbers in memory, by address: what lies next to what can be multiplied at once."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.isa.tile import Buffer, Tile
from trnlab.sim import memory
from trnlab.sim.values.lending import as_matrix


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
            below.start == self.start + self.shape[0] * self.strides[0]
            and self.raw is below.raw
            and self.strides == below.strides
            and self.shape[1] == below.shape[1]
        )

    def beside(self, other: "Rows") -> bool:
        """Whether other columns lie directly behind these."""
        return (
            other.start == self.start + self.shape[1] * self.strides[1]
            and self.raw is other.raw
            and self.strides == other.strides
            and self.shape[0] == other.shape[0]
        )

    def same_as(self, other: "Rows") -> bool:
        """Whether both are the same numbers."""
        return (
            self.start == other.start
            and self.raw is other.raw
            and self.strides == other.strides
            and self.shape == other.shape
        )

    def grow(self, below: "Rows") -> None:
        """Takes in rows that lie directly behind these."""
        self.shape = (self.shape[0] + below.shape[0], self.shape[1])

    def with_beside(self, other: "Rows") -> "Rows":
        """These and the columns that lie directly behind them."""
        shape = (self.shape[0], self.shape[1] + other.shape[1])
        return Rows(self.raw, self.start, self.strides, shape, self.dtype)

    def wide(self) -> np.ndarray:
        """The numbers in fp32."""
        kind = formats.storage(self.dtype)
        array = np.ndarray(self.shape, kind, self.raw, self.start, self.strides)
        return formats.widen(array, self.dtype)


Pair = tuple[Rows, Rows]  # stationary and moving


def rows_of(tile: Tile) -> tuple[Rows, Buffer | None]:
    """A tile as a matrix of partitions by free elements, and whose bytes they are."""
    here = tile.layout
    where, owner = memory.held(tile)
    if len(here.shape) == 2:
        return Rows(*where, here.shape, here.dtype), owner
    shape = (here.partitions, here.free)
    found = as_matrix(here.shape, where[2], here.free)
    if found is not None:
        return Rows(where[0], where[1], found, shape, here.dtype), owner
    flat = np.ascontiguousarray(memory.array(tile).reshape(shape))
    return Rows(flat.reshape(-1).view(np.uint8), 0, flat.strides, shape, here.dtype), None
