from typing import Any

import pytest

from tests.isa.make import TRN1, TRN2, TRN3, numbers, same, tile
from trnlab.errors import BadArguments
from trnlab.isa.dma import DgeMode, DmaCopy
from trnlab.isa.instruction import Queue
from trnlab.isa.rules import OLDER, Compiler, version_of

HARD = {"dge_mode": DgeMode.hwdge}


def make(**changes: Any) -> DmaCopy:
    given: dict[str, Any] = {"dst": tile((128, 64)), "src": tile((128, 64), space="hbm")}
    return DmaCopy(**(given | changes))


def test_value():
    data = numbers(128, 64)
    assert same(make().value(data), data)


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({"src": tile((128, 65), space="hbm")}, ["dst and src have equally many elements"]),
        (
            {"src": tile((128, 64), space="psum")},
            ["src is not in PSUM: DMA cannot reach it"],
        ),
        (
            {"dst": tile((128, 64), space="psum")},
            ["dst is not in PSUM: DMA cannot reach it"],
        ),
        (
            {"dst": tile((128, 64), "float8_e5m2_x4")},
            ["packed numbers are moved, not cast: dst and src have one dtype"],
        ),
        (
            HARD | {"dst": tile((128, 64), "bfloat16")},
            ["hardware descriptors move bytes: dst and src have one dtype"],
        ),
        (
            HARD | {"engine": Queue.gpsimd},
            ["scalar or sync triggers hardware descriptors"],
        ),
        (
            {"engine": Queue.vector},
            [
                "transfers are triggered on scalar, sync or gpsimd",
                "engine comes with dge_mode.hwdge",
            ],
        ),
        ({"engine": Queue.scalar}, ["engine comes with dge_mode.hwdge"]),
        ({"priority": 4}, ["priority is 0 to 3", "priority needs a core with 'dma_priority'"]),
    ],
)
def test_rule(changes, sentences):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == sentences


@pytest.mark.parametrize("given", ["hwdge", 7, 2.0, None])
def test_a_mode_is_a_member_of_its_enumeration(given):
    with pytest.raises(BadArguments, match=f"dma_copy: dge_mode is {given!r}") as caught:
        make(dge_mode=given)
    assert caught.value.limit == "one of unknown, swdge, hwdge, none of nki.isa"


def test_a_number_was_a_mode_in_the_first_version():
    made = make(dge_mode=2)
    assert made.dge_mode is DgeMode.hwdge
    sentence = "dge_mode is no number but a member of its enumeration"
    assert made.broken(TRN2) == [sentence]
    assert made.broken(TRN2, Compiler(version_of("0.2"))) == []


def test_what_newer_cores_do():
    assert make(**HARD).broken(TRN1) == ["hardware descriptors need a core that writes them"]
    assert make(**HARD).broken(TRN2) == []
    assert make(priority=3).broken(TRN3) == []


@pytest.mark.parametrize("version", ["0.1", "0.2"])
def test_earlier_compilers_read_psum_and_cast_nothing_in_hardware(version):
    earlier = OLDER if version == "0.1" else version_of(version)
    assert make(src=tile((128, 64), space="psum")).broken(TRN2, Compiler(earlier)) == []
    cast = make(**HARD, dst=tile((128, 64), "bfloat16"))
    assert cast.broken(TRN2, Compiler(earlier)) == []
