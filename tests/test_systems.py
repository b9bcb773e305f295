"""Machines around the chips: every number has a source, and levels multiply to what is sold."""

import pytest

import trnlab
from trnlab.errors import BadArguments, UnknownName
from trnlab.machine.catalogue.systems import SYSTEMS
from trnlab.machine.facts import Sourced, numbers
from trnlab.machine.system import Placement, System

every_system = pytest.mark.parametrize("entry", SYSTEMS, ids=lambda entry: entry.key)
CHIPS = {
    "trn1.2xlarge": 1,
    "trn1.32xlarge": 16,
    "trn1n.32xlarge": 16,
    "inf2.48xlarge": 12,
    "trn2.3xlarge": 1,
    "trn2.48xlarge": 16,
    "trn2-ultraserver": 64,
    "trn3-gen1": 64,
    "trn3-gen2": 144,
}
# Both directions of all links of a chip, where the datasheet of the chip means this machine.
LINKS = {"trn1.32xlarge": 1.0, "inf2.48xlarge": 1.0, "trn2-ultraserver": 1.0, "trn3-gen2": 0.9}


@every_system
def test_every_number_of_a_system_has_a_source(entry: System):
    found = dict(numbers(entry))
    assert "levels.chip.rate" in found
    assert [path for path, value in found.items() if not isinstance(value, Sourced)] == []


@every_system
def test_levels_multiply_to_the_machine(entry: System):
    assert entry.chips == CHIPS[entry.key]
    inside = [level for level in entry.levels if level.wiring == "shared"]
    assert inside == list(entry.levels[: len(inside)])
    cores = 1
    for level in inside:
        cores *= level.size
    assert cores == entry.chip.cores


@every_system
def test_shares_and_rates_make_sense(entry: System):
    for level in (*entry.levels, *filter(None, [entry.network])):
        assert 0 < level.mesh <= level.halving <= 1
        assert level.rate > 1e9
        assert 1e-6 <= level.latency <= 15e-6


@pytest.mark.parametrize("key", LINKS)
def test_links_add_up_to_what_the_datasheet_of_the_chip_says(key: str):
    entry = trnlab.system(key)
    wired = [level for level in entry.levels if level.wiring != "shared"]
    both = sum(2 * level.links * level.rate for level in wired)
    assert both == pytest.approx(LINKS[key] * entry.chip.link, rel=0.01)


def test_names():
    assert trnlab.system("TRN2.48xlarge").chip.key == "trn2"
    assert trnlab.system("trn2u.48xlarge") is trnlab.system("trn2.48xlarge")
    with pytest.raises(UnknownName, match=r"did you mean 'trn2.48xlarge'"):
        trnlab.system("trn2.48xlarg")


def test_several_machines_stand_on_their_network():
    two = trnlab.system("2xtrn2.48xlarge")
    assert (two.cores, two.chips, two.key) == (256, 32, "2xtrn2.48xlarge")
    assert two.levels[-1].name == "network"
    assert two.dollars_per_hour == pytest.approx(2 * 35.7608)
    assert trnlab.system("1xtrn2.48xlarge") is trnlab.system("trn2.48xlarge")
    with pytest.raises(BadArguments, match="no network"):
        trnlab.system("2xtrn2.3xlarge")


def test_servers_and_switches():
    assert trnlab.system("trn2-ultraserver").node == 128
    assert trnlab.system("trn3-gen2").node == 32
    assert trnlab.system("trn2.3xlarge").node == 8
    assert [entry.key for entry in SYSTEMS if entry.switched] == ["trn3-gen1", "trn3-gen2"]


def test_whole_chips():
    entry = trnlab.system("trn2.48xlarge")
    assert Placement(entry, 2, (0, 2, 4, 6)).whole_chips
    assert not Placement(entry, 2, (0, 2, 4)).whole_chips
    assert not Placement(entry, 1, (0, 2, 4, 6)).whole_chips
