"""What the vendor's simulator takes and a device does not: values without strict rules."""

import numpy as np
import pytest

from trnlab.errors import BadArguments, OutOfBounds, Violations
from trnlab.nki.jit import Settings, simulate
from trnlab.nki.legacy import entry
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl

A = np.arange(128 * 64, dtype=np.float32).reshape(128, 64)


def permissive(kernel, *args):
    """The outputs of a kernel and what it says of a rule that does not stop it; strict, it does."""
    with pytest.raises(Violations) as raised:
        simulate(entry.jit(kernel), args, {}, Settings())
    result = simulate(entry.jit(kernel), args, {}, Settings(strict=False))
    assert [str(e) for e in raised.value.found] == [str(e) for e in result.violations]
    return result.outputs, result.violations


def test_a_tile_that_is_returned():
    out, [said] = permissive(lambda a: nl.add(nl.load(a), 1.0), A)
    assert (out == A + 1).all()
    assert isinstance(said, BadArguments)
    assert "shared_hbm" in said.fix


def test_a_tensor_in_hbm_is_true():
    def kernel(a, b=None):
        out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
        nl.store(out, nl.add(nl.load(a), nl.load(b)) if b else nl.load(a))
        return out

    out, [said] = permissive(kernel, A, np.zeros_like(A))
    assert (out == A).all()
    assert "is not None" in said.fix
    assert (simulate(entry.jit(kernel), (A,), {}, Settings()).outputs == A).all()


def test_of_masks_joined_with_and_the_last_one_holds():
    def kernel(a):
        out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
        i, j = nl.mgrid[0:128, 0:64]
        tile = nl.zeros(a.shape, a.dtype)
        tile[i, j] = nl.copy(nl.load(a), mask=(i < 16 and j < 32))
        nl.store(out, tile)
        return out

    out, [said] = permissive(kernel, A)
    assert (out == np.where(np.arange(64) < 32, A, 0)).all()
    assert said.given == {"of `a and b`": "only b holds"}


@pytest.mark.parametrize("store", [False, True])
def test_a_row_outside_is_what_numpy_says(store):
    @entry.jit
    def kernel(a):
        out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
        rows, j = nisa.iota(3 * nl.arange(64)[:, None], np.int32), nl.arange(64)[None, :]
        i = nl.arange(64)[:, None]
        tile = nl.zeros((64, 64), a.dtype)
        if store:
            nisa.dma_copy(dst=out[rows, j], src=tile)
        else:
            nisa.dma_copy(dst=tile[i, j], src=a[rows, j])
        return out

    with pytest.raises(OutOfBounds, match="an index has the value 129"):
        simulate(kernel, (A,), {}, Settings())
    with pytest.raises(IndexError) as raised:
        simulate(kernel, (A,), {}, Settings(strict=False))
    assert type(raised.value) is IndexError
    assert str(raised.value) == "index 8256 is out of bounds for axis 0 with size 8192"
    assert isinstance(raised.value.__cause__, OutOfBounds)


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_a_type_of_numpy_is_no_array(kind):
    @entry.jit
    def kernel(a, dtype):
        out = nl.ndarray(a.shape, dtype, buffer=nl.shared_hbm)
        nl.store(out, nl.load(a, dtype=dtype))
        return out

    out = kernel(A, kind)
    assert out.dtype == kind
    assert (out == A.astype(kind)).all()
