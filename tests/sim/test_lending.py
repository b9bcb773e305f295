"""Copies, transposes and sums that move no bytes must look as if they did."""

import numpy as np
import pytest

from tests.support import load, nisa, nl, same, store, value, whole_numbers
from trnlab.sim.values import blocks

DATA = whole_numbers(128, 128, seed=1)
MORE = whole_numbers(128, 96, seed=2)
ONES = np.eye(128, dtype=np.float32)


def turned(data, identity):
    """The transpose of a tile, as a product with the identity."""
    psum = nl.ndarray((data.shape[1], data.shape[0]), nl.float32, buffer=nl.psum)
    nisa.nc_matmul(psum, data, identity)
    return psum


def copied(tile):
    copy = nl.ndarray(tile.shape, tile.dtype)
    nisa.tensor_copy(copy, tile)
    return copy


def quarters(source):
    """A tensor of four tiles side by side, each a transposed quarter."""
    whole = nl.ndarray((32, 4, 128), nl.float32)
    for n in range(4):
        psum = nl.ndarray((32, 128), nl.float32, buffer=nl.psum)
        nisa.nc_transpose(psum, source[:, n * 32 : (n + 1) * 32])
        nisa.tensor_copy(whole[:, n], psum)
    return whole


def quarters_of(data):
    return np.stack([data[:, n * 32 : (n + 1) * 32].T for n in range(4)], axis=1)


def test_a_product_with_the_identity_transposes():
    def kernel(a, identity):
        return store(copied(turned(load(a), load(identity))))

    assert same(value(kernel, DATA, ONES), DATA.T)


@pytest.mark.parametrize("odd", [np.inf, -np.inf, np.nan, -0.0])
def test_a_product_with_the_identity_stays_a_product(odd):
    """Infinity times 0 is NaN, and a sum of zeros is positive."""

    def kernel(a, identity):
        return store(copied(turned(load(a), load(identity))))

    data = DATA.copy()
    data[3, 5] = odd
    with np.errstate(invalid="ignore"):
        want = data.T @ ONES
    got = value(kernel, data, ONES)
    assert np.array_equal(got, want, equal_nan=True)
    assert np.array_equal(np.signbit(got[got == 0]), np.signbit(want[want == 0]))


def test_what_is_nearly_the_identity_is_not():
    nearly = ONES.copy()
    nearly[100, 7] = 2

    def kernel(a, identity):
        return store(copied(turned(load(a), load(identity))))

    assert same(value(kernel, DATA, nearly), DATA.T @ nearly)


def test_an_identity_that_changes_is_asked_again():
    def kernel(a, identity):
        tile, ones = load(a), copied(load(identity))
        first = copied(turned(tile, ones))
        nisa.memset(ones[0:128, 0:64], 0.0)
        return store(first), store(copied(turned(tile, ones)))

    first, second = value(kernel, DATA, ONES)
    cut = DATA.T.copy()
    cut[:, 0:64] = 0
    assert same(first, DATA.T)
    assert same(second, cut)


def test_data_that_changes_leaves_its_transpose():
    def kernel(a):
        tile = copied(load(a))
        psum = nl.ndarray((128, 128), nl.float32, buffer=nl.psum)
        nisa.nc_transpose(psum, tile)
        nisa.memset(tile, 0.0)
        return store(copied(psum)), store(tile)

    first, second = value(kernel, DATA)
    assert same(first, DATA.T)
    assert not second.any()


def test_a_transpose_is_added_to():
    def kernel(a, b, identity):
        psum = turned(load(a), load(identity))
        nisa.nc_matmul(psum, load(a), load(a))
        return store(copied(psum))

    assert same(value(kernel, DATA, MORE, ONES), DATA.T + DATA.T @ DATA)


def test_transposed_quarters_are_multiplied_and_stored():
    def kernel(a, b):
        whole = quarters(load(a))
        psum = nl.ndarray((128, 96), nl.float32, buffer=nl.psum)
        right = load(b)
        for n in range(4):
            nisa.nc_matmul(psum, whole[:, n], right[32 * n : 32 * n + 32])
        return store(copied(psum)), store(whole)

    product, whole = value(kernel, DATA, MORE)
    parts = zip(np.split(DATA, 4, axis=1), np.split(MORE, 4), strict=True)
    assert same(product, sum(a @ b for a, b in parts))
    assert same(whole.reshape(32, 4, 128), quarters_of(DATA))


@pytest.mark.parametrize("part", ["a quarter", "across", "all"])
def test_a_part_of_what_is_shown_is_overwritten(part):
    where = {"a quarter": np.s_[:, 1], "across": np.s_[:, 1:3, 5:77], "all": np.s_[:]}[part]

    def kernel(a):
        whole = quarters(load(a))
        nisa.memset(whole[where] if part != "all" else whole, 7.0)
        return store(whole)

    want = quarters_of(DATA)
    want[where] = 7
    assert same(value(kernel, DATA).reshape(32, 4, 128), want)


def test_a_copy_of_a_copy_outlives_both():
    def kernel(a):
        tile = load(a)
        first = copied(tile)
        second = copied(first)
        nisa.memset(first, 1.0)
        nisa.dma_copy(a, first)
        return store(second)

    assert same(value(kernel, DATA.copy()), DATA)


def test_a_tensor_copies_its_own_parts():
    def kernel(a):
        tile = copied(load(a))
        nisa.tensor_copy(tile[:, 0:64], tile[:, 64:128])
        nisa.tensor_copy(tile[:, 64:96], tile[:, 0:32])
        return store(tile)

    want = DATA.copy()
    want[:, 0:64] = want[:, 64:128]
    want[:, 64:96] = want[:, 0:32]
    assert same(value(kernel, DATA), want)


@pytest.mark.parametrize("order", ["rows", "columns"])
def test_products_that_form_a_rectangle_are_one(order, monkeypatch):
    """Four sums are copied to halves of two tiles, and each tile is stored at once."""
    shapes = []

    def seen(pairs, target):
        shapes.append((pairs[0][0].shape, pairs[0][1].shape))
        return product(pairs, target)

    product = blocks.product
    monkeypatch.setattr("trnlab.sim.values.ahead.product", seen)

    places = [(m, n) for m in range(2) for n in range(2)]
    if order == "columns":
        places = [(m, n) for n, m in places]

    def kernel(a, b):
        out = nl.ndarray((128, 96), nl.float32, buffer=nl.shared_hbm)
        left, right = load(a), load(b)
        top, bottom = nl.ndarray((64, 96), nl.float32), nl.ndarray((64, 96), nl.float32)
        for m, n in places:
            tile = bottom if m else top
            psum = nl.ndarray((64, 48), nl.float32, buffer=nl.psum)
            columns = slice(48 * n, 48 * n + 48)
            nisa.nc_matmul(psum, left[:, 64 * m : 64 * m + 64], right[:, columns])
            nisa.tensor_copy(tile[:, columns], psum)
        nisa.dma_copy(out[0:64], top)
        nisa.dma_copy(out[64:128], bottom)
        return out

    assert same(value(kernel, DATA, MORE), DATA.T @ MORE)
    assert shapes == [((128, 128), (128, 96))]
