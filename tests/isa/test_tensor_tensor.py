import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, numbers, same, tile
from trnlab.isa.elementwise import TensorTensor
from trnlab.isa.instruction import Queue
from trnlab.isa.rules import OLDER, Compiler, version_of


def make(dtype="float32", **changes):
    given = {name: tile((128, 64), dtype) for name in ("dst", "data1", "data2")}
    return TensorTensor(**(given | {"op": "add"} | changes))


PSUM = tile((128, 64), space="psum")


@pytest.mark.parametrize(
    ("op", "function"),
    [
        ("add", np.add),
        ("subtract", np.subtract),
        ("multiply", np.multiply),
        ("maximum", np.maximum),
        ("minimum", np.minimum),
    ],
)
def test_arithmetic_is_fp32(op, function):
    data1, data2 = numbers(128, 64), numbers(128, 64, seed=1)
    assert same(make(op=op).value(data1, data2), function(data1, data2))


def test_comparisons_give_one_or_zero():
    out = make(op="greater").value(np.float32([[1, 2, 3]]), np.float32([[2, 2, 2]]))
    assert same(out, np.float32([[0, 0, 1]]))


def test_rows_meet_whatever_their_dimensions():
    data1, data2 = numbers(4, 2, 3), numbers(4, 6, seed=1)
    assert same(make().value(data1, data2), data1.reshape(4, 6) + data2)


@pytest.mark.parametrize("op", ["add", "subtract", "multiply"])
def test_whole_32_bit_numbers_are_exact_on_gpsimd(op):
    instruction = make("int32", op=op)
    assert instruction.keeps_bits
    assert instruction.queue == "gpsimd"
    data = np.array([[2**24 + 1, 7]], np.int32)
    assert same(
        instruction.value(data, np.int32([[2, 3]])), getattr(np, op)(data, [[2, 3]], dtype="i4")
    )


def test_other_integers_go_through_fp32():
    assert not make("int16").keeps_bits
    assert not make("int32", op="maximum").keeps_bits
    assert not make("int32", engine=Queue.vector).keeps_bits
    assert make("int32", data1=tile((128, 64), "int32", "psum")).queue == "vector"


def test_bitwise_keeps_bits():
    instruction = make("uint32", op="bitwise_xor")
    assert instruction.keeps_bits
    out = instruction.value(np.uint32([[2**31 + 1]]), np.uint32([[3]]))
    assert same(out, np.uint32([[2**31 + 2]]))


def test_power_runs_on_gpsimd():
    assert make(op="power").queue == "gpsimd"
    assert make().queue == "vector"
    assert make(engine=Queue.gpsimd).queue == "gpsimd"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"data2": tile((128, 1))},
            "dst and both inputs span the same partitions, with equally long rows",
        ),
        ({"data1": PSUM, "data2": PSUM}, "not both inputs are in PSUM"),
        ({"op": "bitwise_or"}, "bitwise operators take integers"),
        ({"engine": Queue.scalar}, "runs on vector or gpsimd"),
        (
            {"data1": PSUM, "op": "power"},
            "data1 is not in PSUM: GpSimd cannot reach it",
        ),
    ],
)
def test_rule(changes, sentence):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == [sentence]


@pytest.mark.parametrize(
    ("starts", "holds"), [((0, 128), True), ((64, 64), True), ((96, 32), True), ((32, 64), False)]
)
def test_where_tiles_may_start(starts, holds):
    start, height = starts
    tiles = {name: tile((height, 64), start=start) for name in ("dst", "data1", "data2")}
    assert (make(**tiles).broken(TRN2) == []) is holds


def test_all_is_on_chip_and_inside_the_lanes():
    assert "data1 is on chip" in make(data1=tile((128, 64), space="hbm")).broken(TRN2)
    high = {name: tile((64, 64), start=96) for name in ("dst", "data1", "data2")}
    assert "dst spans at most 128 partitions" in make(**high).broken(TRN2)


@pytest.mark.parametrize("core", [TRN1, TRN2, TRN3])
def test_two_inputs_from_sbuf_share_a_port(core):
    assert make().passes(core) == 2
    assert make(data1=PSUM).passes(core) == 1
    assert make("bfloat16").passes(core) == 1
    assert (make().elements(), make().overhead(core)) == (64, 0)
    assert make().operations() == 128 * 64


def test_an_operator_may_need_a_newer_core():
    assert make(op="abs_max").broken(TRN2) == ["abs_max needs a core with 'abs_max'"]
    assert make(op="abs_max").broken(TRN3) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"op": "abs"}, "op takes two operands"),
        ({"op": "divide"}, "op is one the device has: divide is not"),
        ({"op": "bitwise_or", "data1": tile((128, 64), "int32"), "data2": tile((128, 64), "int32")},
         "bitwise operators take integers"),
    ],
)  # fmt: skip
def test_rule_of_operators(changes, sentence):
    assert make(**changes).broken(TRN2) == [sentence]


def test_the_older_compiler_divides():
    assert make(op="divide").broken(TRN2, Compiler(OLDER)) == []


def test_operators_that_came_later():
    assert make(op="abs_max").broken(TRN3) == []
    earlier = make(op="abs_max").broken(TRN3, Compiler(version_of("0.3")))
    assert earlier == ["abs_max came with nki 0.4"]
