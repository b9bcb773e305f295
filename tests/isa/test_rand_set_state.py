import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, same, tile
from trnlab.isa.instruction import Queue
from trnlab.isa.random import Rand2, RandGetState, RandSetState, Rng

MARSAGLIA = (123456789, 362436069, 521288629, 88675123, 5783321, 6615241)


def make(**changes):
    return RandSetState(**({"src_seeds": tile((128, 6), "uint32")} | changes))


def on_vector(**changes):
    return make(src_seeds=tile((128, 24), "uint32"), engine=Queue.vector, **changes)


def xorwow(x, y, z, w, v, d, count):
    """The generator as it was published, in whole numbers."""
    out = []
    for _ in range(count):
        t = x ^ (x >> 2)
        x, y, z, w = y, z, w, v
        v = (v ^ (v << 4) ^ t ^ (t << 1)) & 0xFFFFFFFF
        d = (d + 362437) & 0xFFFFFFFF
        out.append((d + v) & 0xFFFFFFFF)
    return out


def test_one_generator_in_each_lane_of_gpsimd():
    states = np.random.default_rng(0).integers(0, 2**32, (128, 6), dtype=np.uint32)
    states[0] = MARSAGLIA
    instruction = make()
    registers = instruction.fresh_registers()
    instruction.value(states, registers=registers)
    rng = Rng(tile((128, 20), "uint32"), Queue.gpsimd)
    assert rng.accumulator == instruction.accumulator
    expected = np.array([xorwow(*map(int, row), 20) for row in states], np.uint32)
    assert same(rng.value(registers=registers), expected)


def test_four_generators_take_turns_in_each_lane_of_the_vector_engine():
    states = np.random.default_rng(1).integers(0, 2**32, (128, 24), dtype=np.uint32)
    instruction = on_vector()
    registers = instruction.fresh_registers()
    instruction.value(states, registers=registers)
    rng = Rng(tile((128, 12), "uint32"))
    assert rng.accumulator == instruction.accumulator
    each = [[xorwow(*map(int, row[6 * g : 6 * g + 6]), 3) for g in range(4)] for row in states]
    expected = np.array(each, np.uint32).transpose(0, 2, 1).reshape(128, 12)
    assert same(rng.value(registers=registers), expected)


def test_numbers_between_bounds_come_from_the_upper_bits():
    states = np.tile(np.array(MARSAGLIA, np.uint32), (128, 4))
    registers = on_vector().fresh_registers()
    on_vector().value(states, registers=registers)
    drawn = Rand2(tile((128, 4)), -2.0, 6.0).value(registers=registers)
    word = xorwow(*MARSAGLIA, 1)[0]
    assert same(drawn, np.full((128, 4), -2 + 8 * ((word >> 8) / 2**24), np.float32))


def test_a_draw_that_is_no_multiple_of_four_drops_the_rest():
    short, whole = on_vector().fresh_registers(), on_vector().fresh_registers()
    first = Rng(tile((128, 6), "uint32")).value(registers=short)
    eight = Rng(tile((128, 8), "uint32")).value(registers=whole)
    assert same(first, eight[:, :6])
    assert same(short, whole)


@pytest.mark.parametrize("start", [0, 32, 96])
def test_states_are_those_of_the_lanes_where_the_tile_lies(start):
    states = np.random.default_rng(2).integers(0, 2**32, (32, 6), dtype=np.uint32)
    registers = make().fresh_registers()
    before = registers.copy()
    make(src_seeds=tile((32, 6), "uint32", start=start)).value(states, registers=registers[start:])
    assert same(registers[start : start + 32], states)
    rest = np.delete(np.arange(128), range(start, start + 32))
    assert same(registers[rest], before[rest])


def test_states_that_were_read_continue_the_sequence():
    registers = make().fresh_registers()
    rng = Rng(tile((128, 8), "uint32"), Queue.gpsimd)
    rng.value(registers=registers)
    kept = RandGetState(tile((128, 6), "uint32")).value(registers=registers)
    first = rng.value(registers=registers)
    make().value(kept, registers=registers)
    assert same(rng.value(registers=registers), first)


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({"src_seeds": tile((128, 6), "int32")}, ["src_seeds is uint32"]),
        ({"src_seeds": tile((128, 2, 3), "uint32")}, ["src_seeds has 2 dimensions"]),
        ({"src_seeds": tile((128, 24), "uint32")}, ["src_seeds has 6 elements a partition"]),
        (
            {"src_seeds": tile((128, 6), "uint32", "psum")},
            ["src_seeds is not in PSUM: GpSimd cannot reach it", "src_seeds is in SBUF"],
        ),
        ({"engine": Queue.scalar}, ["runs on gpsimd or vector"]),
    ],
)
def test_rule(changes, sentences):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == sentences


def test_the_vector_engine_shows_its_states_since_trainium3():
    assert on_vector().broken(TRN3) == []
    sentence = "the states of the vector engine need a core with 'vector_rand_state'"
    assert on_vector().broken(TRN2) == [sentence]
    assert make().broken(TRN1) == ["needs a core with 'rand_state'"]


@pytest.mark.parametrize("core", [TRN2, TRN3])
def test_one_pass(core):
    assert (make().queue, make().passes(core), make().elements()) == ("gpsimd", 1, 6)
    assert make().written() == ()
    assert make().keeps_bits
