"""How long a collective takes: steps times their latency, and bytes over the links they use.

At each level of the system the members of a group take one of the algorithms that the vendor
documents: rings (every link busy, a step for each member), mesh (one step, links oversubscribed by
what is routed through others) or halving (exchanges in pairs, a step for each doubling). Data is
cut into pieces that follow each other through the levels, so latencies add up and transfers
overlap. Of all combinations the quickest is taken, as the vendor does by size.

Sources: neuron-runtime/explore/intranode-collective-comm and internode-collective-comm.
"""

from dataclasses import dataclass
from itertools import product
from math import log2, prod
from typing import NamedTuple

from trnlab.isa.collective import Collective, Work
from trnlab.isa.uneven import Exchange
from trnlab.machine.system import Level, Placement
from trnlab.sim.timing.cost import Cost


class Stage(NamedTuple):
    """An algorithm at one level: seconds of latency, seconds of transfer, what it is called."""

    latency: float
    transfer: float
    how: str


class Estimate(NamedTuple):
    """Seconds of a collective, and the algorithms it takes."""

    seconds: float
    how: str


@dataclass(frozen=True)
class Layer:
    """What a group has at one level: ``members`` of it, each with ``ranks`` ranks inside.

    ``hops`` is the mean distance of two members, ``links`` how many links of a chip lead to others
    of the group, ``ports`` how many chips of a member, or cores of a rank, take part.
    """

    level: Level
    members: int
    ranks: int
    hops: float
    links: int
    ports: int

    @property
    def rate(self) -> float:
        """Bytes a second that a member can send, and as many that it can receive."""
        return self.links * self.ports * self.level.rate

    def mesh(self, size: float) -> Stage:
        """All send to all at once: ``size`` bytes enter each member."""
        routed = size * self.hops / (self.rate * self.level.mesh)
        return Stage(self.level.latency, routed, f"mesh on {self.level.name}")

    def halving(self, size: float) -> Stage:
        """Members exchange in pairs, with twice the distance or half the data each time."""
        steps = log2(self.members)
        transfer = size / (self.rate * self.level.halving)
        return Stage(steps * self.level.latency, transfer, f"halving on {self.level.name}")

    def ring(self, size: float, stops: int = 1) -> Stage:
        """Members pass data on; inside each it stops at so many ranks."""
        steps = self.members * stops - 1
        return Stage(steps * self.level.latency, size / self.rate, f"rings on {self.level.name}")


def estimate(work: Work, place: Placement) -> Estimate:
    """Seconds that a collective takes among ranks at these places."""
    if len(place.cores) == 1:
        return Estimate(0.0, "one rank")
    layers = layers_of(place)
    if work.pattern == "permute":
        return _permute(work, place)
    if not _even(place, layers):
        return _flat_ring(work, place)
    if work.pattern == "all to all":
        return _all_to_all(work.size, place, layers)
    ranks = len(place.cores)
    share = work.size if work.pattern == "gather" else work.size / ranks
    best = _gather(share, place, layers)
    best = Estimate(best.seconds * work.rounds, best.how)
    if work.rounds > 1:
        return min(best, _broadcast(work.size, layers), key=lambda e: e.seconds)
    return best


def layers_of(place: Placement) -> list[Layer]:
    """What a group has at each level where it has more than one member, inside out.

    Levels inside a chip count as one: its cores reach each other directly.
    """
    found: list[Layer] = []
    below, shared = 1, 0
    for index, level in enumerate(place.system.levels):
        size = below * level.size
        inside = level.wiring == "shared"
        unit = place.lnc if inside else below
        families: dict[int, set[int]] = {}
        for core in place.cores:
            families.setdefault(core // size, set()).add(core // unit)
        below, shared = size, shared + inside
        family = max(families.values(), key=len)
        if inside and index + 1 < len(place.system.levels):
            following = place.system.levels[index + 1]
            if following.wiring == "shared":
                continue
        if len(family) > 1:
            mine = [core for core in place.cores if core // unit == min(family)]
            chips = {core // place.system.chip.cores for core in mine}
            ports = place.lnc if inside else len(chips)
            found.append(_layer(level, sorted(family), len(mine), ports))
    return found


def _layer(level: Level, family: list[int], ranks: int, ports: int) -> Layer:
    """A level with those of its members that take part."""
    members = [_coordinates(m, level) for m in family] if level.wiring == "torus" else []
    hops, links = 1.0, int(level.links)
    if members:
        distances = [_distance(a, b, level) for a in members for b in members if a != b]
        hops = sum(distances) / len(distances)
        neighbours = min(sum(_distance(a, b, level) == 1 for b in members) for a in members)
        # both links of a member may lead to the same neighbour where a dimension has two
        links = max(1, links if len(members) == level.size else neighbours)
    return Layer(level, len(family), ranks, hops, links, ports)


def _coordinates(member: int, level: Level) -> tuple[int, ...]:
    found = []
    for size in level.shape:
        member, at = divmod(member, size)
        found.append(at)
    return tuple(found)


def _distance(a: tuple[int, ...], b: tuple[int, ...], level: Level) -> int:
    """Links between two members of a grid that is closed in every dimension."""
    around = (abs(x - y) for x, y in zip(a, b, strict=True))
    return sum(min(way, size - way) for way, size in zip(around, level.shape, strict=True))


def _even(place: Placement, layers: list[Layer]) -> bool:
    """Whether every member of every level has equally many ranks."""
    return prod(layer.members for layer in layers) == len(place.cores)


def _gather(share: float, place: Placement, layers: list[Layer]) -> Estimate:
    """All gather, outermost level first; a scattered reduction is the same the other way round."""
    held, options = share, []
    for layer in reversed(layers):
        size = (layer.members - 1) * layer.ranks * held
        stages = [layer.mesh(size)]
        if layer.level.wiring != "shared":
            stages.append(layer.ring(size, _stops(layer, place, layers)))
            if log2(layer.members).is_integer():
                stages.append(layer.halving(size))
        options.append(stages)
        held *= layer.members
    return min((_joined(stages, layers) for stages in product(*options)), key=lambda e: e.seconds)


def _joined(stages: tuple[Stage, ...], layers: list[Layer]) -> Estimate:
    """One algorithm at each level, outermost first; rings pass through the ranks of a chip."""
    inner = layers[0].level.wiring == "shared"
    if inner and len(stages) > 1 and stages[-2].how.startswith("rings"):
        stages = stages[:-1]
    transfer = max(stage.transfer for stage in stages)
    how = ", ".join(stage.how for stage in stages)
    return Estimate(sum(stage.latency for stage in stages) + transfer, how)


def _stops(layer: Layer, place: Placement, layers: list[Layer]) -> int:
    """Ranks of a chip at which a ring stops: all, or every other where whole chips take part."""
    inside = layers[0]
    if inside.level.wiring != "shared" or layers[1] is not layer:
        return 1
    return max(1, inside.members // 2) if place.whole_chips else inside.members


def _broadcast(size: float, layers: list[Layer]) -> Estimate:
    """A reduction in one step: everybody sends all it has to everybody, who add it up."""
    stages = [layer.mesh((layer.members - 1) * layer.ranks**2 * size) for layer in layers]
    latency = max(stage.latency for stage in stages)
    return Estimate(latency + max(stage.transfer for stage in stages), "one step of mesh")


def _all_to_all(size: float, place: Placement, layers: list[Layer]) -> Estimate:
    """Everybody sends each other rank its part, in one step."""
    part, outside, transfers = size / len(place.cores), len(place.cores), []
    for layer in reversed(layers):
        inside = outside // layer.members
        transfers.append(layer.mesh((outside - inside) * layer.ranks * part).transfer)
        outside = inside
    latency = max(layer.level.latency for layer in layers)
    return Estimate(latency + max(transfers), "mesh")


def _flat_ring(work: Work, place: Placement) -> Estimate:
    """What is left where ranks are spread unevenly: one ring through all of them."""
    spanned = [layer.level for layer in layers_of(place)]
    steps = len(place.cores) - 1
    share = work.size if work.pattern == "gather" else work.size / len(place.cores)
    rate = min(level.rate for level in spanned)
    step = max(level.latency for level in spanned) + share / rate
    return Estimate(work.rounds * steps * step, "one ring: ranks are spread unevenly")


def _permute(work: Work, place: Placement) -> Estimate:
    """Pairs send at once; those that leave one chip share its links."""
    latency, transfer, below = 0.0, 0.0, 1
    chip = place.system.chip.cores
    for level in place.system.levels:
        leaving: dict[int, int] = {}
        for source, target in work.pairs:
            a, b = place.cores[source], place.cores[target]
            if a // below == b // below or a // (below * level.size) != b // (below * level.size):
                continue
            home = a // (place.lnc if level.wiring == "shared" else chip)
            leaving[home] = leaving.get(home, 0) + 1
            latency = max(latency, level.latency * _apart(a // below, b // below, level))
        if leaving:
            each = level.rate * (place.lnc if level.wiring == "shared" else 1)
            waves = -(-max(leaving.values()) // level.links)
            transfer = max(transfer, waves * work.size / each)
        below *= level.size
    return Estimate(latency + transfer, "direct")


def _apart(a: int, b: int, level: Level) -> int:
    if level.wiring != "torus":
        return 1
    return _distance(_coordinates(a, level), _coordinates(b, level), level)


def collective_cost(model: Collective) -> Cost:
    """Prices a collective; what it adds to the totals of each rank is its own share."""
    guess = estimate(model.work(), model.meeting.place)
    own, got = model.sent(), model.received()
    memory = "sbuf" if any(t.layout.on_chip for t in model.tiles().values()) else "hbm"
    return Cost(
        model.called if isinstance(model, Exchange) else model.name,
        "cc",
        guess.seconds,
        0.0,
        len(model.reads()),
        len(model.written()),
        totals={
            "instructions": 1.0,
            "collectives": 1.0,
            "collective_bytes": own,
            f"{memory}_read_bytes": own,
            f"{memory}_write_bytes": got,
            "alu_ops": model.operations(),
        },
        callers=model.meeting.callers,
        how=guess.how,
    )
