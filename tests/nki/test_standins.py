"""What test suites import besides NKI: cpu_simulate and the host's number formats."""

import ml_dtypes
import numpy as np
import pytest

import trnlab.nki.isa as nisa
import trnlab.nki.language as nl
from trnlab import formats
from trnlab.errors import UnknownName
from trnlab.nki import entry
from trnlab.nki.clients.standins import cpu_simulate, finfo, identity, is_float_type, static_cast

A = np.arange(256 * 8, dtype=np.float32).reshape(256, 8)


@entry.jit
def twice(a):
    out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
    part = a.shape[0] // nl.num_programs()
    rows = nl.ds(nl.program_id() * part, part)
    tile = nl.load(a[rows, :])
    nisa.tensor_tensor(tile, tile, tile, nl.add)
    nl.store(out[rows, :], tile)
    return out


@pytest.mark.parametrize("cores", [1, 2])
def test_a_kernel_runs_on_as_many_cores_as_asked_for(cores):
    np.testing.assert_array_equal(
        cpu_simulate(twice)[cores](a=A[: 128 * cores]), 2 * A[: 128 * cores]
    )
    np.testing.assert_array_equal(cpu_simulate(twice)(A[:128]), 2 * A[:128])


def test_a_function_that_is_no_kernel_yet_runs_too():
    np.testing.assert_array_equal(cpu_simulate(twice.function)[1](A[:128]), 2 * A[:128])


@pytest.mark.parametrize(("asked", "generation"), [("gen2", 2), ("gen3", 3), ("gen4", 4)])
def test_the_environment_says_which_core(monkeypatch, asked, generation):
    def kernel(a):
        out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
        nl.store(out, nl.full(a.shape, float(nisa.get_nc_version().value), a.dtype))
        return out

    monkeypatch.setenv("NKI_NC_VERSION", asked)
    assert cpu_simulate(kernel)[1](A[:128])[0, 0] == generation


def test_an_unknown_core_is_named(monkeypatch):
    monkeypatch.setenv("NKI_NC_VERSION", "gen9")
    with pytest.raises(UnknownName, match="gen9"):
        cpu_simulate(twice)[1](A[:128])


def test_casts_round_as_engines_do():
    assert static_cast(np.array([2.5, -300.0]), np.int8).tolist() == [2, -128]
    assert static_cast(np.array([1.0 + 2**-9]), nl.bfloat16).tolist() == [1.0]
    assert static_cast(3.0, np.float32).shape == ()
    assert static_cast(np.array([2**31 + 1], np.int64), np.uint32).tolist() == [2**31 + 1]
    assert static_cast(np.array([0.1]), np.float64).tolist() == [0.1]


def test_a_cast_to_the_same_format_changes_nothing():
    values = np.array([1.5], ml_dtypes.bfloat16)
    assert static_cast(values, nl.bfloat16) is values


@pytest.mark.parametrize("name", ["float8_e5m2_x4", "float8_e4m3fn_x4", "float4_e2m1fn_x4"])
def test_packed_formats_there_and_back(name):
    values = np.array([[0.5, -1, 2, 4], [1, 0, -6, 3]], np.float32)
    packed = static_cast(values, name)
    assert packed.shape == (2, 1)
    assert formats.name(packed.dtype) == name
    np.testing.assert_array_equal(static_cast(packed, np.float32), values)


def test_torch_tensors_are_cast_too():
    torch = pytest.importorskip("torch")
    given = torch.tensor([1.0, 2.0], dtype=torch.bfloat16)
    assert static_cast(given, np.float32).tolist() == [1.0, 2.0]


def test_what_is_a_float():
    assert is_float_type(nl.bfloat16)
    assert is_float_type(np.float64)
    assert not is_float_type(np.int64)
    assert not is_float_type(nl.float8_e5m2_x4)


def test_limits_and_identities():
    assert finfo(nl.bfloat16).dtype == ml_dtypes.bfloat16
    assert float(finfo("float8_e4m3").max) == 240
    assert identity(3, nl.int8).dtype == np.int8
    np.testing.assert_array_equal(identity(3), np.eye(3, dtype=np.float32))
