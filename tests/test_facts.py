"""Numbers that know where they come from."""

import copy
import pickle
from dataclasses import dataclass

import pytest

from trnlab.machine.facts import (
    Amount,
    Count,
    Sourced,
    assumed,
    carried,
    derived,
    measured,
    numbers,
    rumoured,
    vendor,
)


@dataclass(frozen=True)
class Part:
    name: str
    speed: float


@dataclass(frozen=True)
class Whole:
    parts: tuple[Part, ...]
    sizes: dict[str, int]
    pair: tuple[int, int]
    price: float | None
    shiny: bool


WHOLE = Whole(
    parts=(Part("left", measured("trace")(2.0)), Part("right", vendor("guide")(3.0))),
    sizes={"small": vendor("guide")(1)},
    pair=(7, 8),
    price=None,
    shiny=True,
)


@pytest.mark.parametrize(
    ("tagger", "kind"),
    [
        (measured, "measured"),
        (vendor, "vendor"),
        (derived, "derived"),
        (rumoured, "rumoured"),
        (assumed, "assumed"),
    ],
)
def test_a_tagged_number_is_the_number_and_knows_its_source(tagger, kind):
    number = tagger("guide, page 3")(128)
    assert number == 128
    assert isinstance(number, Count)
    assert (number.kind, number.source) == (kind, "guide, page 3")


def test_whole_numbers_stay_whole_and_real_numbers_stay_real():
    tag = vendor("guide")
    assert isinstance(tag(8), Count)
    assert isinstance(tag(8.0), Amount)


def test_arithmetic_forgets_the_source():
    assert not isinstance(vendor("guide")(8) + 1, Sourced)


def test_copies_keep_the_source():
    number = vendor("guide")(2.5)
    for twin in (copy.deepcopy(number), pickle.loads(pickle.dumps(number))):
        assert isinstance(twin, Amount)
        assert (twin, twin.kind, twin.source) == (2.5, "vendor", "guide")


def test_numbers_finds_them_all_and_nothing_else():
    assert list(numbers(WHOLE)) == [
        ("parts.left.speed", 2.0),
        ("parts.right.speed", 3.0),
        ("sizes.small", 1),
        ("pair.0", 7),
        ("pair.1", 8),
    ]


def test_numbers_of_a_number_is_itself():
    assert list(numbers(3, "here")) == [("here", 3)]


def test_what_was_measured_elsewhere_is_assumed_here():
    there = carried(WHOLE, "trn9")
    assert there == WHOLE
    left, right = (part.speed for part in there.parts)
    assert isinstance(left, Amount)
    assert isinstance(right, Amount)
    assert (left.kind, left.source) == ("assumed", "as on trn9: trace")
    assert (right.kind, right.source) == ("vendor", "guide")
