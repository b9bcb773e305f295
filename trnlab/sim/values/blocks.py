"""Products of neighbours as one: what shares an operand and lies side by side in the other."""

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from trnlab.sim.values.lending import Piece
from trnlab.sim.values.rows import Pair

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class Block(Generic[T]):
    """A product, and whose results are which part of it: first row, first column, rows, columns.

    ``target`` is where it goes, if not to an array of its own.
    """

    pairs: list[Pair]
    members: list[tuple[T, int, int, int, int]]
    rows: int
    columns: int
    target: np.ndarray | None = None

    @classmethod
    def of(cls, member: T, pairs: list[Pair]) -> "Block[T]":
        left, right = pairs[0]
        rows, columns = left.shape[1], right.shape[1]
        return cls(pairs, [(member, 0, 0, rows, columns)], rows, columns)

    @property
    def multiplications(self) -> int:
        """How much work the product is."""
        return self.rows * self.columns * sum(left.shape[0] for left, _ in self.pairs)

    def take(self, other: "Block[T]") -> bool:
        """Takes in a block that lies right of this one, or below; False if it does neither."""
        if len(self.pairs) != len(other.pairs):
            return False
        if all(
            a.same_as(c) and b.beside(d)
            for (a, b), (c, d) in zip(self.pairs, other.pairs, strict=True)
        ):
            row, column = 0, self.columns
            self.columns += other.columns
            self.pairs = [
                (a, b.with_beside(d))
                for (a, b), (_, d) in zip(self.pairs, other.pairs, strict=True)
            ]
        elif all(
            b.same_as(d) and a.beside(c)
            for (a, b), (c, d) in zip(self.pairs, other.pairs, strict=True)
        ):
            row, column = self.rows, 0
            self.rows += other.rows
            self.pairs = [
                (a.with_beside(c), b)
                for (a, b), (c, _) in zip(self.pairs, other.pairs, strict=True)
            ]
        else:
            return False
        self.members += [(m, r + row, c + column, h, w) for m, r, c, h, w in other.members]
        return True


def blocks_of(products: list[tuple[T, list[Pair]]]) -> list[Block[T]]:
    """Joins neighbours, first in one direction, then rows of them in the other."""
    blocks: list[Block[T]] = []
    for member, pairs in products:
        blocks.append(Block.of(member, pairs))
        while len(blocks) > 1 and blocks[-2].take(blocks[-1]):
            blocks.pop()
    return blocks


def product(pairs: list[Pair], target: np.ndarray | None = None) -> np.ndarray:
    """The sum of the products of pairs."""
    left, right = pairs[0]
    total = np.matmul(left.wide().T, right.wide(), out=target)
    part = np.empty_like(total) if len(pairs) > 1 else None
    for left, right in pairs[1:]:
        total += np.matmul(left.wide().T, right.wide(), out=part)
    return total


def piece_of(values: np.ndarray) -> Piece:
    """A matrix, which may be a part of a larger one, as bytes that a tensor can show."""
    whole = values if values.base is None else values.base
    if not isinstance(whole, np.ndarray) or not whole.flags.c_contiguous:
        whole = values = np.ascontiguousarray(values)
    start = _address(values) - _address(whole)
    row, column = values.strides
    return Piece(whole.reshape(-1).view(np.uint8), start, row, column, None)


def _address(values: np.ndarray) -> int:
    return values.__array_interface__["data"][0]
