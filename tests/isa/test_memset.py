import pytest

from tests.isa.make import TRN2, TRN3, tile
from trnlab.isa.move import Memset
from trnlab.isa.rules import Compiler, version_of

PACKED = tile((128, 16), "float8_e4m3fn_x4")
WRITTEN = "an integer dst takes a value that is written as an integer"


def make(**changes):
    return Memset(**({"dst": tile((128, 64)), "fill": 1.5} | changes))


def test_value():
    assert make().value() == 1.5
    assert make(dst=tile((128, 64), "int8"), fill=3).value() == 3


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        (
            {"dst": tile((128, 64), "int32")},
            ["an integer dst takes a whole number", WRITTEN],
        ),
        ({"dst": tile((128, 64), "int32"), "fill": 2.0}, [WRITTEN]),
        ({"dst": PACKED, "fill": 1}, ["packed numbers are filled with 0"]),
    ],
)
def test_rule(changes, sentences):
    assert make().broken(TRN2) == []
    assert make(fill=1).broken(TRN2) == []
    assert make(**changes).broken(TRN2) == sentences


def test_packed_numbers_can_be_cleared():
    assert make(dst=PACKED, fill=0).broken(TRN3) == []


def test_a_float_was_cast_in_silence_before():
    whole = make(dst=tile((128, 64), "int32"), fill=2.0)
    assert whole.broken(TRN2, Compiler(version_of("0.2"))) == []
