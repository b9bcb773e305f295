"""Sums that take turns in one PSUM bank: a warning, with both lines."""

import pytest

from tests.support import load, nisa, nl, same, store, whole_numbers
from trnlab.studies.reference.explain import explain
from trnlab.studies.run import run_once

A, B = whole_numbers(128, 64), whole_numbers(128, 128, seed=1)
RULE = "psum/sums-of-one-bank-do-not-take-turns"


def kernel(order, places, starts=False):
    """Matmuls into parts of PSUM in an order; each part is a tensor, its columns, its rows."""

    def body(a, b):
        left, right = load(a), load(b)
        tensors = places()
        seen = set()
        for part in order:
            tensor, columns, rows = tensors[part]
            more = None if not starts else part in seen
            seen.add(part)
            nisa.nc_matmul(
                tensor[rows, columns], left[:, 0 : rows.stop - rows.start], right,
                accumulate=more,
            )  # fmt: skip
        look = nl.ndarray((64, 128), nl.float32)
        nisa.tensor_copy(look, tensors[0][0][:, tensors[0][1]])
        return store(look)

    return body


ROWS = slice(0, 64)


def halves():
    bank = nl.ndarray((64, 256), nl.float32, buffer=nl.psum)
    return [(bank, slice(0, 128), ROWS), (bank, slice(128, 256), ROWS)]


def banks():
    bank = nl.ndarray((64, 1024), nl.float32, buffer=nl.psum)
    return [(bank, slice(0, 128), ROWS), (bank, slice(512, 640), ROWS)]


def tensors():
    made = [nl.ndarray((64, 128), nl.float32, buffer=nl.psum) for _ in range(2)]
    return [(t, slice(0, 128), ROWS) for t in made]


def placed():
    made = [
        nl.ndarray((64, 128), nl.float32, buffer=nl.psum, address=(0, 0), name="low"),
        nl.ndarray((64, 128), nl.float32, buffer=nl.psum, address=(0, 512), name="high"),
    ]
    return [(t, slice(0, 128), ROWS) for t in made]


def windows():
    bank = nl.ndarray((64, 256), nl.float32, buffer=nl.psum)
    return [(bank, slice(0, 128), ROWS), (bank, slice(64, 192), ROWS)]


def found(body, **how):
    return [w for w in run_once(body, (A, B), {}, strict=False, **how).warnings if w.rule == RULE]


TURNS = [0, 1, 0, 1]


@pytest.mark.parametrize("values", [True, False])
@pytest.mark.parametrize("starts", [True, False])
def test_two_halves_of_a_bank_take_turns(values, starts):
    body = kernel(TURNS, halves, starts)
    (warning,) = found(body, values=values)
    assert warning.place is not None
    assert warning.place.line == body.__code__.co_firstlineno + 8
    assert warning.given["matmul between"].endswith(f":{warning.place.line}")
    assert "another part of it" in warning.what


def test_tensors_that_were_placed_in_one_bank_do_too():
    (warning,) = found(kernel(TURNS, placed))
    assert "a sum in low after one of high" in warning.what


@pytest.mark.parametrize(
    ("order", "places"),
    [([0, 0, 1, 1], halves), (TURNS, banks), (TURNS, tensors), (TURNS, windows)],
)
def test_sums_that_do_not(order, places):
    assert found(kernel(order, places)) == []


def test_values_are_right_all_the_same():
    assert same(run_once(kernel(TURNS, halves), (A, B), {}).outputs, 2 * (A.T @ B))


def test_it_is_explained():
    assert explain(RULE).startswith(RULE)
