"""`neuronxcc.nki.isa`: the same instructions, each returning the tile that it makes."""
# ruff: noqa: F401 - what is imported here is part of the API

import enum
from types import SimpleNamespace
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.errors import BadArguments, NotModelled
from trnlab.isa.activation import Activate, ActivationReduce
from trnlab.isa.activation import ReduceCmd as reduce_cmd
from trnlab.isa.dma import DgeMode, DmaCompute, DmaCopy, DmaTranspose
from trnlab.isa.dma import OobMode as oob_mode
from trnlab.isa.elementwise import Reciprocal, ScalarTensorTensor, TensorScalar, TensorTensor
from trnlab.isa.gather import LocalGather
from trnlab.isa.instruction import ISA
from trnlab.isa.instruction import Queue as engine
from trnlab.isa.matmul import NcMatmul, NcTranspose
from trnlab.isa.move import Memset, NcStreamShuffle, TensorCopy
from trnlab.isa.ops import op_of
from trnlab.isa.random import Dropout
from trnlab.isa.reduce import TensorPartitionReduce, TensorScalarReduce
from trnlab.isa.scan import TensorScalarCumulative, TensorTensorScan
from trnlab.isa.search import NcFindIndex8, NcMatchReplace8, SequenceBounds
from trnlab.isa.select import FP32_MIN, TensorCopyPredicated
from trnlab.isa.statistics import BnAggr, BnStats, Max8
from trnlab.isa.tile import PSUM, SBUF
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
from trnlab.nki.jit import running
from trnlab.nki.legacy.indirect import Indirect
from trnlab.nki.legacy.issuing import emit, on_sbuf, transposed_in
from trnlab.nki.legacy.math import REPEATED, reduction, together
from trnlab.nki.legacy.pending import result, settle
from trnlab.nki.legacy.selecting import affine_select, iota, range_select, select_reduce
from trnlab.nki.tensors import given


class dge_mode(enum.Enum):
    """Who writes the descriptors of a transfer."""

    none = 0
    swdge = 1
    hwdge = 2
    unknown = 3


class fp32:
    """Limits of fp32."""

    min = FP32_MIN


dma_engine = engine.dma


def nc_matmul(
    stationary: Any, moving: Any, *, is_stationary_onezero: bool = False,
    is_moving_onezero: bool = False, is_transpose: bool = False, tile_position: Any = (),
    tile_size: Any = (), perf_mode: Any = None, mask: Any = None,
    name: Any = None,
) -> Any:  # fmt: skip
    """stationary.T @ moving in PSUM."""
    double = getattr(perf_mode, "name", str(perf_mode)).startswith("double")
    halves = 2 if double else 1
    return result(
        NcMatmul, (stationary.free // halves, moving.free // halves), "float32", stationary, moving,
        is_stationary_onezero, is_moving_onezero, is_transpose, False,
        tuple(int(n) for n in tile_position), tuple(int(n) for n in tile_size),
        matmul_perf_mode.double_row if double else None, mask=mask, space=PSUM,
    )  # fmt: skip


def nc_transpose(
    data: Any,
    *,
    mask: Any = None,
    dtype: Any = None,
    engine: Any = engine.unknown,
    name: Any = None,
) -> Any:
    """data with partition and free dimension exchanged; in PSUM if the tensor engine does it."""
    shape, kind = (data.free, data.partitions), given(dtype, data.dtype)
    return result(
        NcTranspose, shape, kind, data, engine, mask=mask, space=transposed_in(data, engine)
    )


def activation(
    op: Any, data: Any, *, bias: Any = None, scale: Any = 1.0, reduce_op: Any = None,
    reduce_res: Any = None, reduce_cmd: Any = reduce_cmd.idle, mask: Any = None,
    dtype: Any = None, buffer: Any = None, name: Any = None,
) -> Any:  # fmt: skip
    """op(data * scale + bias), and on request the sum over the free dimension."""
    return result(
        Activate, data.shape, given(dtype, data.dtype), op, data, bias, scale, reduce_op,
        reduce_res, reduce_cmd, mask=mask, space=given(buffer, SBUF),
    )  # fmt: skip


def activation_reduce(
    op: Any, data: Any, *, reduce_op: Any, reduce_res: Any, bias: Any = None, scale: Any = 1.0,
    mask: Any = None, dtype: Any = None, name: Any = None,
) -> Any:  # fmt: skip
    """op(data * scale + bias), and reduce_res = its sum over the free dimension."""
    return result(
        ActivationReduce, data.shape, given(dtype, data.dtype), op, data, reduce_op, reduce_res,
        bias, scale, mask=mask,
    )  # fmt: skip


def tensor_copy(
    src: Any, *, mask: Any = None, dtype: Any = None, engine: Any = engine.unknown, name: Any = None
) -> Any:
    """A copy of src, cast if asked for."""
    return result(TensorCopy, src.shape, given(dtype, src.dtype), src, engine, mask=mask)


def tensor_copy_dynamic_src(
    src: Any, *, mask: Any = None, dtype: Any = None, engine: Any = engine.unknown,
    name: Any = None,
) -> Any:  # fmt: skip
    """A copy of src, a tile that is indexed with a number in SBUF: ``tile[i_p, number, i_f]``."""
    return result(TensorCopy, src.shape, given(dtype, src.dtype), src, engine, mask=mask)


def tensor_copy_dynamic_dst(
    *, dst: Any, src: Any, mask: Any = None, dtype: Any = None, engine: Any = engine.unknown,
    name: Any = None,
) -> None:  # fmt: skip
    """dst = src, where dst is a tile that is indexed with a number in SBUF."""
    settle()
    emit(TensorCopy, dst, src, engine, mask=mask)


def tensor_copy_predicated(
    *, src: Any, dst: Any, predicate: Any, reverse_pred: bool = False, mask: Any = None,
    dtype: Any = None, name: Any = None,
) -> None:  # fmt: skip
    """dst = src where the predicate is not 0; missing last dimensions are repeated."""
    settle()
    if predicate.size < dst.size and predicate.partitions == dst.partitions:
        missing = (1,) * (dst.ndim - predicate.ndim)
        predicate = predicate.reshape((*predicate.shape, *missing)).broadcast_to(dst.shape)
    emit(TensorCopyPredicated, dst, src, predicate, reverse_pred, mask=mask)


def memset(
    shape: Any,
    value: Any,
    dtype: Any,
    *,
    mask: Any = None,
    engine: Any = engine.unknown,
    name: Any = None,
) -> Any:
    """A new tile of one value."""
    return result(Memset, tuple(shape), dtype, value, engine, mask=mask)


def tensor_tensor(
    data1: Any, data2: Any, op: Any, *, dtype: Any = None, mask: Any = None,
    engine: Any = engine.unknown, name: Any = None,
) -> Any:  # fmt: skip
    """data1 <op> data2, element by element; free dimensions of size 1 are repeated."""
    kind = dtype if dtype is not None else formats.promote(data1.dtype, data2.dtype)
    if data1.partitions == data2.partitions and data1.free != data2.free:
        data1, data2 = together(data1, data2)
    if data1.space is PSUM and data2.space is PSUM:
        data1, data2 = (on_sbuf(t) if t.storage.name == REPEATED else t for t in (data1, data2))
    return result(TensorTensor, data1.shape, kind, data1, data2, op, engine, mask=mask)


def tensor_scalar(
    data: Any, op0: Any, operand0: Any, reverse0: bool = False, op1: Any = None,
    operand1: Any = None, reverse1: bool = False, *, dtype: Any = None, mask: Any = None,
    engine: Any = engine.unknown, name: Any = None,
) -> Any:  # fmt: skip
    """(data <op0> operand0) <op1> operand1."""
    return result(
        TensorScalar, data.shape, given(dtype, data.dtype), data, op0, operand0, reverse0, op1,
        operand1, reverse1, engine, mask=mask,
    )  # fmt: skip


def scalar_tensor_tensor(
    *, data: Any, op0: Any, operand0: Any, op1: Any, operand1: Any, reverse0: bool = False,
    reverse1: bool = False, dtype: Any = None, mask: Any = None, name: Any = None,
) -> Any:  # fmt: skip
    """(data <op0> operand0) <op1> operand1, where operand1 is a tile."""
    return result(
        ScalarTensorTensor, data.shape, given(dtype, data.dtype), data, op0, operand0, op1,
        operand1, reverse0, reverse1, mask=mask,
    )  # fmt: skip


def tensor_reduce(
    op: Any, data: Any, axis: Any, *, mask: Any = None, dtype: Any = None, negate: bool = False,
    keepdims: bool = False, name: Any = None,
) -> Any:  # fmt: skip
    """The elements of data along free axes, combined with op."""
    return reduction(op, data, axis, dtype, mask, keepdims, negate)


def tensor_partition_reduce(
    op: Any, data: Any, *, mask: Any = None, dtype: Any = None, name: Any = None
) -> Any:
    """The elements of data over its partitions, combined with op."""
    shape = (1, *data.shape[1:])
    return result(TensorPartitionReduce, shape, given(dtype, data.dtype), op, data, mask=mask)


def tensor_scalar_reduce(
    *, data: Any, op0: Any, operand0: Any, reduce_op: Any, reduce_res: Any,
    reverse0: bool = False, dtype: Any = None, mask: Any = None, name: Any = None,
) -> Any:  # fmt: skip
    """data <op0> operand0, and reduce_res = its reduction over the free dimension."""
    return result(
        TensorScalarReduce, data.shape, given(dtype, data.dtype), data, op0, operand0, reduce_op,
        reduce_res, reverse0, mask=mask,
    )  # fmt: skip


def tensor_scalar_cumulative(
    *, src: Any, op0: Any, op1: Any, imm0: Any, imm1: Any = None, dst: Any = None,
    reduce_cmd: Any = reduce_cmd.reset_reduce, dtype: Any = None, mask: Any = None,
    name: Any = None,
) -> Any:  # fmt: skip
    """(src[i] <op0> imm0) <op1> the element before; into dst if there is one."""
    operands = (src, op0, op1, imm0, imm1, reduce_cmd)
    if dst is None:
        kind = given(dtype, src.dtype)
        return result(TensorScalarCumulative, src.shape, kind, *operands, mask=mask)
    settle()
    return emit(TensorScalarCumulative, dst, *operands, mask=mask)


def tensor_tensor_scan(
    data0: Any, data1: Any, initial: Any, op0: Any, op1: Any, reverse0: bool = False,
    reverse1: bool = False, *, dtype: Any = None, mask: Any = None, name: Any = None,
) -> Any:  # fmt: skip
    """r[i] = (data0[i] <op0> r[i - 1]) <op1> data1[i]."""
    return result(
        TensorTensorScan, data0.shape, given(dtype, data0.dtype), data0, data1, initial, op0, op1,
        reverse0, reverse1, mask=mask,
    )  # fmt: skip


def reciprocal(data: Any, *, dtype: Any = None, mask: Any = None, name: Any = None) -> Any:
    """1 / data."""
    return result(Reciprocal, data.shape, given(dtype, data.dtype), data, mask=mask)


def dropout(data: Any, prob: Any, *, dtype: Any = None, mask: Any = None, name: Any = None) -> Any:
    """data with elements replaced by 0 with a probability."""
    return result(Dropout, data.shape, given(dtype, data.dtype), data, prob, mask=mask)


def bn_stats(data: Any, *, mask: Any = None, dtype: Any = None, name: Any = None) -> Any:
    """Count, mean and variance of even and of odd elements."""
    return result(BnStats, (data.partitions, 6), given(dtype, data.dtype), data, mask=mask)


def bn_aggr(data: Any, *, mask: Any = None, dtype: Any = None, name: Any = None) -> Any:
    """Mean and variance from several (count, mean, variance)."""
    return result(BnAggr, (data.partitions, 2), given(dtype, data.dtype), data, mask=mask)


def max8(*, src: Any, mask: Any = None, dtype: Any = None, name: Any = None) -> Any:
    """The 8 largest elements of each partition, in descending order."""
    return result(Max8, (src.partitions, 8), given(dtype, src.dtype), src, mask=mask)


def nc_find_index8(
    *, data: Any, vals: Any, mask: Any = None, dtype: Any = None, name: Any = None
) -> Any:
    """Where each of 8 values stands in its partition."""
    return result(
        NcFindIndex8, (data.partitions, 8), given(dtype, np.uint32), data, vals, mask=mask
    )


def nc_match_replace8(
    *, data: Any, vals: Any, imm: float, dst_idx: Any = None, mask: Any = None, dtype: Any = None,
    name: Any = None,
) -> Any:  # fmt: skip
    """data with the first match of each of 8 values replaced."""
    kind = given(dtype, data.dtype)
    return result(NcMatchReplace8, data.shape, kind, data, vals, imm, dst_idx, mask=mask)


def nc_stream_shuffle(
    src: Any, dst: Any, shuffle_mask: Any, *, dtype: Any = None, mask: Any = None, name: Any = None
) -> None:
    """dst partition i = src partition shuffle_mask[i], in groups of 32."""
    settle()
    emit(NcStreamShuffle, dst, src, tuple(int(n) for n in shuffle_mask), mask=mask)


def local_gather(
    src_buffer: Any, index: Any, num_elem_per_idx: int = 1, num_valid_indices: Any = None, *,
    mask: Any = None, name: Any = None,
) -> Any:  # fmt: skip
    """Runs of src_buffer at the columns that index lists for each sixteen partitions."""
    count = num_valid_indices or index.size // (index.partitions // 16)
    columns = (num_elem_per_idx,) if num_elem_per_idx > 1 else ()
    shape = (src_buffer.partitions, count, *columns)
    return result(
        LocalGather, shape, src_buffer.dtype, src_buffer, index, num_elem_per_idx,
        num_valid_indices, mask=mask,
    )  # fmt: skip


def sequence_bounds(*, segment_ids: Any, dtype: Any = None, name: Any = None) -> Any:
    """Where the segment of each element begins and ends."""
    shape = (1, 2, segment_ids.free)
    return result(SequenceBounds, shape, given(dtype, segment_ids.dtype), segment_ids)


def dma_copy(
    *, dst: Any, src: Any, mask: Any = None, dst_rmw_op: Any = None,
    oob_mode: Any = oob_mode.error, dge_mode: Any = dge_mode.unknown, mode: Any = None,
    name: Any = None,
) -> None:  # fmt: skip
    """dst = src between HBM and SBUF; with ``dst_rmw_op`` their sum."""
    settle()
    adds = dst_rmw_op is not None
    if adds and op_of(dst_rmw_op).name != "add":
        raise BadArguments("dst_rmw_op is np.add or None", place=running().here())
    skip = getattr(mode or oob_mode, "name", "") == "skip"
    if isinstance(dst, Indirect):
        source = src.gathered() if isinstance(src, Indirect) else src
        settle()
        dst.scatter(source, mask, skip=skip, add=adds)
    elif isinstance(src, Indirect):
        src.gather(dst, mask, skip=skip)
    elif adds:
        emit(DmaCompute, dst, [dst, src], "add", mask=mask)
    else:
        chosen = DgeMode[getattr(dge_mode, "name", "unknown")]
        emit(DmaCopy, dst, src, None, oob_mode, chosen, mask=mask)


def dma_transpose(
    src: Any, *, axes: Any = None, mask: Any = None, dtype: Any = None, dge_mode: Any = None,
    name: Any = None,
) -> Any:  # fmt: skip
    """src with its axes reversed, in SBUF."""
    if isinstance(src, Indirect):
        src = src.gathered()
    default = {2: (1, 0), 3: (2, 1, 0), 4: (3, 1, 2, 0)}
    order = tuple(axes) if axes is not None else default[src.ndim]
    shape = tuple(src.shape[a] for a in order)
    return result(DmaTranspose, shape, given(dtype, src.dtype), src, order, mask=mask)


constants = SimpleNamespace(
    engine=engine,
    reduce_cmd=reduce_cmd,
    dge_mode=dge_mode,
    oob_mode=oob_mode,
    nc_version=nc_version,
)

NOT_YET = {
    "builtin_custom_op": "programs for GpSimd that are not NKI",
}


def __getattr__(name: str) -> Any:
    if name in NOT_YET or name in ISA:
        needs = NOT_YET.get(name, "a front end for it in the older API")
        raise NotModelled(f"neuronxcc.nki.isa.{name}", needs)
    raise AttributeError(f"module 'neuronxcc.nki.isa' has no attribute {name!r}")
