import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, numbers, same, tile
from trnlab.formats import narrow
from trnlab.isa.search import NcMatchReplace8


def make(**changes):
    given = {
        "dst": tile((128, 64)),
        "data": tile((128, 64)),
        "vals": tile((128, 8)),
        "imm": -np.inf,
        "dst_idx": tile((128, 8), "uint32"),
    }
    return NcMatchReplace8(**(given | changes))


def test_replaces_the_largest_and_says_where():
    data = numbers(128, 64)
    order = np.argsort(-data, axis=1)[:, :8]
    vals = np.take_along_axis(data, order, axis=1)
    before = data.copy()
    out, where = make().value(data, vals)
    np.put_along_axis(before, order, np.float32(-np.inf), axis=1)
    assert same(out, before)
    np.testing.assert_array_equal(where, order)


def test_a_value_listed_again_fills_slots_from_the_last():
    data = np.array([[1, 2, 3, 4, 8, 8, 8, 8, 8, 8, 8, 8]], np.float32)
    vals = np.array([[3, 8, 8, 8, 8, 8, 8, 8]], np.float32)
    out, where = make(imm=0.0).value(data, vals)
    np.testing.assert_array_equal(out, [[1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 8]])
    np.testing.assert_array_equal(where, [[2, 10, 9, 8, 7, 6, 5, 4]])


def test_without_dst_idx_and_with_two_free_dimensions():
    data = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    vals = np.array([[0, 1, 2, 3, 15, 99, 99, 99]], np.float32)
    instruction = make(dst_idx=None, imm=-1.0)
    assert instruction.written() == ("dst",)
    expected = data.copy()
    expected[0, 0] = expected[0, 3, 3] = -1
    assert same(instruction.value(data, vals), expected)


def test_what_does_not_occur_is_all_ones():
    data = np.arange(8, dtype=np.float32)[None]
    _, where = make().value(data, np.array([[5, 50, 1, 2, 3, 4, 6, 7]], np.float32))
    expected = [[5, 0xFFFFFFFF, 1, 2, 3, 4, 6, 7]]
    np.testing.assert_array_equal(narrow(where, "uint32"), expected)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"vals": tile((64, 8))}, "data and vals span the same partitions"),
        ({"vals": tile((128, 4))}, "vals has 8 elements a partition"),
        ({"data": tile((128, 2, 2, 16))}, "data and vals have at most 3 dimensions"),
        (
            {"data": tile((128, 7)), "dst": tile((128, 7))},
            "data has 8 to 16384 elements a partition",
        ),
        (
            {"dst": tile((128, 32))},
            "dst and data span the same partitions, with equally long rows",
        ),
        ({"dst_idx": tile((128, 7), "uint32")}, "dst_idx has shape [P, 8]"),
        ({"dst_idx": tile((128, 8))}, "dst_idx is uint16 or uint32"),
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
