"""Collectives whose ranks send as much as a tensor says, known only when they run.

Tensors count as flat rows of elements. Their rules are those of whole tensors; what runs is an
`Exchange` of the parts that the counts name.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from trnlab import formats
from trnlab.isa.collective import Collective, Pattern, ReplicaGroup, Work
from trnlab.isa.instruction import Rule, in_psum
from trnlab.isa.tile import Tile, row_major
from trnlab.machine.chip import Core

COUNT, START, RECEIVED, PLACE = range(4)  # rows of the metadata
RANKS_OF_A_CHIP = 4  # the only size of group that all_gather_v takes


class Part(NamedTuple):
    """Elements that one rank sends to another, by position in the group."""

    sender: int
    receiver: int
    start: int
    size: int
    place: int


class _Uneven(Collective):
    srcs: list[Tile]
    dsts: list[Tile]
    metadata_tensor: list[Tile]
    has_rdispls: bool

    columns = 0  # of the metadata that are inputs; 0: one for each rank

    def _common_rules(self) -> Iterator[Rule]:
        yield "srcs and dsts hold one tensor", len(self.srcs) == len(self.dsts) == self.ranks
        yield from self._hbm_only()
        flat = all(t.strides == row_major(t.shape) for t in self._data())
        yield "srcs and dsts are contiguous", flat
        even = all(t.size % self.ranks == 0 for t in self.dsts)
        yield f"dsts have one slot for each of {self.ranks} ranks", even
        rows = 4 if self.has_rdispls else 3
        tables = self.metadata_tensor
        yield "metadata_tensor is uint32", all(formats.name(t.dtype) == "uint32" for t in tables)
        yield "metadata_tensor is in HBM or SBUF", not any(map(in_psum, tables))
        yield (
            f"metadata_tensor is [{rows}, {self.ranks}], in SBUF [1, {rows}, {self.ranks}]",
            all(t.shape[t.layout.on_chip :] == (rows, self.ranks) for t in tables),
        )

    def table(self, rank: int, first: int, last: int, columns: int) -> Tile:
        """Some rows and columns of a rank's metadata."""
        tile = self.metadata_tensor[rank]
        head = tile.shape[: tile.ndim - 2]
        shape = (*head, last - first, columns)
        return tile.elements_at(shape, tile.strides, tile.offset + first * tile.strides[-2])

    def inputs(self, rank: int) -> Tile:
        """Counts and starts of what a rank sends."""
        return self.table(rank, COUNT, START + 1, self.columns or self.ranks)

    def parts(self, tables: Sequence[np.ndarray], places: Sequence[np.ndarray]) -> list[Part]:
        """Who sends what to whom: from everybody's inputs, and from row 3 where it is given."""
        found = []
        for sender, table in enumerate(tables):
            counts, starts = table.reshape(2, -1).tolist()
            for receiver in range(self.ranks):
                column = receiver if len(counts) > 1 else 0
                slot = self.dsts[receiver].size // self.ranks
                place = slot * sender
                if self.has_rdispls:
                    place = int(places[receiver].reshape(-1)[sender])
                part = Part(sender, receiver, starts[column], counts[column], place)
                found.append(part)
        return found

    def full(self) -> list[Part]:
        """The parts if every slot were full."""
        table = []
        for src, dst in zip(self.srcs, self.dsts, strict=True):
            count = min(self.share(src), dst.size // self.ranks)
            columns = self.columns or self.ranks
            table.append(np.array([[count] * columns, [count * c for c in range(columns)]]))
        places = [np.arange(self.ranks) * (d.size // self.ranks) for d in self.dsts]
        return self.parts(table, places)

    def share(self, src: Tile) -> int:
        """Elements that a rank sends to one other at most."""
        return src.size if self.columns else src.size // self.ranks

    def beyond(self, part: Part) -> str:
        """What a part does that it may not; nothing where it fits."""
        src, dst = self.srcs[part.sender], self.dsts[part.receiver]
        slot = dst.size // self.ranks
        if part.start + part.size > src.size:
            return f"sends elements {part.start} to {part.start + part.size} of {src.size}"
        if not self.has_rdispls and part.size > slot:
            return f"sends {part.size} elements into a slot of {slot}"
        if part.place + part.size > dst.size:
            return f"writes elements {part.place} to {part.place + part.size} of {dst.size}"
        return ""


class AllGatherV(_Uneven, engines=("cc",), page="nki.collectives.all_gather_v", listed=False):
    """Each rank's part of src goes into its slot of every dst; counts are data."""

    srcs: list[Tile]
    dsts: list[Tile]
    replica_group: ReplicaGroup
    metadata_tensor: list[Tile]
    recv_counts_known: bool = False
    has_rdispls: bool = False
    priority: int | None = None
    met: Any = None

    columns = 1
    pattern: ClassVar[Pattern] = "gather"

    def rules(self, core: Core) -> Iterator[Rule]:
        yield from self._common_rules()
        yield "has_rdispls is not supported yet", not self.has_rdispls
        place = self.meeting.place
        yield "each rank is a logical core of two (kernel[2])", place.lnc == 2
        one_chip = len({core // place.system.chip.cores for core in place.cores}) == 1
        yield (
            f"each list has {RANKS_OF_A_CHIP} ranks, of one chip",
            self.ranks == RANKS_OF_A_CHIP and one_chip,
        )


class AllToAllV(_Uneven, engines=("cc",), page="nki.collectives.all_to_all_v", listed=False):
    """Each rank sends a part of src to each rank, into its slot of dst; counts are data."""

    srcs: list[Tile]
    dsts: list[Tile]
    replica_group: ReplicaGroup
    metadata_tensor: list[Tile]
    recv_counts_known: bool = False
    has_rdispls: bool = False
    priority: int | None = None
    met: Any = None

    pattern: ClassVar[Pattern] = "all to all"

    def rules(self, core: Core) -> Iterator[Rule]:
        yield from self._common_rules()
        place = self.meeting.place
        system = place.system
        if system.switched:
            yield "each rank is a logical core of two (kernel[2])", place.lnc == 2
            chips = {core // system.chip.cores for core in place.cores}
            yield "the ranks are all those of several chips", place.whole_chips and len(chips) > 1
            return
        yield "has_rdispls needs chips that are linked by switches", not self.has_rdispls
        nodes = {core // system.node for core in place.cores}
        same = len({core % system.node for core in place.cores}) == 1
        yield (
            "the ranks are the same one of different servers",
            same and len(nodes) == self.ranks > 1,
        )


class Exchange(Collective, engines=("cc",), page="nki.collectives.exchange", listed=False):
    """The parts that a collective of uneven lengths moves, once its counts are known.

    ``dsts`` are the parts that ``srcs`` go to and then the rows that receive ``counts``.
    """

    srcs: list[Tile]
    metadata_tensor: list[Tile]
    dsts: list[Tile]
    counts: tuple[tuple[int, ...], ...]
    called: str
    pattern: Pattern
    size: float
    met: Any = None

    def _data(self) -> list[Tile]:
        return self.srcs

    def work(self) -> Work:
        return Work(self.pattern, self.size)

    def value(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        rows = tuple(np.array(row, np.uint32) for row in self.counts)
        return (*(np.array(a) for a in arrays[: len(self.srcs)]), *rows)
