"""`nki.language`: functions that take several instructions, against NumPy."""

import numpy as np
import pytest

from tests.support import load, nisa, nl, same, simulate, store, value, whole_numbers
from trnlab import NotModelled
from trnlab.errors import BadArguments, Violations

X = np.random.default_rng(0).standard_normal((128, 24)).astype(np.float32)
EDGES = np.float32(
    [0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.99, 2**22 + 0.5, 2**23 + 1, 2**31, -(2.0**40), 1e-30,
     -1e-30, np.inf, -np.inf]
).reshape(1, 16)  # fmt: skip


def apply(function, *arrays, **how):
    """What a function of tiles gives for arrays."""
    return value(lambda *tensors: store(function(*(load(t) for t in tensors))), *arrays, **how)


@pytest.mark.parametrize("name", ["floor", "ceil", "trunc"])
@pytest.mark.parametrize("x", [X * 10, EDGES], ids=["normal", "edges"])
def test_rounding_is_exact(name, x):
    assert np.array_equal(apply(getattr(nl, name), x), getattr(np, name)(x))


@pytest.mark.parametrize("name", ["floor", "ceil", "trunc"])
def test_rounding_keeps_nan_and_whole_numbers(name):
    assert np.isnan(apply(getattr(nl, name), np.full((1, 4), np.nan, np.float32))).all()
    whole = np.int32([[2**30 + 1, -7, 0, 3]])
    assert same(apply(getattr(nl, name), whole), whole)


def test_rounding_to_another_dtype():
    out = apply(lambda x: nl.floor(x, dtype=nl.int32), X * 10)
    assert same(out, np.floor(X * 10).astype(np.int32))
    out = apply(lambda x: nl.trunc(x, dtype=nl.bfloat16), X)
    assert out.dtype == nl.bfloat16
    assert np.array_equal(out.astype(np.float32), np.trunc(X))


WIDE = np.linspace(-300, 300, 128 * 24, dtype=np.float32).reshape(128, 24)


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_waves_take_any_argument(name):
    out = apply(getattr(nl, name), WIDE)
    np.testing.assert_allclose(out, getattr(np, name)(WIDE.astype(np.float64)), atol=3e-5)


def test_small_arguments_of_a_sine_keep_their_precision():
    x = np.clip(X, -3, 3)
    np.testing.assert_allclose(apply(nl.sin, x), np.sin(x), rtol=3e-6, atol=3e-7)


def test_tangent():
    x = np.clip(X, -1.4, 1.4)
    np.testing.assert_allclose(apply(nl.tan, x), np.tan(x), rtol=2e-5, atol=2e-6)


def test_the_instruction_alone_does_not_take_off_turns():
    def kernel(a):
        tile = load(a)
        nisa.activation(tile, nl.sin, tile)
        return store(tile)

    out = value(kernel, np.full((128, 1), 9.0, np.float32))
    np.testing.assert_allclose(out, 27.6526, rtol=1e-5)


def test_variance_keeps_its_dimensions():
    out = apply(lambda x: nl.var(x, axis=1), X)
    assert out.shape == (128, 1)
    np.testing.assert_allclose(out, X.var(axis=1, keepdims=True), rtol=1e-5)


def test_variance_of_some_free_axes():
    x = whole_numbers(128, 4, 8)
    out = apply(lambda x: nl.var(x, axis=[2]), x)
    assert out.shape == (128, 4, 1)
    np.testing.assert_allclose(out, x.var(axis=2, keepdims=True), rtol=1e-5)


def test_all():
    flags = (np.random.default_rng(1).random((128, 4)) < 0.8).astype(np.float32)
    out = apply(lambda x: nl.all(x, axis=1), flags)
    assert same(out, flags.all(axis=1, keepdims=True).astype(np.float32))


def test_bits_and_truths_turned():
    numbers = np.int32([[0, 5, -1, 2**31 - 1]])
    assert same(apply(nl.invert, numbers), ~numbers)
    truths = np.float32([[0, 1, 1, 0]])
    assert same(apply(nl.logical_not, truths), 1 - truths)


def test_rsqrt_runs_on_gpsimd_which_does_not_reach_psum():
    x = np.abs(X) + 0.25
    out, trace = simulate(lambda a: store(nl.rsqrt(load(a))), x)
    np.testing.assert_allclose(out, 1 / np.sqrt(x), rtol=1e-6)
    assert any(trace.lanes[lane].endswith("gpsimd") for lane in set(trace.lane))

    def from_psum(a):
        psum = nl.ndarray((128, 24), nl.float32, buffer=nl.psum)
        nisa.tensor_copy(psum, load(a))
        return store(nl.rsqrt(psum))

    with pytest.raises(Violations, match="GpSimd cannot reach it"):
        value(from_psum, x)


@pytest.mark.parametrize("chip", ["trn2", "trn3"])
def test_random_numbers_repeat_with_their_seed(chip):
    def kernel(a):
        seed = nl.full((1, 1), 7, nl.int32)
        drawn = []
        for _ in range(2):
            nl.random_seed(seed)
            drawn.append(store(nl.rand((128, 64), nl.float32)))
        return (*drawn, store(nl.rand((128, 64), nl.float32)))

    first, again, after = value(kernel, X, chip=chip)
    assert same(first, again)
    assert not same(first, after)
    assert ((first >= 0) & (first < 1)).all()
    assert abs(float(first.mean()) - 0.5) < 0.02


def test_a_seed_is_a_tile():
    with pytest.raises(BadArguments, match=r"takes a \[1, 1\] tile"):
        value(lambda a: nl.random_seed(42), X)


def test_dropout():
    ones = np.ones((128, 512), np.float32)
    out = apply(lambda x: nl.dropout(x, 0.25), ones)
    assert set(np.unique(out)) == {0.0, 1.0}
    assert abs(float(out.mean()) - 0.75) < 0.02
    column = np.repeat(np.float32([0, 1]), 64).reshape(128, 1)
    by_row = apply(nl.dropout, ones, column)
    assert same(by_row, 1 - np.repeat(column, 512, 1))


def test_gather_flattened():
    places = np.random.default_rng(0).integers(0, 24, (128, 8)).astype(np.uint32)
    out = apply(nl.gather_flattened, X, places)
    assert same(out, np.take_along_axis(X, places.astype(np.int64), 1))
    narrow = apply(lambda x, i: nl.gather_flattened(x, i, dtype=nl.bfloat16), X, places)
    assert narrow.dtype == nl.bfloat16
    with pytest.raises(NotModelled, match="axis=1"):
        apply(lambda x, i: nl.gather_flattened(x, i, axis=1), X, places)


def test_program_order_can_be_asked_for():
    def kernel(a):
        with nl.no_reorder():
            tile = load(a)
        return store(tile)

    assert same(value(kernel, X), X)


def test_the_size_of_sbuf():
    seen = []

    def kernel(a):
        sizes = nl.tile_size
        seen.append((sizes.sbuf_size_bytes, sizes.sbuf_fmax, sizes.sbuf_fmax_bytes))

    value(kernel, X, chip="trn2")
    assert seen == [(28 * 2**20, 53246, 212984)]
