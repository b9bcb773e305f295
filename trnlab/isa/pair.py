"""Instructions that two cores of a pair take part in together."""

from collections.abc import Iterator
from enum import Enum
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.isa.dma import Transfer
from trnlab.isa.instruction import Instruction, Queue, Rule, in_sbuf, same_rows
from trnlab.isa.rules import only
from trnlab.isa.tile import Space, Tile
from trnlab.machine.chip import Core

# Largest row that GpSimd's own DMA engine exchanges, in bytes, by bytes of an element.
GPSIMD_ROWS = {4: 1024, 2: 512, 1: 256}


class dma_engine(Enum):
    """Who moves the data of a send and receive."""

    dma = 1
    gpsimd_dma = 2


class SendRecv(Transfer, engines=("dma",), page="nki.isa.sendrecv", needs="sendrecv"):
    """Each core's dst = the other core's src; both wait for each other.

    Calls with one ``pipe_id`` belong together. ``dma_engine`` gpsimd_dma takes small rows only.
    """

    src: Tile
    dst: Tile
    send_to_rank: int
    recv_from_rank: int
    pipe_id: int
    dma_engine: Any = None

    def rules(self, core: Core) -> Iterator[Rule]:
        yield "src and dst are in SBUF", in_sbuf(self.src) and in_sbuf(self.dst)
        yield "src and dst have one dtype", self.src.dtype == self.dst.dtype
        yield "src and dst have one shape", same_rows(self.src, self.dst)
        blocks = self.src.partitions % 16 == 0
        yield "src and dst span a multiple of 16 partitions", blocks, only("0.2", "0.4")
        ranks = {self.send_to_rank, self.recv_from_rank}
        yield "ranks are 0 or 1", ranks <= {0, 1}
        if self._own_engine:
            limit = GPSIMD_ROWS.get(formats.itemsize(self.src.dtype), 0)
            row = self.src.free * self.src.itemsize
            yield f"GpSimd's own DMA exchanges at most {limit} bytes a partition", row <= limit

    @property
    def _own_engine(self) -> bool:
        return getattr(self.dma_engine, "name", "") == "gpsimd_dma"

    @property
    def queue(self) -> str:
        return "gpsimd" if self._own_engine else "sync"

    @property
    def keeps_bits(self) -> bool:
        return True

    def value(self, src: np.ndarray) -> np.ndarray:
        return src


class CoreBarrier(
    Instruction,
    engines=("gpsimd", "tensor", "vector", "scalar", "sync"),
    page="nki.isa.core_barrier",
    needs="core_barrier",
):
    """Both cores wait for each other before they go on with a tensor in shared HBM.

    It blocks one engine of each core, and whoever touches ``data``.
    """

    data: Tile
    cores: tuple[int, ...]
    engine: Queue = Queue.unknown

    writes = ("data",)
    moves = False

    def rules(self, core: Core) -> Iterator[Rule]:
        yield "data is in shared HBM", self.data.space is Space.shared_hbm
        yield "cores are (0, 1)", tuple(self.cores) == (0, 1)

    def _shared_rules(self, core: Core) -> Iterator[Rule]:
        yield f"runs on {' or '.join(self.engines)}", self.queue in self.engines

    def elements(self) -> float:
        return 1

    def overhead(self, core: Core) -> float:
        return 2 * core.timing.semaphore  # one to the other core, one back

    def operations(self) -> float:
        return 0.0
