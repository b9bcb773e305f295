"""Order that a kernel asks for beyond what its data needs."""

import numpy as np
import pytest

import trnlab
from tests.support import load, simulate
from trnlab.errors import BadArguments, UnknownName, Violations
from trnlab.nki import entry
from trnlab.nki import isa as nisa
from trnlab.nki import language as nl

A = np.ones((128, 512), np.float32)


def two(a, join=lambda first, second: None):
    """Two instructions on two engines that have nothing to do with each other."""
    x, left, right = load(a), nl.ndarray(a.shape, a.dtype), nl.ndarray(a.shape, a.dtype)
    first = nisa.reciprocal(left, x, name="recip")
    second = nisa.activation(right, nl.exp, x, name="exp")
    join(first, second)
    out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(out, left)
    nisa.dma_copy(out, right)
    return out


def gap(trace):
    """Seconds between the end of the reciprocal and the start of the activation."""
    rows = {trace.names[n]: row for row, n in enumerate(trace.name)}
    return trace.start[rows["activation"]] - trace.stop[rows["reciprocal"]]


def inside(a):
    with nl.no_reorder():
        return two(a)


@pytest.mark.parametrize(
    "kernel",
    [
        lambda a: two(a, lambda first, second: second.depends_on(first)),
        inside,
        entry.jit(two).with_schedule([("exp", "recip")]),
        entry.jit(two).with_schedule([("exp", ["recip"])]),
    ],
)
def test_one_waits_for_the_other(kernel):
    assert gap(simulate(two, A)[1]) < 0
    out, trace = simulate(kernel, A)
    assert gap(trace) >= 0
    assert np.array_equal(out, simulate(two, A)[0])


def test_unknown_names_in_a_schedule_are_said():
    with pytest.raises(UnknownName, match="did you mean 'recip'"):
        trnlab.run(entry.jit(two).with_schedule([("exp", "recep")]))(A)
    with pytest.raises(BadArguments, match="issued after it"):
        trnlab.run(entry.jit(two).with_schedule([("recip", "exp")]))(A)


def test_nobody_waits_for_what_comes_later():
    with pytest.raises(BadArguments, match="cannot wait for"):
        simulate(lambda a: two(a, lambda first, second: first.depends_on(second)), A)


def test_a_loop_of_the_device_stands_outside_of_what_keeps_its_order():
    def wrong(a):
        with nl.no_reorder():
            with nl.no_reorder():
                two(a)
            for _ in nl.dynamic_range(2):
                two(a)
        return two(a)

    def right(a):
        for _ in nl.dynamic_range(2):
            with nl.no_reorder():
                two(a)
        for _ in nl.dynamic_range(1):
            two(a)
        return two(a)

    with pytest.raises(Violations, match="a loop of the device stands inside of"):
        simulate(wrong, A)
    assert np.array_equal(simulate(right, A)[0], simulate(two, A)[0])
