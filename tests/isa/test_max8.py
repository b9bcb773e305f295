import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, numbers, tile
from trnlab.isa.statistics import Max8


def make(**changes):
    return Max8(**({"dst": tile((128, 8)), "src": tile((128, 64))} | changes))


def test_largest_first():
    src = numbers(128, 8, 8)
    expected = np.sort(src.reshape(128, 64), axis=1)[:, :-9:-1]
    np.testing.assert_array_equal(make().value(src), expected)


def test_equal_elements_count_each():
    src = np.array([[4, 4, 4, 1, 2, 3, 4, 0, -1]], np.float32)
    np.testing.assert_array_equal(make().value(src), [[4, 4, 4, 4, 3, 2, 1, 0]])


@pytest.mark.parametrize("length", [1023, 1024, 5000, 16384])
def test_long_rows_are_searched_in_part(length):
    src = np.concatenate([numbers(4, length), np.full((2, length), -np.inf, np.float32)])
    src[1, :7] = src[1].max()  # as large as the largest, more than once
    src[3, 5] = np.inf
    expected = np.sort(src, axis=1)[:, :-9:-1]
    np.testing.assert_array_equal(make().value(src), expected)


def test_nan_comes_first_in_long_rows_too():
    src = numbers(2, 2000)
    src[0, 1234] = np.nan
    np.testing.assert_array_equal(make().value(src), np.sort(src, axis=1)[:, :-9:-1])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"dst": tile((64, 8))}, "dst and src span the same partitions"),
        ({"dst": tile((128, 2, 4))}, "dst has shape [P, 8]"),
        ({"dst": tile((128, 9))}, "dst has shape [P, 8]"),
        ({"src": tile((128, 2, 2, 16))}, "src has at most 3 dimensions"),
        ({"src": tile((128, 7))}, "src has 8 to 16384 elements a partition"),
        ({"src": tile((128, 16385))}, "src has 8 to 16384 elements a partition"),
    ],
)
def test_rule(changes, sentence):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == [sentence]


@pytest.mark.parametrize("core", [TRN1, TRN2, TRN3])
def test_one_pass(core):
    instruction = make()
    assert (instruction.queue, instruction.passes(core)) == ("vector", 1)
    assert (instruction.elements(), instruction.overhead(core)) == (64, 0)
