import ml_dtypes
import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, numbers, same, tile
from trnlab.isa.instruction import Queue
from trnlab.isa.matmul import NcTranspose
from trnlab.isa.rules import OLDER, Compiler


def make(**changes):
    given = {"dst": tile((64, 128), space="psum"), "data": tile((128, 64))}
    return NcTranspose(**(given | changes))


def small(**changes):
    return make(**({"dst": tile((32, 16)), "data": tile((16, 32))} | changes))


def test_exchanges_partitions_and_columns():
    data = numbers(128, 64)
    assert same(make().value(data), data.T.copy())


def test_free_dimensions_are_one():
    data = numbers(16, 4, 8)
    assert same(small().value(data), data.reshape(16, 32).T.copy())


def test_keeps_bits():
    data = np.array([[np.nan, -0.0, 1]], ml_dtypes.bfloat16)
    assert small().keeps_bits
    assert same(small().value(data), data.T.copy())


def test_the_engine_follows_from_where_the_result_goes():
    assert make().queue == "tensor"
    assert small().queue == "vector"
    assert small(engine=Queue.tensor).queue == "tensor"


@pytest.mark.parametrize(
    ("instruction", "sentence"),
    [
        (make(dst=tile((128, 64), space="psum")), "dst is shaped as data transposed"),
        (
            make(data=tile((128, 64), space="psum")),
            "the tensor engine reads data from SBUF",
        ),
        (make(dst=tile((64, 128)), engine=Queue.tensor), "the tensor engine writes to PSUM"),
        (
            make(data=tile((64, 256)), dst=tile((256, 64), space="psum")),
            "data is at most [128, 128]",
        ),
        (
            small(data=tile((16, 33)), dst=tile((33, 16))),
            "the vector engine transposes at most [32, 32]",
        ),
        (small(engine=Queue.scalar), "runs on tensor or vector"),
    ],
)
def test_rule(instruction, sentence):
    assert make().broken(TRN2) == []
    assert small().broken(TRN2) == []
    assert sentence in instruction.broken(TRN2)


@pytest.mark.parametrize("core", [TRN1, TRN2, TRN3])
def test_fp32_goes_through_the_array_twice(core):
    assert make().passes(core) == 2
    assert make(data=tile((128, 64), "bfloat16")).passes(core) == 1
    assert small().passes(core) == 1
    assert make().overhead(core) == 0


def test_columns_of_the_array_or_of_the_row():
    assert make().elements() == 128
    assert make(data=tile((16, 32)), dst=tile((32, 16), space="psum")).elements() == 32
    assert small().elements() == 32


def test_only_the_array_computes():
    assert make().operations() == 2 * 128 * 64 * 128
    assert small().operations() == 0


def test_no_cast_on_the_way_in_the_current_api():
    cast = make(dst=tile((64, 128), "bfloat16", "psum"))
    assert cast.broken(TRN2) == ["dst and data have one dtype"]
    assert cast.broken(TRN2, Compiler(OLDER)) == []
