"""What was recorded on a real Trainium1 and the vendor's simulator gets wrong, one test a row."""

import numpy as np
import pytest

import trnlab
from tests.support import load, nisa, nl, same, simulate, store, value, whole_numbers
from trnlab import Violations
from trnlab.studies.run import run_once

ODD = 2**24 + 1  # the first whole number that fp32 does not hold
WORDS = np.full((8, 8), ODD, np.uint32)
X = whole_numbers(64, 64)


def broken(kernel, *arrays, chip="trn1", **how):
    with pytest.raises(Violations) as found:
        trnlab.run(kernel, chip, **how)(*arrays)
    return found.value.found


def test_multiplying_whole_numbers_on_the_vector_engine_loses_bits():
    def multiplied(a, ones):
        tile = load(a)
        nisa.tensor_tensor(tile, tile, load(ones), nl.multiply, engine=nisa.engine.vector)
        return store(tile)

    np_ones = np.ones_like(WORDS)
    assert (value(multiplied, WORDS, np_ones, chip="trn1") == 2**24).all()


def test_copying_whole_numbers_loses_bits_until_nki_0_6():
    def kernel(a):
        return store(nl.copy(load(a)))

    assert (value(kernel, WORDS, chip="trn1", api_version="0.3") == 2**24).all()
    assert (value(kernel, WORDS, chip="trn1") == ODD).all()


def test_shifting_what_was_copied_loses_bits():
    def kernel(a):
        tile = nl.copy(load(a))
        return store(nl.left_shift(tile, 1))

    assert (value(kernel, WORDS, chip="trn1", api_version="0.3") == 2**25).all()


def lists(a):
    tiles = [load(a) for _ in range(2)]
    return store(tiles[0])


def inner(a):
    def twice(tile):
        nisa.tensor_tensor(tile, tile, tile, nl.add)

    tile = load(a)
    twice(tile)
    return store(tile)


def subscripts(a):
    held = [None, None]
    held[0], held[1] = load(a), load(a)
    return store(held[0])


@pytest.mark.parametrize(("kernel", "below"), [(lists, 1), (inner, 1), (subscripts, 2)])
@pytest.mark.parametrize("version", ["0.2", "0.3", "0.6"])
def test_python_that_the_compiler_rejects(kernel, below, version):
    (found,) = broken(kernel, X, api_version=version)
    assert found.what.startswith("Python: ")
    assert found.place.line == kernel.__code__.co_firstlineno + below


def logarithm(a, bias):
    tile, column = load(a), load(bias)
    nisa.activation(tile, nl.log, tile, bias=column)
    return store(tile)


def test_a_logarithm_takes_no_bias_of_its_own():
    a, bias = np.ones((8, 8), np.float32), np.ones((8, 1), np.float32)
    (found,) = broken(logarithm, a, bias)
    assert found.rule == "activation/log-with-a-bias-needs-a-core-with"
    assert same(value(logarithm, a, bias, chip="trn2"), np.log(a + bias))


def test_no_broadcast_over_partitions():
    def kernel(a, row):
        return store(nl.add(load(a), load(row)))

    (found,) = broken(kernel, X, X[:1])
    assert found.rule == "tensor_tensor/dst-and-both-inputs-span-the-same-partitions-with"


def test_a_transposing_load_reads_arguments_only():
    def local(a):
        here = nl.ndarray(a.shape, a.dtype, buffer=nl.hbm)
        nisa.dma_copy(here, a)
        return store(nl.load_transpose2d(here))

    assert "load_transpose2d/src-is-an-argument" in {v.rule for v in broken(local, X)}
    told = run_once(local, (X,), {}, "trn1", strict=False)
    assert told.violations
    assert same(told.outputs, np.ascontiguousarray(X.T))


def product(a, b, **how):
    tile = nl.ndarray((a.shape[1], b.shape[1]), nl.float32, buffer=nl.psum)
    nisa.nc_matmul(tile, a, b, **how)
    return tile


@pytest.mark.parametrize("rows", [1, 7, 64, 127])
def test_contractions_below_128(rows):
    a, b = whole_numbers(rows, 32), whole_numbers(rows, 48, seed=1)

    def kernel(a, b):
        return store(nl.copy(product(load(a), load(b))))

    assert same(value(kernel, a, b, chip="trn1"), a.T @ b)


def test_what_was_loaded_transposed_may_move():
    a, b = whole_numbers(64, 32), whole_numbers(48, 64, seed=1)

    def kernel(a, b):
        return store(nl.copy(product(load(a), nl.load_transpose2d(b))))

    assert same(value(kernel, a, b, chip="trn1"), a.T @ b.T)


@pytest.mark.parametrize("accumulate", [None, "from the second on"])
def test_sums_across_an_inner_loop(accumulate):
    a, b = whole_numbers(512, 64), whole_numbers(512, 96, seed=1)

    def kernel(a, b):
        tile = nl.ndarray((64, 96), nl.float32, buffer=nl.psum)
        for k in range(4):
            rows = slice(128 * k, 128 * (k + 1))
            adds = k > 0 if accumulate else None
            nisa.nc_matmul(tile, load(a[rows, :]), load(b[rows, :]), accumulate=adds)
        return store(nl.copy(tile))

    result = run_once(kernel, (a, b), {}, "trn1")
    assert same(result.outputs, a.T @ b)
    assert result.warnings == ()


THIRD = np.full((128, 512), 1 / 3, np.float32)


def rounded(a):
    tile = load(a)
    narrow = nl.ndarray(tile.shape, nl.bfloat16)
    nisa.tensor_copy(narrow, tile)
    return store(narrow)


def test_stochastic_rounding_is_there_and_repeats(monkeypatch):
    nearest = value(rounded, THIRD, chip="trn1").astype(np.float32)
    assert len(np.unique(nearest)) == 1
    monkeypatch.setenv("NEURON_RT_STOCHASTIC_ROUNDING_EN", "1")
    first, trace = simulate(rounded, THIRD, chip="trn1")
    wide = first.astype(np.float32)
    below, above = np.unique(wide)
    assert below < np.float32(1 / 3) < above
    assert abs(wide.mean() - 1 / 3) < (above - below) / 50
    assert same(first, value(rounded, THIRD, chip="trn1"))
    assert any("stochastic rounding with seed 0" in note for note in trace.meta["notes"])
    monkeypatch.setenv("NEURON_RT_STOCHASTIC_ROUNDING_SEED", "7")
    assert not same(first, value(rounded, THIRD, chip="trn1"))


@pytest.mark.parametrize(
    ("chip", "usable"), [("trn1", 180_224), ("trn2", 212_984), ("trn3", 245_752)]
)
def test_more_sbuf_than_a_partition_has(chip, usable):
    def kernel(a):
        first = nl.ndarray((128, usable // 8), nl.float32)
        second = nl.ndarray((128, usable // 8 + 1), nl.float32)
        nisa.memset(first, 0.0)
        nisa.memset(second, 0.0)
        nisa.tensor_copy(second[:, 0:1], first[:, 0:1])
        return store(second[:, 0:1])

    (found,) = broken(kernel, X, chip=chip)
    assert found.limit.startswith(f"{usable:,} bytes a partition")
    assert "over capacity by" in found.what
