import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, tile
from trnlab.isa.search import Topk


def make(**changes):
    given = {
        "val_dst": tile((32, 8), "bfloat16"),
        "idx_dst": tile((32, 8), "uint32"),
        "src": tile((32, 3), "bfloat16"),
        "n": 42,
    }
    return Topk(**(given | changes))


def test_the_largest_of_each_sixteen_partitions_in_ascending_order():
    rng = np.random.default_rng(0)
    sequences = rng.permuted(np.tile(np.arange(48, dtype=np.float32), (2, 1)), axis=1)
    src = sequences.reshape(2, 3, 16).transpose(0, 2, 1).reshape(32, 3)
    values, indices = make().value(src)
    for group in range(2):
        order = np.argsort(sequences[group, :42])[-8:]
        rows = slice(16 * group, 16 * group + 16)
        np.testing.assert_array_equal(indices[rows], np.tile(order, (16, 1)))
        np.testing.assert_array_equal(values[rows], np.tile(sequences[group][order], (16, 1)))


def test_among_equal_elements_the_first_is_taken():
    src = np.zeros((16, 1), np.float32)
    src[[3, 5, 9]] = 1
    _, indices = make(val_dst=tile((16, 2), "bfloat16"), n=16).value(src)
    np.testing.assert_array_equal(indices, np.tile([5, 3], (16, 1)))


def test_all_of_them():
    src = np.arange(16, dtype=np.float32)[::-1, None]
    values, indices = make(val_dst=tile((16, 16), "bfloat16"), n=16).value(src)
    np.testing.assert_array_equal(values[0], np.arange(16))
    np.testing.assert_array_equal(indices[0], np.arange(16)[::-1])


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({"val_dst": tile((32, 8))}, ["val_dst is bfloat16"]),
        ({"src": tile((32, 3))}, ["src is bfloat16"]),
        ({"idx_dst": tile((32, 8), "int32")}, ["idx_dst is uint32"]),
        ({"idx_dst": tile((32, 4), "uint32")}, ["val_dst and idx_dst have one shape"]),
        ({"src": tile((16, 3), "bfloat16")}, ["val_dst and src span the same partitions"]),
        (
            {
                "src": tile((24, 3), "bfloat16"),
                "val_dst": tile((24, 8), "bfloat16"),
                "idx_dst": tile((24, 8), "uint32"),
            },
            ["src spans a multiple of 16 partitions"],
        ),
        ({"n": 7}, ["n is 8 to 65535", "K is 1 to 32767, and at most n"]),
        ({"n": 49}, ["src holds n elements in 16 partitions"]),
        (
            {"val_dst": tile((32, 43), "bfloat16"), "idx_dst": tile((32, 43), "uint32")},
            ["K is 1 to 32767, and at most n"],
        ),
    ],
)
def test_rule(changes, sentences):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == sentences


def test_the_first_generation_lacks_it():
    assert make().broken(TRN1) == ["needs a core with 'topk'"]


@pytest.mark.parametrize("core", [TRN2, TRN3])
def test_four_cycles_an_element(core):
    instruction = make()
    assert (instruction.queue, instruction.passes(core)) == ("gpsimd", 1)
    assert instruction.elements() == 4 * 42 + 8
