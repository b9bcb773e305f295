import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, numbers, same, tile
from trnlab.isa.activation import ActivationReduce


def make(**changes):
    given = {
        "dst": tile((128, 64)),
        "op": "square",
        "data": tile((128, 64)),
        "reduce_op": "add",
        "reduce_res": tile((128, 1)),
    }
    return ActivationReduce(**(given | changes))


def test_the_function_and_the_sum_of_each_row():
    data = numbers(128, 8, 8)
    out, total = make(scale=2.0).value(data)
    assert same(out, np.square(data * np.float32(2)))
    assert same(total, out.reshape(128, 64).sum(axis=1))


def test_scale_and_bias_that_differ_by_partition():
    data, bias, scale = numbers(128, 64), numbers(128, 1, seed=1), numbers(128, 1, seed=2)
    instruction = make(op="copy", bias=tile((128, 1)), scale=tile((128, 1)))
    assert instruction.reads() == ("data", "bias", "scale")
    assert instruction.written() == ("dst", "reduce_res")
    out, _ = instruction.value(data, bias, scale)
    assert same(out, data * scale + bias)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"dst": tile((128, 32))},
            "dst and data span the same partitions, with equally long rows",
        ),
        ({"scale": tile((128, 2))}, "scale has shape [128, 1]"),
        ({"bias": tile((64, 1))}, "bias has shape [128, 1]"),
        ({"scale": tile((128, 1), "bfloat16")}, "scale is float32"),
        ({"reduce_op": "maximum"}, "reduce_op is add"),
        ({"reduce_res": tile((128, 2))}, "reduce_res has shape [128, 1]"),
    ],
)
def test_rule(changes, sentence):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == [sentence]


@pytest.mark.parametrize("core", [TRN1, TRN2, TRN3])
def test_reading_the_registers_out_takes_64_cycles(core):
    assert (make().queue, make().passes(core), make().elements()) == ("scalar", 1, 64)
    assert make().overhead(core) == 64 / core.engine("scalar").hz
    assert make(op="exp").overhead(core) == make().overhead(core) + core.timing.function
