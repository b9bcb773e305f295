"""Tensors placed on top of each other: a read after another was written there is an error."""

import numpy as np
import pytest

import trnlab
from tests.support import same, whole_numbers
from trnlab import Violations
from trnlab.nki import entry, isa, language
from trnlab.nki.legacy import entry as old
from trnlab.nki.legacy import language as nl
from trnlab.nki.legacy.placing import sbuf_mod_alloc

A = whole_numbers(128, 16)


def stored(tile):
    out = language.ndarray(tile.shape, tile.dtype, buffer=language.shared_hbm)
    isa.dma_copy(out, tile)
    return out


def two(first, second, rows=(128, 128), read_late=True):
    """A kernel that fills tensors at two addresses, and reads the first one late or early."""

    def kernel(a):
        x = language.ndarray((rows[0], 16), language.float32, address=first)
        y = language.ndarray((rows[1], 16), language.float32, address=second)
        isa.dma_copy(x, a[: rows[0]])
        early = None if read_late else stored(x)
        isa.memset(y, 7.0)
        return (stored(x) if read_late else early), stored(y)

    return trnlab.run(entry.jit(kernel))


@pytest.mark.parametrize(
    ("first", "second"), [((0, 0), (0, 0)), ((0, 100), (0, 60)), ((0, 0), (0, 60))]
)
def test_a_read_after_another_tensor_was_written_there(first, second):
    with pytest.raises(Violations, match="t1 is read after t2 has overwritten it") as raised:
        two(first, second)(A)
    said = str(raised.value)
    assert said.count("has overwritten") == 1
    assert f"byte {first[1]:,} to {first[1] + 63:,} of sbuf, partitions 0 to 127" in said
    assert said.count("test_sharing.py") == 4  # where it is read, made, also made, written


@pytest.mark.parametrize(
    ("first", "second", "rows"),
    [
        ((0, 0), (0, 64), (128, 128)),  # side by side
        ((0, 0), (64, 0), (64, 64)),  # one below the other
        ((0, 0), (32, 32), (32, 32)),
    ],
)
def test_neighbours_do_not_meet(first, second, rows):
    x, y = two(first, second, rows)(A)[0]
    assert same(x, A[: rows[0]])
    assert same(y, np.full((rows[1], 16), 7, np.float32))


def test_a_read_before_is_fine():
    assert same(two((0, 0), (0, 0), read_late=False)(A)[0][0], A)


def test_tiles_that_take_turns():
    def kernel(a):
        out = nl.ndarray((4, 128, 16), a.dtype, buffer=nl.shared_hbm)
        turns = sbuf_mod_alloc(base_addr=0, num_free_tiles=(2,))
        tiles = nl.ndarray((4, nl.par_dim(128), 16), a.dtype, buffer=turns)
        for i in nl.affine_range(4):
            tiles[i] = nl.load(a)
            nl.store(out[i], tiles[i - behind])
        return out

    behind = 0
    assert same(trnlab.run(old.jit(kernel))(A)[0], np.stack([A] * 4))
    behind = 1
    with pytest.raises(Violations, match="where nobody wrote it"):
        trnlab.run(old.jit(kernel))(A)


def test_tiles_that_take_turns_too_early():
    def kernel(a):
        out = nl.ndarray((128, 16), a.dtype, buffer=nl.shared_hbm)
        turns = sbuf_mod_alloc(base_addr=0, num_free_tiles=(2,))
        tiles = nl.ndarray((3, nl.par_dim(128), 16), a.dtype, buffer=turns)
        for i in nl.affine_range(3):
            tiles[i] = nl.load(a)
        nl.store(out, tiles[0])
        return out

    with pytest.raises(Violations, match="is read after t4 has overwritten it"):
        trnlab.run(old.jit(kernel))(A)


def test_garbage_that_stays_on_chip_is_nobodys():
    def kernel(a):
        out = nl.ndarray((128, 16), a.dtype, buffer=nl.shared_hbm)
        for i in nl.affine_range(2):
            place = sbuf_mod_alloc(base_addr=0)
            tile = nl.ndarray((nl.par_dim(128), 16), a.dtype, buffer=place)
            tile[...] = nl.load(a, mask=i < 1)
            nl.store(out, nl.add(tile, 1.0), mask=i < 1)
        return out

    assert same(trnlab.run(old.jit(kernel))(A)[0], A + 1)


def parts(read_first_half):
    """A kernel that puts a tensor on the first half of another and reads one of the halves."""

    def kernel(a):
        x = language.ndarray((128, 16), language.float32, address=(0, 0))
        isa.dma_copy(x, a)
        y = language.ndarray((128, 8), language.float32, address=(0, 0))
        isa.memset(y, 7.0)
        half = x[:, 0:8] if read_first_half else x[:, 8:16]
        return stored(half), stored(y)

    return trnlab.run(entry.jit(kernel))


def test_two_tensors_alive_at_one_place():
    with pytest.raises(Violations, match="t1 and t2 share bytes and are alive at the same time"):
        parts(read_first_half=False)(A)
    with pytest.raises(Violations, match="t1 is read after t2 has overwritten it"):
        parts(read_first_half=True)(A)


def test_what_is_written_again_was_not_alive():
    def kernel(a):
        x = language.ndarray((128, 16), language.float32, address=(0, 0))
        y = language.ndarray((128, 16), language.float32, address=(0, 0))
        outs = []
        for _ in range(3):
            isa.dma_copy(x, a)
            outs.append(stored(x))
            isa.memset(y, 7.0)
            outs.append(stored(y))
        return tuple(outs)

    outs = trnlab.run(entry.jit(kernel))(A)[0]
    assert same(outs[4], A)
    assert same(outs[5], np.full(A.shape, 7, np.float32))


def banks(bank_of_second, drain_first):
    """A kernel with two sums in PSUM, placed by bank; the first is drained early or late."""

    def kernel(a, b):
        left = language.load(a)
        right = language.load(b)
        one = language.ndarray((16, 16), language.float32, language.psum, address=(0, 0))
        two = language.ndarray(
            (16, 16), language.float32, language.psum, address=(0, bank_of_second * 2048)
        )
        isa.nc_matmul(one, left, right)
        if drain_first:
            first = language.copy(one)
        isa.nc_matmul(two, left, right)
        if not drain_first:
            isa.nc_matmul(one, left, right)
            first = language.copy(one)
        return stored(first), stored(language.copy(two))

    return trnlab.run(entry.jit(kernel))


def test_a_bank_that_was_reused():
    for bank, drained in ((1, False), (0, True)):
        first, second = banks(bank, drained)(A, A)[0]
        assert same(first, (A.T @ A) * (1 if drained else 2))
        assert same(second, A.T @ A)
    with pytest.raises(Violations, match="t3 is read after t4 has overwritten it") as raised:
        banks(0, drain_first=False)(A, A)
    assert "of psum, bank 0, partitions 0 to 15" in str(raised.value)
