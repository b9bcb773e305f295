import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, numbers, tile
from trnlab.isa.rules import OLDER, Compiler
from trnlab.isa.select import AffineSelect


def make(**changes):
    given = {
        "dst": tile((128, 128)),
        "pattern": [[-1, 128]],
        "channel_multiplier": 1,
        "on_true_tile": tile((128, 128)),
        "on_false_value": -9.0,
        "cmp_op": "greater_equal",
    }
    return AffineSelect(**(given | changes))


def test_a_causal_mask():
    data = numbers(128, 128)
    expected = np.where(np.tri(128, dtype=bool), data, np.float32(-9))
    out = make().value(data)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, expected)


def test_the_offset_moves_the_diagonal():
    data = numbers(128, 128)
    expected = np.where(np.tri(128, k=5, dtype=bool), data, np.float32(-9))
    np.testing.assert_array_equal(make(offset=5).value(data), expected)


@pytest.mark.parametrize(
    ("op", "kept"),
    [
        ("equal", [0, 0, 1, 0]),
        ("not_equal", [1, 1, 0, 1]),
        ("less", [1, 1, 0, 0]),
        ("less_equal", [1, 1, 1, 0]),
        ("greater", [0, 0, 0, 1]),
        ("greater_equal", [0, 0, 1, 1]),
    ],
)
def test_every_comparison(op, kept):
    given = {"pattern": [[1, 4]], "offset": -2, "channel_multiplier": 0, "on_false_value": 0.0}
    out = make(cmp_op=op, dst=tile((1, 4)), on_true_tile=tile((1, 4)), **given)
    np.testing.assert_array_equal(out.value(np.ones((1, 4), np.float32)), [kept])


def test_compares_for_equality_if_not_told():
    instruction = AffineSelect(tile((4, 4)), [[-1, 4]], 1, tile((4, 4)), 0.0)
    np.testing.assert_array_equal(instruction.value(np.ones((4, 4), np.float32)), np.eye(4))


def test_a_pattern_of_several_dimensions():
    data = numbers(2, 3, 4)
    given = {"dst": tile((2, 3, 4)), "on_true_tile": tile((2, 3, 4)), "channel_multiplier": 0}
    out = make(pattern=[[4, 3], [1, 4]], offset=-6, **given).value(data)
    expected = np.where(np.arange(12).reshape(3, 4) >= 6, data, np.float32(-9))
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        (
            {"on_true_tile": tile((64, 128))},
            ["dst and on_true_tile span the same partitions, with equally long rows"],
        ),
        (
            {"cmp_op": "add"},
            ["cmp_op is one of equal, not_equal, less, less_equal, greater, greater_equal"],
        ),
        ({"pattern": [[0, 1]] * 4 + [[-1, 128]]}, ["pattern has 1 to 4 dimensions"]),
        ({"pattern": [[-1, 64]]}, ["pattern has 128 elements, as a row of dst"]),
        (
            {"on_true_tile": tile((128, 128), space="psum")},
            ["on_true_tile is not in PSUM: GpSimd cannot reach it"],
        ),
    ],
)
def test_rule(changes, sentences):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == sentences


@pytest.mark.parametrize("core", [TRN1, TRN2, TRN3])
def test_one_pass(core):
    instruction = make()
    assert (instruction.queue, instruction.passes(core)) == ("gpsimd", 1)
    assert (instruction.elements(), instruction.overhead(core)) == (128, 0)


def test_rule_of_the_older_api():
    whole = make(on_true_tile=tile((128, 128), "int32"))
    sentence = "on_true_tile is a float or an integer of 8 or 16 bits"
    assert whole.broken(TRN2) == []
    assert whole.broken(TRN2, Compiler(OLDER)) == [sentence]


def test_it_counts_in_32_bits():
    assert make(offset=2**31).broken(TRN2) == ["offset fits 32 bits"]
