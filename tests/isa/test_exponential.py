from typing import Any

import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, numbers, same, tile
from trnlab.isa.activation import ReduceCmd
from trnlab.isa.exponential import Exponential
from trnlab.isa.limits import NUMBERS


def make(dtype="float32", **changes):
    given: dict[str, Any] = {"dst": tile((128, 64), dtype), "src": tile((128, 64), dtype)}
    return Exponential(**(given | changes))


@pytest.fixture
def registers():
    return np.full(128, 5, np.float32)


def test_after_a_subtraction(registers):
    src = numbers(128, 64)
    out = make(max_value=1.5).value(src, registers=registers)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, np.exp(src.astype(np.float64) - 1.5), rtol=1e-6)
    np.testing.assert_array_equal(registers, 5)


def test_of_nothing_is_one_exactly(registers):
    largest = numbers(128, 1)
    src = np.tile(largest, (1, 64)).reshape(128, 8, 8)
    out = make(max_value=tile((128, 1))).value(src, largest, registers=registers)
    assert same(out, np.ones((128, 8, 8), np.float32))


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"reduce_cmd": ReduceCmd.reset_reduce}, 0),
        ({"reduce_cmd": ReduceCmd.reduce}, 5),
        ({"reduce_cmd": ReduceCmd.load_reduce, "reduce_init": 9.0}, 9),
        ({"reduce_cmd": ReduceCmd.load_reduce, "reduce_init": tile((128, 1))}, 9),
    ],
)
def test_the_sum_of_each_row(changes, start, registers):
    instruction = make(reduce_res=tile((128, 1)), **changes)
    arrays = [np.full((128, 1), 9, np.float32)] if "reduce_init" in instruction.reads() else []
    out, total = instruction.value(np.zeros((128, 64), np.float32), *arrays, registers=registers)
    assert same(out, np.ones((128, 64), np.float32))
    assert same(total, np.full(128, start + 64, np.float32))
    assert same(registers, total)


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        (
            {"dst": tile((128, 32))},
            ["dst and src span the same partitions, with equally long rows"],
        ),
        ({"src": tile((128, 2, 2, 2, 8))}, ["dst and src have at most 4 dimensions"]),
        ({"src": tile((128, 64), "tfloat32")}, [f"src is one of {', '.join(NUMBERS)}, uint32"]),
        ({"dst": tile((128, 64), "uint32")}, [f"dst is one of {', '.join(NUMBERS)}, tfloat32"]),
        ({"max_value": tile((128, 2))}, ["max_value has shape [128, 1]"]),
        ({"max_value": tile((128, 1), "bfloat16")}, ["max_value is float32"]),
        ({"reduce_res": tile((64, 1))}, ["reduce_res has shape [128, 1]"]),
        ({"reduce_res": tile((128, 1), "int32")}, ["reduce_res is a float"]),
        ({"reduce_cmd": ReduceCmd.reset}, ["reduce_cmd is not reset"]),
        ({"reduce_init": 1.0}, ["reduce_init comes with load_reduce"]),
        (
            {"reduce_init": tile((128, 2), "bfloat16"), "reduce_cmd": ReduceCmd.load_reduce},
            ["reduce_init has shape [128, 1]", "reduce_init is float32"],
        ),
    ],
)
def test_rule(changes, sentences):
    assert make().broken(TRN3) == []
    assert make(**changes).broken(TRN3) == sentences


@pytest.mark.parametrize("core", [TRN1, TRN2])
def test_older_cores_lack_it(core):
    assert make().broken(core) == ["needs a core with 'exponential'"]


def test_cost():
    assert (make().queue, make().elements()) == ("vector", 64)
    assert make().passes(TRN3) == 0.5
    assert make("bfloat16").passes(TRN3) == 0.25
    assert make("bfloat16", dst=tile((128, 64))).passes(TRN3) == 0.5
    assert make().overhead(TRN3) == 0
    assert make(reduce_res=tile((128, 1))).overhead(TRN3) == 64 / TRN3.engine("vector").hz
    assert make().operations() == 2 * 128 * 64
