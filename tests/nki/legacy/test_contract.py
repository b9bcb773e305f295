"""What the older compiler prints an error for: arguments, scopes, indices, direct allocation."""

import numpy as np
import pytest

import trnlab
from tests.support import same
from trnlab.errors import ProgramError
from trnlab.nki.legacy import entry, placing
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl
from trnlab.nki.legacy.entry import jit, mutable, mutable_tensor, tensor

A = np.ones((128, 64), np.float32)


def updates(a):
    nl.store(a, nl.add(nl.load(a), 1.0))
    return a


def updates_mutable(a: mutable_tensor):
    nl.store(a, nl.add(nl.load(a), 1.0))
    return a


def updates_spelled(a: tensor[mutable]):
    nl.store(a, nl.add(nl.load(a), 1.0))
    return a


def keeps(a: mutable_tensor):
    out = nl.ndarray((128, 64), nl.float32, buffer=nl.shared_hbm)
    nl.store(out, nl.load(a))
    return out


def fills(a, out):
    nl.store(out, nl.add(nl.load(a), 1.0))


def shaped(a: tensor[128, 32]):
    tile = nl.load(a)
    out = nl.ndarray(tile.shape, nl.float32, buffer=nl.shared_hbm)
    nl.store(out, tile)
    return out


def wrong(kernel, *arrays):
    """What is wrong with a call: the whole text, empty where nothing is."""
    try:
        trnlab.run(kernel)(*(arrays or (A.copy(),)))
    except ProgramError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("decorate", [jit, jit(mode="simulation"), entry.baremetal])
def test_arguments_are_read_only(decorate):
    said = wrong(decorate(updates))
    assert "the kernel writes its argument a" in said
    assert f"{__file__}:{updates.__code__.co_firstlineno + 1}" in said
    assert wrong(decorate(updates_mutable)) == wrong(decorate(updates_spelled)) == ""


def test_what_may_be_written_is_returned():
    assert "does not return its argument a" in wrong(jit(keeps))
    assert wrong(jit(experimental_flags="skip-mutable-return-check")(keeps)) == ""


@pytest.mark.parametrize("call", [entry.trace(fills), entry.benchmark(fills), fills])
def test_kernels_that_write_their_last_argument(call):
    out = np.zeros_like(A)
    if call is fills:
        entry.simulate_kernel(call, A, out)
    else:
        call(A, out)
    assert same(out, A + 1)


def test_a_kernel_of_jit_returns_its_results():
    assert "the kernel writes its argument out" in wrong(jit(fills), A.copy(), A.copy())


def test_the_shape_of_an_annotation():
    assert "a has the shape [128, 64], its annotation [128, 32]" in wrong(jit(shaped))
    assert wrong(jit(shaped), A[:, :32].copy()) == ""


def inside(body):
    def kernel(a):
        out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
        tile = nl.load(a)
        body(tile)
        nl.store(out, tile)
        return out

    return jit(kernel)


def placed():
    space = placing.sbuf_mod_alloc(base_addr=0)
    return nl.ndarray((nl.par_dim(128), 64), nl.float32, buffer=space)


def index_item(value):
    index = nl.mgrid[0:1, 0:8][1]
    index[0, 5] = value


def by_column(tile):
    rows = nl.ndarray((128, 64), nl.float32, buffer=nl.hbm)
    nl.store(rows, tile)
    index = nisa.memset((64, 1), 0, nl.int32)
    nl.load(rows[nl.arange(64)[:, None], index])


def in_scratch(tile):
    placed()[...] = nisa.tensor_copy(tile)
    nisa.nc_transpose(tile)


def beside_hbm(tile):
    placed()[...] = nisa.tensor_copy(tile)
    nl.store(nl.ndarray((128, 64), nl.float32, buffer=nl.hbm), tile)


BAD = {
    "operator broadcasts": (lambda t: t + t[0:1, :], lambda t: nl.add(t, t[0:1, :])),
    "takes a tile of 3 dimensions": (
        lambda t: nl.transpose(t.reshape((128, 8, 8))),
        lambda t: nl.transpose(t),
    ),
    "insufficient rank": (
        lambda t: nl.ndarray((128,), nl.float32),
        lambda t: nl.ndarray((128, 1), nl.float32),
    ),
    "adds a dimension at 1": (lambda t: nl.expand_dims(t, 1), lambda t: nl.expand_dims(t, 2)),
    "assigned to an index": (lambda t: index_item(1), lambda t: None),
    "a tile indexes the last dimension": (by_column, lambda t: None),
    "with a grid of its own": (lambda t: jit(nl.exp)[2](t), lambda t: jit(nl.exp)(t)),
    "cannot be made with a value": (
        lambda t: nl.zeros(
            (nl.par_dim(128), 8), nl.float32, buffer=placing.sbuf_mod_alloc(base_addr=0)
        ),
        lambda t: nl.zeros((nl.par_dim(128), 8), nl.float32),
    ),
    "needs an identity": (in_scratch, lambda t: nisa.nc_transpose(t)),
    "is in HBM, and the kernel places tiles": (beside_hbm, lambda t: None),
}


@pytest.mark.parametrize(("said", "bodies"), BAD.items(), ids=BAD)
def test_what_the_older_compiler_refuses(said, bodies):
    bad, good = bodies
    assert said in wrong(inside(bad))
    assert wrong(inside(good)) == ""
