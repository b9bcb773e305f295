import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, numbers, tile
from trnlab.isa.scan import TensorTensorScan

UFUNCS = {"multiply": np.multiply, "add": np.add, "subtract": np.subtract, "maximum": np.maximum}


def make(**changes):
    given = {
        "dst": tile((128, 64)),
        "data0": tile((128, 64)),
        "data1": tile((128, 64)),
        "initial": 0.0,
        "op0": "multiply",
        "op1": "add",
    }
    return TensorTensorScan(**(given | changes))


def one_by_one(data0, data1, initial, op0, op1, reverse0=False, reverse1=False):
    out = np.empty_like(data0)
    state = np.broadcast_to(np.float32(initial), data0.shape[:1])
    for i in range(data0.shape[1]):
        pair = (state, data0[:, i]) if reverse0 else (data0[:, i], state)
        inner = UFUNCS[op0](*pair)
        pair = (data1[:, i], inner) if reverse1 else (inner, data1[:, i])
        state = out[:, i] = UFUNCS[op1](*pair)
    return out


@pytest.mark.parametrize("reverse0", [False, True])
@pytest.mark.parametrize("reverse1", [False, True])
@pytest.mark.parametrize(
    ("op0", "op1"), [("multiply", "add"), ("subtract", "maximum"), ("add", "subtract")]
)
def test_one_element_after_another_in_fp32(op0, op1, reverse0, reverse1):
    data0, data1 = numbers(128, 64), numbers(128, 64, seed=1)
    how = {"op0": op0, "op1": op1, "reverse0": reverse0, "reverse1": reverse1}
    out = make(initial=1.5, **how).value(data0, data1)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, one_by_one(data0, data1, 1.5, **how))


def test_initial_may_differ_by_partition():
    data0, data1, initial = numbers(128, 64), numbers(128, 64, seed=1), numbers(128, 1, seed=2)
    out = make(initial=tile((128, 1))).value(data0, data1, initial)
    expected = one_by_one(data0, data1, initial[:, 0], "multiply", "add")
    np.testing.assert_array_equal(out, expected)


def test_two_halves_make_a_whole():
    data0, data1 = numbers(128, 64), numbers(128, 64, seed=1)
    whole = make().value(data0, data1)
    first = make().value(data0[:, :32], data1[:, :32])
    second = make(initial=tile((128, 1))).value(data0[:, 32:], data1[:, 32:], first[:, -1:])
    np.testing.assert_array_equal(np.concatenate([first, second], axis=1), whole)


def test_comparisons_give_one_or_zero():
    data = np.array([[1, 3, 2, 5]], np.float32)
    out = make(op0="maximum", op1="greater_equal").value(data, np.float32([[2, 1, 4, 5]]))
    np.testing.assert_array_equal(out, [[0, 1, 0, 1]])


def test_free_dimensions_are_one_row():
    data0, data1 = numbers(4, 2, 3), numbers(4, 2, 3, seed=1)
    out = make().value(data0, data1)
    flat = make().value(data0.reshape(4, 6), data1.reshape(4, 6))
    np.testing.assert_array_equal(out, flat.reshape(4, 2, 3))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"data1": tile((128, 32))},
            "dst and both inputs span the same partitions, with equally long rows",
        ),
        (
            {"data0": tile((128, 64), space="psum"), "data1": tile((128, 64), space="psum")},
            "not both inputs are in PSUM",
        ),
        ({"op0": "bitwise_and"}, "both operators are arithmetic"),
        ({"op1": "bitwise_and"}, "both operators are arithmetic"),
        ({"initial": tile((128, 2))}, "initial has shape [128, 1]"),
    ],
)
def test_rule(changes, sentence):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == [sentence]


@pytest.mark.parametrize("core", [TRN1, TRN2, TRN3])
def test_two_passes(core):
    instruction = make()
    assert (instruction.queue, instruction.passes(core)) == ("vector", 2)
    assert (instruction.elements(), instruction.overhead(core)) == (64, 0)


def test_two_operations_an_element():
    assert make().operations() == 2 * 128 * 64


@pytest.mark.parametrize("name", ["op0", "op1"])
def test_operators_take_two_operands(name):
    assert make(**{name: "abs"}).broken(TRN2) == [f"{name} takes two operands"]
