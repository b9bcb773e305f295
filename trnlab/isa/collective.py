"""Instructions that ranks take part in together: one for a whole group, with everybody's tensors.

A group is what meets: ``srcs`` and ``dsts`` hold the tensors of its first rank, then of its second,
and so on. What a rank wrote in its kernel is one share of that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal

import numpy as np

from trnlab.errors import BadArguments
from trnlab.isa.instruction import Instruction, Rule, in_sbuf
from trnlab.isa.ops import Op
from trnlab.isa.tile import HBM_SPACES, Tile
from trnlab.machine.chip import Core
from trnlab.machine.system import Placement

Pattern = Literal["gather", "reduce", "all to all", "permute"]
REDUCING = ("add", "minimum", "maximum")
CHANNELS_OF_A_NODE, CHANNELS = 4, 2  # nki.collectives.collective_permute_implicit


@dataclass(frozen=True)
class ReplicaGroup:
    """Which ranks take part together: lists of ranks that do not overlap."""

    replica_groups: Sequence[Sequence[int]]

    def __post_init__(self) -> None:
        groups = tuple(tuple(int(rank) for rank in group) for group in self.replica_groups)
        object.__setattr__(self, "replica_groups", groups)
        ranks = [rank for group in groups for rank in group]
        if len(set(ranks)) < len(ranks) or min(ranks, default=0) < 0 or not all(groups):
            raise BadArguments(
                f"a replica group cannot be {[list(group) for group in groups]}",
                limit="lists of ranks from 0 on, none of them empty, no rank twice",
                see="nki.collectives.ReplicaGroup",
            )

    def of(self, rank: int) -> tuple[int, ...] | None:
        """The list that a rank is in."""
        return next((tuple(group) for group in self.replica_groups if rank in group), None)


@dataclass(frozen=True)
class Meeting:
    """Who has come: the ranks, where they are, and core and source line of every caller."""

    ranks: tuple[int, ...]
    place: Placement
    callers: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Work:
    """How much a collective moves: ``size`` bytes, by pattern.

    ``gather``: each rank's share, which all the others get. ``reduce``: what each rank has, which
    all add up. ``all to all``: what each rank has, and sends to all in equal parts. ``permute``:
    what each of ``pairs`` (positions in the group) sends.
    """

    pattern: Pattern
    size: float
    pairs: tuple[tuple[int, int], ...] = ()
    rounds: int = 1  # a reduction whose result everyone gets goes both ways


class Collective(Instruction):
    """Ranks exchange tensors; nobody starts before the last has come."""

    srcs: list[Tile]
    dsts: list[Tile]

    writes = ("dsts",)

    def written(self) -> tuple[str, ...]:
        return tuple(n for n in self.tiles() if n.partition("[")[0] in self.writes)

    def reads(self) -> tuple[str, ...]:
        return tuple(n for n in self.tiles() if n.partition("[")[0] not in self.writes)

    @property
    def queue(self) -> str:
        return "cc"

    @property
    def keeps_bits(self) -> bool:
        return True

    @property
    def meeting(self) -> Meeting:
        """Who takes part; filled in by whoever lets them meet."""
        return self.met  # type: ignore[attr-defined]

    @property
    def ranks(self) -> int:
        """Ranks of the group."""
        return len(self.meeting.ranks)

    def work(self) -> Work:
        """How much it moves."""
        raise NotImplementedError(self.name)

    def elements(self) -> float:
        return 0

    def operations(self) -> float:
        return 0.0

    def sent(self) -> float:
        """Bytes of the tensors that one rank gives."""
        tiles = self.tiles()
        return sum(_bytes(tiles[name]) for name in self.reads()) / self.ranks

    def received(self) -> float:
        """Bytes of the tensors that one rank gets."""
        tiles = self.tiles()
        return sum(_bytes(tiles[name]) for name in self.written()) / self.ranks

    def _shared_rules(self, core: Core) -> Iterator[Rule]:
        priority = getattr(self, "priority", None)
        if priority is not None:
            able = "dma_priority" in core.can
            yield "priority needs a core with 'dma_priority'", able
            yield "priority is 0 to 3", priority in range(4)
        yield "srcs and dsts have one dtype", len({str(t.dtype) for t in self._data()}) <= 1

    def _data(self) -> list[Tile]:
        """The tensors that are exchanged, given and received."""
        return [t for name, t in self.tiles().items() if not name.startswith("metadata")]

    def _hbm_only(self) -> Iterator[Rule]:
        yield "srcs and dsts are in HBM", all(t.space in HBM_SPACES for t in self._data())

    def _one_memory(self) -> Iterator[Rule]:
        """All in HBM; or all in SBUF, and then one tensor a rank, of two dimensions."""
        tiles = self._data()
        on_chip = [t for t in tiles if t.layout.on_chip]
        mixed = 0 < len(on_chip) < len(tiles) or not all(map(in_sbuf, on_chip))
        yield "srcs and dsts are all in HBM or all in SBUF", not mixed
        if on_chip:
            yield "in SBUF there is one tensor", len(self.srcs) == self.ranks
            yield "in SBUF tensors have 2 dimensions", all(t.ndim == 2 for t in on_chip)

    def _one_each(self) -> Iterator[Rule]:
        yield "there is one dst for each src", len(self.srcs) == len(self.dsts) >= self.ranks


def _bytes(tile: Tile) -> int:
    return tile.size * tile.itemsize


def _scaled(shape: tuple[int, ...], dim: int, by: int) -> tuple[int, ...]:
    return (*shape[:dim], shape[dim] * by, *shape[dim + 1 :])


def op_rule(op: Op) -> Iterator[Rule]:
    """The rule that collectives reduce with few operators."""
    yield f"op is one of {', '.join(REDUCING)}", op.name in REDUCING


class AllReduce(Collective, engines=("cc",), page="nki.collectives.all_reduce", listed=False):
    """Every dst = op over the srcs of all ranks, in fp32, rounded once."""

    srcs: list[Tile]
    dsts: list[Tile]
    replica_group: ReplicaGroup
    op: Op
    priority: int | None = None
    met: Any = None

    def rules(self, core: Core) -> Iterator[Rule]:
        yield from self._one_each()
        yield from self._one_memory()
        yield from op_rule(self.op)
        same = all(s.shape == d.shape for s, d in zip(self.srcs, self.dsts, strict=False))
        yield "dsts are shaped as srcs", same

    @property
    def keeps_bits(self) -> bool:
        return False

    def work(self) -> Work:
        return Work("reduce", self.sent(), rounds=2)

    def operations(self) -> float:
        return float(sum(t.size for t in self.srcs) * (self.ranks - 1) / self.ranks)

    def value(self, *srcs: np.ndarray) -> tuple[np.ndarray, ...]:
        each = len(srcs) // self.ranks
        sums = [reduce(self.op.value, srcs[i::each]) for i in range(each)]
        return tuple(np.array(s) for _ in range(self.ranks) for s in sums)


class AllGather(Collective, engines=("cc",), page="nki.collectives.all_gather", listed=False):
    """Every dst = the srcs of all ranks, one behind the other along ``collective_dim``."""

    srcs: list[Tile]
    dsts: list[Tile]
    replica_group: ReplicaGroup
    collective_dim: int
    priority: int | None = None
    met: Any = None

    def rules(self, core: Core) -> Iterator[Rule]:
        yield from self._one_each()
        yield from self._one_memory()
        on_chip = all(map(in_sbuf, self.srcs))
        legal = (0, 1) if on_chip else (0,)
        words = "0 or 1 in SBUF" if on_chip else "0 in HBM"
        yield f"collective_dim is {words}", self.collective_dim in legal
        fits = all(
            self.collective_dim < s.ndim
            and d.shape == _scaled(s.shape, self.collective_dim, self.ranks)
            for s, d in zip(self.srcs, self.dsts, strict=False)
        )
        yield f"dsts are {self.ranks} srcs long in dimension {self.collective_dim}", fits

    def work(self) -> Work:
        return Work("gather", self.sent())

    def value(self, *srcs: np.ndarray) -> tuple[np.ndarray, ...]:
        each = len(srcs) // self.ranks
        whole = [np.concatenate(srcs[i::each], axis=self.collective_dim) for i in range(each)]
        return tuple(np.array(w) for _ in range(self.ranks) for w in whole)


class ReduceScatter(
    Collective, engines=("cc",), page="nki.collectives.reduce_scatter", listed=False
):
    """The dst of each rank = its part, along dimension 0, of op over the srcs of all ranks."""

    srcs: list[Tile]
    dsts: list[Tile]
    replica_group: ReplicaGroup
    collective_dim: int
    op: Op
    priority: int | None = None
    met: Any = None

    def rules(self, core: Core) -> Iterator[Rule]:
        yield from self._one_each()
        yield from self._one_memory()
        yield from op_rule(self.op)
        yield "collective_dim is 0", self.collective_dim == 0
        pairs = zip(self.srcs, self.dsts, strict=False)
        fits = all(s.shape == _scaled(d.shape, 0, self.ranks) for s, d in pairs)
        yield f"srcs are {self.ranks} dsts long in dimension 0", fits

    @property
    def keeps_bits(self) -> bool:
        return False

    def work(self) -> Work:
        return Work("reduce", self.sent())

    def operations(self) -> float:
        return float(sum(t.size for t in self.dsts) * (self.ranks - 1) / self.ranks)

    def value(self, *srcs: np.ndarray) -> tuple[np.ndarray, ...]:
        each = len(srcs) // self.ranks
        sums = [np.split(reduce(self.op.value, srcs[i::each]), self.ranks) for i in range(each)]
        return tuple(np.array(parts[rank]) for rank in range(self.ranks) for parts in sums)


class AllToAll(Collective, engines=("cc",), page="nki.collectives.all_to_all", listed=False):
    """Part r of every src, along dimension 0, goes to rank r: the dst there has one of each."""

    srcs: list[Tile]
    dsts: list[Tile]
    replica_group: ReplicaGroup
    collective_dim: int
    priority: int | None = None
    met: Any = None

    def rules(self, core: Core) -> Iterator[Rule]:
        yield from self._one_each()
        yield from self._hbm_only()
        yield "collective_dim is 0", self.collective_dim == 0
        pairs = zip(self.srcs, self.dsts, strict=False)
        yield "dsts are shaped as srcs", all(s.shape == d.shape for s, d in pairs)
        even = all(s.shape[0] % self.ranks == 0 for s in self.srcs)
        yield f"dimension 0 of srcs divides by {self.ranks} ranks", even

    def work(self) -> Work:
        return Work("all to all", self.sent())

    def value(self, *srcs: np.ndarray) -> tuple[np.ndarray, ...]:
        each = len(srcs) // self.ranks
        parts = [[np.split(s, self.ranks) for s in srcs[i::each]] for i in range(each)]
        return tuple(
            np.concatenate([theirs[rank] for theirs in tensor])
            for rank in range(self.ranks)
            for tensor in parts
        )
