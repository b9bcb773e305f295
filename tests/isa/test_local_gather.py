import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, numbers, same, tile
from trnlab.errors import OutOfBounds
from trnlab.isa.gather import LocalGather


def make(**changes):
    given = {
        "dst": tile((128, 64)),
        "src_buffer": tile((128, 512)),
        "index": tile((128, 4), "uint16"),
    }
    return LocalGather(**(given | changes))


def indices(high):
    return np.random.default_rng(0).integers(0, high, (128, 4)).astype(np.uint16)


def test_sixteen_partitions_share_their_indices():
    src, index = numbers(128, 512), indices(512)
    instruction = make()
    assert instruction.keeps_bits
    out = instruction.value(src, index)
    for core in range(8):
        rows = slice(16 * core, 16 * core + 16)
        assert same(out[rows], src[rows][:, index[rows].flatten(order="F")])


def test_runs_of_elements_and_fewer_valid_indices():
    src, index = numbers(128, 512, 4), indices(512)
    more = {"num_elem_per_idx": 4, "num_valid_indices": 50, "dst": tile((128, 50, 4))}
    instruction = make(src_buffer=tile((128, 512, 4)), **more)
    assert instruction.broken(TRN2) == []
    out = instruction.value(src, index * 4).reshape(128, 50, 4)
    for core in range(8):
        rows = slice(16 * core, 16 * core + 16)
        assert same(out[rows], src[rows][:, index[rows].flatten(order="F")[:50]])


def test_an_index_outside_is_an_error():
    index = np.zeros((128, 4), np.uint16)
    index[5, 2] = 511
    src = np.zeros((128, 512), np.float32)
    make().value(src, index)
    with pytest.raises(OutOfBounds, match="index 512 is outside the rows it gathers from"):
        make(num_elem_per_idx=2).value(src, index)


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({"dst": tile((112, 64))}, ["dst, src_buffer and index span the same partitions"]),
        (
            {
                "dst": tile((24, 64)),
                "src_buffer": tile((24, 512)),
                "index": tile((24, 4), "uint16"),
            },
            ["they span a multiple of 16 partitions"],
        ),
        ({"index": tile((128, 4), "uint32")}, ["index is uint16"]),
        ({"dst": tile((128, 64), "bfloat16")}, ["dst and src_buffer have one dtype"]),
        (
            {"num_elem_per_idx": 3, "dst": tile((128, 192))},
            ["num_elem_per_idx is one of (1, 2, 4, 8, 16, 32)"],
        ),
        (
            {"index": tile((128, 257), "uint16"), "dst": tile((128, 4112))},
            ["at most 4096 indices a core"],
        ),
        (
            {"num_valid_indices": 65, "dst": tile((128, 65))},
            ["num_valid_indices is no more than index holds"],
        ),
        ({"num_elem_per_idx": 2}, ["dst has 128 elements a partition"]),
        (
            {"src_buffer": tile((128, 512), space="psum")},
            ["src_buffer is not in PSUM: GpSimd cannot reach it"],
        ),
    ],
)
def test_rule(changes, sentences):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == sentences


@pytest.mark.parametrize("core", [TRN1, TRN2, TRN3])
def test_cycles_for_each_index(core):
    instruction = make()
    assert (instruction.queue, instruction.passes(core)) == ("gpsimd", 1)
    assert instruction.elements() == 64 * 8
    assert make(num_elem_per_idx=4).elements() == 64 * 11
    half = {"src_buffer": tile((128, 512), "bfloat16"), "num_elem_per_idx": 4}
    assert make(**half).elements() == 64 * 11 / 2
    assert instruction.operations() == 0
