import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, numbers, same, tile
from trnlab.isa.elementwise import ScalarTensorTensor


def make(dtype="float32", **changes):
    given = {name: tile((128, 64), dtype) for name in ("dst", "data", "operand1")}
    operators = {"op0": "multiply", "operand0": 3.0, "op1": "add"}
    return ScalarTensorTensor(**(given | operators | changes))


PSUM = tile((128, 64), space="psum")


def test_one_number_then_a_tile():
    data, other = numbers(128, 64), numbers(128, 64, seed=1)
    assert same(make().value(data, other), data * np.float32(3) + other)


def test_one_number_a_partition_then_a_tile():
    data, scale, other = numbers(128, 64), numbers(128, 1, seed=1), numbers(128, 8, 8, seed=2)
    instruction = make(operand0=tile((128, 1)))
    assert instruction.reads() == ("data", "operand0", "operand1")
    assert same(instruction.value(data, scale, other), data * scale + other.reshape(128, 64))


def test_reversed_operands():
    data, other = numbers(128, 64), numbers(128, 64, seed=1)
    out = make(op0="subtract", reverse0=True, op1="subtract", reverse1=True)
    assert same(out.value(data, other), other - (np.float32(3) - data))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"operand1": tile((128, 1))},
            "dst, data and operand1 span the same partitions, with equally long rows",
        ),
        ({"data": PSUM, "operand1": PSUM}, "data and operand1 are not both in PSUM"),
        ({"op0": "bitwise_and"}, "both operators are arithmetic"),
        ({"op1": "bitwise_and"}, "both operators are arithmetic"),
        ({"operand0": tile((128, 2))}, "operand0 is one number or has shape [128, 1]"),
    ],
)
def test_rule(changes, sentence):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == [sentence]


@pytest.mark.parametrize("core", [TRN1, TRN2, TRN3])
def test_two_inputs_from_sbuf_share_a_port(core):
    assert (make().queue, make().passes(core), make().elements()) == ("vector", 2, 64)
    assert make(data=PSUM).passes(core) == 1
    assert make("bfloat16").passes(core) == 1
    assert make().operations() == 2 * 128 * 64


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"op1": "abs"}, "op1 takes two operands"),
        ({"op0": "mod"}, "op0 is one the device has: mod is not"),
    ],
)
def test_rule_of_operators(changes, sentence):
    assert make(**changes).broken(TRN2) == [sentence]
