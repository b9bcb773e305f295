from typing import Any

import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, numbers, same, tile
from trnlab.isa.elementwise import TensorScalar
from trnlab.isa.instruction import Queue
from trnlab.isa.rules import OLDER, Compiler
from trnlab.isa.tile import layout


def make(dtype="float32", **changes):
    given: dict[str, Any] = {"dst": tile((128, 64), dtype), "data": tile((128, 64), dtype)}
    return TensorScalar(**(given | {"op0": "multiply", "operand0": 3.0} | changes))


def test_one_operator():
    data = numbers(128, 64)
    assert same(make().value(data), data * np.float32(3))


def test_numbers_are_rounded_to_fp32():
    data = numbers(128, 64)
    assert same(make(operand0=0.1).value(data), data * np.float32(0.1))


def test_two_operators_one_after_the_other():
    data = numbers(128, 64)
    out = make(op1="add", operand1=1.5).value(data)
    assert same(out, data * np.float32(3) + np.float32(1.5))


def test_reversed_operands():
    data = numbers(128, 64)
    out = make(op0="subtract", reverse0=True, op1="divide", operand1=2.0, reverse1=True)
    assert same(out.value(data), np.float32(2) / (np.float32(3) - data))


def test_operands_that_differ_by_partition():
    data, first, second = numbers(128, 8, 8), numbers(128, 1, seed=1), numbers(128, 1, seed=2)
    vectors = {"operand0": tile((128, 1)), "operand1": tile((128, 1)), "op1": "add"}
    instruction = make(**vectors)
    assert instruction.reads() == ("data", "operand0", "operand1")
    out = instruction.value(data, first, second)
    assert same(out, data * first[:, :, None] + second[:, :, None])
    mixed = make(operand0=2.0, op1="add", operand1=tile((128, 1))).value(data, second)
    assert same(mixed, data * np.float32(2) + second[:, :, None])


def test_bitwise_keeps_bits():
    instruction = make("int32", op0="left_shift", operand0=4, op1="bitwise_or", operand1=1)
    assert instruction.keeps_bits
    given, expected = np.array([[2**25 + 1], [2**29 + 17]], np.int32)[:, None]
    assert same(instruction.value(given), expected)


def test_rsqrt_runs_on_gpsimd():
    assert make(op0="rsqrt").queue == "gpsimd"
    assert make(op1="rsqrt", operand1=0.0).queue == "gpsimd"
    assert make().queue == "vector"


MULTIPLY_ADD = "the scalar engine does multiply-add, multiply or add"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"dst": tile((128, 32))},
            "dst and data span the same partitions, with equally long rows",
        ),
        (
            {"op1": "bitwise_or", "operand1": 1},
            "both operators are arithmetic or both are bitwise",
        ),
        (
            {"operand0": tile((128, 2))},
            "operand0 is one number or has shape [128, 1]",
        ),
        (
            {"op1": "add", "operand1": tile((64, 1))},
            "operand1 is one number or has shape [128, 1]",
        ),
        ({"operand0": tile((128, 1), "bfloat16")}, "operand0 is float32"),
        ({"op1": "add", "operand1": tile((128, 1), "float16")}, "operand1 is float32"),
        ({"engine": Queue.scalar, "op0": "maximum"}, MULTIPLY_ADD),
        ({"engine": Queue.tensor}, "runs on vector or scalar or gpsimd"),
        ({"op1": "add"}, "op1 comes with operand1"),
    ],
)
def test_rule(changes, sentence):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == [sentence]


@pytest.mark.parametrize("op1", ["bypass", "logical_not", "reciprocal"])
def test_an_operator_of_one_operand_needs_no_second(op1):
    assert make(op1=op1).broken(TRN2) == []


def test_what_the_scalar_engine_can_do_by_generation():
    scale = {"engine": Queue.scalar, "op1": "add", "operand1": 1.0}
    assert make(**scale).broken(TRN1) == [MULTIPLY_ADD]
    assert make(**scale).broken(TRN2) == []
    assert make(engine=Queue.scalar).broken(TRN2) == []
    assert make(engine=Queue.scalar, op0="maximum").broken(TRN3) == []


def strided(dtype):
    whole = tile((128, 128), dtype)
    every_other = layout(whole.space, whole.dtype, (128, 64), (128, 2), 128)
    return type(whole)(whole.storage, every_other)


@pytest.mark.parametrize(
    ("dtype", "operand", "expected"),
    [("int32", 0xFFFFFFF0, -16), ("uint32", -16, 0xFFFFFFF0), ("int8", 0xF0, -16)],
)
def test_a_bit_pattern_fits_signed_and_unsigned_data(dtype, operand, expected):
    data = np.full((128, 64), -1).astype(dtype)
    out = make(dtype, op0="bitwise_and", operand0=operand).value(data)
    assert same(out, np.full((128, 64), expected, dtype))


@pytest.mark.parametrize(
    ("dtype", "passes"),
    [("float32", (1, 1 / 3, 1 / 3)), ("bfloat16", (1, 0.25, 0.25)), ("float8_e4m3", (1, 1, 0.25))],
)
def test_fast_modes_by_generation(dtype, passes):
    assert tuple(make(dtype).passes(core) for core in (TRN1, TRN2, TRN3)) == passes


def test_half_speed_from_psum_or_with_gaps():
    assert make("bfloat16", data=tile((128, 64), "bfloat16", "psum")).passes(TRN2) == 0.5
    assert make("bfloat16", data=strided("bfloat16")).passes(TRN2) == 0.5
    assert make(data=tile((128, 64), space="psum")).passes(TRN2) == 1


@pytest.mark.parametrize("core", [TRN1, TRN2, TRN3])
def test_the_vector_engine_takes_longer_to_fetch_operands(core):
    assert make().overhead(core) == core.timing.scalar_operand
    assert make(op0="rsqrt").overhead(core) == 0
    assert make(op0="rsqrt").passes(core) == 1
    assert make().elements() == 64


def test_operations_count_operators():
    assert make().operations() == 128 * 64
    assert make(op1="add", operand1=1.0).operations() == 2 * 128 * 64


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"operand1": 2.0}, "operand1 comes with op1"),
        ({"op0": "bitwise_and", "operand0": 3}, "bitwise operators take integers"),
        ({"op0": "abs"}, "operand0 of an operator of one operand is None or 0"),
        ({"operand0": None}, "operand0 is given"),
        ({"engine": Queue.gpsimd}, "GpSimd does rsqrt and power"),
        ({"op0": "divide"}, "op0 is one the device has: divide is not"),
    ],
)
def test_rule_of_operators(changes, sentence):
    assert make(**changes).broken(TRN2) == [sentence]


def test_the_older_api_multiplies_on_gpsimd():
    assert make(engine=Queue.gpsimd).broken(TRN2, Compiler(OLDER)) == []
