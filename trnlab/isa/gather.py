"""Instructions of GpSimd that pick elements by index."""

from collections.abc import Iterator

import numpy as np

from trnlab import formats
from trnlab.errors import OutOfBounds
from trnlab.isa.instruction import Instruction, Rule, same_rows
from trnlab.isa.search import GROUP
from trnlab.isa.tile import Tile
from trnlab.machine.chip import Core

RUNS = (1, 2, 4, 8, 16, 32)  # elements that local_gather may take for one index
HARDWARE_GROUP = 512  # elements a partition that one hardware gather handles


class LocalGather(Instruction, engines=("gpsimd",), page="nki.isa.local_gather"):
    """dst = runs of src_buffer, at the columns that index lists for each sixteen partitions.

    The indices of sixteen partitions are read column by column and serve all sixteen; each takes
    ``num_elem_per_idx`` neighbouring elements.
    """

    dst: Tile
    src_buffer: Tile
    index: Tile
    num_elem_per_idx: int = 1
    num_valid_indices: int | None = None

    @property
    def count(self) -> int:
        """Indices that each GpSimd core uses."""
        return self.num_valid_indices or self.index.free * GROUP

    def rules(self, core: Core) -> Iterator[Rule]:
        same = self.src_buffer.partitions == self.index.partitions == self.dst.partitions
        yield "dst, src_buffer and index span the same partitions", same
        yield f"they span a multiple of {GROUP} partitions", self.index.partitions % GROUP == 0
        yield "index is uint16", formats.name(self.index.dtype) == "uint16"
        yield "dst and src_buffer have one dtype", self.dst.dtype == self.src_buffer.dtype
        yield f"num_elem_per_idx is one of {RUNS}", self.num_elem_per_idx in RUNS
        yield "at most 4096 indices a core", self.count <= 4096
        yield "num_valid_indices is no more than index holds", self.count <= self.index.free * GROUP
        wanted = self.count * self.num_elem_per_idx
        yield f"dst has {wanted} elements a partition", self.dst.free == wanted

    def elements(self) -> float:
        """Cycles, from the cost note of the API reference 2.20 to 2.26 with its ratio inverted.

        As printed it would gather eight fp32 elements a cycle.
        """
        run = self.num_elem_per_idx
        return self.count * (7 + run) / min(4 / self.src_buffer.itemsize, run)

    def operations(self) -> float:
        return 0.0

    @property
    def keeps_bits(self) -> bool:
        return True

    def value(self, src_buffer: np.ndarray, index: np.ndarray) -> np.ndarray:
        rows = src_buffer.shape[0]
        flat = src_buffer.reshape(rows // GROUP, GROUP, -1)
        listed = index.reshape(rows // GROUP, GROUP, -1).transpose(0, 2, 1)
        starts = listed.reshape(rows // GROUP, -1)[:, : self.count].astype(np.int64)
        columns = np.add.outer(starts, np.arange(self.num_elem_per_idx))
        columns = columns.reshape(rows // GROUP, 1, -1)
        _check(columns, flat.shape[-1], "nki.isa.local_gather")
        return np.take_along_axis(flat, columns, axis=2).reshape(rows, -1)


class NcNGather(Instruction, engines=("gpsimd",), page="nki.isa.nc_n_gather"):
    """dst = the elements of each partition of data at the columns that indices lists."""

    dst: Tile
    data: Tile
    indices: Tile

    def rules(self, core: Core) -> Iterator[Rule]:
        yield (
            "dst and indices span the same partitions, with equally long rows",
            same_rows(self.dst, self.indices),
        )
        same = self.data.partitions == self.indices.partitions
        yield "data and indices span the same partitions", same
        yield "indices is uint32", formats.name(self.indices.dtype) == "uint32"
        yield "dst and data have one dtype", self.dst.dtype == self.data.dtype

    def elements(self) -> float:
        return self.indices.free

    def overhead(self, core: Core) -> float:
        """No cost is published: each group of 512 elements starts GpSimd anew."""
        gpsimd = core.engine("gpsimd")
        groups = -(-self.indices.free // HARDWARE_GROUP)
        return (groups - 1) * gpsimd.start / gpsimd.hz

    def operations(self) -> float:
        return 0.0

    @property
    def keeps_bits(self) -> bool:
        return True

    def value(self, data: np.ndarray, indices: np.ndarray) -> np.ndarray:
        rows = data.shape[0]
        flat = data.reshape(rows, -1)
        columns = indices.reshape(rows, -1).astype(np.int64)
        _check(columns, flat.shape[1], "nki.isa.nc_n_gather")
        return np.take_along_axis(flat, columns, axis=1)


def _check(columns: np.ndarray, size: int, page: str) -> None:
    largest = int(columns.max(initial=0))
    if largest >= size:
        raise OutOfBounds(
            f"index {largest} is outside the rows it gathers from",
            {"where": f"{int((columns >= size).sum())} of {columns.size} columns"},
            limit=f"0 to {size - 1}",
            see=page,
        )
