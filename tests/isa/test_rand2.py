import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, same, tile
from trnlab.isa.limits import NUMBERS
from trnlab.isa.random import Rand2


def make(**changes):
    return Rand2(**({"dst": tile((128, 512)), "min": -1.0, "max": 3.0} | changes))


@pytest.fixture
def registers():
    return make().fresh_registers()


def test_evenly_between_the_bounds(registers):
    out = make().value(registers=registers)
    assert (out.dtype, out.shape) == (np.float32, (128, 512))
    assert -1 <= out.min() < -0.99
    assert 2.99 < out.max() <= 3
    counts, _ = np.histogram(out, bins=8, range=(-1, 3))
    assert np.abs(counts / out.size - 1 / 8).max() < 0.01


def test_bounds_that_differ_by_partition(registers):
    low = np.arange(128, dtype=np.float32)[:, None]
    instruction = make(min=tile((128, 1)), max=tile((128, 1)))
    assert instruction.reads() == ("min", "max")
    out = instruction.value(low, low + 1, registers=registers)
    assert ((low <= out) & (out <= low + 1)).all()


def test_every_run_draws_alike(registers):
    assert same(make().value(registers=registers), make().value(registers=make().fresh_registers()))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"min": tile((64, 1))}, "min has shape [128, 1]"),
        ({"max": tile((128, 2))}, "max has shape [128, 1]"),
        ({"min": tile((128, 1), "bfloat16")}, "min is float32"),
        ({"max": tile((128, 1), "int32")}, "max is float32"),
        ({"min": 3.0}, "min is below max"),
        (
            {"dst": tile((128, 512), "float8_e4m3fn")},
            f"dst is one of {', '.join(NUMBERS)}, tfloat32, uint32",
        ),
    ],
)
def test_rule(changes, sentence):
    assert make().broken(TRN3) == []
    assert make(**changes).broken(TRN3) == [sentence]


@pytest.mark.parametrize("core", [TRN1, TRN2])
def test_older_cores_lack_it(core):
    assert make().broken(core) == ["needs a core with 'rand2'"]


def test_four_numbers_a_cycle():
    assert (make().queue, make().passes(TRN3), make().elements()) == ("vector", 0.25, 512)
    assert make().overhead(TRN3) == 0
