import pytest

from tests.isa.make import TRN2, numbers, same, tile
from trnlab.isa.dma import DmaCompute, OobMode


def make(**changes):
    given = {
        "dst": tile((128, 64)),
        "srcs": [tile((128, 64), space="hbm"), tile((128, 64))],
        "reduce_op": "add",
    }
    return DmaCompute(**(given | changes))


def test_value():
    one, other = numbers(128, 64), numbers(128, 64, seed=1)
    assert same(make().value(one, other), one + other)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"srcs": [tile((128, 64))] * 17}, "there are 1 to 16 srcs"),
        ({"srcs": [tile((128, 65))]}, "dst and every src have equally many elements"),
        ({"scales": (1.0, 2.0)}, "every scale is 1"),
        ({"scales": (1.0,)}, "there is a scale for every src"),
        ({"srcs": [tile((128, 64), space="psum")]}, "no side is in PSUM: DMA cannot reach it"),
        ({"reduce_op": "maximum"}, "reduce_op is add"),
        ({"unique_indices": False}, "unique_indices is True"),
        ({"oob_mode": OobMode.skip}, "only an indexed tensor skips what is outside"),
        (
            {"dst": tile((128, 64), "float8_e5m2_x4")},
            "packed numbers are moved, not cast: dst and src have one dtype",
        ),
    ],
)
def test_rule(changes, sentence):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == [sentence]
