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
    assert said.count("overwritten") == 1
    assert f"byte {first[1]:,} of sbuf" in said
    assert "test_sharing.py" in said


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
