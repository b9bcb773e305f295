"""What kernels hold in their hands: a tile with NKI's indexing and views."""

from operator import index
from typing import Any

from trnlab.errors import BadArguments, NotModelled, ProgramError
from trnlab.isa.tile import HBM_SPACES, Space, Tile, layout, row_major
from trnlab.nki.jit import running
from trnlab.nki.loops.unread import measured, plain
from trnlab.nki.operators import NoOperators
from trnlab.nki.registers import VirtualRegister
from trnlab.nki.views import Views


class DynamicSlice:
    """``nl.ds(start, size)``."""

    __slots__ = ("size", "start")

    def __init__(self, start: Any, size: int) -> None:
        self.start, self.size = start, size


class NkiTensor(NoOperators, Views):
    """A tensor or a view of one; indexing returns views, never copies.

    On chip the first dimension is the partition dimension. An integer on it keeps size 1; an
    integer on a free dimension drops it unless fewer than two dimensions would be left.
    """

    __slots__ = ()

    def __getitem__(self, key: Any) -> "NkiTensor":
        here = self.layout
        if type(key) is tuple and len(key) == 2 and len(here.shape) == 2:
            a, b = key
            if type(a) is slice and type(b) is slice and a.step is None and b.step is None:
                rows, columns = here.shape
                a0 = a.start or 0
                a1 = rows if a.stop is None else a.stop
                b0 = b.start or 0
                b1 = columns if b.stop is None else b.stop
                if 0 <= a0 < a1 <= rows and 0 <= b0 < b1 <= columns:
                    size = (a1 - a0, b1 - b0)
                    sub = here.sub.get(size)
                    if sub is None:
                        if any(type(n) is not int for n in size):
                            return self._index(key)  # NumPy's integers, or 4.5
                        strides, pitch = here.strides, here.pitch
                        sub = layout(here.space, here.dtype, size, strides, pitch)
                        here.sub[size] = sub
                    offset = self.offset + a0 * here.strides[0] + b0 * here.strides[1]
                    if type(offset) is int and type(a1) is int and type(b1) is int:
                        return NkiTensor(self.storage, sub, offset)
        return self._index(key if isinstance(key, tuple) else (key,))

    def __setitem__(self, key: Any, value: Any) -> None:
        """Copies a tensor to a part of this one, or fills that part with a number."""
        from trnlab.nki import isa as nisa

        part = self[key]
        if not isinstance(value, Tile):
            nisa.memset(part, value)
        elif part.layout.on_chip and value.layout.on_chip:
            nisa.tensor_copy(part, value)
        else:
            nisa.dma_copy(part, value)

    def _index(self, key: tuple[Any, ...]) -> "NkiTensor":
        key = _without_ellipsis(key, self.ndim)
        if len(key) > self.ndim:
            raise self._too_many(len(key))
        key = (*key, *(slice(None),) * (self.ndim - len(key)))
        shape: list[int] = []
        strides: list[int] = []
        dropped: list[bool] = []
        offset, dynamic = self.offset, None
        for axis, (item, size, stride) in enumerate(
            zip(key, self.shape, self.strides, strict=True)
        ):
            found = _found_by(item, size)
            if found is None:
                start, count, step, drop = self._axis(item, axis, size)
            else:
                chosen, limit, count, drop = found
                start, step, dynamic = 0, 1, (*(dynamic or ()), (chosen, stride, limit))
            offset += start * stride
            shape.append(count)
            strides.append(stride * step)
            dropped.append(drop)
        keep = self._kept(dropped)
        view = self.elements_at(
            tuple(n for n, k in zip(shape, keep, strict=True) if k),
            tuple(s for s, k in zip(strides, keep, strict=True) if k),
            offset,
        )
        return self._chosen(view, dynamic)  # type: ignore[arg-type]

    def _chosen(self, view: "NkiTensor", dynamic: tuple[Any, ...] | None) -> "NkiTensor":
        """A view that begins where a register or a tile says, if one does."""
        if not dynamic:
            return view
        from trnlab.nki.indirect import ONE, Address, at

        for found in dynamic:
            view = at(view, Address(ONE, *found))
        return view

    def _kept(self, dropped: list[bool]) -> list[bool]:
        keep = [not drop for drop in dropped]
        if not self.layout.on_chip:
            return keep if any(keep) else [*keep[:-1], True]
        keep[0] = True
        for axis in range(len(keep) - 1, 0, -1):
            if sum(keep) >= 2:
                break
            keep[axis] = True
        return keep

    def _axis(self, item: Any, axis: int, size: int) -> tuple[int, int, int, bool]:
        if isinstance(item, DynamicSlice):
            item = slice(item.start, item.start + item.size)
        if isinstance(item, slice):
            start, step, count = self._range(item, axis, size)
            return start, count, step, False
        if hasattr(item, "__index__"):
            place = item.__index__()
            if not -size <= place < size:
                raise self._bounds(f"index {place} leaves dimension {axis}", size)
            return place % size, 1, 1, True
        raise NotModelled(
            f"indexing with {type(item).__name__}", "an access pattern: use .ap() or slices"
        )

    def _range(self, item: slice, axis: int, size: int) -> tuple[int, int, int]:
        """Start, step and count of a slice; unlike Python's, it must lie inside the dimension.

        One that ends where it starts is a view without elements, which no instruction takes.
        """
        measured(item)
        try:
            start, stop, step = (
                None if part is None else index(part) for part in (item.start, item.stop, item.step)
            )
        except TypeError:
            what = f"{_spelled(item)} is not made of whole numbers"
            raise self._refused(what, f"0 to {size}", "divide with // instead of /") from None
        step = 1 if step is None else step
        inside = all(i is None or -size <= i <= size for i in (start, stop))
        if not inside or step == 0:
            raise self._bounds(f"{_spelled(item)} leaves dimension {axis}", size)
        steps = range(*slice(start, stop, step).indices(size))
        if not steps and steps.start != steps.stop:
            raise self._bounds(f"{_spelled(item)} leaves dimension {axis}", size)
        return steps.start, step, len(steps)

    def _bounds(self, what: str, size: Any) -> ProgramError:
        fix = "tile the loop so that the last tile ends with the tensor"
        return self._refused(what, f"0 to {size}", fix)

    def _too_many(self, indices: int) -> ProgramError:
        one = "" if self.ndim == 1 else "s"
        what = f"{indices} indices for {self.ndim} dimension{one}"
        fix = "give it another shape first, such as x.reshape((128, -1))"
        return self._refused(what, f"{self.ndim} dimension{one}", fix)

    def ap(
        self,
        pattern: Any,
        offset: int | None = None,
        scalar_offset: Any = None,
        vector_offset: Any = None,
        indirect_dim: int = 0,
        dtype: Any = None,
    ) -> "NkiTensor":
        """An access pattern over the storage: pairs of (step, count) in elements.

        ``scalar_offset`` moves it along dimension ``indirect_dim`` of this tensor by what a
        register or a [1, 1] tile holds, ``vector_offset`` each of its rows by an index of its own.
        """
        if scalar_offset is not None or vector_offset is not None:
            from trnlab.nki.indirect import access_pattern

            fixed = self.ap(pattern, offset, dtype=dtype)
            return access_pattern(self, fixed, scalar_offset, vector_offset, indirect_dim)
        if dtype is not None and dtype != self.dtype:
            return self._as_stored(dtype).ap(pattern, offset)
        strides = tuple(int(plain(step)) for step, _ in pattern)
        shape = tuple(int(plain(count)) for _, count in pattern)
        start = self.offset if offset is None else int(offset)
        reaches = [s * (n - 1) for s, n in zip(strides, shape, strict=True)]
        low = start + sum(min(r, 0) for r in reaches)
        high = start + sum(max(r, 0) for r in reaches)
        elements = self.storage.nbytes // self.itemsize
        if low < 0 or high >= elements or min(shape, default=1) < 1:
            raise self._bounds(f"the pattern {pattern} covers elements {low} to {high}", elements)
        return self.elements_at(shape, strides, start)  # type: ignore[return-value]

    def slice(self, dim: int, start: int, end: int, step: int = 1) -> "NkiTensor":
        """A range of one dimension."""
        key = [slice(None)] * self.ndim
        key[self._dim(dim)] = slice(start, end, step)
        return self._index(tuple(key))

    def select(self, dim: int, index: Any) -> "NkiTensor":
        """One index of one dimension: a number, a register or a [1, 1] tile."""
        key: list[Any] = [slice(None)] * self.ndim
        key[self._dim(dim)] = index
        return self._index(tuple(key))

    def vector_select(self, dim: int, vector_offset: Any) -> "NkiTensor":
        """The rows of an HBM tensor that a tile lists, one for each of its partitions."""
        from trnlab.nki.indirect import ROWS, Address, at

        if dim != 0 or not isinstance(vector_offset, Tile):
            raise self._refused("vector_select takes dimension 0 and a tile of indices", "")
        shape = (vector_offset.shape[0], *self.shape[1:])
        view = self.elements_at(shape, self.strides, self.offset)
        return at(view, Address(ROWS, vector_offset, self.strides[0], self.shape[0]))  # type: ignore[arg-type]

    def indirect(self, index: Any, num_elem: int | None = None) -> "NkiTensor":
        """Columns that the indices of each 16 partitions (32 on the tensor engine) list."""
        from trnlab.nki.indirect import columns

        return columns(self, index, num_elem)

    def is_indirect(self) -> bool:
        """Whether data decides where this view begins."""
        return False

    def rearrange(
        self, src_pattern: Any, dst_pattern: Any, fixed_sizes: dict[str, int] | None = None
    ) -> "NkiTensor":
        """Splits, reorders and joins dimensions by name, as einops does with tuples of names."""
        from trnlab.nki.rearrange import rearrange

        return rearrange(self, src_pattern, dst_pattern, fixed_sizes or {})

    def _as_stored(self, dtype: Any) -> "NkiTensor":
        """The whole storage as another dtype, for a pattern that ignores how it is viewed."""
        from trnlab.isa.tile import whole

        here = whole(self.storage, type(self)).view(dtype)
        kept = self.offset * self.itemsize
        if kept % here.itemsize:
            raise self._refused(f"no pattern of {dtype} at byte {kept}", "a whole element")
        return here.elements_at(here.shape, here.strides, kept // here.itemsize)

    def view(self, dtype: Any) -> "NkiTensor":
        """The same bytes read as another dtype; the last dimension changes its length."""
        from trnlab import formats

        new = formats.format_of(dtype)
        old, size = self.itemsize, new.itemsize
        *outer, last = self.strides
        lengths = (*(s * old for s in outer), self.shape[-1] * old, self.offset * old)
        if old != size and (last != 1 or any(n % size for n in lengths)):
            raise self._refused(f"no view as {new}", "bytes that are whole elements in a row")
        scale = lambda n: n * old // size  # noqa: E731
        shape = (*self.shape[:-1], scale(self.shape[-1]))
        strides = (*(scale(s) for s in outer), last)
        new_layout = layout(self.space, new, shape, strides, scale(self.layout.pitch))
        return type(self)(self.storage, new_layout, scale(self.offset))

    reinterpret_cast = view

    @property
    def name(self) -> str:
        """The tensor's name."""
        return self.storage.name

    @property
    def buffer(self) -> Space:
        """The memory this lives in."""
        return self.layout.space

    def is_contiguous(self) -> bool:
        """Whether the elements lie next to each other in order; on chip, those of a partition."""
        skip = 1 if self.layout.on_chip else 0
        dense = row_major(self.shape)
        pairs = zip(self.shape[skip:], self.strides[skip:], dense[skip:], strict=True)
        return all(size == 1 or stride == wanted for size, stride, wanted in pairs)

    @property
    def is_hbm(self) -> bool:
        """Whether this lives in HBM."""
        return self.space in HBM_SPACES

    def get_pattern(self) -> list[list[int]]:
        """The access pattern: pairs of [step, count]."""
        return [[s, n] for s, n in zip(self.strides, self.shape, strict=True)]

    def __len__(self) -> int:
        return self.shape[0]

    def __bool__(self) -> bool:
        raise BadArguments(
            "a branch on a tensor's value",
            {"tensor": self.describe()},
            "values exist on the device only, while the kernel runs",
            running().here(),
            "choose by element with nl.where, or loop with nl.while_loop on a register",
        )

    def __repr__(self) -> str:
        return f"<{self.describe()}>"


def _found_by(item: Any, size: int) -> tuple[Any, int, int, bool] | None:
    """For a place that data decides: what holds it, its limit, how many elements, if one only."""
    if isinstance(item, (VirtualRegister, Tile)):
        return item, size, 1, True
    if isinstance(item, DynamicSlice) and isinstance(item.start, (VirtualRegister, Tile)):
        return item.start, size - item.size + 1, item.size, False
    return None


def _spelled(item: slice) -> str:
    parts = (item.start, item.stop) if item.step is None else (item.start, item.stop, item.step)
    return f"[{':'.join('' if part is None else str(part) for part in parts)}]"


def _without_ellipsis(key: tuple[Any, ...], ndim: int) -> tuple[Any, ...]:
    where = [i for i, item in enumerate(key) if item is Ellipsis]
    if not where:
        return key
    fill = (slice(None),) * (ndim - len(key) + 1)
    return (*key[: where[0]], *fill, *key[where[0] + 1 :])
