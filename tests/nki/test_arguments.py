"""Arguments that share memory, or that were copied on the way in."""

import numpy as np
import pytest

import trnlab
import trnlab.nki.isa as nisa
import trnlab.nki.language as nl
from trnlab.errors import BadArguments
from trnlab.nki import entry


@entry.jit
def overwrite(a, b):
    """Loads b, then writes to a: b keeps what it had."""
    out = nl.ndarray(b.shape, b.dtype, buffer=nl.shared_hbm)
    tile = nl.load(b)
    other = nl.ndarray(a.shape, a.dtype)
    nisa.memset(other, 7.0)
    nl.store(a, other)
    nl.store(out, tile)
    return out


def test_an_argument_given_twice_is_loaded_before_it_is_overwritten():
    a = np.arange(32, dtype=np.float32).reshape(4, 8)
    before = a.copy()
    out, _ = trnlab.run(overwrite)(a, a)
    np.testing.assert_array_equal(out, before)
    np.testing.assert_array_equal(a, 7)


def test_arguments_that_overlap_are_tensors_of_their_own():
    a = np.arange(40, dtype=np.float32).reshape(5, 8)
    before = a.copy()
    out, _ = trnlab.run(overwrite)(a[:4], a[1:])
    np.testing.assert_array_equal(out, before[1:])
    np.testing.assert_array_equal(a[:4], 7)


def test_a_torch_tensor_with_gaps_is_updated():
    torch = pytest.importorskip("torch")
    whole = torch.zeros(4, 16)
    trnlab.run(overwrite)(whole[:, ::2], torch.ones(4, 8))
    assert (whole[:, ::2] == 7).all()
    assert (whole[:, 1::2] == 0).all()


def test_a_read_only_array_with_gaps_is_not_written_in_silence():
    whole = np.zeros((4, 16), np.float32)
    whole.flags.writeable = False
    with pytest.raises(BadArguments, match="read-only"):
        trnlab.run(overwrite)(whole[:, ::2], np.ones((4, 8), np.float32))


def test_numbers_that_compare_equal_are_told_apart():
    @entry.jit
    def kernel(a):
        out = nl.ndarray((2, 4, 8), nl.float32, buffer=nl.shared_hbm)
        for n, zero in enumerate((0.0, -0.0)):
            tile = nl.ndarray((4, 8), nl.float32)
            nisa.memset(tile, zero)
            nl.store(out[n], tile)
        return out

    out, _ = trnlab.run(kernel)(np.zeros((1, 1), np.float32))
    assert not np.signbit(out[0]).any()
    assert np.signbit(out[1]).all()


def test_whole_numbers_and_floats_are_told_apart():
    @entry.jit
    def kernel(a):
        out = nl.ndarray((2, 4, 8), nl.int32, buffer=nl.shared_hbm)
        for n, value in enumerate((16777217.0, 16777217)):
            tile = nl.ndarray((4, 8), nl.int32)
            nisa.memset(tile, value)
            nisa.dma_copy(out[n], tile)
        return out

    out, _ = trnlab.run(kernel, api_version="0.2")(np.zeros((1, 1), np.float32))
    assert (out[0] == 16777216).all()
    assert (out[1] == 16777217).all()
