import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, numbers, tile
from trnlab.formats import narrow
from trnlab.isa.search import NcFindIndex8


def make(**changes):
    given = {"dst": tile((128, 8), "uint32"), "data": tile((128, 64)), "vals": tile((128, 8))}
    return NcFindIndex8(**(given | changes))


def test_where_the_largest_are():
    data = numbers(128, 64)
    order = np.argsort(-data, axis=1)[:, :8]
    vals = np.take_along_axis(data, order, axis=1)
    np.testing.assert_array_equal(make().value(data, vals), order)


def test_free_dimensions_are_one_row():
    data = np.arange(16, dtype=np.float32).reshape(1, 2, 8)
    vals = np.arange(8, 16, dtype=np.float32).reshape(1, 8)
    np.testing.assert_array_equal(make().value(data, vals), [range(8, 16)])


def test_a_value_listed_again_gets_the_next_occurrence():
    data = np.array([[1, 2, 3, 4, 8, 8, 8, 8, 8, 8, 8]], np.float32)
    vals = np.array([[3, 8, 8, 8, 8, 8, 8, 8]], np.float32)
    np.testing.assert_array_equal(make().value(data, vals), [[2, 4, 5, 6, 7, 8, 9, 10]])


@pytest.mark.parametrize(("dtype", "ones"), [("uint16", 0xFFFF), ("uint32", 0xFFFFFFFF)])
def test_what_does_not_occur_is_all_ones(dtype, ones):
    data = np.arange(8, dtype=np.float32)[None]
    vals = np.array([[0, 0, 1, 50, 2, np.nan, 7, 7]], np.float32)
    out = narrow(make(dst=tile((1, 8), dtype)).value(data, vals), dtype)
    np.testing.assert_array_equal(out, [[0, ones, 1, ones, 2, ones, 7, ones]])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"vals": tile((64, 8))}, "data and vals span the same partitions"),
        ({"vals": tile((128, 4))}, "vals has 8 elements a partition"),
        ({"data": tile((128, 2, 2, 16))}, "data and vals have at most 3 dimensions"),
        ({"data": tile((128, 7))}, "data has 8 to 16384 elements a partition"),
        ({"dst": tile((128, 2, 4), "uint32")}, "dst has shape [P, 8]"),
        ({"dst": tile((128, 8), "int32")}, "dst is uint16 or uint32"),
    ],
)
def test_rule(changes, sentence):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == [sentence]


@pytest.mark.parametrize("core", [TRN1, TRN2, TRN3])
def test_one_pass_of_the_data(core):
    instruction = make()
    assert (instruction.queue, instruction.passes(core)) == ("vector", 1)
    assert (instruction.elements(), instruction.overhead(core)) == (64, 0)
