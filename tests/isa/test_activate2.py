import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, numbers, same, tile
from trnlab.isa.activate2 import Activate2
from trnlab.isa.activation import ReduceCmd


def make(**changes):
    given = {
        "dst": tile((128, 64)),
        "op": "copy",
        "data": tile((128, 64)),
        "imm0": 2.0,
        "imm1": 0.5,
        "op0": "multiply",
        "op1": "add",
    }
    return Activate2(**(given | changes))


@pytest.fixture
def registers():
    return np.full(128, 5, np.float32)


@pytest.mark.parametrize(
    ("op0", "op1", "expected"),
    [
        ("multiply", "add", lambda x: x * 2 + 0.5),
        ("multiply", "subtract", lambda x: x * 2 - 0.5),
        ("multiply", "bypass", lambda x: x * 2),
        ("add", "bypass", lambda x: x + 2),
        ("subtract", "bypass", lambda x: x - 2),
        ("bypass", "bypass", lambda x: x),
    ],
)
def test_two_operators_then_a_function(op0, op1, expected, registers):
    data = numbers(128, 64)
    out = make(op0=op0, op1=op1, op="square").value(data, registers=registers)
    assert same(out, np.square(expected(data)))


def test_reversed_operands(registers):
    data = numbers(128, 64)
    less = make(op0="subtract", op1="bypass", reverse0=True).value(data, registers=registers)
    assert same(less, np.float32(2) - data)
    more = make(op1="subtract", reverse1=True).value(data, registers=registers)
    assert same(more, np.float32(0.5) - data * np.float32(2))


def test_operands_that_differ_by_partition(registers):
    data, imm0, imm1 = numbers(128, 8, 8), numbers(128, 1, seed=1), numbers(128, 1, seed=2)
    instruction = make(imm0=tile((128, 1)), imm1=tile((128, 1)))
    assert instruction.reads() == ("data", "imm0", "imm1")
    out = instruction.value(data, imm0, imm1, registers=registers)
    assert same(out, data * imm0[:, :, None] + imm1[:, :, None])


def test_the_slope_of_prelu(registers):
    data, slope = numbers(128, 64), numbers(128, 1, seed=1)
    plain = {"op": "prelu", "op0": "bypass", "op1": "bypass"}
    out = make(relu_param=0.25, **plain).value(data, registers=registers)
    assert same(out, np.where(data > 0, data, data * np.float32(0.25)))
    out = make(relu_param=tile((128, 1)), **plain).value(data, slope, registers=registers)
    assert same(out, np.where(data > 0, data, data * slope))


@pytest.mark.parametrize(
    ("op", "expected"),
    [("add", 1), ("maximum", 5), ("minimum", -7), ("abs_max", -7), ("abs_min", -1)],
)
def test_reductions(op, expected, registers):
    data = np.tile(np.array([1, 5, -7, 3, -1], np.float32), (128, 1))
    given = {"op0": "bypass", "op1": "bypass", "reduce_cmd": ReduceCmd.reset_reduce}
    instruction = make(reduce_op=op, reduce_res=tile((128, 1)), **given)
    assert instruction.written() == ("dst", "reduce_res")
    out, total = instruction.value(data, registers=registers)
    assert same(out, data)
    assert same(total, np.full(128, expected, np.float32))
    assert same(registers, total)


def test_the_registers_go_on(registers):
    plain = {"op0": "bypass", "op1": "bypass", "reduce_op": "add"}
    out = make(reduce_cmd=ReduceCmd.reduce, **plain).value(
        np.ones((64, 64), np.float32), registers=registers
    )
    assert out.shape == (64, 64)
    assert same(registers, np.repeat([69, 5], 64).astype(np.float32))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"dst": tile((128, 32))},
            "dst and data span the same partitions, with equally long rows",
        ),
        (
            {"op0": "add", "op1": "multiply"},
            "op0 and op1 are one of multiply, add; multiply, subtract; multiply, bypass; "
            "add, bypass; subtract, bypass; bypass, bypass",
        ),
        ({"imm0": tile((128, 2))}, "imm0 has shape [128, 1]"),
        ({"imm1": tile((64, 1))}, "imm1 has shape [128, 1]"),
        ({"relu_param": tile((128, 2))}, "relu_param has shape [128, 1]"),
        (
            {"reduce_res": tile((128, 2)), "reduce_op": "add"},
            "reduce_res has shape [128, 1]",
        ),
        (
            {"imm0": tile((128, 1)), "imm1": tile((128, 1), "bfloat16")},
            "imm0 and imm1 have one dtype",
        ),
        (
            {"reduce_op": "multiply"},
            "reduce_op is one of add, maximum, minimum, abs_max, abs_min",
        ),
        (
            {"reduce_cmd": ReduceCmd.load_reduce},
            "reduce_cmd is idle, reset, reduce or reset_reduce",
        ),
        ({"reduce_res": tile((128, 1))}, "reduce_res comes with reduce_op"),
        ({"op0": "bypass", "op1": "bypass", "reverse0": True}, "reverse0 comes with op0"),
        ({"op1": "bypass", "reverse1": True}, "reverse1 comes with op1"),
    ],
)
def test_rule(changes, sentence):
    assert make().broken(TRN3) == []
    assert make(**changes).broken(TRN3) == [sentence]


@pytest.mark.parametrize("core", [TRN1, TRN2])
def test_older_cores_lack_it(core):
    assert make().broken(core) == ["needs a core with 'activate2'"]


def test_cost():
    assert (make().queue, make().passes(TRN3), make().elements()) == ("scalar", 1, 64)
    assert make().overhead(TRN3) == 0
    assert make(op="exp").overhead(TRN3) == TRN3.timing.function
    read = make(reduce_op="add", reduce_res=tile((128, 1)))
    assert read.overhead(TRN3) == 64 / TRN3.engine("scalar").hz
    assert make().operations() == 3 * 128 * 64
    assert make(op0="bypass", op1="bypass").operations() == 128 * 64
