"""Collectives in which every rank sends to one other."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from trnlab.isa.collective import (
    CHANNELS,
    CHANNELS_OF_A_NODE,
    Collective,
    ReplicaGroup,
    Work,
    op_rule,
)
from trnlab.isa.instruction import Rule
from trnlab.isa.ops import Op
from trnlab.isa.tile import Tile
from trnlab.machine.chip import Core

Pairs = tuple[tuple[int, int], ...]


class CollectivePermute(
    Collective, engines=("cc",), page="nki.collectives.collective_permute", listed=False
):
    """The dst of each target = the src of its source; pairs form rings."""

    srcs: list[Tile]
    dsts: list[Tile]
    source_target_pairs: Pairs
    priority: int | None = None
    met: Any = None

    def rules(self, core: Core) -> Iterator[Rule]:
        yield from self._hbm_only()
        one = len(self.srcs) == len(self.dsts) == self.ranks
        yield "srcs and dsts hold one tensor each", one
        sources = [source for source, _ in self.source_target_pairs]
        targets = [target for _, target in self.source_target_pairs]
        once = len(set(sources)) == len(sources) and len(set(targets)) == len(targets)
        yield "a rank sends once and receives once", once
        yield "pairs form rings: whoever sends also receives", set(sources) == set(targets)
        shapes = {t.shape for t in (*self.srcs, *self.dsts)}
        yield "dsts are shaped as srcs", len(shapes) == 1

    def _pairs(self) -> Pairs:
        where = self.meeting.ranks.index
        return tuple((where(a), where(b)) for a, b in self.source_target_pairs)

    def work(self) -> Work:
        return Work("permute", self.sent(), self._pairs())

    def value(self, *srcs: np.ndarray) -> tuple[np.ndarray, ...]:
        source = {target: source for source, target in self._pairs()}
        return tuple(np.array(srcs[source[rank]]) for rank in range(self.ranks))


class _Ring(Collective):
    """Each rank of a list sends to the next, the last to the first; several channels at once."""

    channel_ids: tuple[int, ...]

    def _ring_rules(self, count: int) -> Iterator[Rule]:
        yield from self._hbm_only()
        channels = len(self.channel_ids)
        consecutive = tuple(self.channel_ids) == tuple(range(channels)) and channels > 0
        yield "channel_ids are 0, 1, and so on", consecutive
        place = self.meeting.place
        whole = place.whole_chips and self.ranks * place.lnc == place.system.node
        limit = CHANNELS_OF_A_NODE if whole else CHANNELS
        yield f"a group like this has at most {limit} channels", channels <= limit
        yield "each channel has one tensor", count == self.ranks * channels
        yield "dsts are shaped as srcs", len({t.shape for t in self.tiles().values()}) == 1

    def work(self) -> Work:
        pairs = tuple((r, (r + 1) % self.ranks) for r in range(self.ranks))
        largest = max(t.size * t.itemsize for t in self.tiles().values())
        return Work("permute", largest, pairs)

    def _passed_on(self, sent: list[np.ndarray]) -> tuple[np.ndarray, ...]:
        """What everybody gets, rank by rank, from what everybody sends."""
        each = len(self.channel_ids)
        return tuple(np.array(sent[i - each]) for i in range(len(sent)))


class CollectivePermuteImplicit(
    _Ring, engines=("cc",), page="nki.collectives.collective_permute_implicit", listed=False
):
    """Each rank's src goes to the next rank of its list, on each channel."""

    srcs_by_channel: list[Tile]
    dsts_by_channel: list[Tile]
    replica_group: ReplicaGroup
    channel_ids: tuple[int, ...] = (0,)
    priority: int | None = None
    met: Any = None

    writes = ("dsts_by_channel",)

    def rules(self, core: Core) -> Iterator[Rule]:
        yield from self._ring_rules(len(self.srcs_by_channel))

    def value(self, *srcs: np.ndarray) -> tuple[np.ndarray, ...]:
        return self._passed_on(list(srcs))


class CollectivePermuteImplicitReduce(
    _Ring, engines=("cc",), page="nki.collectives.collective_permute_implicit_reduce", listed=False
):
    """op of each rank's two srcs goes to the next rank of its list, on each channel."""

    srcs0_by_channel: list[Tile]
    srcs1_by_channel: list[Tile]
    dsts_by_channel: list[Tile]
    replica_group: ReplicaGroup
    op: Op
    channel_ids: tuple[int, ...] = (0,)
    priority: int | None = None
    met: Any = None

    writes = ("dsts_by_channel",)

    def rules(self, core: Core) -> Iterator[Rule]:
        yield from op_rule(self.op)
        yield "each src has a partner", len(self.srcs0_by_channel) == len(self.srcs1_by_channel)
        yield from self._ring_rules(len(self.srcs0_by_channel))

    @property
    def keeps_bits(self) -> bool:
        return False

    def operations(self) -> float:
        return float(sum(t.size for t in self.srcs0_by_channel) / self.ranks)

    def value(self, *srcs: np.ndarray) -> tuple[np.ndarray, ...]:
        half = len(srcs) // 2
        pairs = zip(srcs[:half], srcs[half:], strict=True)
        return self._passed_on([self.op.value(a, b) for a, b in pairs])
