"""Operands: which bytes of which memory an instruction touches.

A `Buffer` is one tensor in one memory. A `Layout` is the shape of an access (dtype, sizes,
strides), shared by every access of that shape. A `Tile` is a layout at an offset in a buffer; its
first dimension is the partition dimension when the buffer is on chip.
"""

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

PSUM_BANK = 2048  # bytes a partition; the one geometry that all generations share


class Space(enum.Enum):
    """Where a tensor lives, in NKI's words."""

    sbuf = "sbuf"
    psum = "psum"
    hbm = "hbm"
    private_hbm = "private_hbm"
    shared_hbm = "shared_hbm"
    register = "register"  # of the sequencers: 32 bits that steer loops and addresses

    def __repr__(self) -> str:
        return f"nl.{self.name}"

    __str__ = __repr__
    __hash__ = object.__hash__  # by identity: enum's own is slow, and tensors are looked up by it


SBUF, PSUM = Space.sbuf, Space.psum
HBM_SPACES = (Space.hbm, Space.private_hbm, Space.shared_hbm)


@dataclass(eq=False)
class Layout:
    """Sizes and strides (in elements) of an access; interned, so identity is equality.

    ``pitch`` is the row length of the buffer: elements a partition on chip, the last dimension in
    HBM.
    """

    index: int
    space: Space
    dtype: Any
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    pitch: int
    on_chip: bool = field(init=False)
    partitions: int = field(init=False)
    free: int = field(init=False)
    size: int = field(init=False)
    itemsize: int = field(init=False)
    byte_strides: tuple[int, ...] = field(init=False)
    sub: dict[Any, "Layout"] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.on_chip = self.space is SBUF or self.space is PSUM
        self.size = prod(self.shape)
        self.partitions = self.shape[0] if self.shape else 1
        self.free = prod(self.shape[1:])
        self.itemsize = self.dtype.itemsize
        self.byte_strides = tuple(s * self.itemsize for s in self.strides)

    @cached_property
    def extent(self) -> tuple[int, int, int]:
        """Rows spanned, columns spanned, and the step between rows when each is visited alone."""
        rows = columns = 0
        step = 1
        for size, stride in zip(self.shape, self.strides, strict=True):
            reach = abs(stride) * (size - 1)
            if size > 1 and stride % self.pitch == 0:
                rows += reach // self.pitch
                step = max(step, abs(stride) // self.pitch)
            else:
                columns += reach
        row_dimensions = sum(
            1
            for size, stride in zip(self.shape, self.strides, strict=True)
            if size > 1 and stride and stride % self.pitch == 0
        )
        return rows + 1, columns + 1, step if row_dimensions == 1 else 1

    @cached_property
    def floor(self) -> tuple[int, int] | None:
        """Rows and columns of an access without gaps whose elements are in order, else None."""
        rows, columns, step = self.extent
        if not self.shape or step != 1 or rows * columns != self.size:
            return None
        expected, width = 1, 1
        for size, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if size == 1:
                continue
            if width == columns:
                expected, width = self.pitch, 0
            if stride != expected:
                return None
            expected *= size
            width *= size
        return rows, columns

    @cached_property
    def below(self) -> int:
        """Elements between the lowest one and the first, where a pattern runs backwards."""
        pairs = zip(self.shape, self.strides, strict=True)
        return sum(-stride * (size - 1) for size, stride in pairs if stride < 0)

    @property
    def inner_contiguous(self) -> bool:
        """Whether neighbours in the innermost free dimension are neighbours in memory."""
        for size, stride in zip(reversed(self.shape[1:]), reversed(self.strides[1:]), strict=True):
            if size > 1:
                return stride == 1
        return True

    @property
    def runs(self) -> tuple[int, int]:
        """Number of contiguous runs and elements in each, as a DMA engine would cut the access."""
        length, expected = 1, 1
        dims = [(n, s) for n, s in zip(self.shape, self.strides, strict=True) if n > 1]
        if self.on_chip and self.shape and self.shape[0] > 1:
            dims = dims[1:]  # a run never crosses a partition
        for size, stride in reversed(dims):
            if stride != expected:
                break
            length *= size
            expected *= size
        return max(1, self.size // length), length


_LAYOUTS: dict[tuple[Any, ...], Layout] = {}
LAYOUTS: list[Layout] = []


def layout(
    space: Space, dtype: Any, shape: tuple[int, ...], strides: tuple[int, ...], pitch: int
) -> Layout:
    """Returns the one layout with these properties."""
    key = (space, dtype, shape, strides, pitch)
    found = _LAYOUTS.get(key)
    if found is None:
        found = _LAYOUTS[key] = Layout(len(LAYOUTS), space, dtype, shape, strides, pitch)
        LAYOUTS.append(found)
    return found


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides, in elements, of a dense tensor."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(1, size)
    return tuple(reversed(strides))


class Buffer:
    """One tensor in one memory; ``address`` is (partition, byte) where the kernel placed it."""

    __slots__ = (
        "__weakref__",
        "address",
        "base_byte",
        "base_partition",
        "borrowers",
        "data",
        "dtype",
        "facts",
        "index",
        "name",
        "pitch",
        "place",
        "shape",
        "shows",
        "space",
        "summed",
        "written",
    )

    def __init__(
        self,
        index: int,
        name: str,
        space: Space,
        dtype: Any,
        shape: tuple[int, ...],
        address: tuple[int, int] | None = None,
        place: int = 0,
        pitch: int | None = None,
    ) -> None:
        self.index, self.name, self.space, self.dtype = index, name, space, dtype
        self.shape, self.address, self.place = shape, address, place
        self.base_partition, self.base_byte = address or (0, 0)
        if pitch is None:
            pitch = max(1, prod(shape[1:]) if self.on_chip else (shape[-1] if shape else 1))
        self.pitch = pitch
        self.data: np.ndarray | None = None  # raw bytes, once somebody has written
        self.shows: Any = None  # bytes that lie elsewhere: sim.lending
        self.borrowers: list[Any] = []  # weak references to the tensors that show bytes of this one
        self.facts: dict[Any, bool] | None = None  # what is known of its bytes: sim.turning
        self.written: bool | np.ndarray | dict[tuple[int, int], Layout] = False
        self.summed: bool | np.ndarray | None = None  # whether what is written are sums: sim.sums

    @property
    def kind(self) -> tuple[Any, ...]:
        """What another tensor like this one is made with, besides its number and its name."""
        return self.space, self.dtype, self.shape, self.address, self.place, self.pitch

    @property
    def on_chip(self) -> bool:
        return self.space is SBUF or self.space is PSUM

    @property
    def rows(self) -> int:
        return prod(self.shape) // self.pitch if self.shape else 1

    @property
    def row_bytes(self) -> int:
        """Bytes a partition (on chip) or a row (HBM)."""
        return self.pitch * self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


class Tile:
    """A layout at an offset (in elements) of a buffer: what an instruction reads or writes."""

    __slots__ = ("__weakref__", "layout", "offset", "sig", "storage")

    def __init__(self, buffer: Buffer, layout: Layout, offset: int = 0) -> None:
        self.storage, self.layout, self.offset = buffer, layout, offset
        if not layout.on_chip:
            self.sig = layout.index
        elif layout.space is SBUF:
            row = buffer.base_partition + offset // layout.pitch
            self.sig = layout.index << 8 | row
        else:
            row, column = divmod(offset, layout.pitch)
            byte = buffer.base_byte + column * layout.itemsize
            self.sig = (byte << 24 | layout.index) << 8 | (buffer.base_partition + row)

    @property
    def dtype(self) -> Any:
        return self.layout.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.layout.shape

    @property
    def ndim(self) -> int:
        return len(self.layout.shape)

    @property
    def size(self) -> int:
        return self.layout.size

    @property
    def strides(self) -> tuple[int, ...]:
        return self.layout.strides

    @property
    def space(self) -> Space:
        return self.layout.space

    @property
    def partitions(self) -> int:
        return self.layout.partitions

    @property
    def free(self) -> int:
        """Elements in each partition."""
        return self.layout.free

    @property
    def itemsize(self) -> int:
        return self.layout.itemsize

    @property
    def start_partition(self) -> int:
        return self.storage.base_partition + self.offset // self.layout.pitch

    @property
    def psum_banks(self) -> tuple[int, int]:
        """First and last 2 KiB bank, counted from where the tensor starts."""
        first = self.storage.base_byte + (self.offset % self.layout.pitch) * self.itemsize
        return first // PSUM_BANK, (first + self.layout.extent[1] * self.itemsize - 1) // PSUM_BANK

    def describe(self) -> str:
        """One line for error messages: memory, dtype, shape, name."""
        sizes = ", ".join(str(n) for n in self.shape)
        start = self.start_partition if self.layout.on_chip else 0
        rows = f" from partition {start}" if start else ""
        return f"{self.space.name} {self.dtype} [{sizes}] {self.storage.name}".rstrip() + rows

    def elements_at(self, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> "Tile":
        """Returns another access to the same buffer, of the same kind."""
        here = self.layout
        new = layout(here.space, here.dtype, shape, strides, here.pitch)
        return type(self)(self.storage, new, offset)

    def with_dtype(self, dtype: Any) -> "Tile":
        """Returns the same bytes as elements of another dtype of the same size."""
        here = self.layout
        new = layout(here.space, dtype, here.shape, here.strides, here.pitch)
        return type(self)(self.storage, new, self.offset)


_WHOLE: dict[Any, Layout] = {}


def whole(buffer: Buffer, kind: type[Tile] = Tile) -> Any:
    """Returns the tile that covers all of a buffer."""
    key = (buffer.space, buffer.dtype, buffer.shape)
    found = _WHOLE.get(key)
    if found is None:
        space, dtype, shape = key
        found = _WHOLE[key] = layout(space, dtype, shape, row_major(shape), buffer.pitch)
    return kind(buffer, found)


def tiles_in(values: Iterable[Any]) -> Iterator[Tile]:
    """The tiles among operands, including those inside lists."""
    for value in values:
        if isinstance(value, Tile):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from tiles_in(value)


def placeholder(shape: Layout) -> Tile:
    """A tile of such a layout, of a tensor that is nowhere: enough to price an instruction."""
    return Tile(Buffer(0, "", shape.space, shape.dtype, shape.shape), shape)
