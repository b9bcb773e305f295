import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, same, tile
from trnlab.isa.search import NonzeroWithCount


def make(**changes):
    given = {"dst": tile((32, 9), "int32"), "src": tile((32, 8))}
    return NonzeroWithCount(**(given | changes))


def test_indices_padding_count():
    src = np.array([[0, 1, 1, 0, 0, 1, 0, 0]], np.float32)
    dst = np.full((1, 9), 4, np.int32)
    out = make(index_offset=16).value(dst, src)
    assert same(out, np.array([[17, 18, 21, -1, -1, -1, -1, -1, 3]], np.int32))


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_every_sixteenth_partition_takes_part(dtype):
    instruction = make(padding_val=-7)
    assert instruction.keeps_bits
    assert instruction.reads() == ("dst", "src")
    dst = np.arange(32 * 9, dtype=np.int32).reshape(32, 9) + 2**30
    src = np.ones((32, 8), dtype)
    src[16, 1:] = 0
    expected = dst.copy()
    expected[0] = [0, 1, 2, 3, 4, 5, 6, 7, 8]
    expected[16] = [0, -7, -7, -7, -7, -7, -7, -7, 1]
    assert same(instruction.value(dst, src), expected)


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({"dst": tile((16, 9), "int32")}, ["dst and src span the same partitions"]),
        ({"dst": tile((32, 8), "int32")}, ["dst has 9 elements a partition"]),
        (
            {"src": tile((32, 8), space="psum")},
            ["src is not in PSUM: GpSimd cannot reach it"],
        ),
        ({"src": tile((32, 8), "bfloat16")}, ["src is float32 or int32"]),
        ({"dst": tile((32, 9))}, ["dst is int32"]),
    ],
)
def test_rule(changes, sentences):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == sentences


def test_the_first_generation_lacks_it():
    assert make().broken(TRN1) == ["needs a core with 'nonzero_with_count'"]


@pytest.mark.parametrize("core", [TRN2, TRN3])
def test_one_pass(core):
    instruction = make()
    assert (instruction.queue, instruction.passes(core)) == ("gpsimd", 1)
    assert (instruction.elements(), instruction.overhead(core)) == (8, 0)


@pytest.mark.parametrize("name", ["index_offset", "padding_val"])
def test_it_counts_in_32_bits(name):
    assert make(**{name: 2**31}).broken(TRN2) == [f"{name} fits 32 bits"]
