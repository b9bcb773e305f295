import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, numbers, same, tile
from trnlab.isa.elementwise import Reciprocal


def make(**changes):
    return Reciprocal(**({"dst": tile((128, 64)), "data": tile((128, 64))} | changes))


def test_in_fp32():
    data = numbers(128, 64)
    assert same(make().value(data), np.float32(1) / data)


def test_of_nothing_and_of_infinity():
    out = make().value(np.float32([[0, -0.0, np.inf, -np.inf]]))
    assert same(out, np.float32([[np.inf, -np.inf, 0, -0.0]]))


@pytest.mark.parametrize("shape", [(64, 64), (128, 32)])
def test_rule(shape):
    assert make().broken(TRN2) == []
    assert make(dst=tile(shape)).broken(TRN2) == [
        "dst and data span the same partitions, with equally long rows"
    ]


@pytest.mark.parametrize("core", [TRN1, TRN2, TRN3])
def test_three_passes(core):
    assert (make().queue, make().passes(core), make().elements()) == ("vector", 3, 64)
    assert make().overhead(core) == 0
