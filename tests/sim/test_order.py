"""What a compiler may order anew, and what holds it back."""

import numpy as np

from tests.support import TOY, bars, nisa, nl, simulate
from trnlab.nki.jit import Kernel

A = np.zeros((128, 64), np.float32)
VECTOR, SCALAR, GPSIMD = nisa.engine.vector, nisa.engine.scalar, nisa.engine.gpsimd


def starts(kernel, lane="vector"):
    """Names and starts on one lane, in the order of the program."""
    made = kernel if isinstance(kernel, Kernel) else Kernel(kernel)
    trace = simulate(made, A, chip=TOY, values=False, strict=False)[1]
    return [(bar.name, bar.start) for bar in bars(trace) if bar.lane == lane]


def tile():
    return nl.ndarray((128, 64), nl.float32)


def late_and_early():
    """A copy on the vector engine that waits for GpSimd, and a memset that need not wait."""
    one, two = tile(), tile()
    nisa.memset(one, 1.0, engine=GPSIMD)
    nisa.tensor_copy(two, one, engine=VECTOR, name="late")
    nisa.memset(tile(), 1.0, engine=VECTOR, name="early")


def test_what_is_ready_overtakes_what_waits():
    assert starts(lambda a: late_and_early()) == [("tensor_copy", 174), ("memset", 0)]


def test_no_reorder_keeps_the_order():
    def kernel(a):
        with nl.no_reorder():
            late_and_early()

    (_, late), (_, early) = starts(kernel)
    assert early > late == 174


def test_a_schedule_keeps_the_order_that_it_names():
    made = Kernel(lambda a: late_and_early()).with_schedule([("early", "late")])
    (_, late), (_, early) = starts(made)
    assert early > late == 174


def test_loops_of_the_device_keep_their_order():
    def kernel(a):
        for _ in nl.dynamic_range(1):
            late_and_early()

    assert starts(kernel) == [("tensor_copy", 174), ("memset", 238)]


def test_what_overwrites_does_not_overtake():
    def kernel(a):
        one, two = tile(), tile()
        nisa.memset(one, 1.0, engine=GPSIMD)
        nisa.tensor_copy(two, one, engine=VECTOR)
        nisa.memset(two, 1.0, engine=VECTOR)

    (_, late), (_, after) = starts(kernel)
    assert after > late == 174


def test_a_copy_goes_to_the_engine_that_ends_first():
    def kernel(a):
        one, two, three = tile(), tile(), tile()
        nisa.memset(one, 1.0, engine=GPSIMD)
        nisa.tensor_copy(two, one)
        nisa.tensor_copy(three, one)

    assert len(starts(kernel)) == len(starts(kernel, "scalar")) == 1
