import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, numbers, same, tile
from trnlab.errors import OutOfBounds
from trnlab.isa.gather import NcNGather


def make(**changes):
    given = {
        "dst": tile((128, 32)),
        "data": tile((128, 64)),
        "indices": tile((128, 32), "uint32"),
    }
    return NcNGather(**(given | changes))


def test_each_partition_by_its_own_indices():
    data = numbers(128, 8, 8)
    indices = np.random.default_rng(0).integers(0, 64, (128, 4, 8)).astype(np.uint32)
    instruction = make(data=tile((128, 8, 8)), indices=tile((128, 4, 8), "uint32"))
    assert instruction.keeps_bits
    flat = indices.reshape(128, 32).astype(np.int64)
    expected = np.take_along_axis(data.reshape(128, 64), flat, axis=1)
    assert same(instruction.value(data, indices), expected)


def test_an_index_outside_is_an_error():
    indices = np.full((128, 32), 64, np.uint32)
    with pytest.raises(OutOfBounds, match="index 64 is outside the rows it gathers from"):
        make().value(np.zeros((128, 64), np.float32), indices)


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        (
            {"dst": tile((128, 16))},
            ["dst and indices span the same partitions, with equally long rows"],
        ),
        ({"data": tile((64, 64))}, ["data and indices span the same partitions"]),
        ({"indices": tile((128, 32), "int32")}, ["indices is uint32"]),
        ({"dst": tile((128, 32), "bfloat16")}, ["dst and data have one dtype"]),
        (
            {"data": tile((128, 64), space="psum")},
            ["data is not in PSUM: GpSimd cannot reach it"],
        ),
    ],
)
def test_rule(changes, sentences):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == sentences


@pytest.mark.parametrize("core", [TRN1, TRN2, TRN3])
def test_each_512_elements_start_anew(core):
    instruction = make()
    assert (instruction.queue, instruction.passes(core)) == ("gpsimd", 1)
    assert (instruction.elements(), instruction.overhead(core)) == (32, 0)
    gpsimd = core.engine("gpsimd")
    for count, restarts in ((512, 0), (513, 1), (2048, 3)):
        longer = make(dst=tile((128, count)), indices=tile((128, count), "uint32"))
        assert longer.overhead(core) == restarts * gpsimd.start / gpsimd.hz
    assert instruction.operations() == 0
