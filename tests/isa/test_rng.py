import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, same, tile
from trnlab.isa.instruction import Queue
from trnlab.isa.random import Rng


def make(**changes):
    return Rng(**({"dst": tile((128, 512), "uint32")} | changes))


@pytest.fixture
def registers():
    return make().fresh_registers()


def test_bits_are_set_half_of_the_time(registers):
    bits = make().value(registers=registers)
    assert (bits.dtype, bits.shape) == (np.uint32, (128, 512))
    for bit in range(32):
        assert abs((bits >> np.uint32(bit) & np.uint32(1)).mean() - 0.5) < 0.01


def test_lanes_and_calls_differ(registers):
    first, second = (make().value(registers=registers) for _ in range(2))
    assert len(np.unique(np.concatenate([first, second]))) > 0.99 * 2 * first.size


def test_two_short_calls_are_one_long_one(registers):
    short = make(dst=tile((128, 256), "uint32"))
    halves = np.concatenate([short.value(registers=registers) for _ in range(2)], axis=1)
    assert same(make().value(registers=make().fresh_registers()), halves)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32"])
def test_narrow_integers_take_the_lowest_bits(dtype, registers):
    instruction = make(dst=tile((128, 512), dtype))
    assert instruction.keeps_bits
    out = instruction.value(registers=registers)
    words = make().value(registers=make().fresh_registers())
    assert same(out, words.astype(dtype))


def test_a_lane_draws_the_same_wherever_the_tile_starts(registers):
    low = make(dst=tile((64, 8), "uint32", start=64)).value(registers=registers[64:])
    whole = make(dst=tile((128, 8), "uint32")).value(registers=make().fresh_registers())
    assert same(low, whole[64:])


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({"dst": tile((128, 512))}, ["dst is an integer"]),
        ({"engine": Queue.scalar}, ["runs on vector or gpsimd"]),
        (
            {"engine": Queue.gpsimd, "dst": tile((128, 512), "uint32", "psum")},
            ["dst is not in PSUM: GpSimd cannot reach it"],
        ),
    ],
)
def test_rule(changes, sentences):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == sentences


def test_gpsimd_draws_since_the_second_generation():
    assert make(engine=Queue.gpsimd).broken(TRN1) == ["GpSimd draws random numbers"]
    assert make(engine=Queue.gpsimd).broken(TRN2) == []


@pytest.mark.parametrize("core", [TRN1, TRN2, TRN3])
def test_one_pass(core):
    assert (make().queue, make().passes(core), make().elements()) == ("vector", 1, 512)
    assert make().overhead(core) == 0
