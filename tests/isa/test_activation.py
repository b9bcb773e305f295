import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, numbers, same, tile
from trnlab.isa.activation import Activate, ReduceCmd
from trnlab.isa.rules import ALLOCATED, LATEST, OLDER, Compiler, version_of


def make(**changes):
    given = {"dst": tile((128, 64)), "op": "copy", "data": tile((128, 64))}
    return Activate(**(given | changes))


@pytest.fixture
def registers():
    return np.full(128, 5, np.float32)


def test_a_function_of_the_scaled_data(registers):
    data = numbers(128, 64)
    out = make(op="square", scale=2.0, bias=1.0).value(data, registers=registers)
    assert same(out, np.square(data * np.float32(2) + np.float32(1)))


def test_a_function_from_a_table(registers):
    data = numbers(128, 64)
    out = make(op="exp").value(data, registers=registers)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, np.exp(data.astype(np.float64)), rtol=1e-6)


def test_scale_and_bias_that_differ_by_partition(registers):
    data, bias, scale = numbers(128, 8, 8), numbers(128, 1, seed=1), numbers(128, 1, seed=2)
    instruction = make(bias=tile((128, 1)), scale=tile((128, 1)))
    assert instruction.reads() == ("data", "bias", "scale")
    out = instruction.value(data, bias, scale, registers=registers)
    assert same(out, data * scale[:, :, None] + bias[:, :, None])
    only = make(scale=tile((128, 1))).value(data, scale, registers=registers)
    assert same(only, data * scale[:, :, None])


@pytest.mark.parametrize(
    ("cmd", "expected"),
    [
        (ReduceCmd.idle, 5),
        (ReduceCmd.reset, 0),
        (ReduceCmd.reduce, 5 + 64),
        (ReduceCmd.reset_reduce, 64),
    ],
)
def test_what_the_registers_hold_after(cmd, expected, registers):
    data = np.ones((64, 64), np.float32)
    instruction = make(reduce_op="add", reduce_res=tile((64, 1)), reduce_cmd=cmd)
    assert instruction.written() == ("dst", "reduce_res")
    out, total = instruction.value(data, registers=registers)
    assert same(out, data)
    assert same(total, np.full(64, expected, np.float32))
    assert same(registers, np.repeat([expected, 5], 64).astype(np.float32))


def test_without_reduce_res_only_the_registers_change(registers):
    data = np.ones((128, 64), np.float32)
    out = make(reduce_op="add", reduce_cmd=ReduceCmd.reduce).value(data, registers=registers)
    assert same(out, data)
    assert same(registers, np.full(128, 69, np.float32))


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        (
            {"dst": tile((128, 32))},
            ["dst and data span the same partitions, with equally long rows"],
        ),
        ({"scale": tile((128, 2))}, ["scale has shape [128, 1]"]),
        ({"bias": tile((64, 1))}, ["bias has shape [128, 1]"]),
        ({"scale": tile((128, 1), "bfloat16")}, ["scale is float32"]),
        ({"reduce_op": "maximum"}, ["reduce_op is add"]),
        ({"reduce_op": "add", "reduce_res": tile((128, 2))}, ["reduce_res has shape [128, 1]"]),
        ({"reduce_res": tile((128, 1))}, ["reduce_res comes with reduce_op"]),
    ],
)
def test_rule(changes, sentences):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == sentences


@pytest.mark.parametrize("core", [TRN1, TRN2, TRN3])
def test_tables_and_registers_take_time(core):
    assert (make().queue, make().passes(core), make().elements()) == ("scalar", 1, 64)
    assert make().overhead(core) == 0
    assert make(op="exp").overhead(core) == core.timing.function
    read = make(reduce_op="add", reduce_res=tile((128, 1)), reduce_cmd=ReduceCmd.reset_reduce)
    assert read.overhead(core) == 64 / core.engine("scalar").hz


def test_a_logarithm_takes_a_bias_from_the_third_core_generation_on():
    instruction = make(op="log", bias=tile((128, 1)))
    sentence = "log with a bias needs a core with 'function_bias'"
    assert instruction.broken(TRN1) == [sentence]
    assert instruction.broken(TRN2) == []


def test_a_taller_reduce_res_shows_the_registers_of_idle_lanes(registers):
    small = make(
        data=tile((4, 8)), dst=tile((4, 8)), reduce_op="add", reduce_res=tile((128, 1)),
        reduce_cmd=ReduceCmd.reset_reduce,
    )  # fmt: skip
    assert small.broken(TRN2) == ["reduce_res has shape [4, 1]"]
    assert small.broken(TRN2, Compiler(version_of("0.2"))) == []
    _, read = small.value(np.ones((4, 8), np.float32), registers=registers)
    assert read.tolist() == [8.0] * 4 + [5.0] * 124


@pytest.mark.parametrize(
    ("changes", "core", "compiler", "sentence"),
    [
        (
            {"bias": 1.0},
            TRN1,
            LATEST,
            "a bias that is a number needs a core with 'scalar_bias_immediate'",
        ),
        ({"bias": 1.0}, TRN2, Compiler(OLDER), "bias is a tile"),
        ({}, TRN2, Compiler(OLDER, frozenset({ALLOCATED})), "bias is given"),
        (
            {"bias": tile((128, 1), "int8")},
            TRN2,
            Compiler(version_of("0.5")),
            "bias is one of float32, float16, bfloat16",
        ),
        ({"bias": tile((128, 1), "tfloat32")}, TRN2, LATEST, "bias is not tfloat32"),
        (
            {"reduce_cmd": ReduceCmd.load_reduce},
            TRN2,
            LATEST,
            "reduce_cmd is idle, reset, reduce or reset_reduce",
        ),
        ({"op": "prelu"}, TRN3, LATEST, "prelu is a function of activate2"),
    ],
)
def test_rule_of_some(changes, core, compiler, sentence):
    assert make(**changes).broken(core, compiler) == [sentence]


def test_newer_cores_and_compilers_take_more_biases():
    assert make(bias=1.0).broken(TRN2) == []
    assert make(bias=tile((128, 1), "int8")).broken(TRN2) == []
    assert make().broken(TRN2, Compiler(OLDER)) == []
