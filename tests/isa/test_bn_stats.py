import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, numbers, tile
from trnlab.isa.statistics import BnStats


def make(**changes):
    return BnStats(**({"dst": tile((128, 6)), "data": tile((128, 512))} | changes))


def test_even_elements_then_odd_ones():
    data = np.array([[1, 10, 3, 30, 5]], np.float32)
    out = make().value(data)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, [[3, 3, 8, 2, 20, 200]])


def test_statistics_of_each_partition():
    data = numbers(128, 4, 32)
    even, odd = data.reshape(128, -1)[:, 0::2], data.reshape(128, -1)[:, 1::2]
    out = make().value(data)
    for start, part in ((0, even), (3, odd)):
        np.testing.assert_array_equal(out[:, start], 64)
        np.testing.assert_allclose(out[:, start + 1], part.mean(axis=1), atol=1e-6)
        np.testing.assert_allclose(out[:, start + 2], part.var(axis=1) * 64, rtol=1e-5)


def test_one_element_has_no_odd_ones():
    np.testing.assert_array_equal(make().value(np.float32([[7]])), [[1, 7, 0, 0, 0, 0]])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"dst": tile((64, 6))}, "dst and data span the same partitions"),
        ({"dst": tile((128, 3))}, "dst has 6 elements a partition"),
        ({"data": tile((128, 513))}, "data has at most 512 elements a partition"),
    ],
)
def test_rule(changes, sentence):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == [sentence]


@pytest.mark.parametrize("core", [TRN1, TRN2, TRN3])
def test_one_pass(core):
    instruction = make()
    assert (instruction.queue, instruction.passes(core)) == ("vector", 1)
    assert (instruction.elements(), instruction.overhead(core)) == (512, 0)


def test_four_operations_an_element():
    assert make().operations() == 4 * 128 * 512
