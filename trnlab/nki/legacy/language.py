"""`neuronxcc.nki.language`: tensors, loads and stores, loops, grids."""
# ruff: noqa: F401 - what is imported here is part of the API

import builtins
import math
import sys
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.errors import BadArguments, NotModelled
from trnlab.isa.dma import DmaCopy, DmaTranspose
from trnlab.isa.dma import OobMode as oob_mode
from trnlab.isa.move import Memset
from trnlab.isa.ops import op_of
from trnlab.isa.tile import HBM_SPACES, PSUM, SBUF
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
from trnlab.nki.legacy.blocks import blocked, each_tile
from trnlab.nki.legacy.composite import *  # noqa: F403
from trnlab.nki.legacy.grid import nc, spmd_dim
from trnlab.nki.legacy.index import arange, mgrid
from trnlab.nki.legacy.indirect import Indirect
from trnlab.nki.legacy.issuing import emit
from trnlab.nki.legacy.loops import affine_range, sequential_range, static_range
from trnlab.nki.legacy.math import (
    OPERATORS,
    broadcast_to,
    copy,
    invert,
    logical_not,
    negative,
    reciprocal,
)
from trnlab.nki.legacy.pending import LoopSum, copy_into, result, settle
from trnlab.nki.legacy.placing import Placement
from trnlab.nki.legacy.tensor import OldTensor
from trnlab.nki.tensor import DynamicSlice as ds
from trnlab.nki.tensors import check_shape, given, make
from trnlab.sim import memory

globals().update(OPERATORS)


class par_dim(int):
    """Marks the partition dimension in a shape."""


def ndarray(
    shape: Any, dtype: Any, *, buffer: Any = None, name: str = "", lazy_initialization: Any = None
) -> Any:
    """An uninitialised tensor; dimensions before ``par_dim`` number logical tiles."""
    settle()
    sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
    placement = buffer if isinstance(buffer, Placement) else None
    space: Any = placement.space if placement else given(buffer, SBUF)
    if space not in HBM_SPACES and len(sizes) < 2:
        running().report(
            BadArguments,
            f"a tile cannot have the shape {list(sizes)}: insufficient rank",
            {},
            "a partition dimension, and at least one free dimension",
            "write (n, 1) or (1, n)",
            "nki.language.ndarray",
        )
    marked = [i for i, n in enumerate(sizes) if isinstance(n, par_dim)]
    if space in HBM_SPACES or (not placement and marked in ([], [0])):
        return make(sizes, dtype, space, name)
    block = marked[0] if marked else 0
    return blocked(check_shape(sizes), block, dtype, space, name, placement)


def zeros(
    shape: Any, dtype: Any, *, buffer: Any = None, name: str = "", lazy_initialization: Any = None
) -> Any:
    """A tensor of zeros; in PSUM the first accumulation makes them, without an instruction."""
    return full(shape, 0, dtype, buffer=buffer, name=name)


def ones(
    shape: Any, dtype: Any, *, buffer: Any = None, name: str = "", lazy_initialization: Any = None
) -> Any:
    """A tensor of ones."""
    return full(shape, 1, dtype, buffer=buffer, name=name)


def full(
    shape: Any,
    fill_value: Any,
    dtype: Any,
    *,
    buffer: Any = None,
    name: str = "",
    lazy_initialization: Any = None,
) -> Any:
    """A tensor of one value."""
    made = ndarray(shape, dtype, buffer=buffer, name=name)
    if isinstance(buffer, Placement):
        running().report(
            BadArguments,
            "a tensor that the kernel places cannot be made with a value",
            {"value": str(fill_value)},
            "with direct allocation tensors begin with garbage",
            "make it with nl.ndarray and write to it: tile[...] = value",
            "nki.language.full",
        )
    if made.space in HBM_SPACES:
        raise BadArguments(
            "a tensor in HBM cannot be made with a value",
            fix="make it with nl.ndarray and store a tile",
            place=running().here(),
            see="nki.language.full",
        )
    if made.space is not PSUM or fill_value != 0:
        for tile in each_tile(made):
            emit(Memset, tile, fill_value)
    elif running().values or running().keeps_presets:
        for tile in each_tile(made):
            zero = np.zeros((), formats.storage(tile.dtype))
            running().preset(tile, np.broadcast_to(zero, tile.shape))
    return made


def zeros_like(
    a: Any,
    dtype: Any = None,
    *,
    buffer: Any = None,
    name: str = "",
    lazy_initialization: Any = None,
) -> Any:
    """A tensor of zeros with the shape of another."""
    return zeros(a.shape, given(dtype, a.dtype), buffer=given(buffer, a.space), name=name)


def empty_like(
    a: Any,
    dtype: Any = None,
    *,
    buffer: Any = None,
    name: str = "",
    lazy_initialization: Any = None,
) -> Any:
    """An uninitialised tensor with the shape of another."""
    return ndarray(a.shape, given(dtype, a.dtype), buffer=given(buffer, a.space), name=name)


def load(
    src: Any, *, mask: Any = None, dtype: Any = None, mode: Any = oob_mode.error, name: Any = None
) -> Any:
    """HBM to a new tile in SBUF; ``mode`` says what to do with rows that are not there."""
    if isinstance(src, Indirect):
        settle()
        return src.gathered(dtype, mask, skip=mode is oob_mode.skip)
    if src.ndim == 1:
        src = src.expand_dims(1)
    return result(DmaCopy, src.shape, given(dtype, src.dtype), src, mask=mask)


def store(
    dst: Any, value: Any, *, mask: Any = None, mode: Any = oob_mode.error, name: Any = None
) -> None:
    """A tile to HBM; what is in PSUM goes through SBUF."""
    settle()
    if not isinstance(value, OldTensor):
        number, value = value, make(dst.shape, dst.dtype, SBUF)
        emit(Memset, value, number)
    if isinstance(dst, Indirect):
        dst.scatter(value, mask, skip=mode is oob_mode.skip)
    elif value.size != dst.size:
        copy_into(dst, value, mask)
    else:
        emit(DmaCopy, dst, value, mask=mask)


def atomic_rmw(dst: Any, value: Any, op: Any, *, mask: Any = None, name: Any = None) -> None:
    """dst = dst + value for rows of HBM that data picks; a row listed twice gets both."""
    settle()
    if op_of(op).name != "add" or not isinstance(dst, Indirect):
        raise BadArguments(
            "atomic_rmw adds to rows that a tile indexes",
            fix="nl.atomic_rmw(tensor[index_tile, i], value, np.add)",
            place=running().here(),
            see="nki.language.atomic_rmw",
        )
    dst.scatter(value, mask, add=True)


def load_transpose2d(src: Any, *, mask: Any = None, dtype: Any = None, name: Any = None) -> Any:
    """HBM to SBUF with the two dimensions exchanged."""
    return result(DmaTranspose, src.shape[::-1], given(dtype, src.dtype), src, (1, 0), mask=mask)


def loop_reduce(
    x: Any, op: Any, loop_indices: Any, *, dtype: Any = None, mask: Any = None, name: Any = None
) -> LoopSum:
    """x combined over the iterations of loops, in the tensor that this is assigned to."""
    settle()
    indices = loop_indices if isinstance(loop_indices, (tuple, list)) else (loop_indices,)
    return LoopSum(x, op, builtins.all(getattr(i, "first", True) for i in indices), mask)


def shared_constant(constant: Any, dtype: Any = None, *, name: Any = None) -> Any:
    """A constant that is baked into the program and lives in HBM."""
    return constant_tensor(constant, dtype)


def shared_identity_matrix(n: int, dtype: Any = np.uint8, *, name: Any = None) -> Any:
    """The n x n identity, baked into the program and in HBM."""
    return constant_tensor(np.eye(int(n), dtype=np.float32), dtype)


def expand_dims(data: Any, axis: Any) -> Any:
    """A view with more dimensions of size 1."""
    wanted = axis if isinstance(axis, (tuple, list)) else (axis,)
    if any(0 <= place < data.ndim for place in wanted):
        running().report(
            BadArguments,
            f"nl.expand_dims adds a dimension at {axis}",
            {"tensor": data.describe()},
            f"after the last: {data.ndim}, or -1",
            "reshape the tile, or load it with the dimension in place",
            "nki.language.expand_dims",
        )
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
    if axes is None:
        return math.prod(grid)
    chosen = axes if isinstance(axes, (tuple, list)) else (axes,)
    return math.prod(grid[a] for a in chosen if a < len(grid))


def program_ndim() -> int:
    """How many dimensions the launch grid has."""
    return len(launch().grid)


def scalar(tile: Any) -> int:
    """The one number in a tile, for a loop or a branch on data."""
    settle()
    run = running()
    if not run.values:
        raise NotModelled("control flow that depends on data", "a run with values", run.here())
    run.note("loops and branches on data went the way of these inputs")
    return int(run.executor.show(tile).reshape(-1)[0])


def device_print(prefix: str, x: Any, *, mask: Any = None, name: Any = None) -> None:
    """Prints a tile while the kernel runs, when values are computed."""
    settle()
    run = running()
    if run.values:
        sys.stdout.write(f"{prefix} {run.executor.show(x)}\n")


def finfo(dtype: Any) -> Any:
    """Limits of a float format."""
    import ml_dtypes

    return ml_dtypes.finfo(formats.storage(formats.format_of(dtype)))


class fp32:
    """Limits of fp32."""

    min = float(np.finfo(np.float32).min)
    max = float(np.finfo(np.float32).max)


class bfp16:
    """Limits of bf16: as bits ff80, which are those of minus infinity."""

    min = float("-inf")


class constants:
    """Small helpers of the host side."""

    sbuf_min_align = 1
    psum_min_align = 4
    sizeinbytes = staticmethod(formats.itemsize)


NOT_YET = {
    "all_reduce": "instances of a grid that run at the same time",
    "gemm_grid": "a launch grid chosen by the compiler",
    "gemm_stationary_grid": "a launch grid chosen by the compiler",
}


def __getattr__(name: str) -> Any:
    if name in NOT_YET:
        raise NotModelled(f"neuronxcc.nki.language.{name}", NOT_YET[name])
    raise AttributeError(f"module 'neuronxcc.nki.language' has no attribute {name!r}")
