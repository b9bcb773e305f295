"""Tensors of the older API: block dimensions, index expressions, masks, operators."""

from typing import Any

import numpy as np

from trnlab import formats
from trnlab.errors import BadArguments, NotModelled, OutOfBounds
from trnlab.isa.tile import Buffer, Layout, Tile, layout
from trnlab.nki.jit import running
from trnlab.nki.legacy.index import Index, Mask, align, where_all
from trnlab.nki.tensor import DynamicSlice, NkiTensor


class OldTensor(NkiTensor):
    """A tensor or a view of one.

    ``block`` leading dimensions number logical tiles; the next one is the partition dimension.
    ``axes`` holds the index expressions behind a view that may leave its tensor, until a mask
    says which part of it is meant.
    """

    __slots__ = ("axes", "block")

    def __init__(
        self, buffer: Buffer, layout: Layout, offset: int = 0, block: int = 0, axes: Any = None
    ) -> None:
        super().__init__(buffer, layout, offset)
        self.block, self.axes = block, axes

    def __getitem__(self, key: Any) -> "OldTensor":
        parts = key if isinstance(key, tuple) else (key,)
        parts = tuple(p for p in _spread(parts, self.ndim))
        if any(isinstance(p, Index) for p in parts):
            return self._affine(parts)
        if any(isinstance(p, Tile) for p in parts):
            raise NotModelled("indexing with a tile", "indirect loads and stores")
        return self._basic(parts)

    def _basic(self, parts: tuple[Any, ...]) -> "OldTensor":
        parts = (*parts, *(slice(None),) * (self.ndim - len(parts)))
        shape, strides, kept = [], [], []
        offset = self.offset
        for axis, (item, size, stride) in enumerate(
            zip(parts, self.shape, self.strides, strict=False)
        ):
            start, count, step, drop = self._axis(_clipped(item, size), axis, size)
            offset += start * stride
            shape.append(count)
            strides.append(stride * step)
            kept.append(not drop)
        block = sum(kept[: self.block]) if self.layout.on_chip else 0
        if self.layout.on_chip:
            kept[self.block] = True
            for axis in range(len(kept) - 1, self.block, -1):
                if sum(kept[self.block :]) >= 2:
                    break
                kept[axis] = True
        elif not any(kept):
            kept[-1] = True
        return self._view(
            tuple(n for n, k in zip(shape, kept, strict=True) if k),
            tuple(s for s, k in zip(strides, kept, strict=True) if k),
            offset,
            block,
        )

    def _affine(self, parts: tuple[Any, ...]) -> "OldTensor":
        if len(parts) < self.ndim:
            raise OutOfBounds(
                f"{self.buffer.name}: {len(parts)} indices for {self.ndim} dimensions",
                {"tensor": self.describe()},
                place=running().here(),
                fix="give one index expression a dimension",
            )
        axes: list[Index] = []
        for axis, item in enumerate(parts):
            if isinstance(item, DynamicSlice):
                item = slice(item.start, item.start + item.size)
            if isinstance(item, slice) and item == slice(None) and self.shape[axis] == 1:
                item = 0
            if isinstance(item, slice):
                raise BadArguments(
                    "index expressions and slices are mixed in one subscript",
                    {"tensor": self.describe()},
                    place=running().here(),
                    fix="use nl.arange or nl.mgrid for every dimension",
                )
            axes.append(item if isinstance(item, Index) else Index(int(item), (1,), (0,)))
        for i in range(len(axes)):
            for j in range(len(axes)):
                axes[i], axes[j] = align(axes[i], axes[j])
        shape = tuple(max(sizes) for sizes in zip(*(a.sizes for a in axes), strict=True))
        return self._addressed(axes, shape)

    def _addressed(self, axes: list[Index], shape: tuple[int, ...]) -> "OldTensor":
        offset = self.offset + sum(
            a.offset * s for a, s in zip(axes, self.strides, strict=True)
        )
        strides = tuple(
            sum(a.steps[d] * s for a, s in zip(axes, self.strides, strict=True))
            for d in range(len(shape))
        )
        if len(shape) == 1:
            shape, strides = (*shape, 1), (*strides, 1)
        outside = [
            axis
            for axis, (a, n) in enumerate(zip(axes, self.shape, strict=True))
            if not 0 <= a.bounds()[0] <= a.bounds()[1] < n
        ]
        pending = (tuple(axes), self.shape) if outside else None
        return self._view(shape, strides, offset, 0, pending)

    def _view(
        self, shape: Any, strides: Any, offset: int, block: int = 0, axes: Any = None
    ) -> "OldTensor":
        here = self.layout
        made = layout(here.space, here.dtype, tuple(shape), tuple(strides), here.pitch)
        view = OldTensor.__new__(OldTensor)
        if axes is None:
            view.__init__(self.buffer, made, offset, block)
        else:  # may lie outside; its place is only known once a mask cuts it
            view.buffer, view.layout, view.offset = self.buffer, made, offset
            view.sig, view.block, view.axes = 0, block, axes
        return view

    def elements_at(
        self, shape: tuple[int, ...], strides: tuple[int, ...], offset: int
    ) -> "OldTensor":
        return self._view(shape, strides, offset)

    def checked(self) -> "OldTensor":
        """This tile, once it is known to lie inside its tensor; raises OutOfBounds."""
        if self.axes is None:
            return self
        axes, limits = self.axes
        for axis, (index, size) in enumerate(zip(axes, limits, strict=True)):
            low, high = index.bounds()
            if low < 0 or high >= size:
                raise OutOfBounds(
                    f"{self.buffer.name}: indices {low} to {high} leave dimension {axis}",
                    {"tensor": f"{self.buffer.space.name} {list(self.buffer.shape)}"},
                    f"0 to {size - 1}",
                    running().here(),
                    "mask the access, or end the loop with the tensor",
                    "nki.language.load",
                )
        return self

    def cut(self, ranges: list[tuple[int, int]]) -> "OldTensor":
        """The part of a tile that lies in these ranges of its dimensions."""
        offset = self.offset + sum(
            low * stride for (low, _), stride in zip(ranges, self.strides, strict=True)
        )
        shape = tuple(high - low for low, high in ranges)
        axes = None
        if self.axes is not None:
            cut = tuple(_cut_index(a, ranges) for a in self.axes[0])
            inside = all(
                0 <= a.bounds()[0] and a.bounds()[1] < n
                for a, n in zip(cut, self.axes[1], strict=True)
            )
            axes = None if inside else (cut, self.axes[1])
        return self._view(shape, self.strides, offset, 0, axes)

    def __setitem__(self, key: Any, value: Any) -> None:
        from trnlab.nki.legacy.pending import assign  # noqa: PLC0415 - they need each other

        assign(self[key], value)

    def __iadd__(self, other: Any) -> "OldTensor":
        from trnlab.nki.legacy.pending import add_into  # noqa: PLC0415

        return add_into(self, other)

    def _operate(self, name: str, other: Any, reverse: bool = False) -> Any:
        from trnlab.nki.legacy import math  # noqa: PLC0415

        function = getattr(math, name)
        return function(other, self) if reverse else function(self, other)

    def _replace(self, name: str, other: Any) -> "OldTensor":
        from trnlab.nki.legacy.pending import assign  # noqa: PLC0415

        assign(self, self._operate(name, other))
        return self

    def astype(self, dtype: Any) -> Any:
        """A copy in another dtype."""
        from trnlab.nki.legacy import math  # noqa: PLC0415

        return math.copy(self, dtype=dtype)

    def broadcast_to(self, shape: Any) -> Any:
        """Dimensions of size 1 repeated; across partitions the tensor engine does the copying."""
        from trnlab.nki.legacy.math import broadcast_to  # noqa: PLC0415

        return broadcast_to(self, shape=tuple(shape))

    def expand_dims(self, axis: int) -> "OldTensor":
        """A view with one more dimension of size 1."""
        shape, strides = list(self.shape), list(self.strides)
        shape.insert(axis if axis >= 0 else axis + self.ndim + 1, 1)
        strides.insert(axis if axis >= 0 else axis + self.ndim + 1, 1)
        return self._view(tuple(shape), tuple(strides), self.offset)

    def assert_shape(self, shape: Any) -> "OldTensor":
        """Raises BadArguments unless the tile has this shape."""
        if tuple(shape) != self.shape:
            raise BadArguments(
                f"a tile has shape {self.shape}, not {tuple(shape)}", place=running().here()
            )
        return self

    def __add__(self, other: Any) -> Any:
        return self._operate("add", other)

    def __radd__(self, other: Any) -> Any:
        return self._operate("add", other, reverse=True)

    def __sub__(self, other: Any) -> Any:
        return self._operate("subtract", other)

    def __rsub__(self, other: Any) -> Any:
        return self._operate("subtract", other, reverse=True)

    def __mul__(self, other: Any) -> Any:
        return self._operate("multiply", other)

    def __rmul__(self, other: Any) -> Any:
        return self._operate("multiply", other, reverse=True)

    def __truediv__(self, other: Any) -> Any:
        return self._operate("divide", other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._operate("divide", other, reverse=True)

    def __mod__(self, other: Any) -> Any:
        return self._operate("mod", other)

    def __pow__(self, other: Any) -> Any:
        return self._operate("power", other)

    def __neg__(self) -> Any:
        return self._operate("multiply", -1.0)

    def __and__(self, other: Any) -> Any:
        return self._operate("bitwise_and", other)

    def __or__(self, other: Any) -> Any:
        return self._operate("bitwise_or", other)

    def __xor__(self, other: Any) -> Any:
        return self._operate("bitwise_xor", other)

    def __invert__(self) -> Any:
        from trnlab.nki.legacy import math  # noqa: PLC0415

        return math.invert(self)

    def __lshift__(self, other: Any) -> Any:
        return self._operate("left_shift", other)

    def __rshift__(self, other: Any) -> Any:
        return self._operate("right_shift", other)

    def __lt__(self, other: Any) -> Any:
        return self._operate("less", other)

    def __le__(self, other: Any) -> Any:
        return self._operate("less_equal", other)

    def __gt__(self, other: Any) -> Any:
        return self._operate("greater", other)

    def __ge__(self, other: Any) -> Any:
        return self._operate("greater_equal", other)

    def __eq__(self, other: object) -> Any:  # type: ignore[override]
        return self._operate("equal", other)

    def __ne__(self, other: object) -> Any:  # type: ignore[override]
        return self._operate("not_equal", other)

    __hash__ = Tile.__hash__

    def __isub__(self, other: Any) -> "OldTensor":
        return self._replace("subtract", other)

    def __imul__(self, other: Any) -> "OldTensor":
        return self._replace("multiply", other)

    def __itruediv__(self, other: Any) -> "OldTensor":
        return self._replace("divide", other)


def _cut_index(index: Index, ranges: list[tuple[int, int]]) -> Index:
    lead = len(ranges) - len(index.sizes)
    part = ranges[lead:] if lead >= 0 else ranges
    offset, sizes = index.offset, []
    for size, step, (low, high) in zip(index.sizes, index.steps, part, strict=False):
        offset += step * low
        sizes.append(high - low if size > 1 else 1)
    return Index(offset, tuple(sizes), index.steps[: len(sizes)])


def _spread(parts: tuple[Any, ...], ndim: int) -> tuple[Any, ...]:
    where = [i for i, p in enumerate(parts) if p is Ellipsis]
    if not where:
        return parts
    fill = (slice(None),) * (ndim - len(parts) + 1)
    return (*parts[: where[0]], *fill, *parts[where[0] + 1 :])


def _clipped(item: Any, size: int) -> Any:
    """Slices with Python's rules, as this API takes them: an end past the tensor is an error."""
    return item


def mask_ranges(
    mask: Mask, shape: tuple[int, ...]
) -> tuple[list[tuple[int, int]], np.ndarray | None]:
    """The box of a tile that a mask leaves, and which of its elements, if not all."""
    ranges, rest = mask.box(shape)
    if not rest or any(high <= low for low, high in ranges):
        return ranges, None
    inner = tuple(high - low for low, high in ranges)
    return ranges, where_all(rest, inner, [low for low, _ in ranges])


def old_dtype(dtype: Any) -> Any:
    """A dtype as this API spells it."""
    return formats.format_of(dtype)
