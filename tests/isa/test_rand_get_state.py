import pytest

from tests.isa.make import TRN1, TRN2, TRN3, same, tile
from trnlab.isa.instruction import Queue
from trnlab.isa.random import RandGetState


def make(**changes):
    return RandGetState(**({"dst": tile((128, 6), "uint32")} | changes))


def on_vector(**changes):
    return make(**({"dst": tile((128, 24), "uint32"), "engine": Queue.vector} | changes))


@pytest.mark.parametrize("instruction", [make(), on_vector()])
def test_the_states_as_they_are(instruction):
    registers = instruction.fresh_registers()
    out = instruction.value(registers=registers)
    assert same(out, registers)
    registers[:] = 0
    assert out.any()


def test_the_states_of_the_lanes_where_the_tile_lies():
    registers = make().fresh_registers()
    instruction = make(dst=tile((32, 6), "uint32", start=64))
    assert same(instruction.value(registers=registers[64:]), registers[64:96])


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({"dst": tile((128, 6))}, ["dst is uint32"]),
        ({"dst": tile((128, 6, 1), "uint32")}, ["dst has 2 dimensions"]),
        ({"dst": tile((128, 24), "uint32")}, ["dst has 6 elements a partition"]),
        (
            {"dst": tile((128, 6), "uint32", "psum")},
            ["dst is not in PSUM: GpSimd cannot reach it"],
        ),
    ],
)
def test_rule(changes, sentences):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == sentences


def test_the_vector_engine_shows_its_states_since_trainium3_and_writes_psum():
    assert on_vector().broken(TRN3) == []
    assert on_vector(dst=tile((128, 24), "uint32", "psum")).broken(TRN3) == []
    sentence = "the states of the vector engine need a core with 'vector_rand_state'"
    assert on_vector().broken(TRN2) == [sentence]
    assert make().broken(TRN1) == ["needs a core with 'rand_state'"]


@pytest.mark.parametrize("core", [TRN2, TRN3])
def test_one_pass(core):
    assert (make().queue, make().passes(core), make().elements()) == ("gpsimd", 1, 6)
