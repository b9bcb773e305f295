import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, numbers, same, tile
from trnlab.isa.activation import ReduceCmd
from trnlab.isa.select import FP32_MIN, RangeSelect


def make(**changes):
    given = {
        "dst": tile((128, 64)),
        "on_true_tile": tile((128, 64)),
        "comp_op0": "greater_equal",
        "comp_op1": "less",
        "bound0": tile((128, 1)),
        "bound1": tile((128, 1)),
    }
    return RangeSelect(**(given | changes))


@pytest.fixture
def registers():
    return np.full(128, 9, np.float32)


def bounds(low, high):
    return np.full((128, 1), low, np.float32), np.full((128, 1), high, np.float32)


def test_keeps_what_is_between_the_bounds(registers):
    data = numbers(128, 64)
    low, high = bounds(10, 20)
    out = make(range_start=5).value(data, low, high, registers=registers)
    columns = np.arange(64) + 5
    kept = (columns >= 10) & (columns < 20)
    assert same(out, np.where(kept, data, np.finfo(np.float32).min))
    assert same(registers, out.max(axis=1))


def test_bounds_differ_by_partition(registers):
    data = numbers(128, 64)
    low, high = np.zeros((128, 1), np.float32), np.arange(128, dtype=np.float32)[:, None]
    out = make(comp_op1="less_equal").value(data, low, high, registers=registers)
    kept = np.arange(64) <= np.arange(128)[:, None]
    assert same(out, np.where(kept, data, np.finfo(np.float32).min))


def test_the_maximum_is_read_out_and_goes_on(registers):
    data = numbers(128, 64)
    res = {"reduce_res": tile((128, 1))}
    out, largest = make(**res).value(data, *bounds(0, 64), registers=registers)
    assert same(out, data)
    assert same(largest, data.max(axis=1))
    more = make(reduce_cmd=ReduceCmd.reduce, **res)
    _, larger = more.value(data + np.float32(1), *bounds(0, 1), registers=registers)
    assert same(larger, np.maximum(largest, data[:, 0] + np.float32(1)))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"dst": tile((128, 32))},
            "dst and on_true_tile span the same partitions, with equally long rows",
        ),
        ({"on_true_tile": tile((128, 64), "int8")}, "on_true_tile is a float"),
        (
            {"comp_op0": "not_equal"},
            "comp_op0 is one of equal, less, less_equal, greater, greater_equal",
        ),
        (
            {"comp_op1": "add"},
            "comp_op1 is one of equal, less, less_equal, greater, greater_equal",
        ),
        ({"bound0": tile((128, 2))}, "bound0 has shape [128, 1]"),
        ({"bound1": tile((64, 1))}, "bound1 has shape [128, 1]"),
        ({"bound0": tile((128, 1), "int32")}, "bound0 is float32"),
        ({"bound1": tile((128, 1), "bfloat16")}, "bound1 is float32"),
        ({"reduce_res": tile((128, 2))}, "reduce_res has shape [128, 1]"),
        ({"reduce_op": "add"}, "reduce_op is maximum"),
        (
            {"reduce_cmd": ReduceCmd.load_reduce},
            "reduce_cmd is not load_reduce: there is nothing to load",
        ),
        ({"on_false_value": 0.0}, "on_false_value is -3.4028235e+38"),
        ({"range_start": 2**24}, "columns are counted below 2**24, where fp32 is exact"),
    ],
)
def test_rule(changes, sentence):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == [sentence]


def test_the_first_generation_lacks_it():
    assert make().broken(TRN1) == ["needs a core with 'range_select'"]
    assert make().broken(TRN3) == []


def test_the_lowest_number_is_that_of_fp32():
    assert np.finfo(np.float32).min == FP32_MIN


@pytest.mark.parametrize("core", [TRN2, TRN3])
def test_one_pass(core):
    assert (make().queue, make().passes(core), make().elements()) == ("vector", 1, 64)
    assert make().overhead(core) == 0
    assert make(reduce_res=tile((128, 1))).overhead(core) == 64 / core.engine("vector").hz
    assert make().operations() == 2 * 128 * 64
