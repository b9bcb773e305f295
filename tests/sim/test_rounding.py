"""Stochastic rounding: to a neighbour, by chance, and right on average."""

import numpy as np
import pytest

import trnlab
from tests.support import load, same, store, value, whole_numbers
from trnlab import formats
from trnlab.nki import entry, jit
from trnlab.nki import isa as nisa
from trnlab.nki import language as nl
from trnlab.sim.values.rounding import Stochastic

MANY = 200_000
NARROW = ("bfloat16", "float16", "float8_e4m3", "float8_e5m2", "float8_e4m3fn", "tfloat32")


def neighbours(number, dtype):
    """The two values of a format around a number that it does not have."""
    near = float(formats.widen(formats.narrow(np.float32([number]), dtype), dtype)[0])
    step = abs(number) * 2.0**-12
    far = near
    while far == near:
        beyond = np.float32([number + (step if number > near else -step)])
        far = float(formats.widen(formats.narrow(beyond, dtype), dtype)[0])
        step *= 1.5
    return sorted((near, far))


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("number", [1.00001, 3.3, -0.7, -100.003, 0.013])
def test_each_neighbour_as_often_as_it_is_near(dtype, number):
    number = float(np.float32(number))
    low, high = neighbours(number, dtype)
    assert low < number < high
    stored = Stochastic(7)(np.full(MANY, number, np.float32), dtype)
    got = formats.widen(stored, dtype)
    assert set(np.unique(got).tolist()) <= {low, high}
    share = float((got == high).mean())
    wanted = (number - low) / (high - low)
    spread = (wanted * (1 - wanted) / MANY) ** 0.5
    assert abs(share - wanted) < 5 * spread


@pytest.mark.parametrize("dtype", NARROW)
def test_what_a_format_has_stays(dtype):
    values = np.float32([0.0, -0.0, 1.0, -1.5, 2.0, 96.0, np.nan])
    assert same(Stochastic(0)(values, dtype), formats.narrow(values, dtype))


def test_other_formats_are_rounded_to_nearest():
    values = np.linspace(-3, 3, 64, dtype=np.float32)
    for dtype in ("float32", "int8", "int32", "bool_", "float4_e2m1fn_x4"):
        assert same(Stochastic(0)(values, dtype), formats.narrow(values, dtype))


def test_tiny_and_huge_numbers():
    tiny = np.full(MANY, -(2.0**-11), np.float32)  # fp8_e4m3 has steps of 2**-9 here
    got = formats.widen(Stochastic(3)(tiny, "float8_e4m3"), "float8_e4m3")
    assert set(np.unique(got).tolist()) == {-(2.0**-9), 0.0}
    assert np.signbit(got).all()
    assert abs(float((got != 0).mean()) - 0.25) < 5 * (0.25 * 0.75 / MANY) ** 0.5
    huge = np.float32([1e30, -1e30, np.inf, 245.0])
    assert same(Stochastic(3)(huge, "float8_e4m3"), formats.narrow(huge, "float8_e4m3"))


def half_steps(a):
    """The vendor's example: 1024 and many times 0.5, in fp16."""
    total = nl.ndarray((128, 16), nl.float16)
    nisa.tensor_copy(total, load(a))
    for _ in range(256):
        nisa.tensor_scalar(total, total, nl.add, 0.25)
    return store(total)


def test_small_numbers_add_up():
    a = np.full((128, 16), 1024, np.float32)
    assert same(value(entry.jit(half_steps), a), a.astype(np.float16))
    total = value(entry.jit(half_steps), a, stochastic=5).astype(np.float64)
    # Each step goes up by 1 with probability 1/4: 256 of them give 64, with a deviation of 7.
    assert abs(total.mean() - 1088) < 5 * 7 / np.sqrt(total.size)
    assert 5 < total.std() < 9


def test_seeds():
    a = np.random.default_rng(0).standard_normal((128, 16)).astype(np.float32)
    run = trnlab.run(entry.jit(lambda a: store(nl.copy(load(a), nl.bfloat16))), stochastic=1)
    assert same(run(a)[0], run(a)[0])
    assert any("seed 1" in note for note in jit.results()[-1].notes)
    other = trnlab.run(entry.jit(lambda a: store(nl.copy(load(a), nl.bfloat16))), stochastic=2)
    assert not same(run(a)[0], other(a)[0])


def test_the_environment_of_the_runtime(monkeypatch):
    a = np.random.default_rng(0).standard_normal((128, 16)).astype(np.float32)
    kernel = entry.jit(lambda a: store(nl.copy(load(a), nl.bfloat16)))
    plain = value(kernel, a)
    monkeypatch.setenv("NEURON_RT_STOCHASTIC_ROUNDING_SEED", "2")
    assert same(value(kernel, a), plain)
    monkeypatch.setenv("NEURON_RT_STOCHASTIC_ROUNDING_EN", "1")
    assert same(value(kernel, a), value(kernel, a, stochastic=2))
    monkeypatch.delenv("NEURON_RT_STOCHASTIC_ROUNDING_SEED")
    assert same(value(kernel, a), value(kernel, a, stochastic=0))
    monkeypatch.setenv("NEURON_RT_STOCHASTIC_ROUNDING_EN", "0")
    assert same(value(kernel, a), plain)


def test_sums_in_psum_in_bf16():
    """Only the newest core writes bf16 to PSUM, rounding after every matmul."""

    def kernel(a):
        x = nl.copy(load(a), nl.bfloat16)
        total = nl.ndarray((64, 64), nl.bfloat16, nl.psum)
        for _ in range(8):
            nisa.nc_matmul(total, x, x)
        return store(nl.copy(total))

    a = np.zeros((128, 64), np.float32)
    a[0], a[1] = 16.0, 0.5  # 256.25 each time: the quarter is lost to nearest
    nearest = value(entry.jit(kernel), a, chip="trn3").astype(np.float64)
    assert np.unique(nearest).tolist() == [2048.0]
    chance = value(entry.jit(kernel), a, chip="trn3", stochastic=0).astype(np.float64)
    assert chance.std() > 0
    assert abs(chance.mean() - 2050) < 5 * chance.std() / 64


def test_values_are_still_exact_where_nothing_is_rounded():
    a = whole_numbers(128, 16)
    assert same(value(entry.jit(lambda a: store(nl.add(load(a), 1.0))), a, stochastic=0), a + 1)
