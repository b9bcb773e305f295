import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, same, tile
from trnlab.isa.random import Rng, SetRngSeed


def make(**changes):
    return SetRngSeed(**({"src_seeds": tile((1, 1), "uint32")} | changes))


@pytest.fixture
def registers():
    return make().fresh_registers()


def drawn(registers):
    return Rng(tile((128, 16), "uint32")).value(registers=registers)


def seeded(registers, seed, start=0):
    make().value(np.array([[seed]], np.uint32), registers=registers[start:])
    return drawn(registers)


def test_one_seed_gives_one_sequence(registers):
    first = seeded(registers, 42)
    drawn(registers)
    assert same(seeded(registers, 42), first)
    assert not same(seeded(registers, 43), first)


def test_all_lanes_are_seeded_wherever_the_seed_lies(registers):
    assert same(seeded(registers, 42, start=32), seeded(registers, 42))


def test_lanes_draw_differently(registers):
    assert len(np.unique(seeded(registers, 0))) > 0.99 * 128 * 16


def test_fp32_seeds_count_by_their_bits(registers):
    make().value(np.array([[1.0]], np.float32), registers=registers)
    assert same(drawn(registers), seeded(make().fresh_registers(), 0x3F800000))


def test_writes_no_tile():
    assert make().written() == ()
    assert make().reads() == ("src_seeds",)
    assert make().keeps_bits


@pytest.mark.parametrize(
    ("tile_", "sentence"),
    [
        (tile((1, 2), "uint32"), "src_seeds has shape [1, 1]"),
        (tile((1, 1), "uint16"), "src_seeds has 32 bits"),
    ],
)
def test_rule(tile_, sentence):
    assert make().broken(TRN2) == []
    assert make(src_seeds=tile_).broken(TRN2) == [sentence]


@pytest.mark.parametrize("core", [TRN1, TRN2, TRN3])
def test_one_pass(core):
    assert (make().queue, make().passes(core), make().elements()) == ("vector", 1, 1)
