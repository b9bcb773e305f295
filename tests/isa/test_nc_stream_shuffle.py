import numpy as np
import pytest

from tests.isa.make import TRN2, numbers, same, tile
from trnlab.isa.move import NcStreamShuffle

BACKWARDS = tuple(range(31, -1, -1))


def make(**changes):
    given = {"dst": tile((32, 8)), "src": tile((32, 8)), "shuffle_mask": BACKWARDS}
    return NcStreamShuffle(**(given | changes))


def test_rows_are_exchanged_within_each_quadrant():
    src = numbers(64, 8)
    out = make().value(np.zeros_like(src), src)
    assert same(out, np.concatenate([src[31::-1], src[:31:-1]]))


def test_255_keeps_what_was_there():
    src, old = numbers(32, 8), numbers(32, 8, seed=1)
    assert same(make(shuffle_mask=(255,) * 32).value(old, src), old)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"src": tile((32, 9))}, "dst and src have equally long rows"),
        ({"src": tile((32, 8), "bfloat16")}, "dst and src have one dtype"),
        ({"shuffle_mask": BACKWARDS[1:]}, "shuffle_mask has 32 entries"),
        (
            {"shuffle_mask": (32, *BACKWARDS[1:])},
            "every entry of shuffle_mask is 0 to 31, or 255",
        ),
        (
            {"src": tile((64, 8)), "dst": tile((32, 8), start=32)},
            "both start where the taller one may",
        ),
    ],
)
def test_rule(changes, sentence):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == [sentence]


def test_quadrants_may_differ():
    assert make(dst=tile((32, 8), start=96)).broken(TRN2) == []
