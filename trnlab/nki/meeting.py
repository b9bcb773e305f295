"""How the calls of several ranks become one instruction."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from trnlab.errors import Deadlock, IllegalInstruction, OutOfBounds, Place
from trnlab.isa.collective import Collective, Meeting, ReplicaGroup
from trnlab.isa.tile import Space, Tile
from trnlab.isa.uneven import PLACE, RECEIVED, Exchange, Part
from trnlab.nki.issue import issue_slowly
from trnlab.nki.jit import Launch, launch, running


@dataclass(frozen=True, eq=False)
class Offer:
    """What one core brings: its call with its own tensors, and where it stands."""

    kind: type[Collective]
    tensors: dict[str, list[Tile]]
    settings: dict[str, Any]
    core: int
    line: int
    place: Place

    @property
    def call(self) -> tuple[Any, ...]:
        """What must be the same in every rank."""
        shapes = [(n, [(t.space, str(t.dtype), t.shape) for t in held])
                  for n, held in self.tensors.items()]  # fmt: skip
        return self.kind, shapes, self.settings

    def __str__(self) -> str:
        first = next(iter(self.tensors.values()))
        what = ", ".join(f"{t.dtype} {list(t.shape)}" for t in first) or "nothing"
        more = "".join(f", {k}={v}" for k, v in self.settings.items() if v not in (None, False))
        return f"{self.kind.name} of {what}{more} ({self.place})"


Runner = Callable[[type[Collective], list[Any], list[Offer]], None]


def come(
    kind: type[Collective],
    group: tuple[int, ...],
    tensors: dict[str, list[Tile]],
    settings: dict[str, Any],
    how: Runner,
) -> None:
    """Waits for the other ranks of a group; the last one to come lets the collective run.

    The two cores of a rank come together where all tensors are shared between them; else each
    meets the cores of the same number.
    """
    run, here = running(), launch()
    rank, turns = here.rank, here.together
    assert rank is not None
    assert turns is not None
    mine = Offer(kind, tensors, settings, run.core_index, run.place(), run.here())
    _note_tensors(here, mine)
    shared = all(t.space is Space.shared_hbm for held in tensors.values() for t in held)
    index = run.core_index % rank.lnc
    first = [rank.cores_of(r)[0 if shared else index] for r in group]
    members = [core for r in group for core in rank.cores_of(r)] if shared else first
    where = rank.placement(group)

    def together(offers: dict[int, Offer]) -> None:
        _check_same(list(offers.values()), turns.name)
        asked = [offers[core] for core in first]
        meeting = Meeting(group, where, tuple((o.core, o.line) for o in asked))
        how(kind, _operands(kind, asked, meeting), asked)

    key = ("collective", group, "both" if shared else index)
    call = f"{kind.name} of ranks {list(group)}"
    turns.meet(key, tuple(members), mine, together, call, kind.page)


def _check_same(offers: list[Offer], name: Callable[[int], str]) -> None:
    """All ranks have made the same call."""
    first = offers[0]
    other = next((o for o in offers if o.call != first.call), None)
    if other is not None:
        raise Deadlock(
            f"{name(first.core)} and {name(other.core)} meet with different calls",
            {name(o.core): str(o) for o in (first, other)},
            place=other.place,
            fix="let every rank of a group make the same calls in the same order",
            see=first.kind.page,
        )


def _operands(kind: type[Collective], offers: list[Offer], meeting: Meeting) -> list[Any]:
    """The operands of the instruction for the whole group, in the order of its fields."""
    given: dict[str, Any] = {
        name: [tile for offer in offers for tile in offer.tensors[name]]
        for name in offers[0].tensors
    }
    given |= offers[0].settings
    given |= {"replica_group": ReplicaGroup((meeting.ranks,)), "met": meeting}
    return [given[f.name] for f in kind.parameters]


def _note_tensors(here: Launch, offer: Offer) -> None:
    """Collectives take neither arguments nor results of a kernel (nkilib, test_collectives.py)."""
    for name, held in offer.tensors.items():
        for tile in held if not name.startswith("metadata") else ():
            here.exchanged.setdefault(tile.storage.index, (tile, offer.line, offer.kind))
            if tile.storage.index in here.inputs and here.run.api == "nki":
                report_outside(here, tile.storage.index, "an argument")


def report_outside(here: Launch, index: int, what: str) -> None:
    """Reports that a collective touches a tensor that comes from outside, or goes there."""
    tile, line, kind = here.exchanged[index]
    here.run.report(
        IllegalInstruction,
        f"{kind.name} takes {tile.storage.name}, {what} of the kernel",
        {"tensor": tile.describe()},
        "collectives take tensors of the kernel's own",
        "copy to or from another tensor in nl.shared_hbm with nisa.dma_copy",
        kind.page,
        at=line,
    )


def run_whole(kind: type[Collective], operands: list[Any], offers: list[Offer]) -> None:
    """Runs a collective whose amounts are shapes."""
    run = running()
    issue_slowly(run, kind, tuple(operands))
    _note_time(kind.name)


def _note_time(name: str) -> None:
    run = running()
    how = run.program.costs[run.program.heads[-3]].how
    run.note(f"{name}: {how}; timed by steps and links, which nothing else uses meanwhile")


def run_uneven(kind: type[Any], operands: list[Any], offers: list[Offer]) -> None:
    """Runs a collective whose amounts are data: reads them, then moves the parts they name."""
    run = running()
    model = kind(*operands)
    broken = tuple(v for v in model.verdicts(run.core, run.compiler) if not v.holds)
    if broken:
        run.report_rules(model, broken)
        return
    parts = _parts(model)
    for part in parts:
        _check_part(model, part, offers)
    moved = [p for p in parts if p.size]
    srcs = [_slice(model.srcs[p.sender], p.start, p.size) for p in moved]
    dsts = [_slice(model.dsts[p.receiver], p.place, p.size) for p in moved]
    ranks = range(model.ranks)
    tables = [model.inputs(r) for r in ranks]
    if model.has_rdispls:
        tables += [model.table(r, PLACE, PLACE + 1, model.ranks) for r in ranks]
    counts: tuple[tuple[int, ...], ...] = ()
    if not model.recv_counts_known:
        dsts += [model.table(r, RECEIVED, RECEIVED + 1, model.ranks) for r in ranks]
        counts = tuple(tuple(p.size for p in parts if p.receiver == r) for r in ranks)
    each = model.srcs[0].itemsize
    sums = [sum(p.size for p in parts if p.sender == r) for r in ranks]
    largest = max(sums) if model.pattern == "all to all" else max(sums) / model.ranks
    issue_slowly(
        run,
        Exchange,
        (srcs, tables, dsts, counts, kind.name, model.pattern, largest * each, model.met),
    )
    _note_time(kind.name)


def _parts(model: Any) -> list[Part]:
    run = running()
    if not run.values:
        run.note(f"{model.name}: without values every slot counts as full")
        return model.full()
    ranks = range(model.ranks)
    show = run.executor.show
    tables = [np.array(show(model.inputs(r))) for r in ranks]
    places: list[np.ndarray] = []
    if model.has_rdispls:
        places = [np.array(show(model.table(r, PLACE, PLACE + 1, model.ranks))) for r in ranks]
    return model.parts(tables, places)


def _check_part(model: Any, part: Part, offers: list[Offer]) -> None:
    wrong = model.beyond(part)
    if wrong:
        sender, receiver = (model.meeting.ranks[i] for i in (part.sender, part.receiver))
        raise OutOfBounds(
            f"{model.name}: rank {sender}, to rank {receiver}, {wrong}",
            place=offers[part.sender].place,
            fix="correct the counts in metadata_tensor, or use larger tensors",
            see=model.page,
        )


def _slice(tile: Tile, start: int, count: int) -> Tile:
    """Elements of a contiguous tensor."""
    return tile.elements_at((count,), (1,), tile.offset + start)
