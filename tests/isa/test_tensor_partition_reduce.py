import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, numbers, tile
from trnlab.isa.reduce import TensorPartitionReduce


def make(**changes):
    given = {"dst": tile((1, 32, 4)), "op": "add", "data": tile((128, 32, 4))}
    return TensorPartitionReduce(**(given | changes))


@pytest.mark.parametrize(
    ("op", "expected"), [("add", np.add.reduce), ("maximum", np.maximum.reduce)]
)
def test_combines_partitions(op, expected):
    data = numbers(128, 32, 4)
    out = make(op=op).value(data)
    np.testing.assert_array_equal(out, expected(data, axis=0, keepdims=True))


def test_average():
    data = np.arange(8, dtype=np.float32).reshape(4, 2)
    np.testing.assert_array_equal(make(op="average").value(data), [[3, 4]])


def test_bitwise_keeps_bits():
    data = np.array([[2**30 + 1], [1], [4]], np.uint32)
    given = {"dst": tile((1, 1), "uint32"), "data": tile((3, 1), "uint32")}
    instruction = make(op="bitwise_or", **given)
    assert instruction.keeps_bits
    assert not make().keeps_bits
    np.testing.assert_array_equal(instruction.value(data), [[2**30 + 5]])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"op": "minimum"}, "op is one of add, average, maximum, bitwise_or, bitwise_and"),
        ({"dst": tile((2, 32, 4))}, "dst spans one partition"),
        ({"dst": tile((1, 32, 2))}, "dst and data have equally long rows"),
        ({"op": "bitwise_and"}, "bitwise operators take integers"),
        (
            {"data": tile((128, 32, 4), space="psum")},
            "data is not in PSUM: GpSimd cannot reach it",
        ),
    ],
)
def test_rule(changes, sentence):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == [sentence]


@pytest.mark.parametrize(("partitions", "levels"), [(1, 1), (2, 1), (3, 2), (64, 6), (128, 7)])
def test_one_pass_a_level_of_a_tree(partitions, levels):
    instruction = make(data=tile((partitions, 32, 4)))
    assert (instruction.queue, instruction.passes(TRN1)) == ("gpsimd", levels)
    assert instruction.elements() == 128
