"""Subscripts with a tile: rows of an HBM tensor that data picks."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from trnlab.errors import BadArguments, IllegalInstruction, NotModelled, OutOfBounds, Race
from trnlab.isa.indirect import (
    DmaGather,
    DmaScatter,
    address,
    contest,
    contested,
    listed_rows,
    written_rows,
)
from trnlab.isa.tile import Tile
from trnlab.nki.indirect import ONE, Address, at
from trnlab.nki.jit import running
from trnlab.nki.legacy import masking
from trnlab.nki.legacy.index import Index, Mask, Ranges
from trnlab.nki.legacy.issuing import emit, issue, on_sbuf
from trnlab.nki.legacy.pending import result
from trnlab.nki.legacy.subscript import as_index, inside
from trnlab.nki.legacy.tensor import OldTensor
from trnlab.nki.tensor import DynamicSlice, NkiTensor
from trnlab.nki.tensors import given, make


@dataclass(frozen=True, eq=False)
class Indirect:
    """``tensor[..., tile, ...]``: ``axis`` is where the tile stands, ``axes`` holds the others."""

    tensor: OldTensor
    axis: int
    axes: tuple[Index, ...]
    index: OldTensor
    shape: tuple[int, ...]

    @classmethod
    def of(cls, tensor: OldTensor, parts: tuple[Any, ...]) -> "Indirect | NkiTensor":
        """A subscript of index expressions and one tile; on chip, a view that begins at it."""
        places = [axis for axis, p in enumerate(parts) if isinstance(p, Tile)]
        if len(places) > 1:
            raise NotModelled("indexing with several tiles", "one tile of row numbers")
        axis = places[0]
        if tensor.layout.on_chip:
            return _moved(tensor, parts, axis)
        index: Any = parts[axis]
        if 0 < axis == tensor.ndim - 1 and index.size > 1:
            running().report(
                IllegalInstruction,
                f"{tensor.storage.name}: a tile indexes the last dimension",
                {"tensor": tensor.describe(), "index": index.describe()},
                "indices that data decides stand for rows: partitions or blocks",
                "load the rows, then pick columns with nl.gather_flattened",
                "nki.language.load",
            )
        others = [
            p if isinstance(p, Index) else as_index(p, tensor.shape[a], tensor)
            for a, p in enumerate(_written_out(tensor, parts, index))
            if a != axis
        ]
        if index.size == 1:
            index = index.reshape((1, 1))
        ndim = max([index.ndim, *(o.ndim for o in others)])
        while index.ndim < ndim:
            index = index.expand_dims(index.ndim)
        full = Index.over(0, index.shape, (0,) * ndim)
        for i, other in enumerate(others):
            full = full + other * 0
            others[i] = other.padded(full.ndim)
        sizes = tuple(n for a, n in enumerate(tensor.shape) if a != axis)
        if not inside(others, sizes):
            raise tensor._bounds("index expressions beside a tile leave the tensor", tensor.shape)
        return cls(tensor, axis, tuple(others), index, full.sizes)

    @property
    def dtype(self) -> Any:
        return self.tensor.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def space(self) -> Any:
        return self.tensor.space

    def rows(self) -> OldTensor:
        """The tensor as `DmaGather` takes it: rows first, then the dimensions of the data."""
        strides = [s for a, s in enumerate(self.tensor.strides) if a != self.axis]
        places = list(zip(self.axes, strides, strict=True))
        offset = self.tensor.offset + sum(i.offset * s for i, s in places)
        inner = [sum(i.steps[d] * s for i, s in places) for d in range(self.ndim)]
        sizes = [n if step else 1 for n, step in zip(self.shape, inner, strict=True)]
        return self.tensor._view(
            (self.tensor.shape[self.axis], *sizes),
            (self.tensor.strides[self.axis], *inner),
            offset,
        )

    def cut(self, ranges: Ranges) -> "Indirect":
        """The part in these ranges of the data's dimensions."""
        mine = [r if n > 1 else (0, 1) for n, r in zip(self.index.shape, ranges, strict=True)]
        return Indirect(
            self.tensor,
            self.axis,
            tuple(a.cut(ranges) for a in self.axes),
            self.index.cut(mine),
            tuple(high - low for low, high in ranges),
        )

    def gathered(self, dtype: Any = None, mask: Any = None, *, skip: bool = False) -> OldTensor:
        """The rows in a new tile."""
        kind = given(dtype, self.dtype)
        if masking.settled(mask) is True and not skip:
            index = on_sbuf(self.index)
            return result(DmaGather, self.shape, kind, self.rows(), index, skip)
        made = make(self.shape, kind)
        self.gather(made, mask, skip=skip)
        return made

    def gather(self, dst: OldTensor, mask: Any = None, *, skip: bool = False) -> None:
        """The rows in a tile."""
        part, dst = self._masked(dst, mask)
        if part is None:
            return
        rows, index = part.rows(), on_sbuf(part.index)
        if not (skip and running().values):
            emit(DmaGather, dst, rows, index, skip)
            return
        chosen = listed_rows(_numbers(index), dst.shape, rows.shape[0])
        issue(DmaGather, (dst.checked(), rows, index, skip), chosen)

    def scatter(
        self, value: Any, mask: Any = None, *, skip: bool = False, add: bool = False
    ) -> None:
        """Writes a tile to the rows."""
        part, value = self._masked(on_sbuf(value) if value.space.name == "psum" else value, mask)
        if part is None:
            return
        rows, index = part.rows(), on_sbuf(part.index)
        chosen = None
        if running().values:
            numbers = _numbers(index)
            try:
                chosen = written_rows(numbers, value.shape, rows.shape, skip=skip)
            except OutOfBounds as error:
                error.given |= {"dst": rows.describe(), "index": index.describe()}
                raise
            if not add:
                self._check_contest(numbers, running().executor.show(value), rows, skip)
        issue(DmaScatter, (rows, value, index, skip, add), chosen)

    @staticmethod
    def _check_contest(
        numbers: np.ndarray, values: np.ndarray, rows: OldTensor, skip: bool
    ) -> None:
        """Reports places that one transfer writes twice, with different values."""
        places, inside = address(numbers, values.shape, rows.shape, skip)
        taken = tuple(np.broadcast_to(p, values.shape)[inside] for p in places)
        if contested(np.ravel_multi_index(taken, rows.shape), values[inside]):
            running().report(Race, *contest(rows.storage.name, rows.describe()))

    def _masked(self, other: OldTensor, mask: Any) -> tuple["Indirect | None", OldTensor]:
        """This and a tile of the same shape, cut to a mask; None when nothing is left."""
        known = masking.settled(mask)
        if known is True:
            return self, other
        if not isinstance(known, Mask):
            return None, other
        fitted = known.fitted(self.shape)
        if fitted is None:
            raise BadArguments(f"a mask over {known.shape} does not fit {self.shape}")
        ranges, rest = fitted.box(self.shape)
        if rest:
            raise NotModelled("indirect transfers masked over several dimensions", "splitting them")
        if any(high <= low for low, high in ranges):
            return None, other
        return self.cut(ranges), other.cut(ranges)


def _moved(tensor: OldTensor, parts: tuple[Any, ...], axis: int) -> NkiTensor:
    """A view of a tile that begins where one number says: for copies with a dynamic address."""
    if axis == 0:
        raise BadArguments(
            f"{tensor.storage.name}: a tile cannot choose partitions",
            {"tensor": tensor.describe()},
            "a number that data decides stands for a free dimension",
            running().here(),
            see="nki.isa.tensor_copy_dynamic_src",
        )
    first = tensor[(*parts[:axis], 0, *parts[axis + 1 :])].checked()
    return at(first, Address(ONE, parts[axis], tensor.strides[axis], tensor.shape[axis]))


def _numbers(index: Any) -> np.ndarray:
    return running().executor.show(index)


def _written_out(tensor: OldTensor, parts: tuple[Any, ...], index: Any) -> tuple[Any, ...]:
    """A subscript with index expressions for its slices, as one number in a tile may stand by."""
    parts = (*parts, *(slice(None),) * (tensor.ndim - len(parts)))
    if index.size > 1 or not any(isinstance(p, (slice, DynamicSlice)) for p in parts):
        return parts
    spans = {a: tensor._span(p, a) for a, p in enumerate(parts) if not isinstance(p, Tile)}
    kept = [a for a, (*_, drop) in spans.items() if not drop]
    ndim = max(2, len(kept))
    return tuple(
        part
        if axis not in spans
        else Index.along(range(start, start + count * step, step), kept.index(axis), ndim)
        if axis in kept
        else Index.number(start, ndim)
        for axis, part in enumerate(parts)
        for start, count, step, _ in [spans.get(axis, (0, 1, 1, True))]
    )
