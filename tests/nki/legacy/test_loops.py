"""Loops of the older API: what iterations may do to each other, and in which order they run."""

from random import Random

import numpy as np
import pytest

from trnlab.errors import OrderDependence, OutOfScope, Violations
from trnlab.nki.jit import Settings, simulate
from trnlab.nki.legacy import entry
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl

A = np.arange(128 * 64, dtype=np.float32).reshape(128, 64)


def run(body, **how):
    """Runs a kernel of which only what happens between load and store is given."""

    @entry.jit
    def kernel(a):
        out = nl.ndarray((128, 64), nl.float32, buffer=nl.shared_hbm)
        body(a, out)
        return out

    return simulate(kernel, (A,), {}, Settings(**how))


def line(mark):
    """The line of this file that ends with a mark."""
    with open(__file__) as file:
        return next(n for n, text in enumerate(file, 1) if text.rstrip().endswith(f"# {mark}"))


def overwrites(a, out):
    t = nl.ndarray((128, 64), nl.float32)
    for _ in nl.affine_range(4):  # overwriting loop
        t[...] = nl.load(a)  # overwriting write
    nl.store(out, t)


def overwrites_a_part(a, out):
    t = nl.ndarray((128, 80), nl.float32)
    for i in nl.affine_range(4):
        t[:, 16 * i : 16 * i + 20] = nl.load(a[:, 0:20])
    nl.store(out, t[:, 0:64])


def overwrites_every_second(a, out):
    t = nl.ndarray((2, nl.par_dim(128), 64), nl.float32)
    for i in nl.affine_range(4):
        t[i % 2] = nl.load(a)
    nl.store(out, t[0])


def overwrites_in_hbm(a, out):
    for _ in nl.affine_range(4):
        nl.store(out, nl.load(a))


def reads_its_neighbour(a, out):
    t = nl.zeros((128, 80), nl.float32)
    for i in nl.affine_range(4):  # reading loop
        left = t[:, 16 * i : 16 * i + 16]
        t[:, 16 * i + 16 : 16 * i + 32] = nl.add(left, 1.0)  # reading write
    nl.store(out, t[:, 0:64])


def adds_and_multiplies(a, out):
    t, x = nl.zeros((128, 64), nl.float32), nl.load(a)
    for _ in nl.affine_range(4):
        t += x
        t *= 2.0
    nl.store(out, t)


@pytest.mark.parametrize(
    ("body", "does"),
    [
        (overwrites, "write"),
        (overwrites_a_part, "write"),
        (overwrites_every_second, "write"),
        (overwrites_in_hbm, "write"),
        (reads_its_neighbour, "read"),
        (adds_and_multiplies, "write"),
    ],
)
def test_iterations_that_depend_on_each_other(body, does):
    with pytest.raises(Violations) as raised:
        run(body)
    assert {type(error) for error in raised.value.found} == {OrderDependence}
    assert f"write what others {does}" in raised.value.found[0].what


@pytest.mark.parametrize(
    ("body", "mark"), [(overwrites, "overwriting"), (reads_its_neighbour, "reading")]
)
def test_the_lines_of_the_loop_and_of_the_write(body, mark):
    [error] = run(body, strict=False).violations
    assert error.place.line == line(f"{mark} write")
    assert error.given["loop"].endswith(f":{line(f'{mark} loop')}")


def test_values_are_not_needed_to_see_it():
    [error] = run(overwrites, values=False, strict=False).violations
    assert isinstance(error, OrderDependence)


def sums(a, out):
    t, x = nl.zeros((128, 64), nl.float32), nl.load(a)
    for _ in nl.affine_range(4):
        t += x
    nl.store(out, t)


def sums_of_products(a, out):
    total, x = nl.zeros((64, 64), nl.float32, buffer=nl.psum), nl.load(a)
    for _ in nl.affine_range(4):
        total += nisa.nc_matmul(x, x)
    nl.store(out[0:64, :], total)
    nl.store(out[64:128, :], total)


def reduces(a, out):
    t, x = nl.ndarray((128, 64), nl.float32), nl.load(a)
    for i in nl.affine_range(4):
        t[...] = nl.loop_reduce(x, np.add, [i])
    nl.store(out, t)


def takes_every_fourth_column(a, out):
    t, p, f = nl.ndarray((128, 64), nl.float32), nl.arange(128)[:, None], nl.arange(16)[None, :]
    for i in nl.affine_range(4):
        t[p, 4 * f + i] = nl.load(a[p, f])
    nl.store(out, t)


def in_order(a, out):
    t = nl.ndarray((128, 64), nl.float32)
    for _ in nl.sequential_range(4):
        t[...] = nl.load(a)
    nl.store(out, t)


def a_tile_of_its_own(a, out):
    for i in nl.affine_range(4):
        t = nl.ndarray((128, 16), nl.float32)
        for j in nl.affine_range(2):
            t[:, 8 * j : 8 * j + 8] = nl.load(a[:, 16 * i + 8 * j : 16 * i + 8 * j + 8])
        nl.store(out[:, 16 * i : 16 * i + 16], t)


FREE = [sums, sums_of_products, reduces, takes_every_fourth_column, in_order, a_tile_of_its_own]


@pytest.mark.parametrize("body", FREE)
@pytest.mark.parametrize("seed", [None, 0, 1])
def test_iterations_that_may_run_in_any_order(body, seed):
    result = run(body, shuffle=seed)
    assert not result.violations
    assert (result.outputs == run(body).outputs).all()


def last_of_eight(seed):
    order = list(range(8))
    Random(seed).shuffle(order)
    return order[-1]


def test_another_order_shows_a_dependence():
    def last_wins(a, out):
        t = nl.ndarray((128, 64), nl.float32)
        for i in nl.affine_range(8):
            t[...] = nl.add(nl.load(a), float(i))
        nl.store(out, t)

    found = [run(last_wins, shuffle=seed, strict=False).outputs for seed in (None, 0, 0, 1)]
    assert (found[0] == A + 7).all()
    assert (found[1] == found[2]).all()
    assert {int(each[0, 0]) for each in found} == {7, last_of_eight(0), last_of_eight(1)}
    assert last_of_eight(0) != 7


def test_a_tensor_ends_with_the_iteration_that_made_it():
    def leaves(a, out):
        for i in nl.sequential_range(2):
            t = nl.load(a)  # leaving tensor
            if i:
                nl.store(out, t)
        nl.store(out, t)  # leaving use

    [error] = run(leaves, strict=False).violations
    assert isinstance(error, OutOfScope)
    assert error.place.line == line("leaving use")
    assert error.given["made"].endswith(f":{line('leaving tensor')}")

    def carries(a, out):
        t = nl.load(a)
        for _ in nl.sequential_range(2):
            t = nl.add(t, 1.0)
        nl.store(out, t)

    with pytest.raises(Violations, match="outside of the iteration"):
        run(carries)


def test_unrolled_loops_have_no_scope():
    def keeps(a, out):
        for _ in nl.static_range(2):
            t = nl.load(a)
        nl.store(out, t)

    assert not run(keeps).violations


def test_a_loop_that_is_left_early():
    def breaks(a, out):
        for i in nl.affine_range(4):
            nl.store(out[:, 16 * i : 16 * i + 16], nl.load(a[:, 0:16]))
            if i == 2:
                break
        nl.store(out[:, 48:64], nl.load(a[:, 0:16]))

    assert not run(breaks).violations


def test_an_instruction_stands_where_it_was_asked_for():
    def waits(a, out):
        t = nl.load(a)  # waiting load

        nl.store(out, t)

    assert run(waits).trace[0].where.endswith(f":{line('waiting load')}")
