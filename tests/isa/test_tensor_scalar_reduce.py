import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, numbers, tile
from trnlab.isa.activation import ReduceCmd
from trnlab.isa.reduce import TensorScalarReduce
from trnlab.isa.rules import Compiler, version_of


def make(**changes):
    given = {
        "dst": tile((128, 8)),
        "data": tile((128, 8)),
        "op0": "multiply",
        "operand0": 2.0,
        "reduce_op": "add",
        "reduce_res": tile((128, 1)),
    }
    return TensorScalarReduce(**(given | changes))


@pytest.fixture
def registers():
    return np.full(128, 7, np.float32)


@pytest.mark.parametrize(
    ("op", "ufunc"),
    [
        ("add", np.add),
        ("multiply", np.multiply),
        ("maximum", np.maximum),
        ("minimum", np.minimum),
    ],
)
def test_result_and_its_rows_combined(op, ufunc, registers):
    data = numbers(128, 8)
    out, total = make(reduce_op=op).value(data, registers=registers)
    np.testing.assert_array_equal(out, data * np.float32(2))
    np.testing.assert_array_equal(total, ufunc.reduce(out, axis=1))
    np.testing.assert_array_equal(registers, total)


def test_one_operand_a_partition(registers):
    data, operand = numbers(128, 2, 4), numbers(128, 1, seed=1)
    shape = {"data": tile((128, 2, 4)), "dst": tile((128, 2, 4))}
    instruction = make(op0="subtract", operand0=tile((128, 1)), **shape)
    out, total = instruction.value(data, operand, registers=registers)
    np.testing.assert_array_equal(out, data - operand[:, :, None])
    np.testing.assert_array_equal(total, out.reshape(128, 8).sum(axis=1))


def test_reduce_adds_to_what_the_registers_hold(registers):
    data = np.ones((128, 8), np.float32)
    _, total = make(reduce_cmd=ReduceCmd.reduce).value(data, registers=registers)
    np.testing.assert_array_equal(total, np.full(128, 7 + 16, np.float32))


@pytest.mark.parametrize("init", [3.0, tile((128, 1))])
def test_load_reduce_starts_from_reduce_init(init, registers):
    data = np.ones((128, 8), np.float32)
    arrays = [] if init == 3.0 else [np.full((128, 1), 3, np.float32)]
    instruction = make(reduce_cmd=ReduceCmd.load_reduce, reduce_init=init)
    _, total = instruction.value(data, *arrays, registers=registers)
    np.testing.assert_array_equal(total, np.full(128, 3 + 16, np.float32))


def test_without_reduce_res_the_total_stays_in_the_registers(registers):
    out = make(reduce_res=None).value(np.ones((64, 8), np.float32), registers=registers)
    np.testing.assert_array_equal(out, np.full((64, 8), 2, np.float32))
    np.testing.assert_array_equal(registers, np.repeat([16, 7], 64).astype(np.float32))


def test_negating_leaves_the_registers_as_they_are(registers):
    data = np.ones((128, 8), np.float32)
    _, total = make(reduce_res_negate=True).value(data, registers=registers)
    assert (set(total), set(registers)) == ({-16}, {16})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"dst": tile((128, 4))},
            "dst and data span the same partitions, with equally long rows",
        ),
        ({"op0": "bitwise_or"}, "op0 is arithmetic"),
        ({"reverse0": True}, "reverse0 is not supported"),
        ({"op0": "abs"}, "operand0 of an operator of one operand is None or 0"),
        ({"operand0": None}, "operand0 is given"),
        ({"reduce_op": "equal"}, "reduce_op is one of add, multiply, maximum, minimum"),
        (
            {"reduce_cmd": ReduceCmd.idle},
            "reduce_cmd is reset_reduce, reduce or load_reduce",
        ),
        ({"reduce_init": 1.0}, "reduce_init comes with load_reduce"),
        ({"reduce_cmd": ReduceCmd.load_reduce}, "reduce_init comes with load_reduce"),
        ({"operand0": tile((128, 2))}, "operand0 has shape [128, 1]"),
        ({"reduce_res": tile((64, 1))}, "reduce_res has shape [128, 1]"),
        (
            {"reduce_cmd": ReduceCmd.load_reduce, "reduce_init": tile((128, 2))},
            "reduce_init has shape [128, 1]",
        ),
        ({"operand0": tile((128, 1), "bfloat16")}, "operand0 is float32"),
        (
            {"reduce_cmd": ReduceCmd.load_reduce, "reduce_init": tile((128, 1), "float16")},
            "reduce_init is float32",
        ),
    ],
)
def test_rule(changes, sentence):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == [sentence]


@pytest.mark.parametrize("core", [TRN1, TRN2, TRN3])
def test_reading_the_registers_out_takes_64_cycles(core):
    kept, read = make(reduce_res=None), make()
    assert (read.queue, read.passes(core), read.elements()) == ("vector", 1, 8)
    assert kept.overhead(core) == core.timing.scalar_operand
    assert read.overhead(core) == kept.overhead(core) + 64 / core.engine("vector").hz


def test_two_operations_an_element():
    assert make().operations() == 2 * 128 * 8


@pytest.mark.parametrize(
    ("changes", "version", "sentence"),
    [
        ({"reduce_res": None}, "0.5", "reduce_res is given"),
        ({"reduce_cmd": ReduceCmd.reduce}, "0.3", "reduce_cmd came with nki 0.4"),
        ({"reduce_res_negate": True}, "0.5", "reduce_res_negate came with nki 0.6"),
    ],
)
def test_rule_of_a_version(changes, version, sentence):
    assert make(**changes).broken(TRN2) == []
    assert make(**changes).broken(TRN2, Compiler(version_of(version))) == [sentence]
