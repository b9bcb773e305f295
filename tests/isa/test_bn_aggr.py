import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, numbers, tile
from trnlab.isa.statistics import BnAggr, BnStats


def make(**changes):
    return BnAggr(**({"dst": tile((128, 2)), "data": tile((128, 12))} | changes))


def test_exact_where_the_numbers_are():
    data = np.array([[3, 3, 8, 2, 20, 200]], np.float32)  # of 1, 10, 3, 30, 5
    mean, variance = make().value(data)[0]
    assert mean == np.float32(9.8)
    np.testing.assert_allclose(variance, np.var([1, 10, 3, 30, 5]), rtol=1e-6)


def test_mean_and_variance_of_two_tiles():
    data = numbers(128, 1000) + np.float32(3)
    stats = BnStats(tile((128, 6)), tile((128, 500)))
    both = np.concatenate([stats.value(data[:, :500]), stats.value(data[:, 500:])], axis=1)
    out = make().value(both)
    assert (out.dtype, out.shape) == (np.float32, (128, 2))
    np.testing.assert_allclose(out[:, 0], data.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(out[:, 1], data.var(axis=1), rtol=1e-5)


def test_nothing_has_no_mean():
    assert np.isnan(make().value(np.zeros((1, 3), np.float32))).all()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"dst": tile((64, 2))}, "dst and data span the same partitions"),
        ({"dst": tile((128, 3))}, "dst has 2 elements a partition"),
        ({"data": tile((128, 8))}, "data has 3 elements a partition or a multiple of 3"),
    ],
)
def test_rule(changes, sentence):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == [sentence]


@pytest.mark.parametrize("core", [TRN1, TRN2, TRN3])
def test_thirteen_cycles_a_triple(core):
    instruction = make()
    assert instruction.queue == "vector"
    assert instruction.passes(core) * instruction.elements() == 13 * 4
    assert instruction.overhead(core) == 0
