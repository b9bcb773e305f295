"""The functions of `nki.isa`: what is not in their signatures, which test_isa_complete checks."""

from pathlib import Path

import numpy as np
import pytest

from tests.support import load, nisa, nl, store, value
from trnlab.errors import BadArguments, UnknownName, Violations
from trnlab.isa.instruction import ISA

IMPLEMENTED = sorted(ISA)


@pytest.mark.parametrize("name", IMPLEMENTED)
def test_every_function_has_a_manual_page(name):
    assert ISA[name].page == f"nki.isa.{name}"
    assert getattr(nisa, name).__doc__ == ISA[name].__doc__


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="nc_matmull"):
        _ = nisa.nc_matmull
    assert not hasattr(nisa, "no_such_instruction")


@pytest.mark.parametrize(
    ("enumeration", "members"),
    [
        ("engine", {"tensor", "vector", "scalar", "gpsimd", "sync", "unknown", "dma"}),
        ("dge_mode", {"unknown", "swdge", "hwdge", "none"}),
        ("oob_mode", {"error", "skip"}),
        ("reduce_cmd", {"idle", "reset", "reduce", "reset_reduce", "load_reduce"}),
        ("nc_version", {"gen2", "gen3", "gen4"}),
        ("matmul_perf_mode", {"none", "double_row"}),
        ("dma_engine", {"dma", "gpsimd_dma"}),
    ],
)
def test_enumerations_have_the_published_members(enumeration, members):
    found = getattr(nisa, enumeration)
    assert {member.name for member in found} == members
    assert getattr(nisa.constants, enumeration) is found


def test_published_numbers_of_members():
    assert [nisa.dge_mode[n].value for n in ("unknown", "swdge", "hwdge", "none")] == [0, 1, 2, 3]
    assert [nisa.oob_mode[n].value for n in ("error", "skip")] == [0, 1]
    commands = ("idle", "reset", "reduce", "reset_reduce", "load_reduce")
    assert [nisa.reduce_cmd[n].value for n in commands] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", ["tensor", "vector", "scalar", "gpsimd", "unknown"])
def test_engines_have_their_short_names(name):
    assert getattr(nisa, f"{name}_engine") is nisa.engine[name]


@pytest.mark.parametrize(("name", "version"), [("trn1", 2), ("trn2", 3), ("trn3", 4)])
def test_kernels_see_the_generation_they_run_on(name, version):
    seen = []
    value(lambda a: seen.append(nisa.get_nc_version()), np.zeros(1, np.float32), chip=name)
    assert seen == [version]
    assert seen[0] == nisa.nc_version(version)
    assert nisa.nc_version.gen2 < nisa.nc_version.gen3 < nisa.nc_version.gen4


def test_arguments_may_be_given_by_name_or_position():
    def kernel(a):
        one, two = load(a), load(a)
        nisa.tensor_scalar(one, one, nl.multiply, 2.0, False, nl.add, 1.0)
        nisa.tensor_scalar(
            dst=two, data=two, op0="multiply", operand0=2.0, op1=np.add, operand1=1.0, name="x"
        )
        nisa.tensor_tensor(one, one, two, op=nl.subtract)
        return store(one)

    assert (value(kernel, np.ones((4, 4), np.float32)) == 0).all()


@pytest.mark.parametrize(
    "operator", [nl.add, "add", np.add], ids=["nl function", "name", "NumPy function"]
)
def test_operators_are_spelled_in_three_ways(operator):
    def kernel(a):
        one = load(a)
        nisa.tensor_tensor(one, one, one, operator)
        return store(one)

    assert (value(kernel, np.ones((4, 4), np.float32)) == 2).all()


def test_calls_outside_of_a_kernel_say_so():
    with pytest.raises(BadArguments, match="outside of a kernel"):
        nl.ndarray((4, 4), nl.float32)
    with pytest.raises(BadArguments, match="outside of a kernel"):
        nisa.memset(None, 0.0)


@pytest.mark.parametrize(
    ("wrong", "text", "fix"),
    [
        (lambda t: nisa.memset(t, value=0, x=1), "memset has no parameter 'x'", ""),
        (lambda t: nisa.memset(t, vaule=0), "memset has no parameter 'vaule'", "'value'"),
        (lambda t: nisa.tensor_copy(t, t, 1, 2, 3, 4), "tensor_copy() takes from", ""),
        (lambda t: nl.exp(), "exp() missing 1 required", ""),
        (lambda t: nl.sum(t, axes=1), "sum has no parameter 'axes'", "'axis'"),
        (lambda t: t.reshape(shap=(4, 4)), "reshape has no parameter 'shap'", "'shape'"),
    ],
)  # fmt: skip
def test_wrong_parameters_are_named_with_the_signature(wrong, text, fix):
    with pytest.raises(BadArguments) as raised:
        value(lambda a: wrong(load(a)), np.ones((4, 4), np.float32))
    assert text in raised.value.what
    assert fix in raised.value.fix
    assert raised.value.given["signature"].startswith(text.partition(" ")[0].removesuffix("()"))
    assert "test_isa_functions.py" in str(raised.value.place)


@pytest.mark.parametrize(
    ("wrong", "text", "limit"),
    [
        (lambda t: nisa.nc_matmul(t, t, t, accumulate=(1, 2)), "accumulate is (1, 2)",
         "True or False, or None"),
        (lambda t: nisa.tensor_scalar(t, t, nl.add, 1.0, reverse0=nisa), "reverse0 is <module",
         "True or False"),
        (lambda t: nisa.tensor_scalar(t, t, nl.add, 1.0, reverse0=2), "reverse0 is 2",
         "True or False"),
        (lambda t: nisa.dma_copy(t, t, priority="a"), "priority is 'a'", "a whole number, or None"),
        (lambda t: nisa.iota(t, [[1, 4]], offset=0.5), "offset is 0.5", "a whole number"),
    ],
)  # fmt: skip
def test_truth_values_and_whole_numbers_are_such(wrong, text, limit):
    with pytest.raises(BadArguments) as raised:
        value(lambda a: wrong(load(a)), np.ones((4, 4), np.float32))
    assert text in raised.value.what
    assert raised.value.limit == limit
    assert "test_isa_functions.py" in str(raised.value.place)
    lines = Path(__file__).read_text().splitlines()
    assert text.partition(" ")[0] in lines[raised.value.place.line - 1]


@pytest.mark.parametrize("flag", [True, 1, np.bool_(1), np.int32(1)])
def test_truth_values_are_those_of_comparisons_too(flag):
    def kernel(a):
        one = load(a)
        nisa.tensor_scalar(one, one, nl.subtract, 3.0, reverse0=flag)
        nisa.tensor_copy(one, one, dtype=nl.float32)
        return store(one)

    assert (value(kernel, np.ones((4, 4), np.float32)) == 2).all()


def test_the_dtype_that_samples_give_a_copy_is_one():
    with pytest.raises(UnknownName, match="'nope'"):
        value(
            lambda a: nisa.tensor_copy(load(a), load(a), dtype="nope"), np.ones((4, 4)).astype("f")
        )


@pytest.mark.parametrize(
    ("number", "dtype", "fits"),
    [(1e30, nl.int8, False), (128, nl.int8, False), (-128, nl.int8, True), (-1, nl.uint16, False),
     (2**32 - 1, nl.uint32, True), (2**31, nl.int32, False), (-np.inf, nl.bfloat16, True)],
)  # fmt: skip
def test_a_fill_that_does_not_fit_is_reported(number, dtype, fits):
    def kernel(a):
        tile = nl.full((4, 4), number, dtype)
        return store(tile)

    ones = np.ones((4, 4), np.float32)
    if fits:
        assert (value(kernel, ones).astype(np.float64) == number).all()
        return
    with pytest.raises(Violations, match="an integer dst has room for the value"):
        value(kernel, ones)


def test_wrong_parameters_of_the_users_own_functions_stay_pythons_errors():
    def memset(value):
        return value

    with pytest.raises(TypeError, match="memset"):
        value(lambda a: memset(x=1), np.ones((4, 4), np.float32))


def test_what_was_not_given_is_named_with_the_signature():
    def kernel(a):
        one = load(a)
        nisa.tensor_tensor(one, one, nl.add)

    with pytest.raises(BadArguments, match="tensor_tensor needs op") as error:
        value(kernel, np.ones((4, 4), np.float32))
    assert error.value.given["signature"].startswith("nki.isa.tensor_tensor(dst, data1, data2, op,")
    assert "pass it first" in error.value.fix
    with pytest.raises(BadArguments, match="activation needs dst and data"):
        value(lambda a: nisa.activation(op=nl.exp), np.ones((4, 4), np.float32))


def test_a_repeated_instruction_is_checked_with_its_own_operands():
    """What is known of a call is kept by its shapes: another shape must not pass for it."""

    def kernel(a):
        one, two = load(a), nl.ndarray((4, 3), nl.float32)
        nisa.memset(two, 0.0)
        for source in (one, one, two):
            nisa.tensor_copy(nl.ndarray((4, 4), nl.float32), source)

    with pytest.raises(Exception, match="equally long rows"):
        value(kernel, np.ones((4, 4), np.float32))
