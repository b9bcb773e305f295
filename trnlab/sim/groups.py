"""Matmuls that nobody has read yet.

An accumulation group may be computed late, and neighbours in it as one, as long as nobody sees the
sum before: that is a matter of speed, never of result. A group is the list of matmuls that add up
in one PSUM tile. It is computed when anything else touches that tile's tensor, or overwrites a
tensor that one of its inputs lives in.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.isa.tile import Buffer, Tile
from trnlab.sim import memory

WAITING_BYTES = 64 * 2**20  # of inputs; more only costs memory, it does not get faster


@dataclass(eq=False)
class Rows:
    """The rows of a matmul operand in memory."""

    raw: np.ndarray
    start: int
    strides: tuple[int, ...]
    shape: tuple[int, int]
    dtype: Any

    def followed_by(self, below: "Rows") -> bool:
        """Whether other rows lie directly behind these."""
        return (
            self.raw is below.raw
            and self.strides == below.strides
            and self.shape[1] == below.shape[1]
            and below.start == self.start + self.shape[0] * self.strides[0]
        )

    def with_more(self, below: "Rows") -> "Rows":
        """These rows and those behind them."""
        height = self.shape[0] + below.shape[0]
        return Rows(self.raw, self.start, self.strides, (height, self.shape[1]), self.dtype)

    def wide(self) -> np.ndarray:
        """The numbers in fp32."""
        kind = formats.storage(self.dtype)
        array = np.ndarray(self.shape, kind, self.raw, self.start, self.strides)
        return array if kind == np.float32 else formats.widen(array, self.dtype)


@dataclass(eq=False)
class Group:
    """Matmuls that add up in one PSUM tile, and whether they add to what is there."""

    dst: Tile
    adds: bool
    pairs: list[tuple["Rows", "Rows"]] = field(default_factory=list)


@dataclass(eq=False)
class Groups:
    """The groups that wait: at most one a PSUM tensor."""

    waiting: dict[Buffer, Group] = field(default_factory=dict)
    inputs: dict[Buffer, dict[Buffer, None]] = field(default_factory=dict)
    held: int = 0

    def add(self, dst: Tile, stationary: Tile, moving: Tile, accumulate: bool | None) -> None:
        """Takes over a matmul, to be computed when somebody asks."""
        for tile in (stationary, moving):
            if tile.buffer in self.waiting:
                self._compute(tile.buffer)
        group = self.waiting.get(dst.buffer)
        same = group and group.dst.offset == dst.offset and group.dst.layout is dst.layout
        if group and (not same or accumulate is False):
            if same:  # overwritten before anybody saw it
                self._forget(dst.buffer)
            else:
                self.flush_for(dst.buffer)
            group = None
        if group is None:
            group = self.waiting[dst.buffer] = Group(dst, adds_to(dst, accumulate))
        group.pairs.append((_rows(stationary), _rows(moving)))
        for tile in (stationary, moving):
            readers = self.inputs.get(tile.buffer)
            if readers is None:
                self.inputs[tile.buffer] = {dst.buffer: None}
                self.held += tile.buffer.nbytes
            else:
                readers[dst.buffer] = None
        if self.held > WAITING_BYTES:
            self.flush()

    def flush_for(self, buffer: Buffer, *, writing: bool = False) -> None:
        """Computes the group that writes this tensor and, before a write, those that read it."""
        if buffer in self.waiting:
            self._compute(buffer)
        if writing and buffer in self.inputs:
            for psum in list(self.inputs.pop(buffer)):
                if psum in self.waiting:
                    self._compute(psum)

    def flush(self) -> None:
        """Computes everything that waits."""
        for buffer in list(self.waiting):
            self._compute(buffer)
        self.inputs.clear()
        self.held = 0

    def _forget(self, buffer: Buffer) -> None:
        del self.waiting[buffer]
        if not self.waiting:
            self.inputs.clear()
            self.held = 0

    def _compute(self, buffer: Buffer) -> None:
        group = self.waiting[buffer]
        self._forget(buffer)
        total = _product(_merged(group.pairs))
        dst = group.dst
        if group.adds:
            total += memory.known(dst).reshape(total.shape)
        memory.write(dst, formats.narrow(total, dst.dtype))
        dst.buffer.summed = True


def adds_to(dst: Tile, accumulate: bool | None) -> bool:
    """Whether a matmul adds to what its destination holds, rather than overwriting it."""
    if accumulate is None:
        return dst.buffer.summed
    return accumulate and dst.buffer.written is not False


def _rows(tile: Tile) -> Rows:
    here = tile.layout
    if len(here.shape) == 2:
        return Rows(*memory.locate(tile), here.shape, here.dtype)  # type: ignore[arg-type]
    flat = np.ascontiguousarray(memory.array(tile).reshape(here.partitions, -1))
    raw = flat.reshape(-1).view(np.uint8)
    return Rows(raw, 0, flat.strides, flat.shape, here.dtype)  # type: ignore[arg-type]


def _merged(pairs: list[tuple[Rows, Rows]]) -> list[tuple[Rows, Rows]]:
    """Pairs whose rows follow each other in memory become one pair of more rows."""
    merged = [pairs[0]]
    for left, right in pairs[1:]:
        above, beside = merged[-1]
        if above.followed_by(left) and beside.followed_by(right):
            merged[-1] = (above.with_more(left), beside.with_more(right))
        else:
            merged.append((left, right))
    return merged


def _product(pairs: list[tuple[Rows, Rows]]) -> np.ndarray:
    left, right = pairs[0]
    total = np.matmul(left.wide().T, right.wide())
    part = np.empty_like(total) if len(pairs) > 1 else None
    for left, right in pairs[1:]:
        total += np.matmul(left.wide().T, right.wide(), out=part)
    return total
