"""Sums that are read half way: a warning, with both lines."""

import numpy as np
import pytest

from tests.support import load, nisa, nl, same, store, whole_numbers
from trnlab.studies.run import run_once

A, B = whole_numbers(128, 64), whole_numbers(128, 96, seed=1)


def kernel(read_between, accumulate, fresh=False):
    def body(a, b):
        left, right = load(a), load(b)
        total = nl.ndarray((64, 96), nl.float32, buffer=nl.psum)
        look = nl.ndarray((64, 96), nl.float32)
        nisa.nc_matmul(total, left, right)
        if read_between:
            nisa.tensor_copy(look, total)
        if fresh:
            nisa.memset(total, 0.0)
        nisa.nc_matmul(total, left, right, accumulate=accumulate)
        nisa.tensor_copy(look, total)
        return store(look)

    return body


@pytest.mark.parametrize("accumulate", [None, True])
@pytest.mark.parametrize("values", [True, False])
def test_a_sum_that_was_read_goes_on(accumulate, values):
    body = kernel(True, accumulate)
    result = run_once(body, (A, B), {}, values=values)
    (found,) = result.warnings
    assert found.rule == "psum/a-sum-is-read-when-it-is-complete"
    first = body.__code__.co_firstlineno
    assert found.place.line == first + 9
    assert found.given["read at"].endswith(f":{first + 6}")
    assert not result.violations


@pytest.mark.parametrize(
    ("read_between", "accumulate", "fresh", "factor"),
    [(False, None, False, 2), (True, False, False, 1), (True, None, True, 1)],
)
def test_sums_that_are_whole(read_between, accumulate, fresh, factor):
    result = run_once(kernel(read_between, accumulate, fresh), (A, B), {})
    assert result.warnings == ()
    assert same(result.outputs, (factor * (A.T @ B)).astype(np.float32))
