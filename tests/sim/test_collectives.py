"""How long collectives take: the closed formulas, and what must hold whatever the formulas."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trnlab
from trnlab.isa.collective import Work
from trnlab.machine.system import Level, Placement, System
from trnlab.sim.timing.collectives import estimate, layers_of

HOP = 1e-6
FAR = 10e-6


def level(name: str, wiring: str, shape: tuple[int, ...], links: int, rate: float) -> Level:
    return Level(
        name=name,
        wiring=wiring,  # type: ignore[arg-type]
        shape=shape,
        links=links,
        rate=rate,
        latency=HOP,
        mesh=0.5,
        halving=0.8,
    )


# Two cores a chip at 4 GB/s, four chips on a ring of two 1 GB/s links each, any number of servers.
TOY = System(
    name="Toy",
    key="toy",
    aliases=(),
    chip=trnlab.chip("trn1"),
    levels=(level("chip", "shared", (2,), 1, 4e9), level("server", "torus", (4,), 2, 1e9)),
    network=replace(level("network", "switch", (1,), 1, 0.25e9), latency=FAR),
    dollars_per_hour=None,
)


def place(*cores: int, system: System = TOY, lnc: int = 1) -> Placement:
    return Placement(system, lnc, cores)


WHOLE = place(*range(8))
SMALL, LARGE = 1e2, 1e8


def seconds(work: Work, where: Placement) -> float:
    return estimate(work, where).seconds


def test_gathering_little_is_a_step_on_each_level():
    found = estimate(Work("gather", SMALL), WHOLE)
    # Each chip gets two shares from each of three others, 4/3 links away on average.
    transfer = 3 * 2 * SMALL * 4 / 3 / (2 * 1e9 * 0.5)
    assert found.how == "mesh on server, mesh on chip"
    assert found.seconds == pytest.approx(2 * HOP + transfer)


def test_gathering_much_goes_round_on_rings():
    found = estimate(Work("gather", LARGE), WHOLE)
    assert found.how == "rings on server"
    assert found.seconds == pytest.approx(3 * HOP + 3 * 2 * LARGE / 2e9)  # every other rank: 4 - 1


def test_a_ring_stops_at_every_rank_where_chips_take_part_in_part():
    some = place(*range(0, 8, 2))
    assert seconds(Work("gather", LARGE), some) == pytest.approx(3 * HOP + 3 * LARGE / 2e9)
    pair = place(0, 1, 2, 3, system=trnlab.system("trn2.48xlarge"))
    assert [layer.members for layer in layers_of(pair)] == [4]


def test_between_them_members_exchange_in_pairs():
    wide = replace(TOY, levels=(TOY.levels[0], replace(TOY.levels[1], shape=(4, 4))))
    medium = 1e3
    found = estimate(Work("gather", medium), place(*range(32), system=wide))
    assert found.how == "halving on server, mesh on chip"
    assert found.seconds == pytest.approx(5 * HOP + 15 * 2 * medium / (2e9 * 0.8))


def test_inside_a_chip_everybody_writes_to_everybody():
    assert seconds(Work("gather", LARGE), place(0, 1)) == pytest.approx(HOP + LARGE / (4e9 * 0.5))


def test_reducing_to_all_goes_both_ways():
    both = seconds(Work("reduce", 8 * LARGE, rounds=2), WHOLE)
    assert both == pytest.approx(2 * seconds(Work("gather", LARGE), WHOLE))
    assert both == pytest.approx(2 * seconds(Work("reduce", 8 * LARGE), WHOLE))


def test_reducing_little_to_all_takes_one_step():
    found = estimate(Work("reduce", 8.0, rounds=2), WHOLE)
    assert found.how == "one step of mesh"
    assert found.seconds == pytest.approx(HOP + 3 * 4 * 8 * 4 / 3 / 1e9)


def test_all_to_all_is_bound_by_the_links_of_a_chip():
    # Of 8 parts 6 leave the chip, from both of its ranks.
    transfer = 6 * 2 * (LARGE / 8) * 4 / 3 / (2e9 * 0.5)
    assert seconds(Work("all to all", LARGE), WHOLE) == pytest.approx(HOP + transfer)


def test_between_servers_each_chip_has_its_adapter():
    both = place(*range(16), system=TOY.times(2))
    inside, across = layers_of(both)[1:]
    assert (inside.rate, across.rate) == (2e9, 4 * 0.25e9)
    found = estimate(Work("gather", LARGE), both)
    assert found.how == "rings on network, rings on server"
    # Eight shares from the other server over four adapters; meanwhile 3 x 2 x 2 shares on rings.
    assert found.seconds == pytest.approx(FAR + 3 * HOP + max(8 * LARGE / 1e9, 12 * LARGE / 2e9))
    alone = place(0, 8, system=TOY.times(2))
    assert seconds(Work("gather", LARGE), alone) == pytest.approx(FAR + LARGE / 0.25e9)


def test_permuting_takes_the_links_that_a_chip_has():
    def ring(*cores: int) -> float:
        pairs = tuple((i, (i + 1) % len(cores)) for i in range(len(cores)))
        return seconds(Work("permute", LARGE, pairs), place(*cores))

    assert ring(0, 1) == pytest.approx(HOP + LARGE / 4e9)
    assert ring(*range(8)) == pytest.approx(HOP + LARGE / 1e9)
    assert ring(0, 4) == pytest.approx(2 * HOP + LARGE / 1e9)  # over a chip between
    swap = Work("permute", LARGE, ((0, 2), (1, 3), (2, 0), (3, 1)))
    assert seconds(swap, place(0, 1, 2, 3)) == pytest.approx(HOP + LARGE / 1e9)


def test_a_rank_alone_waits_for_nobody():
    assert estimate(Work("reduce", LARGE, rounds=2), place(3)).seconds == 0


def test_uneven_groups_take_one_ring():
    found = estimate(Work("gather", LARGE), place(0, 1, 2))
    assert "unevenly" in found.how
    assert found.seconds == pytest.approx(2 * (HOP + LARGE / 1e9))


def test_two_cores_a_rank_move_twice_as_much_inside_a_chip():
    entry = trnlab.system("trn2.48xlarge")
    one = place(0, 1, system=entry)
    two = place(0, 2, system=entry, lnc=2)
    latency = entry.levels[0].latency
    work = Work("gather", LARGE)
    assert seconds(work, one) - latency == pytest.approx(2 * (seconds(work, two) - latency))


@pytest.mark.parametrize(
    ("megabytes", "how"), [(0.9, "mesh on server"), (1.2, "halving"), (50, "halving"), (60, "ring")]
)
def test_algorithms_change_where_the_vendor_says(megabytes: float, how: str):
    entry = trnlab.system("trn2.48xlarge")
    whole = place(*range(0, 128, 2), system=entry, lnc=2)
    found = estimate(Work("gather", megabytes * 1e6 / 64), whole)
    assert found.how.startswith(how)


systems = st.sampled_from(["trn1.32xlarge", "trn2.48xlarge", "2xtrn2.48xlarge", "trn3-gen2"])
patterns = st.sampled_from(["gather", "reduce", "all to all"])


@settings(deadline=None)
@given(systems, patterns, st.integers(1, 2), st.floats(1, 1e9), st.floats(1, 1e9), st.data())
def test_more_bytes_never_take_less_time(name, pattern, rounds, one, other, data):
    entry = trnlab.system(name)
    count = data.draw(st.sampled_from([2, 3, 4, 8, 32, entry.cores // 2, entry.cores]))
    where = place(*range(count), system=entry)
    less, more = sorted((one, other))
    first = seconds(Work(pattern, less, rounds=rounds), where)
    assert 0 < first <= seconds(Work(pattern, more, rounds=rounds), where)


@settings(deadline=None)
@given(systems, st.floats(1, 1e9))
def test_a_faster_link_never_takes_more_time(name, size):
    entry = trnlab.system(name)
    faster = replace(entry, levels=tuple(replace(v, rate=2 * v.rate) for v in entry.levels))
    cores = range(0, entry.cores, 2)
    work = Work("reduce", size, rounds=2)
    slow = seconds(work, place(*cores, system=entry, lnc=2))
    assert seconds(work, place(*cores, system=faster, lnc=2)) <= slow
