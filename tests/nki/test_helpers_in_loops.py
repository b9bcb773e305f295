"""Loops that call helpers which write tensors are followed; those that change Python are not."""

import numpy as np
import pytest

import trnlab.nki.legacy.isa as nisa
import trnlab.nki.legacy.language as nl
from tests.nki.test_repeats import both_ways, runs, written
from trnlab.nki.legacy import entry as nki

__all__ = ["runs", "written"]

X = np.zeros((1024, 1024), np.float32)
SEEN = [None] * 8


def tile(*shape, space=nl.sbuf):
    return nl.ndarray((nl.par_dim(shape[0]), *shape[1:]), nl.float32, buffer=space)


def chosen(made, other, first=True):
    return made if first else other


def loaded(x, i):
    here = tile(128, 128)
    here[...] = nl.load(x[nl.ds(i * 128, 128), 0:128])
    return here


def fill(here, x, i):
    view = here[:, 0:64]
    view[...] = nl.load(x[nl.ds(i * 128, 128), 0:64])


def fill_all(x, i, *heres):
    heres[0][...] = nl.load(x[nl.ds(i * 128, 128), 0:128])


def fill_by_name(x, i, *, here):
    fill(here, x, i)


def fill_kept(x, i, here=SEEN):
    here[0] = x.shape


def add_up(total, one, other):
    total += nisa.nc_matmul(one, other)


def turned(x, again):
    return turned(loaded(x, 0), False) if again else x


@nki.jit
def makes(x):
    for i in nl.affine_range(8):
        nl.exp(loaded(x, i))


@nki.jit
def gives(x):
    kept = tile(128, 128)
    for i in nl.affine_range(8):
        fill(kept, x, i)
        fill_by_name(x, i, here=kept[:, 0:128])


@nki.jit
def gives_what_helpers_make(x):
    for i in nl.affine_range(8):
        fill(loaded(x, i), x, i)
        fill(chosen(tile(128, 128), loaded(x, i)), x, i)


@nki.jit
def adds(x):
    total = tile(128, 128, space=nl.psum)
    for i in nl.affine_range(8):
        here = loaded(x, i)
        add_up(total, here, here)


@nki.jit
def gives_a_list(x):
    kept = [0] * 128
    for i in nl.affine_range(8):
        fill_list(kept, x.shape[0] - i)
        nl.load(x[0:128, 0 : (128 if kept[0] > 1020 else 64)])


def fill_list(here, value):
    here[0] = value


@nki.jit
def gives_a_list_to_a_maker(x):
    kept = [0]
    for i in nl.affine_range(8):
        fill_list(chosen(kept, kept), i)
        nl.load(x[0:128, 0 : 64 + 8 * kept[0]])


@nki.jit
def gives_nothing(x):
    for i in nl.affine_range(8):
        fill_kept(x, i)
        nl.load(x[nl.ds(i * 128, 128), 0:128])


@nki.jit
def gives_several(x):
    kept = tile(128, 128)
    for i in nl.affine_range(8):
        fill_all(x, i, kept)


@nki.jit
def gives_in_a_comprehension(x):
    here = tile(128, 128)
    for i in nl.affine_range(8):
        [fill(here, x, i) for here in (loaded(x, i),)]
    nl.store(nl.ndarray((128, 128), nl.float32, buffer=nl.shared_hbm), here)


@nki.jit
def is_called_back(x):
    for i in nl.affine_range(8):
        nl.load(x[nl.ds(i * 128, 128), 0 : max((64, 128), key=abs)])


@nki.jit
def comes_back(x):
    for i in nl.affine_range(8):
        turned(loaded(x, i), True)


@pytest.mark.parametrize(
    ("kernel", "times"),
    [(makes, 1), (gives, 1), (gives_what_helpers_make, 1), (adds, 1), (gives_a_list, 0),
     (gives_a_list_to_a_maker, 0), (gives_nothing, 0), (gives_several, 0),
     (gives_in_a_comprehension, 0), (is_called_back, 0), (comes_back, 0)],
    ids=lambda value: getattr(getattr(value, "function", None), "__name__", ""),
)  # fmt: skip
def test_a_loop_that_calls_helpers_is_recorded_alike_both_ways(kernel, times, runs, written):
    assert both_ways(kernel, (X,), runs, chip="trn1") is not None
    assert len(written) == 2 * times  # with values and without
