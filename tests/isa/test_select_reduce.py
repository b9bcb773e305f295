import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, numbers, same, tile
from trnlab.isa.activation import ReduceCmd
from trnlab.isa.select import SelectReduce


def make(**changes):
    given = {
        "dst": tile((128, 16)),
        "predicate": tile((128, 16), "uint8"),
        "on_true": tile((128, 16)),
        "on_false": -5.0,
    }
    return SelectReduce(**(given | changes))


@pytest.fixture
def registers():
    return np.full(128, 1, np.float32)


@pytest.fixture
def predicate():
    return (numbers(128, 16, seed=9) > 0).astype(np.float32) * 2  # as the engine reads it


@pytest.mark.parametrize("reverse", [False, True])
def test_chooses_by_the_predicate(reverse, predicate, registers):
    data = numbers(128, 16)
    out = make(reverse_pred=reverse).value(predicate, data, registers=registers)
    chosen = predicate == 0 if reverse else predicate != 0
    assert same(out, np.where(chosen, data, np.float32(-5)))
    np.testing.assert_array_equal(registers, 1)


def test_on_false_may_differ_by_partition(predicate, registers):
    data, other = numbers(128, 16), numbers(128, 1, seed=1)
    out = make(on_false=tile((128, 1))).value(predicate, data, other, registers=registers)
    assert same(out, np.where(predicate != 0, data, other))


@pytest.mark.parametrize(
    ("cmd", "start"), [(ReduceCmd.reset_reduce, -np.inf), (ReduceCmd.reduce, 1.0)]
)
def test_the_largest_of_each_row(cmd, start, predicate, registers):
    data = numbers(128, 16)
    instruction = make(reduce_cmd=cmd, reduce_res=tile((128, 1)))
    assert instruction.written() == ("dst", "reduce_res")
    out, largest = instruction.value(predicate, data, registers=registers)
    assert same(largest, np.maximum(out.max(axis=1), np.float32(start)))
    assert same(registers, largest)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"on_true": tile((128, 8))},
            "dst, predicate and on_true span the same partitions, with equally long rows",
        ),
        (
            {"predicate": tile((128, 16), "uint32")},
            "predicate is one of int8, uint8, int16, uint16, bool_",
        ),
        ({"on_true": tile((128, 16), "int32")}, "on_true is not tfloat32, int32 or uint32"),
        ({"on_true": tile((128, 16), "tfloat32")}, "on_true is not tfloat32, int32 or uint32"),
        (
            {
                "on_true": tile((128, 16), space="psum"),
                "predicate": tile((128, 16), "uint8", "psum"),
            },
            "not both predicate and on_true are in PSUM",
        ),
        ({"reduce_op": "add"}, "reduce_op is maximum"),
        ({"reduce_cmd": ReduceCmd.reset}, "reduce_cmd is idle, reduce or reset_reduce"),
        ({"reduce_cmd": ReduceCmd.load_reduce}, "reduce_cmd is idle, reduce or reset_reduce"),
        ({"on_false": tile((128, 2))}, "on_false has shape [128, 1]"),
        ({"reduce_res": tile((64, 1))}, "reduce_res has shape [128, 1]"),
        ({"reduce_res": tile((128, 1), "int16")}, "reduce_res is a float"),
    ],
)
def test_rule(changes, sentence):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == [sentence]


@pytest.mark.parametrize("core", [TRN1, TRN2, TRN3])
def test_two_inputs_from_sbuf_share_a_port(core):
    assert (make().queue, make().passes(core), make().elements()) == ("vector", 2, 16)
    assert make(on_true=tile((128, 16), space="psum")).passes(core) == 1
    read = make(reduce_res=tile((128, 1)))
    assert make().overhead(core) == 0
    assert read.overhead(core) == 64 / core.engine("vector").hz
