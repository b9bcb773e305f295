import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, numbers, same, tile
from trnlab.isa.instruction import Queue
from trnlab.isa.move import TensorCopy
from trnlab.isa.rules import OLDER, Compiler
from trnlab.isa.tile import Tile, layout


def make(**changes):
    return TensorCopy(**({"dst": tile((128, 64)), "src": tile((128, 64))} | changes))


def stepped(shape, strides, dtype="float32", space="sbuf"):
    """A tile of a buffer of 64 Ki elements a partition, with strides of its own."""
    whole = tile((128, 2**17), dtype, space)
    here = whole.layout
    new = layout(here.space, here.dtype, (128, *shape), (here.pitch, *strides), here.pitch)
    return Tile(whole.storage, new)


def test_value():
    data = numbers(128, 64)
    assert same(make().value(data), data)
    assert make().keeps_bits
    assert not make(dst=tile((128, 64), "bfloat16")).keeps_bits


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"dst": tile((64, 64))},
            "dst and src span the same partitions, with equally long rows",
        ),
        (
            {"src": tile((128, 64), space="psum"), "engine": Queue.gpsimd},
            "src is not in PSUM: GpSimd cannot reach it",
        ),
        ({"engine": Queue.tensor}, "runs on vector or scalar or gpsimd"),
    ],
)
def test_rule(changes, sentence):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == [sentence]


def test_the_scalar_engine_copies_since_the_second_generation():
    assert make(engine=Queue.scalar).broken(TRN2) == []
    assert make(engine=Queue.scalar).broken(TRN1) == ["the scalar engine copies"]
    assert make(engine=Queue.scalar).broken(TRN1, Compiler(OLDER)) == []


@pytest.mark.parametrize(
    ("src", "sentence"),
    [
        (
            stepped((2, 2, 2, 2, 4), (100, 45, 21, 10, 2)),
            "src steps through at most 4 free dimensions",
        ),
        (stepped((2, 32), (32768, 2)), "src has strides of at most 32767 elements"),
    ],
)
def test_rule_of_access_patterns(src, sentence):
    assert make(src=src).broken(TRN2) == [sentence]


def test_dimensions_that_step_as_one_count_once():
    dense = stepped((2, 2, 2, 2, 4), (32, 16, 8, 4, 1))
    assert make(src=dense).broken(TRN2) == []


@pytest.mark.parametrize(
    ("space", "limit"),
    [("sbuf", 65536), ("psum", 4096)],
)
def test_rule_of_row_lengths(space, limit):
    fits = {name: tile((128, limit), "uint8", space) for name in ("dst", "src")}
    assert make(**fits).broken(TRN2) == []
    longer = {name: tile((128, limit + 1), "uint8", space) for name in ("dst", "src")}
    assert make(**longer).broken(TRN2) == [
        f"{name} has at most {limit} elements a partition" for name in ("dst", "src")
    ]


def test_a_copy_is_no_arithmetic():
    assert make().operations() == 0
    assert make().value(np.zeros(3)).shape == (3,)
