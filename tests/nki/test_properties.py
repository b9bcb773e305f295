"""Reductions, scans and transposes of any shape and dtype: NumPy, and both API generations alike.

Values are small whole numbers, so that sums are exact in any order and every dtype holds them.
"""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trnlab
from tests.support import load, nisa, nl, same, store
from trnlab.nki import entry
from trnlab.nki.legacy import entry as older
from trnlab.nki.legacy import isa as onisa
from trnlab.nki.legacy import language as onl

FLOATS = [np.float32, np.float16, ml_dtypes.bfloat16]
ALL = [*FLOATS, ml_dtypes.float8_e4m3, ml_dtypes.float8_e5m2, np.int32, np.int8, np.uint8]
dtypes = st.sampled_from([np.dtype(kind) for kind in ALL])
partitions = st.sampled_from([1, 7, 32, 128])
seeds = st.integers(0, 10_000)
few = settings(max_examples=30, deadline=None)


def whole(shape, dtype, seed, below, *others):
    """Whole numbers of at most ``below``, none of them negative where a dtype is unsigned."""
    drawn = np.random.default_rng(seed).integers(-below, below + 1, shape)
    unsigned = any(np.dtype(kind).kind == "u" for kind in (dtype, *others))
    return (abs(drawn) if unsigned else drawn).astype(np.float32).astype(dtype)


def both(current, former, *args):
    """What both generations return, once it is known that they agree in every bit."""
    now = trnlab.run(entry.jit(current), "trn2", time=False)(*args)[0]
    then = trnlab.run(older.jit(former), "trn2", time=False)(*args)[0]
    assert same(now, then)
    return now


def reduced(a, op, axes, shape, dtype, negate):
    out = nl.ndarray(shape, dtype)
    nisa.tensor_reduce(out, op, load(a), axes, negate=negate)
    return store(out)


def reduced_before(a, op, axes, shape, dtype, negate):
    out = onl.ndarray(shape, dtype, buffer=onl.shared_hbm)
    made = onisa.tensor_reduce(op, onl.load(a), axes, dtype=dtype, negate=negate)
    onl.store(out, made)
    return out


@few
@given(
    partitions, st.integers(1, 6), st.integers(1, 6), st.booleans(), dtypes, dtypes,
    st.sampled_from(["add", "multiply", "maximum", "minimum"]), st.booleans(), seeds,
)  # fmt: skip
def test_reductions(rows, outer, inner, both_axes, kind, result, name, negate, seed):
    data = whole((rows, outer, inner), kind, seed, 1 if name == "multiply" else 3, result)
    negate = negate and result.kind != "u"
    axes = (1, 2) if both_axes else (2,)
    shape = (rows, 1) if both_axes else (rows, outer)
    found = both(reduced, reduced_before, data, getattr(nl, name), axes, shape, result, negate)
    want = getattr(np, name).reduce(data.astype(np.float32), axis=axes).reshape(shape)
    want = (-want if negate else want).astype(result)
    assert found.dtype == result
    assert np.array_equal(found.astype(np.float32), want.astype(np.float32))


def scanned(a, b, initial, op0, op1, dtype):
    out = nl.ndarray(a.shape, dtype)
    nisa.tensor_tensor_scan(out, load(a), load(b), initial, op0, op1)
    return store(out)


def scanned_before(a, b, initial, op0, op1, dtype):
    out = onl.ndarray(a.shape, dtype, buffer=onl.shared_hbm)
    made = onisa.tensor_tensor_scan(
        onl.load(a), onl.load(b), initial=initial, op0=op0, op1=op1, dtype=dtype
    )
    onl.store(out, made)
    return out


OPERATORS = ["add", "multiply", "maximum", "minimum"]


@few
@given(
    partitions, st.integers(1, 12), dtypes, dtypes, st.sampled_from(OPERATORS),
    st.sampled_from(OPERATORS), st.integers(0, 2), seeds,
)  # fmt: skip
def test_scans(rows, columns, kind, result, first, second, initial, seed):
    data0 = whole((rows, columns), kind, seed, 1, result)
    data1 = whole((rows, columns), kind, seed + 1, 1, result)
    op0, op1 = getattr(nl, first), getattr(nl, second)
    found = both(scanned, scanned_before, data0, data1, float(initial), op0, op1, result)
    want, state = np.empty(data0.shape, np.float32), np.full(rows, np.float32(initial))
    for i in range(columns):
        inner = getattr(np, first)(data0[:, i].astype(np.float32), state)
        state = want[:, i] = getattr(np, second)(inner, data1[:, i].astype(np.float32))
    assert found.dtype == result
    assert np.array_equal(found.astype(np.float32), want.astype(result).astype(np.float32))


def turned(a, engine, space):
    out = nl.ndarray(a.shape[::-1], a.dtype, buffer=getattr(nl, space))
    nisa.nc_transpose(out, load(a), engine=getattr(nisa.engine, engine))
    kept = nl.ndarray(out.shape, out.dtype)
    nisa.tensor_copy(kept, out)
    return store(kept)


def turned_before(a, engine, space):
    out = onl.ndarray(a.shape[::-1], a.dtype, buffer=onl.shared_hbm)
    made = onisa.nc_transpose(onl.load(a), engine=getattr(onisa.engine, engine))
    onl.store(out, onisa.tensor_copy(made, dtype=a.dtype))
    return out


@few
@given(st.integers(1, 32), st.integers(1, 32), dtypes, seeds)
def test_transposes_of_the_vector_engine(rows, columns, kind, seed):
    data = whole((rows, columns), kind, seed, 3)
    assert same(both(turned, turned_before, data, "vector", "sbuf"), data.T.copy())


@few
@given(
    st.integers(1, 128), st.integers(1, 128), st.sampled_from([np.dtype(f) for f in FLOATS]), seeds
)
def test_transposes_of_the_tensor_engine(rows, columns, kind, seed):
    data = whole((rows, columns), kind, seed, 3)
    assert same(both(turned, turned_before, data, "tensor", "psum"), data.T.copy())


def moved(a):
    out = nl.ndarray(a.shape[::-1], a.dtype)
    nisa.dma_transpose(out, a)
    return store(out)


def moved_before(a):
    out = onl.ndarray(a.shape[::-1], a.dtype, buffer=onl.shared_hbm)
    onl.store(out, onl.load_transpose2d(a))
    return out


@few
@given(st.integers(1, 128), st.integers(1, 128), st.sampled_from(FLOATS[1:]), seeds)
def test_transposes_on_the_way_from_hbm(rows, columns, kind, seed):
    data = whole((rows, columns), kind, seed, 3)
    assert same(both(moved, moved_before, data), data.T.copy())


@pytest.mark.parametrize("kind", ALL)
def test_every_dtype_takes_part(kind):
    data = whole((32, 4), kind, 0, 3)
    assert same(both(turned, turned_before, data, "vector", "sbuf"), data.T.copy())
