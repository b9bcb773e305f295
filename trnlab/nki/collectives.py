"""`nki.collectives`: what ranks do together.

Every rank makes the same call; when the last one has, one instruction runs for all of them. Ranks
are started by `trnlab.run_ranks`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trnlab.errors import BadArguments
from trnlab.isa.collective import AllGather, AllReduce, AllToAll, Collective, ReduceScatter
from trnlab.isa.collective import ReplicaGroup as ReplicaGroup
from trnlab.isa.ops import op_of
from trnlab.isa.permute import (
    CollectivePermute,
    CollectivePermuteImplicit,
    CollectivePermuteImplicitReduce,
)
from trnlab.isa.tile import Tile
from trnlab.isa.uneven import AllGatherV, AllToAllV
from trnlab.nki.jit import launch, running
from trnlab.nki.meeting import come, run_uneven, run_whole
from trnlab.nki.registers import VirtualRegister
from trnlab.nki.turns import Rank

Tensors = Sequence[Any]


def all_reduce(
    srcs: Tensors, dsts: Tensors, replica_group: ReplicaGroup, op: Any,
    priority: int | None = None, name: str | None = None,
) -> None:  # fmt: skip
    tensors = {"srcs": srcs, "dsts": dsts}
    _all(AllReduce, tensors, replica_group, {"op": op_of(op), "priority": priority})


def all_gather(
    srcs: Tensors, dsts: Tensors, replica_group: ReplicaGroup, collective_dim: int,
    priority: int | None = None, name: str | None = None,
) -> None:  # fmt: skip
    settings = {"collective_dim": collective_dim, "priority": priority}
    _all(AllGather, {"srcs": srcs, "dsts": dsts}, replica_group, settings)


def reduce_scatter(
    srcs: Tensors, dsts: Tensors, replica_group: ReplicaGroup, collective_dim: int, op: Any,
    priority: int | None = None, name: str | None = None,
) -> None:  # fmt: skip
    settings = {"collective_dim": collective_dim, "op": op_of(op), "priority": priority}
    _all(ReduceScatter, {"srcs": srcs, "dsts": dsts}, replica_group, settings)


def all_to_all(
    srcs: Tensors, dsts: Tensors, replica_group: ReplicaGroup, collective_dim: int,
    priority: int | None = None, name: str | None = None,
) -> None:  # fmt: skip
    settings = {"collective_dim": collective_dim, "priority": priority}
    _all(AllToAll, {"srcs": srcs, "dsts": dsts}, replica_group, settings)


def all_gather_v(
    srcs: Tensors, dsts: Tensors, replica_group: ReplicaGroup, metadata_tensor: Any,
    recv_counts_known: bool = False, has_rdispls: bool = False,
    priority: int | None = None, name: str | None = None,
) -> None:  # fmt: skip
    settings = {"recv_counts_known": bool(recv_counts_known), "has_rdispls": bool(has_rdispls),
                "priority": priority}  # fmt: skip
    tensors = {"srcs": srcs, "dsts": dsts, "metadata_tensor": [metadata_tensor]}
    _all(AllGatherV, tensors, replica_group, settings, run_uneven)


def all_to_all_v(
    srcs: Tensors, dsts: Tensors, replica_group: ReplicaGroup, metadata_tensor: Any,
    recv_counts_known: bool = False, has_rdispls: bool = False,
    priority: int | None = None, name: str | None = None,
) -> None:  # fmt: skip
    settings = {"recv_counts_known": bool(recv_counts_known), "has_rdispls": bool(has_rdispls),
                "priority": priority}  # fmt: skip
    tensors = {"srcs": srcs, "dsts": dsts, "metadata_tensor": [metadata_tensor]}
    _all(AllToAllV, tensors, replica_group, settings, run_uneven)


def collective_permute(
    srcs: Tensors, dsts: Tensors, source_target_pairs: Sequence[tuple[int, int]],
    priority: int | None = None, name: str | None = None,
) -> None:  # fmt: skip
    pairs = tuple((int(source), int(target)) for source, target in source_target_pairs)
    group = tuple(sorted({rank for pair in pairs for rank in pair}))
    here = _rank(CollectivePermute)
    _check_ranks(CollectivePermute, group, here)
    if here.number in group:  # the others have no part in it
        settings = {"source_target_pairs": pairs, "priority": priority}
        tensors = _tensors(CollectivePermute, {"srcs": srcs, "dsts": dsts})
        come(CollectivePermute, group, tensors, settings, run_whole)


def collective_permute_implicit(
    srcs_by_channel: Sequence[Tensors], dsts_by_channel: Sequence[Tensors],
    replica_group: ReplicaGroup, channel_ids: Sequence[int] = (0,),
    priority: int | None = None, name: str | None = None,
) -> None:  # fmt: skip
    kind = CollectivePermuteImplicit
    tensors = {"srcs_by_channel": _one_each(kind, srcs_by_channel),
               "dsts_by_channel": _one_each(kind, dsts_by_channel)}  # fmt: skip
    settings = {"channel_ids": tuple(channel_ids), "priority": priority}
    _note_rings()
    _all(kind, tensors, replica_group, settings)


def collective_permute_implicit_reduce(
    srcs0_by_channel: Sequence[Tensors], srcs1_by_channel: Sequence[Tensors],
    dsts_by_channel: Sequence[Tensors], replica_group: ReplicaGroup, op: Any,
    channel_ids: Sequence[int] = (0,), priority: int | None = None, name: str | None = None,
) -> None:  # fmt: skip
    kind = CollectivePermuteImplicitReduce
    tensors = {"srcs0_by_channel": _one_each(kind, srcs0_by_channel),
               "srcs1_by_channel": _one_each(kind, srcs1_by_channel),
               "dsts_by_channel": _one_each(kind, dsts_by_channel)}  # fmt: skip
    settings = {"op": op_of(op), "channel_ids": tuple(channel_ids), "priority": priority}
    _note_rings()
    _all(kind, tensors, replica_group, settings)


def collective_permute_implicit_current_processing_rank_id(
    iteration_id: int, replica_group: ReplicaGroup, channel_id: int = 0, name: str | None = None
) -> VirtualRegister:
    """A register with the rank whose data is here after so many steps of a ring: at 0 one's own."""
    here = _rank(CollectivePermuteImplicit)
    group = _group_of(CollectivePermuteImplicit, replica_group, here)
    _note_rings()
    return VirtualRegister(group[(group.index(here.number) - int(iteration_id)) % len(group)])


def rank_id(name: str | None = None) -> VirtualRegister:
    """A register with the number of the rank that runs, from 0 on; 0 for a kernel alone."""
    here = launch().rank
    return VirtualRegister(here.number if here is not None else 0)


for _kind in (
    AllReduce, AllGather, ReduceScatter, AllToAll, AllGatherV, AllToAllV, CollectivePermute,
    CollectivePermuteImplicit, CollectivePermuteImplicitReduce,
):  # fmt: skip
    globals()[_kind.name].__doc__ = _kind.__doc__


def _all(
    kind: type[Collective],
    tensors: Mapping[str, Tensors],
    replica_group: Any,
    settings: dict[str, Any],
    how: Callable[..., None] = run_whole,
) -> None:
    """Comes together with the other ranks of one's list."""
    here = _rank(kind)
    come(kind, _group_of(kind, replica_group, here), _tensors(kind, tensors), settings, how)


def _rank(kind: type[Collective]) -> Rank:
    here = launch().rank
    if here is None:
        raise BadArguments(
            f"{kind.name} needs ranks that run at the same time",
            fix="run the kernel with trnlab.run_ranks, a call for each rank",
            place=running().here(),
            see=kind.page,
        )
    return here


def _group_of(kind: type[Collective], given: Any, here: Rank) -> tuple[int, ...]:
    """The list of a replica group that the running rank is in."""
    group = given if isinstance(given, ReplicaGroup) else ReplicaGroup(given)
    mine = group.of(here.number)
    if mine is None:
        raise BadArguments(
            f"{kind.name}: rank {here.number} is in no list of the replica group",
            {"replica group": str([list(g) for g in group.replica_groups])},
            place=running().here(),
            see=kind.page,
        )
    _check_ranks(kind, mine, here)
    return mine


def _check_ranks(kind: type[Collective], group: tuple[int, ...], here: Rank) -> None:
    beyond = [rank for rank in group if not 0 <= rank < here.ranks]
    if beyond:
        raise BadArguments(
            f"{kind.name}: there is no rank {beyond[0]}",
            {"ranks": f"0 to {here.ranks - 1}"},
            fix="name ranks that run, or run more of them",
            place=running().here(),
            see=kind.page,
        )


def _tensors(kind: type[Collective], given: Mapping[str, Tensors]) -> dict[str, list[Tile]]:
    for name, held in given.items():
        if not isinstance(held, (list, tuple)) or not all(isinstance(t, Tile) for t in held):
            raise BadArguments(
                f"{kind.name}: {name} is not a list of tensors",
                {name: repr(held)[:80]},
                fix=f"give {name}=[tensor]",
                place=running().here(),
                see=kind.page,
            )
        if any(hasattr(t, "address") for t in held):
            raise BadArguments(
                f"{kind.name}: the place of {name} is decided by data",
                fix="copy it to a tensor of its own with nisa.dma_copy",
                place=running().here(),
                see=kind.page,
            )
    return {name: list(held) for name, held in given.items()}


def _one_each(kind: type[Collective], by_channel: Any) -> list[Any]:
    """The one tensor of each channel."""
    lists = isinstance(by_channel, (list, tuple))
    if not lists or not all(isinstance(c, (list, tuple)) and len(c) == 1 for c in by_channel):
        raise BadArguments(
            f"{kind.name} takes a list of one tensor for each channel",
            {"given": repr(by_channel)[:80]},
            fix="for one channel, give [[tensor]]",
            place=running().here(),
            see=kind.page,
        )
    return [tensors[0] for tensors in by_channel]


def _note_rings() -> None:
    running().note("implicit rings follow the order of the replica group, on every channel")
