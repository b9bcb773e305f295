import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, numbers, same, tile
from trnlab.isa.random import Dropout


def make(dtype="float32", **changes):
    given = {"dst": tile((128, 512), dtype), "data": tile((128, 512), dtype), "prob": 0.25}
    return Dropout(**(given | changes))


@pytest.fixture
def registers():
    return make().fresh_registers()


@pytest.mark.parametrize(("prob", "share"), [(0.0, 0.0), (0.25, 0.25), (0.9, 0.9), (1.0, 1.0)])
def test_drops_about_that_share_and_keeps_the_rest(prob, share, registers):
    data = numbers(128, 512)
    out = make(prob=prob).value(data, registers=registers)
    dropped = out == 0
    assert abs(dropped.mean() - share) < 0.01
    assert same(out, np.where(dropped, np.float32(0), data))


def test_one_probability_a_partition(registers):
    data = np.ones((128, 8, 64), np.float32)
    prob = np.repeat(np.float32([0, 1]), 64)[:, None]
    out = make(prob=tile((128, 1))).value(data, prob, registers=registers)
    assert same(out, data * (1 - prob[:, :, None]))


def test_integers_keep_their_bits(registers):
    data = np.full((128, 512), 2**30 + 1, np.int32)
    instruction = make("int32")
    assert instruction.keeps_bits
    out = instruction.value(data, registers=registers)
    assert set(np.unique(out)) == {0, 2**30 + 1}


def test_every_call_draws_anew_and_every_run_alike(registers):
    data = np.ones((128, 512), np.float32)
    first = make().value(data, registers=registers)
    second = make().value(data, registers=registers)
    assert not same(first, second)
    assert same(make().value(data, registers=make().fresh_registers()), first)


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        (
            {"dst": tile((128, 256))},
            ["dst and data span the same partitions, with equally long rows"],
        ),
        ({"dst": tile((128, 512), "bfloat16")}, ["dst and data have one dtype"]),
        ({"prob": tile((128, 2))}, ["prob has shape [128, 1]"]),
        ({"prob": tile((128, 1), "int32")}, ["prob is a float"]),
    ],
)
def test_rule(changes, sentences):
    assert make().broken(TRN1) == []
    assert make(**changes).broken(TRN1) == sentences


def test_integers_take_an_fp32_probability():
    assert make("int32", prob=tile((128, 1))).broken(TRN2) == []
    assert make("int32", prob=tile((128, 1), "bfloat16")).broken(TRN2) == ["prob is float32"]
    assert make("bfloat16", prob=tile((128, 1), "bfloat16")).broken(TRN2) == []


@pytest.mark.parametrize("core", [TRN1, TRN2, TRN3])
def test_one_pass(core):
    assert (make().queue, make().passes(core), make().elements()) == ("vector", 1, 512)
    assert make().overhead(core) == 0
