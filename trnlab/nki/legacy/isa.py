"""`neuronxcc.nki.isa`: the same instructions, each returning the tile that it makes."""

import enum
from types import SimpleNamespace
from typing import Any

import numpy as np

from trnlab.errors import NotModelled
from trnlab.isa.activation import Activate, ActivationReduce
from trnlab.isa.activation import ReduceCmd as reduce_cmd
from trnlab.isa.dma import DgeMode, DmaCopy, DmaTranspose, OobMode
from trnlab.isa.elementwise import Reciprocal, ScalarTensorTensor, TensorScalar, TensorTensor
from trnlab.isa.instruction import Queue as engine
from trnlab.isa.matmul import NcMatmul, NcTranspose
from trnlab.isa.move import Memset, NcStreamShuffle, TensorCopy
from trnlab.isa.ops import op_of
from trnlab.isa.reduce import TensorPartitionReduce, TensorReduce, TensorScalarReduce
from trnlab.isa.scan import TensorTensorScan
from trnlab.isa.search import NcFindIndex8, NcMatchReplace8
from trnlab.isa.select import AffineSelect, Iota, TensorCopyPredicated
from trnlab.isa.statistics import BnAggr, BnStats, Max8
from trnlab.isa.tile import PSUM, SBUF, Tile
from trnlab.nki.isa import (
    get_nc_version,
    gpsimd_engine,
    matmul_perf_mode,
    nc_version,
    scalar_engine,
    sync_engine,
    tensor_engine,
    unknown_engine,
    vector_engine,
)
from trnlab.nki.legacy.index import Index, Mask
from trnlab.nki.legacy.pending import emit, result, settle
from trnlab.nki.tensors import make


class dge_mode(enum.Enum):
    """Who writes the descriptors of a transfer."""

    none = 0
    swdge = 1
    hwdge = 2
    unknown = 3


oob_mode = OobMode

_COMPARE = {"greater_equal": "greater_equal"}


def nc_matmul(
    stationary: Any, moving: Any, *, is_stationary_onezero: bool = False,
    is_moving_onezero: bool = False, is_transpose: bool = False, tile_position: Any = (),
    tile_size: Any = (), perf_mode: Any = None, mask: Mask | None = None, **_: Any,
) -> Any:  # fmt: skip
    """stationary.T @ moving in PSUM."""
    double = getattr(perf_mode, "name", str(perf_mode)).startswith("double")
    shape = (stationary.free // 2, moving.free // 2) if double else (stationary.free, moving.free)
    return result(
        NcMatmul, shape, "float32", stationary, moving, is_stationary_onezero, is_moving_onezero,
        is_transpose, False, tuple(tile_position), tuple(tile_size),
        matmul_perf_mode.double_row if double else None, mask=mask, space=PSUM,
    )  # fmt: skip


def nc_transpose(data: Any, *, mask: Any = None, dtype: Any = None, engine: Any = engine.unknown) -> Any:
    """data with partition and free dimension exchanged; in PSUM if the tensor engine does it."""
    small = data.partitions <= 32 and data.free <= 32
    vector = engine.name == "vector" or (engine.name == "unknown" and small)
    space = SBUF if vector else PSUM
    shape = (data.free, data.partitions)
    return result(NcTranspose, shape, dtype or data.dtype, data, engine, mask=mask, space=space)


def activation(
    op: Any, data: Any, *, bias: Any = None, scale: Any = 1.0, reduce_op: Any = None,
    reduce_res: Any = None, reduce_cmd: Any = reduce_cmd.idle, mask: Any = None,
    dtype: Any = None, **_: Any,
) -> Any:  # fmt: skip
    """op(data * scale + bias), and on request the sum over the free dimension."""
    return result(
        Activate, data.shape, dtype or data.dtype, op, data, bias, scale, reduce_op, reduce_res,
        reduce_cmd, mask=mask,
    )  # fmt: skip


def activation_reduce(
    op: Any, data: Any, *, reduce_op: Any, reduce_res: Any, bias: Any = None, scale: Any = 1.0,
    mask: Any = None, dtype: Any = None, **_: Any,
) -> Any:  # fmt: skip
    """op(data * scale + bias), and reduce_res = its sum over the free dimension."""
    return result(
        ActivationReduce, data.shape, dtype or data.dtype, op, data, reduce_op, reduce_res, bias,
        scale, mask=mask,
    )  # fmt: skip


def tensor_copy(src: Any, *, mask: Any = None, dtype: Any = None, engine: Any = engine.unknown, **_: Any) -> Any:
    """A copy of src, cast if asked for."""
    return result(TensorCopy, src.shape, dtype or src.dtype, src, engine, mask=mask)


def tensor_copy_predicated(
    *, src: Any, dst: Any, predicate: Any, reverse_pred: bool = False, mask: Any = None, **_: Any
) -> None:
    """dst = src where the predicate is not 0."""
    settle()
    emit(TensorCopyPredicated, dst, src, predicate, reverse_pred, mask=mask)


def memset(
    shape: Any, value: Any, dtype: Any, *, mask: Any = None, engine: Any = engine.unknown, **_: Any
) -> Any:
    """A new tile of one value."""
    return result(Memset, tuple(shape), dtype, value, engine, mask=mask)


def tensor_tensor(
    data1: Any, data2: Any, op: Any, *, dtype: Any = None, mask: Any = None,
    engine: Any = engine.unknown, **_: Any,
) -> Any:  # fmt: skip
    """data1 <op> data2, element by element."""
    from trnlab import formats

    kind = dtype if dtype is not None else formats.promote(data1.dtype, data2.dtype)
    return result(TensorTensor, data1.shape, kind, data1, data2, op, engine, mask=mask)


def tensor_scalar(
    data: Any, op0: Any, operand0: Any, reverse0: bool = False, op1: Any = None,
    operand1: Any = None, reverse1: bool = False, *, dtype: Any = None, mask: Any = None,
    engine: Any = engine.unknown, **_: Any,
) -> Any:  # fmt: skip
    """(data <op0> operand0) <op1> operand1."""
    return result(
        TensorScalar, data.shape, dtype or data.dtype, data, op0, operand0, reverse0, op1,
        operand1, reverse1, engine, mask=mask,
    )  # fmt: skip


def scalar_tensor_tensor(
    *, data: Any, op0: Any, operand0: Any, op1: Any, operand1: Any, reverse0: bool = False,
    reverse1: bool = False, dtype: Any = None, mask: Any = None, **_: Any,
) -> Any:  # fmt: skip
    """(data <op0> operand0) <op1> operand1, where operand1 is a tile."""
    return result(
        ScalarTensorTensor, data.shape, dtype or data.dtype, data, op0, operand0, op1, operand1,
        reverse0, reverse1, mask=mask,
    )  # fmt: skip


def tensor_reduce(
    op: Any, data: Any, axis: Any, *, mask: Any = None, dtype: Any = None, negate: bool = False,
    keepdims: bool = False, **_: Any,
) -> Any:  # fmt: skip
    """The elements of data along free axes, combined with op."""
    axes = {a % data.ndim for a in (axis if isinstance(axis, (tuple, list)) else (axis,))}
    shape = [1 if a in axes else n for a, n in enumerate(data.shape)]
    if not keepdims:
        shape = [n for a, n in enumerate(data.shape) if a not in axes]
    shape = shape if len(shape) > 1 else [*shape, 1]
    return result(
        TensorReduce, shape, dtype or data.dtype, op, data, tuple(sorted(axes)), negate, mask=mask
    )


def tensor_partition_reduce(op: Any, data: Any, *, mask: Any = None, dtype: Any = None, **_: Any) -> Any:
    """The elements of data over its partitions, combined with op."""
    shape = (1, *data.shape[1:])
    return result(TensorPartitionReduce, shape, dtype or data.dtype, op, data, mask=mask)


def tensor_scalar_reduce(
    *, data: Any, op0: Any, operand0: Any, reduce_op: Any, reduce_res: Any,
    reverse0: bool = False, dtype: Any = None, mask: Any = None, **_: Any,
) -> Any:  # fmt: skip
    """data <op0> operand0, and reduce_res = its reduction over the free dimension."""
    return result(
        TensorScalarReduce, data.shape, dtype or data.dtype, data, op0, operand0, reduce_op,
        reduce_res, reverse0, mask=mask,
    )  # fmt: skip


def tensor_tensor_scan(
    data0: Any, data1: Any, initial: Any, op0: Any, op1: Any, reverse0: bool = False,
    reverse1: bool = False, *, dtype: Any = None, mask: Any = None, **_: Any,
) -> Any:  # fmt: skip
    """r[i] = (data0[i] <op0> r[i - 1]) <op1> data1[i]."""
    return result(
        TensorTensorScan, data0.shape, dtype or data0.dtype, data0, data1, initial, op0, op1,
        reverse0, reverse1, mask=mask,
    )  # fmt: skip


def reciprocal(data: Any, *, dtype: Any = None, mask: Any = None, **_: Any) -> Any:
    """1 / data."""
    return result(Reciprocal, data.shape, dtype or data.dtype, data, mask=mask)


def iota(expr: Index, dtype: Any, *, mask: Any = None, **_: Any) -> Any:
    """The values of an index expression, as a tile."""
    pattern, multiplier = _pattern(expr, expr.sizes)
    return result(Iota, expr.sizes, dtype, pattern, expr.offset, multiplier, mask=mask)


def affine_select(
    pred: Mask, on_true_tile: Any, on_false_value: Any, *, mask: Any = None, dtype: Any = None, **_: Any
) -> Any:
    """on_true_tile where the predicate holds, on_false_value elsewhere."""
    terms = pred.terms
    equal = len(terms) == 2
    if len(terms) > 2:
        raise NotModelled("affine_select with several comparisons", "one comparison a call")
    pattern, multiplier = _pattern(terms[0], on_true_tile.shape)
    return result(
        AffineSelect, on_true_tile.shape, dtype or on_true_tile.dtype, pattern, multiplier,
        on_true_tile, float(on_false_value), "equal" if equal else "greater_equal",
        terms[0].offset, mask=mask,
    )  # fmt: skip


def _pattern(index: Index, shape: tuple[int, ...]) -> tuple[tuple[tuple[int, int], ...], int]:
    """Steps of the free dimensions, and of the partition dimension."""
    lead = len(shape) - len(index.steps)
    steps = (0,) * lead + index.steps
    return tuple(zip(steps[1:], shape[1:], strict=True)), steps[0]


def bn_stats(data: Any, *, mask: Any = None, dtype: Any = None, **_: Any) -> Any:
    """Count, mean and variance of even and of odd elements."""
    return result(BnStats, (data.partitions, 6), dtype or data.dtype, data, mask=mask)


def bn_aggr(data: Any, *, mask: Any = None, dtype: Any = None, **_: Any) -> Any:
    """Mean and variance from several (count, mean, variance)."""
    return result(BnAggr, (data.partitions, 2), dtype or data.dtype, data, mask=mask)


def max8(*, src: Any, mask: Any = None, dtype: Any = None, **_: Any) -> Any:
    """The 8 largest elements of each partition, in descending order."""
    return result(Max8, (src.partitions, 8), dtype or src.dtype, src, mask=mask)


def nc_find_index8(*, data: Any, vals: Any, mask: Any = None, dtype: Any = np.uint32, **_: Any) -> Any:
    """Where each of 8 values stands in its partition."""
    return result(NcFindIndex8, (data.partitions, 8), dtype, data, vals, mask=mask)


def nc_match_replace8(
    *, data: Any, vals: Any, imm: float, dst_idx: Any = None, mask: Any = None, dtype: Any = None, **_: Any
) -> Any:
    """data with the first match of each of 8 values replaced."""
    return result(
        NcMatchReplace8, data.shape, dtype or data.dtype, data, vals, imm, dst_idx, mask=mask
    )


def nc_stream_shuffle(
    src: Any, dst: Any, shuffle_mask: Any, *, dtype: Any = None, mask: Any = None, **_: Any
) -> None:
    """dst partition i = src partition shuffle_mask[i], in groups of 32."""
    settle()
    emit(NcStreamShuffle, dst, src, tuple(shuffle_mask), mask=mask)


def dma_copy(
    *, dst: Any, src: Any, mask: Any = None, dst_rmw_op: Any = None,
    oob_mode: Any = OobMode.error, dge_mode: Any = dge_mode.unknown, **_: Any,
) -> None:  # fmt: skip
    """dst = src between HBM and SBUF."""
    if dst_rmw_op is not None:
        raise NotModelled("dma_copy with dst_rmw_op", "transfers that read, add and write")
    settle()
    mode = DgeMode[getattr(dge_mode, "name", "unknown")]
    emit(DmaCopy, dst, src, None, oob_mode, mode, mask=mask)


def dma_transpose(src: Any, *, axes: Any = None, mask: Any = None, dtype: Any = None, **_: Any) -> Any:
    """src with its axes reversed, in SBUF."""
    order = {2: (1, 0), 3: (2, 1, 0), 4: (3, 1, 2, 0)}[src.ndim] if axes is None else tuple(axes)
    shape = tuple(src.shape[a] for a in order)
    return result(DmaTranspose, shape, dtype or src.dtype, src, order, mask=mask)


constants = SimpleNamespace(
    engine=engine,
    reduce_cmd=reduce_cmd,
    dge_mode=dge_mode,
    oob_mode=oob_mode,
    nc_version=nc_version,
)


def __getattr__(name: str) -> Any:
    from trnlab.isa.instruction import ISA

    if name in ISA or name in (
        "dropout", "tensor_copy_dynamic_src", "tensor_copy_dynamic_dst", "builtin_custom_op",
    ):  # fmt: skip
        raise NotModelled(f"neuronxcc.nki.isa.{name}", "a front end for it in the older API")
    raise AttributeError(f"module 'neuronxcc.nki.isa' has no attribute {name!r}")
