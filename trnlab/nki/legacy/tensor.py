"""Tiles of the older API: index expressions, views that only a mask makes legal, operators."""

from collections.abc import Callable, Iterator
from typing import Any

from trnlab.errors import BadArguments, IllegalInstruction, NotModelled, OutOfBounds
from trnlab.isa.tile import Buffer, Layout, Tile, layout
from trnlab.nki.jit import running
from trnlab.nki.legacy.index import Index, Mask, Ranges
from trnlab.nki.legacy.loops import LoopIndex
from trnlab.nki.legacy.pattern import ALL
from trnlab.nki.legacy.subscript import as_index, first_of, inside, plan, without_ellipsis
from trnlab.nki.loops.repeats import bend
from trnlab.nki.loops.unread import measured, plain
from trnlab.nki.tensor import DynamicSlice, NkiTensor
from trnlab.sim.core import Run

Span = tuple[int, int, int, bool]  # start, count, step, and whether the dimension goes


def _operator(name: str, *, reverse: bool = False) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        from trnlab.nki.legacy import math

        function = getattr(math, name)
        if isinstance(other, OldTensor) and self.shape[:1] != other.shape[:1]:
            running().report(
                IllegalInstruction,
                f"an operator broadcasts {self.shape} and {other.shape} over partitions",
                {"one": self.describe(), "other": other.describe()},
                "as many partitions on both sides",
                f"call nl.{name}, which broadcasts them",
                f"nki.language.{name}",
            )
        return function(other, self) if reverse else function(self, other)

    return method


def _in_place(name: str) -> Callable[[Any, Any], Any]:
    operate = _operator(name)

    def method(self: Any, other: Any) -> Any:
        from trnlab.nki.legacy.pending import assign

        assign(self, operate(self, other))
        return self

    return method


class OldTensor(NkiTensor):
    """A tensor in HBM, a tile on chip, or a view of one.

    ``axes`` holds the index expressions behind a view that may leave its tensor, and the sizes they
    must stay below, until a mask says which part of it is meant. ``only`` is the mask of an
    operand of a matmul.
    """

    __slots__ = ("axes", "only")
    keeps_partitions = False
    __array_ufunc__ = None  # NumPy's numbers leave arithmetic to this class

    def __init__(self, buffer: Buffer, layout: Layout, offset: int = 0) -> None:
        super().__init__(buffer, layout, offset)
        self.axes: tuple[tuple[Index, ...], tuple[int, ...]] | None = None
        self.only: Mask | None = None

    @classmethod
    def promised(cls, layout: Layout) -> "OldTensor":
        """A new tile that an instruction will make, unless its result is assigned elsewhere."""
        made = cls.__new__(cls)
        made.layout, made.offset, made.axes, made.only = layout, 0, None, None
        return made

    def appear(self, run: Run) -> None:
        """Gives a promised tile a tensor of its own."""
        here = self.layout
        Tile.__init__(self, run.buffer(here.space, here.dtype, here.shape), here)

    def __getattr__(self, name: str) -> Any:
        if name not in ("storage", "sig"):
            raise AttributeError(f"a tile has no attribute {name!r}")
        from trnlab.nki.legacy.pending import settle

        settle()  # somebody wants to know where a promised tile is: it is not assigned
        return object.__getattribute__(self, name)

    def __getitem__(self, key: Any) -> Any:
        parts = key if isinstance(key, tuple) else (key,)
        plain = True
        for part in parts:
            kind = part.__class__
            if kind is Index:
                plain = False
            elif kind is not int and kind is not slice and kind is not LoopIndex:
                return self._unusual(without_ellipsis(parts, self.ndim))
        if len(parts) > self.ndim:
            raise self._bounds(f"{len(parts)} indices for {self.ndim} dimensions", "")
        return self._basic(parts) if plain else self._advanced(parts)

    def _unusual(self, parts: tuple[Any, ...]) -> Any:
        """A subscript with more than whole numbers, slices and index expressions."""
        if len(parts) > self.ndim:
            raise self._bounds(f"{len(parts)} indices for {self.ndim} dimensions", "")
        if any(isinstance(p, Tile) for p in parts):
            from trnlab.nki.legacy.indirect import Indirect

            return Indirect.of(self, parts)
        if any(isinstance(p, Index) for p in parts):
            return self._advanced(parts)
        if isinstance(parts[0], Mask):
            return self._operand(parts[0])
        return self._basic(parts)

    def _basic(self, parts: tuple[Any, ...]) -> "OldTensor":
        parts = (*parts, *(ALL,) * (self.ndim - len(parts)))
        spans = [self._span(p, axis) for axis, p in enumerate(parts)]
        here = self.layout
        offset, inside = self.offset, self.axes is None
        for (first, count, step, _), stride, size in zip(
            spans, here.strides, here.shape, strict=True
        ):
            offset += first * stride
            inside = inside and first >= 0 and first + (count - 1) * step < size
        form = tuple([span[1:] for span in spans])
        made = here.sub.get(form)
        if made is None:
            made = here.sub[form] = self._cut_layout(form)
        if inside:
            return OldTensor(self.storage, made, offset)
        return self._loose(made, offset, self._axes(spans, self._kept([s[3] for s in spans])))

    def _cut_layout(self, form: tuple[tuple[int, int, bool], ...]) -> Layout:
        keep = self._kept([drop for *_, drop in form])
        kept = [
            (count, stride * step)
            for (count, step, _), stride, stays in zip(form, self.strides, keep, strict=True)
            if stays
        ]
        here = self.layout
        shape, strides = tuple(n for n, _ in kept), tuple(s for _, s in kept)
        return layout(here.space, here.dtype, shape, strides, here.pitch)

    def _span(self, item: Any, axis: int) -> Span:
        size = self.shape[axis]
        if isinstance(item, DynamicSlice):
            item = slice(int(item.start), int(item.start) + int(plain(item.size)))
        if isinstance(item, slice):
            measured(item)
            step = 1 if item.step is None else int(item.step)
            start = 0 if item.start is None else int(item.start)
            stop = size if item.stop is None else int(item.stop)
            start, stop = start + size * (start < 0), stop + size * (stop < 0)
            if step < 1 or stop <= start:
                raise self._bounds(f"[{item.start}:{item.stop}:{step}] is empty", size)
            return start, -(-(stop - start) // step), step, False
        if hasattr(item, "__index__"):
            index = item.__index__()
            return index + size * (index < 0), 1, 1, True
        raise NotModelled(f"indexing with {type(item).__name__}", "integers, slices or nl.arange")

    def _axes(
        self, spans: list[Span], keep: list[bool]
    ) -> tuple[tuple[Index, ...], tuple[int, ...]]:
        """The index expressions behind a basic subscript."""
        if self.axes is not None:
            return tuple(_taken(a, spans, keep) for a in self.axes[0]), self.axes[1]
        ndim, found = sum(keep), []
        for axis, (start, count, step, _) in enumerate(spans):
            values = range(start, start + count * step, step)
            found.append(
                Index.along(values, sum(keep[:axis]), ndim)
                if keep[axis]
                else Index.number(start, ndim)
            )
        return tuple(found), self.shape

    def _advanced(self, parts: tuple[Any, ...]) -> "OldTensor":
        self.checked()
        found, axes = plan(self, parts)
        offset, inside = self.offset, True
        for part, (stride, low, high) in zip(parts, axes, strict=True):
            first = part.offset if part.__class__ is Index else first_of(part, low + high + 1, self)
            offset += first * stride
            if not low <= first <= high:
                inside = False
        if inside:
            return OldTensor(self.storage, found, offset)
        ndim = len(found.shape)
        indices = [as_index(p, self.shape[a], self).padded(ndim) for a, p in enumerate(parts)]
        return self._loose(found, offset, (tuple(indices), self.shape))

    def _operand(self, mask: Mask) -> "OldTensor":
        """``tile[mask]``, as `matmul` takes its operands: only what the mask leaves counts."""
        view = self._view(self.shape, self.strides, self.offset, self.axes)
        view.only = mask if self.only is None else self.only & mask
        return view

    def _view(self, shape: Any, strides: Any, offset: int, axes: Any = None) -> "OldTensor":
        here = self.layout
        made = layout(here.space, here.dtype, tuple(shape), tuple(strides), here.pitch)
        return self._loose(made, offset, axes) if axes else OldTensor(self.storage, made, offset)

    def _loose(self, made: Layout, offset: int, axes: Any) -> "OldTensor":
        """A view that may leave its tensor, until a mask says which part of it is meant."""
        bend()
        view = OldTensor(self.storage, made, self.offset)  # its own place may not exist
        view.offset, view.axes = offset, axes
        return view

    def elements_at(
        self, shape: tuple[int, ...], strides: tuple[int, ...], offset: int
    ) -> "OldTensor":
        """Another access to the same tensor, which must be known to lie inside."""
        return self.checked()._view(shape, strides, offset)

    def checked(self) -> "OldTensor":
        """This tile, once it is known to lie inside its tensor; raises OutOfBounds."""
        if self.axes is None:
            return self
        for axis, (index, size) in enumerate(zip(*self.axes, strict=True)):
            low, high = index.bounds()
            if low < 0 or high >= size:
                raise OutOfBounds(
                    f"{self.storage.name}: indices {low} to {high} leave dimension {axis}",
                    {"tensor": f"{self.storage.space.name} {list(self.storage.shape)}"},
                    f"0 to {size - 1}",
                    running().here(),
                    "mask the access, or end the loop with the tensor",
                    "nki.language.load",
                )
        return self

    def cut(self, ranges: Ranges) -> "OldTensor":
        """The part of a tile that lies in these ranges of its dimensions."""
        if all(r == (0, n) for r, n in zip(ranges, self.shape, strict=True)):
            return self
        offset = self.offset + sum(
            low * stride for (low, _), stride in zip(ranges, self.strides, strict=True)
        )
        shape = tuple(high - low for low, high in ranges)
        axes = None
        if self.axes is not None:
            part = tuple(a.cut(ranges) for a in self.axes[0])
            axes = None if inside(part, self.axes[1]) else (part, self.axes[1])
        return self._view(shape, self.strides, offset, axes)

    def transposed(self, order: list[int]) -> "OldTensor":
        """The dimensions in another order, also of a view that may leave its tensor."""
        axes = self.axes and (tuple(a.permuted(order) for a in self.axes[0]), self.axes[1])
        shape, strides = self.shape, self.strides
        return self._view(
            tuple(shape[a] for a in order), tuple(strides[a] for a in order), self.offset, axes
        )

    def __setitem__(self, key: Any, value: Any) -> None:
        from trnlab.nki.legacy.pending import assign

        assign(self[key], value)

    def __iadd__(self, other: Any) -> "OldTensor":
        from trnlab.nki.legacy.pending import add_into

        return add_into(self, other)

    def __bool__(self) -> bool:
        """A tensor in HBM is one, whatever it holds; what is on chip would be a value."""
        what, given = "a branch on a tensor's value", {"tensor": self.describe()}
        fix = "ask `is not None` for optional arguments; join tiles with &, | and ~"
        if self.layout.on_chip:
            raise BadArguments(what, given, place=running().here(), fix=fix)
        running().report(BadArguments, what, given, fix=fix)
        return True

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def astype(self, dtype: Any) -> Any:
        """A copy in another dtype."""
        from trnlab.nki.legacy import math

        return math.copy(self, dtype=dtype)

    def broadcast_to(self, shape: Any, *more: int) -> Any:
        """Dimensions of size 1 repeated; across partitions the tensor engine does the copying."""
        from trnlab.nki.legacy.math import broadcast_to

        sizes = shape if isinstance(shape, (tuple, list)) else (shape, *more)
        return broadcast_to(self, shape=sizes)

    def expand_dims(self, axis: Any) -> "OldTensor":
        """A view with more dimensions of size 1."""
        shape, strides = list(self.shape), list(self.strides)
        for place in axis if isinstance(axis, (tuple, list)) else (axis,):
            at = place if place >= 0 else place + len(shape) + 1
            shape.insert(at, 1)
            strides.insert(at, 1)
        return self.elements_at(tuple(shape), tuple(strides), self.offset)

    def assert_shape(self, shape: Any) -> "OldTensor":
        """Raises BadArguments unless the tile has this shape."""
        if tuple(shape) != self.shape:
            raise BadArguments(
                f"a tile has shape {self.shape}, not {tuple(shape)}", place=running().here()
            )
        return self

    __add__, __radd__ = _operator("add"), _operator("add", reverse=True)
    __sub__, __rsub__ = _operator("subtract"), _operator("subtract", reverse=True)
    __mul__, __rmul__ = _operator("multiply"), _operator("multiply", reverse=True)
    __truediv__, __rtruediv__ = _operator("divide"), _operator("divide", reverse=True)
    __mod__, __pow__ = _operator("mod"), _operator("power")
    __and__, __rand__ = _operator("bitwise_and"), _operator("bitwise_and", reverse=True)
    __or__, __ror__ = _operator("bitwise_or"), _operator("bitwise_or", reverse=True)
    __xor__, __rxor__ = _operator("bitwise_xor"), _operator("bitwise_xor", reverse=True)
    __lshift__, __rshift__ = _operator("left_shift"), _operator("right_shift")
    __lt__, __le__ = _operator("less"), _operator("less_equal")
    __gt__, __ge__ = _operator("greater"), _operator("greater_equal")
    __eq__ = _operator("equal")  # type: ignore[assignment]
    __ne__ = _operator("not_equal")  # type: ignore[assignment]
    __hash__ = Tile.__hash__
    __isub__, __imul__ = _in_place("subtract"), _in_place("multiply")
    __itruediv__ = _in_place("divide")

    def __neg__(self) -> Any:
        return self * -1.0

    def __invert__(self) -> Any:
        from trnlab.nki.legacy import math

        return math.invert(self)


def _taken(index: Index, spans: list[Span], keep: list[bool]) -> Index:
    """An index expression over the part of its dimensions that a basic subscript takes."""
    offset, sizes, steps = index.offset, [], []
    for size, step, (start, count, stride, _), kept in zip(
        index.sizes, index.steps, spans, keep, strict=True
    ):
        offset += step * start
        if kept:
            sizes.append(count if size > 1 else 1)
            steps.append(step * stride)
    return Index.over(offset, sizes, steps)
