import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, numbers, tile
from trnlab.isa.activation import ReduceCmd
from trnlab.isa.scan import TensorScalarCumulative


def make(**changes):
    given = {
        "dst": tile((128, 64)),
        "src": tile((128, 64)),
        "op0": "add",
        "op1": "add",
        "imm0": 0.0,
    }
    return TensorScalarCumulative(**(given | changes))


@pytest.fixture
def registers():
    return np.full(128, 5, np.float32)


@pytest.mark.parametrize(
    ("op1", "ufunc"),
    [
        ("add", np.add),
        ("multiply", np.multiply),
        ("maximum", np.maximum),
        ("minimum", np.minimum),
    ],
)
def test_runs_along_each_row(op1, ufunc, registers):
    src = numbers(128, 64)
    out = make(op1=op1, imm0=1.0).value(src, registers=registers)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, ufunc.accumulate(src + np.float32(1), axis=1))
    np.testing.assert_array_equal(registers, out[:, -1])


def test_subtract_is_element_minus_state(registers):
    src = np.array([[5, 7, 1]], np.float32)
    out = make(op1="subtract").value(src, registers=registers)
    np.testing.assert_array_equal(out, [[5, 2, -1]])


def test_one_immediate_a_partition(registers):
    src, imm0 = numbers(128, 64), numbers(128, 1, seed=1)
    out = make(op0="multiply", imm0=tile((128, 1))).value(src, imm0, registers=registers)
    np.testing.assert_array_equal(out, np.add.accumulate(src * imm0, axis=1))


def test_reduce_goes_on_from_the_registers(registers):
    ones = np.ones((64, 3), np.float32)
    out = make(reduce_cmd=ReduceCmd.reduce).value(ones, registers=registers)
    np.testing.assert_array_equal(out, np.tile(np.array([6, 7, 8], np.float32), (64, 1)))
    np.testing.assert_array_equal(registers, np.repeat([8, 5], 64).astype(np.float32))


@pytest.mark.parametrize("imm1", [2.0, tile((128, 1))])
def test_load_reduce_starts_from_imm1(imm1, registers):
    ones = np.ones((128, 3), np.float32)
    arrays = [] if imm1 == 2.0 else [np.full((128, 1), 2, np.float32)]
    instruction = make(reduce_cmd=ReduceCmd.load_reduce, imm1=imm1)
    out = instruction.value(ones, *arrays, registers=registers)
    np.testing.assert_array_equal(out, np.tile(np.array([3, 4, 5], np.float32), (128, 1)))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"dst": tile((128, 32))},
            "dst and src span the same partitions, with equally long rows",
        ),
        ({"op0": "bitwise_or"}, "op0 is arithmetic"),
        ({"op1": "equal"}, "op1 is one of add, subtract, multiply, maximum, minimum"),
        ({"src": tile((128, 64), "int32")}, "dst and src are not int32 or uint32 or tfloat32"),
        ({"dst": tile((128, 64), "tfloat32")}, "dst and src are not int32 or uint32 or tfloat32"),
        (
            {"reduce_cmd": ReduceCmd.reset},
            "reduce_cmd is reset_reduce, reduce or load_reduce",
        ),
        ({"reduce_cmd": ReduceCmd.load_reduce}, "load_reduce comes with imm1"),
        ({"imm0": tile((128, 2))}, "imm0 has shape [128, 1]"),
        ({"imm0": tile((128, 1), "bfloat16")}, "imm0 is float32"),
        ({"imm1": tile((128, 2))}, "imm1 has shape [128, 1]"),
        ({"imm1": tile((128, 1), "bfloat16")}, "imm1 is float32"),
    ],
)
def test_rule(changes, sentence):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == [sentence]


@pytest.mark.parametrize("core", [TRN1, TRN2, TRN3])
def test_one_pass(core):
    instruction = make()
    assert (instruction.queue, instruction.passes(core), instruction.elements()) == (
        "vector",
        1,
        64,
    )
    assert instruction.overhead(core) == core.timing.scalar_operand


def test_two_operations_an_element():
    assert make().operations() == 2 * 128 * 64
