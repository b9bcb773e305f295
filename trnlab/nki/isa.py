"""`nki.isa` as it is today: every instruction as a function, and the enumerations they take."""

import enum
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import trnlab.isa.activate2
import trnlab.isa.activation
import trnlab.isa.dma
import trnlab.isa.elementwise
import trnlab.isa.exponential
import trnlab.isa.gather
import trnlab.isa.matmul
import trnlab.isa.move
import trnlab.isa.mx
import trnlab.isa.random
import trnlab.isa.reduce
import trnlab.isa.scan
import trnlab.isa.search
import trnlab.isa.select
import trnlab.isa.statistics  # noqa: F401 - importing a family registers its instructions
from trnlab.errors import NotModelled
from trnlab.isa.activation import ReduceCmd as reduce_cmd
from trnlab.isa.dma import DgeMode as dge_mode
from trnlab.isa.dma import OobMode as oob_mode
from trnlab.isa.instruction import ISA
from trnlab.isa.instruction import Queue as engine
from trnlab.nki.issue import function_of
from trnlab.nki.jit import running

tensor_engine, vector_engine, scalar_engine = engine.tensor, engine.vector, engine.scalar
gpsimd_engine, sync_engine, unknown_engine = engine.gpsimd, engine.sync, engine.unknown


class nc_version(enum.IntEnum):
    """Generations of the core."""

    gen2 = 2
    gen3 = 3
    gen4 = 4


class matmul_perf_mode(enum.Enum):
    """Fast modes of the tensor engine."""

    none = 0
    double_row = 1


class dma_engine(enum.Enum):
    """Who moves the data of a send and receive."""

    dma = 1
    gpsimd_dma = 2


def get_nc_version() -> nc_version:
    """The generation of the core that the kernel runs on."""
    return nc_version(running().chip.generation)


def get_nc_sub_version() -> int:
    """The silicon revision; only one is modelled."""
    return 0


# The current API's own samples still pass the dtype of the destination to a copy.
_EXTRA = {"tensor_copy": ", dtype=None"}

for _name, _kind in ISA.items():
    globals()[_name] = function_of(_kind, extra=_EXTRA.get(_name, ""))

constants = SimpleNamespace(
    engine=engine,
    reduce_cmd=reduce_cmd,
    dge_mode=dge_mode,
    oob_mode=oob_mode,
    matmul_perf_mode=matmul_perf_mode,
    dma_engine=dma_engine,
    nc_version=nc_version,
)

NOT_YET = {
    "sendrecv": "two cores that run at the same time",
    "core_barrier": "two cores that run at the same time",
    "register_alloc": "dynamic control flow",
    "register_move": "dynamic control flow",
    "register_load": "dynamic control flow",
    "register_store": "dynamic control flow",
    "rand_set_state": "the generators' own state",
    "rand_get_state": "the generators' own state",
}


def _not_yet(name: str) -> Callable[..., None]:
    def function(*_: Any, **__: Any) -> None:
        raise NotModelled(f"nki.isa.{name}", NOT_YET[name])

    function.__name__ = name
    function.__doc__ = f"Not modelled yet: needs {NOT_YET[name]}."
    return function


for _name in NOT_YET:
    globals()[_name] = _not_yet(_name)
