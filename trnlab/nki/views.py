"""Views of a tensor in another shape: the same elements, no copy."""

from math import prod
from operator import index
from typing import Any

import numpy as np

from trnlab.errors import IllegalInstruction, OutOfBounds, ProgramError
from trnlab.isa.tile import Tile, row_major
from trnlab.nki.jit import running


class Views(Tile):
    """Mixed into a tensor: what changes its dimensions.

    On chip the first dimension is the partition dimension, whose rows lie in memories of their
    own; a view that changes it is reported where the API forbids that.
    """

    __slots__ = ()
    keeps_partitions = True  # whether the API does: the older one has no rule

    def reshape(self, shape: Any, *more: int) -> Any:
        """The same elements in another shape; a dense tensor only, on chip in its free part."""
        sizes = tuple(
            int(n) for n in (shape if isinstance(shape, (tuple, list)) else (shape, *more))
        )
        if sizes.count(-1) == 1 and 0 not in sizes:
            known = -prod(sizes)
            sizes = tuple(self.size // known if n == -1 else n for n in sizes)
        if min(sizes, default=1) < min(1, self.size) or prod(sizes) != self.size:
            raise self._refused(f"cannot reshape to {sizes}", f"{self.size} elements")
        self._keep("reshape", sizes[:1] == self.shape[:1], f"{self.shape[0]} first in the shape")
        if self.strides == row_major(self.shape):
            return self.elements_at(sizes, row_major(sizes), self.offset)
        return self._reshape_strided(sizes)

    def _reshape_strided(self, sizes: tuple[int, ...]) -> Any:
        probe = np.ndarray(self.shape, np.int8, np.zeros(1, np.int8).data, 0, (0,) * self.ndim)
        probe = np.lib.stride_tricks.as_strided(probe, self.shape, self.strides)
        try:
            strides = np.reshape(probe, sizes, copy=False).strides
        except ValueError:
            raise self._refused(f"cannot reshape a strided view to {sizes}", "no copy") from None
        return self.elements_at(sizes, strides, self.offset)

    def permute(self, dims: Any, *more: int) -> Any:
        """The dimensions in another order; the partition dimension stays first on chip."""
        given = tuple(dims) if isinstance(dims, (tuple, list)) else (dims, *more)
        order = tuple(d + self.ndim if d < 0 else d for d in given)
        if sorted(order) != list(range(self.ndim)):
            limit = f"each of {self.ndim} dimensions once"
            raise self._refused(f"cannot permute by {given}", limit)
        self._keep("permute", order[0] == 0, "dims[0] is 0")
        return self.elements_at(
            tuple(self.shape[d] for d in order), tuple(self.strides[d] for d in order), self.offset
        )

    def broadcast(self, dim: int, size: int) -> Any:
        """Repeats a dimension of size 1, on chip a free one."""
        shape, strides, dim = list(self.shape), list(self.strides), self._dim(dim)
        if shape[dim] != 1 or index(size) < 1:
            what = f"cannot broadcast dimension {dim} of size {shape[dim]} to {size}"
            raise self._refused(what, "from size 1")
        self._keep("broadcast", dim > 0, "dim is not 0")
        shape[dim], strides[dim] = size, 0
        return self.elements_at(tuple(shape), tuple(strides), self.offset)

    def broadcast_to(self, shape: Any) -> Any:
        """Repeats dimensions of size 1 to reach a shape, as NumPy would."""
        sizes = tuple(shape)
        lead = len(sizes) - self.ndim
        old, old_strides = (1,) * lead + self.shape, (0,) * lead + self.strides
        if lead < 0 or any(o not in (1, n) for o, n in zip(old, sizes, strict=True)):
            raise self._refused(f"cannot broadcast to {sizes}", "dimensions of size 1")
        strides = tuple(s if o == n else 0 for o, n, s in zip(old, sizes, old_strides, strict=True))
        return self.elements_at(sizes, strides, self.offset)

    def expand_dim(self, dim: int) -> Any:
        """Adds a dimension of size 1, on chip not in front of the partitions."""
        shape, strides, dim = list(self.shape), list(self.strides), self._dim(dim, self.ndim + 1)
        self._keep("expand_dim", dim > 0, "dim is not 0")
        shape.insert(dim, 1)
        strides.insert(dim, 1)
        return self.elements_at(tuple(shape), tuple(strides), self.offset)

    def squeeze_dim(self, dim: int) -> Any:
        """Removes a dimension of size 1, on chip a free one."""
        shape, strides, dim = list(self.shape), list(self.strides), self._dim(dim)
        if shape.pop(dim) != 1 or not shape:
            raise self._refused(f"dimension {dim} has size {self.shape[dim]}", "size 1, not alone")
        self._keep("squeeze_dim", dim > 0, "dim is not 0")
        strides.pop(dim)
        return self.elements_at(tuple(shape), tuple(strides), self.offset)

    def reshape_dim(self, dim: int, shape: Any) -> Any:
        """Splits one dimension into several, on chip a free one."""
        sizes, dim = list(shape), self._dim(dim)
        if -1 in sizes and 0 not in sizes:
            sizes[sizes.index(-1)] = self.shape[dim] // -prod(sizes)
        if min(sizes, default=1) < 1 or prod(sizes) != self.shape[dim]:
            what = f"cannot split dimension {dim} into {tuple(sizes)}"
            raise self._refused(what, f"{self.shape[dim]} elements")
        self._keep("reshape_dim", dim > 0 or len(sizes) == 1, "dim is not 0")
        inner = tuple(self.strides[dim] * s for s in row_major(tuple(sizes)))
        return self.elements_at(
            (*self.shape[:dim], *sizes, *self.shape[dim + 1 :]),
            (*self.strides[:dim], *inner, *self.strides[dim + 1 :]),
            self.offset,
        )

    def flatten_dims(self, start_dim: int, end_dim: int) -> Any:
        """Joins neighbouring dimensions, ``end_dim`` included, on chip free ones."""
        start, end = self._dim(start_dim), self._dim(end_dim)
        if start > end:
            raise self._refused(f"cannot join dimensions {start} to {end}", "start before end")
        kept = start > 0 or end == 0
        self._keep("flatten_dims", kept, "start_dim is above 0")
        merged = prod(self.shape[start : end + 1])
        sizes = (*self.shape[:start], merged, *self.shape[end + 1 :])
        if self.strides == row_major(self.shape):
            return self.elements_at(sizes, row_major(sizes), self.offset)
        return self._reshape_strided(sizes)

    def _dim(self, dim: Any, count: int | None = None) -> int:
        """A dimension as users number them, also from the end."""
        many = self.ndim if count is None else count
        if not -many <= index(dim) < many:
            raise self._refused(f"there is no dimension {dim}", f"0 to {many - 1}")
        return index(dim) % many

    def _keep(self, name: str, holds: bool, limit: str) -> None:
        if holds or not self.layout.on_chip or not self.keeps_partitions:
            return
        running().report(
            IllegalInstruction,
            f"{self.storage.name}: {name} changes the partition dimension of a tensor on chip",
            {"tensor": self.describe()},
            limit,
            "change free dimensions; transpose, shuffle or store and load to move partitions",
            f"nki.language.NkiTensor.{name}",
        )

    def _refused(self, what: str, limit: str, fix: str = "") -> ProgramError:
        given = {"tensor": self.describe()}
        return OutOfBounds(f"{self.storage.name}: {what}", given, limit, running().here(), fix)
