"""`neuronxcc.nki.language`: tensors, loads and stores, loops, grids."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.errors import BadArguments, NotModelled
from trnlab.isa.dma import DmaCopy, DmaTranspose
from trnlab.isa.move import Memset
from trnlab.isa.tile import HBM_SPACES, PSUM, SBUF, Buffer, Space, Tile, layout
from trnlab.nki.jit import launch, running
from trnlab.nki.language import (
    bfloat16,
    bool_,
    constant_tensor,
    float8_e4m3,
    float8_e5m2,
    float16,
    float32,
    hbm,
    int8,
    int16,
    int32,
    private_hbm,
    psum,
    sbuf,
    shared_hbm,
    tfloat32,
    tile_size,
    uint8,
    uint16,
    uint32,
)
from trnlab.nki.legacy.index import Index, Mask, arange, mgrid
from trnlab.nki.legacy.math import *  # noqa: F403
from trnlab.nki.legacy.pending import LoopSum, assign, emit, result, settle
from trnlab.nki.legacy.placing import Placement
from trnlab.nki.legacy.tensor import OldTensor
from trnlab.nki.tensor import DynamicSlice as ds
from trnlab.nki.tensors import check_shape, make


class par_dim(int):
    """Marks the partition dimension in a shape."""


class LoopIndex(int):
    """A loop variable that knows whether this is the first iteration."""

    first: bool


def _loop(*args: Any) -> Iterator[int]:
    for number, value in enumerate(range(*(int(a) for a in args))):
        settle()
        index = LoopIndex(value)
        index.first = number == 0
        yield index


def affine_range(*args: Any, **_: Any) -> Iterator[int]:
    """A loop whose iterations do not depend on each other; run one after the other here."""
    return _loop(*args)


def sequential_range(*args: Any, **_: Any) -> Iterator[int]:
    """A loop whose iterations depend on each other."""
    return _loop(*args)


def static_range(*args: Any, **_: Any) -> Iterator[int]:
    """A loop that is unrolled."""
    return _loop(*args)


def ndarray(
    shape: Any, dtype: Any, *, buffer: Any = None, name: str = "", **_: Any
) -> OldTensor:
    """An uninitialised tensor; dimensions before ``par_dim`` number logical tiles."""
    settle()
    sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
    placement = buffer if isinstance(buffer, Placement) else None
    space = placement.space if placement else (SBUF if buffer is None else buffer)
    marked = [i for i, n in enumerate(sizes) if isinstance(n, par_dim)]
    if space in HBM_SPACES or (not placement and (not marked or marked[0] == 0)):
        return make(sizes, dtype, space, name)
    block = marked[0] if marked else 0
    return _blocked(check_shape(sizes), block, formats.format_of(dtype), space, name, placement)


def _blocked(
    sizes: tuple[int, ...], block: int, dtype: Any, space: Space, name: str, placed: Any
) -> OldTensor:
    """A tensor of many logical tiles: they lie side by side in the free dimension."""
    from math import prod  # noqa: PLC0415

    tile = prod(sizes[block + 1 :])
    if space is PSUM and block:
        tile = _bank_aligned(tile * dtype.itemsize, running().core.psum.bank) // dtype.itemsize
    count = prod(sizes[:block])
    rows = sizes[block]
    buffer: Buffer = running().buffer(space, dtype, (rows, count * tile), name)
    if placed:
        placed.place(running(), buffer, sizes[:block], rows, tile * dtype.itemsize)
    inner = [prod(sizes[i + 1 :]) for i in range(block + 1, len(sizes))]
    outer = [tile * prod(sizes[i + 1 : block]) for i in range(block)]
    strides = (*outer, buffer.pitch, *inner)
    made = layout(space, dtype, sizes, tuple(strides), buffer.pitch)
    return OldTensor(buffer, made, 0, block)


def _bank_aligned(size: int, bank: int) -> int:
    """Logical tiles in PSUM never straddle a bank."""
    if size >= bank:
        return -(-size // bank) * bank
    part = bank
    while part // 2 >= size:
        part //= 2
    return part


def zeros(shape: Any, dtype: Any, *, buffer: Any = None, name: str = "", **_: Any) -> OldTensor:
    """A tensor of zeros; in PSUM the first accumulation makes them, without an instruction."""
    return full(shape, 0, dtype, buffer=buffer, name=name)


def ones(shape: Any, dtype: Any, *, buffer: Any = None, name: str = "", **_: Any) -> OldTensor:
    """A tensor of ones."""
    return full(shape, 1, dtype, buffer=buffer, name=name)


def full(
    shape: Any, fill_value: Any, dtype: Any, *, buffer: Any = None, name: str = "", **_: Any
) -> OldTensor:
    """A tensor of one value."""
    from trnlab.sim import memory  # noqa: PLC0415

    made = ndarray(shape, dtype, buffer=buffer, name=name)
    if made.space in HBM_SPACES:
        raise NotModelled("filling a tensor in HBM", "fill a tile and store it")
    if made.space is PSUM and fill_value == 0:
        if running().values:
            flat = _flat(made)
            memory.write(flat, np.zeros(flat.shape, formats.storage(made.dtype)))
        return made
    emit(Memset, _flat(made), fill_value)
    return made


def _flat(made: OldTensor) -> OldTensor:
    """All logical tiles of a tensor as one."""
    if not made.block:
        return made
    buffer = made.buffer
    strides = (buffer.pitch, 1)
    return OldTensor(buffer, layout(made.space, made.dtype, buffer.shape, strides, buffer.pitch))


def zeros_like(a: Any, dtype: Any = None, *, buffer: Any = None, name: str = "", **_: Any) -> OldTensor:
    """A tensor of zeros with the shape of another."""
    return zeros(a.shape, dtype or a.dtype, buffer=buffer or a.space, name=name)


def empty_like(a: Any, dtype: Any = None, *, buffer: Any = None, name: str = "", **_: Any) -> OldTensor:
    """An uninitialised tensor with the shape of another."""
    return ndarray(a.shape, dtype or a.dtype, buffer=buffer or a.space, name=name)


def load(src: Any, *, mask: Mask | None = None, dtype: Any = None, **_: Any) -> Any:
    """HBM to a new tile in SBUF."""
    return result(DmaCopy, src.shape, dtype or src.dtype, _row(src), mask=mask)


def _row(src: Any) -> Any:
    if src.ndim == 1:
        return src.reshape((src.shape[0], 1))
    return src


def store(dst: Any, value: Any, *, mask: Mask | None = None, **_: Any) -> None:
    """A tile to HBM; what is in PSUM goes through SBUF."""
    from trnlab.nki.legacy.math import _copied  # noqa: PLC0415

    settle()
    if not isinstance(value, Tile):
        filled = make(dst.shape, dst.dtype, SBUF)
        emit(Memset, filled, value)
        value = filled
    source = _copied(value) if value.space is PSUM else value
    emit(DmaCopy, dst, source, mask=mask)


def load_transpose2d(src: Any, *, mask: Any = None, dtype: Any = None, **_: Any) -> Any:
    """HBM to SBUF with the two dimensions exchanged."""
    return result(DmaTranspose, src.shape[::-1], dtype or src.dtype, src, (1, 0), mask=mask)


def loop_reduce(
    x: Any, op: Any, loop_indices: Any, *, dtype: Any = None, mask: Any = None, **_: Any
) -> LoopSum:
    """x combined over the iterations of loops, in the tensor that this is assigned to."""
    settle()
    return LoopSum(x, op, all(getattr(i, "first", True) for i in loop_indices), mask)


def shared_constant(constant: Any, dtype: Any = None, **_: Any) -> Any:
    """A constant that is baked into the program and lives in HBM."""
    return constant_tensor(constant, dtype)


def expand_dims(data: Any, axis: Any) -> Any:
    """A view with one more dimension of size 1."""
    return data.expand_dims(axis)


def static_cast(input_data: Any, dtype: Any) -> Any:
    """An array of the host in another dtype."""
    if type(input_data).__module__.startswith("torch"):
        return static_cast(input_data.detach().float().numpy(), dtype)
    return np.asarray(input_data).astype(formats.storage(formats.format_of(dtype)))


def program_id(axis: int) -> int:
    """Which instance of the launch grid this is."""
    ids = launch().ids
    return ids[axis] if axis < len(ids) else 0


def num_programs(axes: Any = None) -> int:
    """How many instances the launch grid has, along some or all of its axes."""
    grid = launch().grid
    chosen = range(len(grid)) if axes is None else axes if isinstance(axes, (tuple, list)) else (axes,)
    return int(np.prod([grid[a] for a in chosen if a < len(grid)], dtype=int))


def program_ndim() -> int:
    """How many dimensions the launch grid has."""
    return len(launch().grid)


@dataclass(frozen=True)
class nc:
    """Marks a dimension of a launch grid as spread over physical cores."""

    count: int

    @property
    def cores(self) -> int:
        return self.count

    @property
    def size(self) -> int:
        return self.count

    def __mul__(self, other: Any) -> "SpmdDim":
        return spmd_dim(self, other)


@dataclass(frozen=True)
class SpmdDim:
    """A dimension of a launch grid: its size, and over how many cores it spreads."""

    size: int
    cores: int


def spmd_dim(*parts: Any) -> SpmdDim:
    """The product of a count and ``nl.nc(n)``: which one runs over cores."""
    size = cores = 1
    for part in parts:
        size *= getattr(part, "size", part)
        cores *= getattr(part, "cores", 1)
    return SpmdDim(int(size), int(cores))


def device_print(prefix: str, x: Any, **_: Any) -> None:
    """Prints a tile while the kernel runs, when values are computed."""
    settle()
    run = running()
    if run.values:
        sys.stdout.write(f"{prefix} {run.executor.show(x)}\n")


def finfo(dtype: Any) -> Any:
    """Limits of a float format."""
    import ml_dtypes  # noqa: PLC0415

    return ml_dtypes.finfo(formats.storage(formats.format_of(dtype)))


class fp32:
    """Limits of fp32."""

    min = float(np.finfo(np.float32).min)
    max = float(np.finfo(np.float32).max)


class _Constants:
    """Small helpers of the host side."""

    @staticmethod
    def sizeinbytes(dtype: Any) -> int:
        """Bytes of one element."""
        return formats.itemsize(dtype)


constants = _Constants()


def __getattr__(name: str) -> Any:
    known = ("dropout", "rand", "random_seed", "gather_flattened", "atomic_rmw", "all_reduce",
             "floor", "ceil", "trunc", "tan", "all")  # fmt: skip
    if name in known:
        raise NotModelled(f"neuronxcc.nki.language.{name}", "a front end for it in the older API")
    raise AttributeError(f"module 'neuronxcc.nki.language' has no attribute {name!r}")
