"""`nki.isa` as it is today: every instruction as a function, and the enumerations they take."""

import enum
from types import SimpleNamespace
from typing import Any

from trnlab.errors import ProgramError as NkiValidationError  # noqa: F401 - part of the API
from trnlab.isa.activate2 import Activate2
from trnlab.isa.activation import Activate, ActivationReduce
from trnlab.isa.activation import ReduceCmd as reduce_cmd
from trnlab.isa.dma import DgeMode as dge_mode
from trnlab.isa.dma import DmaCompute, DmaCopy, DmaTranspose
from trnlab.isa.dma import OobMode as oob_mode
from trnlab.isa.elementwise import Reciprocal, ScalarTensorTensor, TensorScalar, TensorTensor
from trnlab.isa.exponential import Exponential
from trnlab.isa.gather import LocalGather, NcNGather
from trnlab.isa.instruction import Queue as engine
from trnlab.isa.matmul import NcMatmul, NcTranspose
from trnlab.isa.matmul import PerfMode as matmul_perf_mode
from trnlab.isa.move import Memset, NcStreamShuffle, TensorCopy
from trnlab.isa.mx import NcMatmulMx, QuantizeMx
from trnlab.isa.pair import CoreBarrier, SendRecv, dma_engine
from trnlab.isa.random import Dropout, Rand2, RandGetState, RandSetState, Rng, SetRngSeed
from trnlab.isa.reduce import TensorPartitionReduce, TensorReduce, TensorScalarReduce
from trnlab.isa.scan import TensorScalarCumulative, TensorTensorScan
from trnlab.isa.search import NcFindIndex8, NcMatchReplace8, NonzeroWithCount, SequenceBounds, Topk
from trnlab.isa.select import AffineSelect, Iota, RangeSelect, SelectReduce, TensorCopyPredicated
from trnlab.isa.statistics import BnAggr, BnStats, Max8
from trnlab.nki.issue import NkiInstruction, function_of, issue_slowly  # noqa: F401
from trnlab.nki.jit import launch, running, together_as_pair
from trnlab.nki.lookup import absent
from trnlab.nki.registers import (  # noqa: F401 - part of the instruction set
    VirtualRegister,
    register_alloc,
    register_load,
    register_move,
    register_store,
)

tensor_engine, vector_engine, scalar_engine = engine.tensor, engine.vector, engine.scalar
gpsimd_engine, sync_engine, unknown_engine = engine.gpsimd, engine.sync, engine.unknown


class nc_version(enum.IntEnum):
    """Generations of the core."""

    gen2 = 2
    gen3 = 3
    gen4 = 4


def get_nc_version() -> nc_version:
    """The generation of the core that the kernel runs on."""
    return nc_version(running().chip.generation)


def get_nc_sub_version() -> int:
    """The silicon revision; only one is modelled."""
    return 0


activate2 = function_of(Activate2)
activation = function_of(Activate)
activation_reduce = function_of(ActivationReduce)
affine_select = function_of(AffineSelect)
bn_aggr = function_of(BnAggr)
bn_stats = function_of(BnStats)
dma_compute = function_of(DmaCompute)
dma_copy = function_of(DmaCopy)
dma_transpose = function_of(DmaTranspose)
dropout = function_of(Dropout)
exponential = function_of(Exponential)
iota = function_of(Iota)
local_gather = function_of(LocalGather)
max8 = function_of(Max8)
memset = function_of(Memset)
nc_find_index8 = function_of(NcFindIndex8)
nc_match_replace8 = function_of(NcMatchReplace8)
nc_matmul = function_of(NcMatmul)
nc_matmul_mx = function_of(NcMatmulMx)
nc_n_gather = function_of(NcNGather)
nc_stream_shuffle = function_of(NcStreamShuffle)
nc_transpose = function_of(NcTranspose)
nonzero_with_count = function_of(NonzeroWithCount)
quantize_mx = function_of(QuantizeMx)
rand2 = function_of(Rand2)
rand_get_state = function_of(RandGetState)
rand_set_state = function_of(RandSetState)
range_select = function_of(RangeSelect)
reciprocal = function_of(Reciprocal)
rng = function_of(Rng)
scalar_tensor_tensor = function_of(ScalarTensorTensor)
select_reduce = function_of(SelectReduce)
sequence_bounds = function_of(SequenceBounds)
set_rng_seed = function_of(SetRngSeed)
# The vendor's own samples still pass a dtype to a copy.
tensor_copy = function_of(
    TensorCopy, extra=", dtype=None", check="dtype is None or format_of(dtype)"
)
tensor_copy_predicated = function_of(TensorCopyPredicated)
tensor_partition_reduce = function_of(TensorPartitionReduce)
tensor_reduce = function_of(TensorReduce)
tensor_scalar = function_of(TensorScalar)
tensor_scalar_cumulative = function_of(TensorScalarCumulative)
tensor_scalar_reduce = function_of(TensorScalarReduce)
tensor_tensor = function_of(TensorTensor)
tensor_tensor_scan = function_of(TensorTensorScan)
topk = function_of(Topk)


def sendrecv(
    src: Any, dst: Any, send_to_rank: int, recv_from_rank: int, pipe_id: int,
    dma_engine: Any = dma_engine.dma, name: str | None = None,
) -> None:  # fmt: skip
    how = (send_to_rank, recv_from_rank, pipe_id, dma_engine)

    def exchange(offers: dict[int, Any]) -> None:
        run, here = running(), running().core_index
        sent = {}
        if run.values:
            sent = {core: run.executor.show(given).copy() for core, (given, _) in offers.items()}
        for core, (_, target) in sorted(offers.items()):
            run.switch(core)
            issue_slowly(run, SendRecv, (offers[core ^ 1][0], target, *how))
        for core, (_, target) in offers.items():
            if run.values:  # a tile may be sent and received in one
                run.executor.store(target, sent[core ^ 1], raw=True)
        run.switch(here)

    _meet("sendrecv", (pipe_id,), (src, dst), exchange)


def core_barrier(
    data: Any, cores: Any, engine: Any = engine.gpsimd, name: str | None = None
) -> None:
    def both(offers: dict[int, Any]) -> None:
        run, here = running(), running().core_index
        first, second = sorted(offers)
        for core in (first, second, first):  # the first learns last that the second is there
            run.switch(core)
            issue_slowly(run, CoreBarrier, (data, tuple(cores), engine))
        run.switch(here)

    _meet("core_barrier", (data.storage.name,), None, both)


def _meet(name: str, key: tuple[Any, ...], offer: Any, together: Any) -> None:
    """Lets the two cores of a pair come together."""
    turns, core = together_as_pair(launch(), name), running().core_index
    pair = (core & ~1, core | 1)
    turns.meet((name, *key), pair, offer, together, f"{name}{key}", f"nki.isa.{name}")


sendrecv.__doc__ = SendRecv.__doc__
core_barrier.__doc__ = CoreBarrier.__doc__

constants = SimpleNamespace(
    engine=engine,
    reduce_cmd=reduce_cmd,
    dge_mode=dge_mode,
    oob_mode=oob_mode,
    matmul_perf_mode=matmul_perf_mode,
    dma_engine=dma_engine,
    nc_version=nc_version,
)


def __getattr__(name: str) -> Any:
    raise absent("nki.isa", name, globals())
