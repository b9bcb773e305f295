import numpy as np
import pytest

from tests.isa.make import TRN2, numbers, tile
from trnlab.isa.reduce import TensorReduce
from trnlab.isa.rules import Compiler, version_of


def make(**changes):
    given = {"dst": tile((128, 1)), "op": "add", "data": tile((128, 8)), "axis": 1}
    return TensorReduce(**(given | changes))


@pytest.mark.parametrize(
    ("op", "ufunc"),
    [
        ("add", np.add),
        ("subtract", np.subtract),
        ("multiply", np.multiply),
        ("maximum", np.maximum),
        ("minimum", np.minimum),
    ],
)
def test_arithmetic_is_fp32(op, ufunc):
    data = numbers(128, 8)
    out = make(op=op).value(data)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, ufunc.reduce(data, axis=1))


@pytest.mark.parametrize(
    ("axis", "kept"), [(3, 6), ((3,), 6), ((2, 3), 2), ([1, 2, 3], 1), (-1, 6)]
)
def test_trailing_axes(axis, kept):
    data = np.arange(64 * 24, dtype=np.float32).reshape(64, 2, 3, 4)
    axes = tuple(axis) if isinstance(axis, list) else axis
    instruction = make(dst=tile((64, kept)), data=tile(data.shape), axis=axis)
    assert instruction.broken(TRN2) == []
    np.testing.assert_array_equal(instruction.value(data), data.sum(axis=axes))


def test_negate_flips_the_sign_of_the_result():
    data = numbers(128, 8)
    np.testing.assert_array_equal(make(op="maximum", negate=True).value(data), -data.max(axis=1))


def test_bitwise_keeps_bits():
    data = np.array([[0b1100, 0b1010, 0b1001], [2**31 - 1, 2**30 + 1, -1]], np.int32)
    given = {"dst": tile((2, 1), "int32"), "data": tile((2, 3), "int32")}
    instruction = make(op="bitwise_and", **given)
    assert instruction.keeps_bits
    assert not make().keeps_bits
    np.testing.assert_array_equal(instruction.value(data), [0b1000, 2**30 + 1])


def test_logical_is_one_or_zero():
    data = np.array([[2, 0, 3], [2, 1, 3]], np.float32)
    out = make(op="logical_and").value(data)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, [0, 1])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"op": "equal"}, "op can reduce"),
        ({"axis": 0}, "axis names the last free axes, up to the last"),
        (
            {"data": tile((128, 2, 2, 4)), "dst": tile((128, 2)), "axis": (1, 2)},
            "axis names the last free axes, up to the last",
        ),
        ({"dst": tile((64, 1))}, "dst has a row for every row of data"),
        ({"dst": tile((128, 2))}, "dst has 1 elements a partition"),
        ({"op": "bitwise_or"}, "bitwise operators take integers"),
        (
            {
                "op": "bitwise_or",
                "dst": tile((128, 1), "int32"),
                "data": tile((128, 8), "int32"),
                "negate": True,
            },
            "negate comes with an arithmetic operator",
        ),
    ],
)
def test_rule(changes, sentence):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == [sentence]


def test_reads_and_writes_psum():
    data, dst = tile((128, 8), space="psum"), tile((128, 1), space="psum")
    assert make(data=data, dst=dst).broken(TRN2) == []


def test_passes_once_and_twice_as_fast_for_bf16_sums():
    wide = make()
    assert (wide.queue, wide.passes(TRN2), wide.elements()) == ("vector", 1, 8)
    small = {"dst": tile((128, 1), "bfloat16"), "data": tile((128, 8), "bfloat16")}
    assert make(**small).passes(TRN2) == 0.5
    assert make(op="maximum", **small).passes(TRN2) == 0.5
    assert make(op="minimum", **small).passes(TRN2) == 1


def test_one_operation_an_element():
    assert make().operations() == 128 * 8


def test_axis_1_meant_the_last_one_in_nki_0_2():
    old = Compiler(version_of("0.2"))
    made = make(dst=tile((128, 4)), data=tile((128, 4, 8)), axis=1)
    assert made.broken(TRN2, old) == []
    assert made.broken(TRN2) == ["axis 1 is the last of two dimensions"]
    assert made.value(np.ones((128, 4, 8), np.float32)).tolist() == [[8.0] * 4] * 128
    square = make(dst=tile((128, 4)), data=tile((128, 4, 4)), axis=1)
    assert square.broken(TRN2, old) == ["axis 1 of more dimensions means the last in nki 0.2"]
