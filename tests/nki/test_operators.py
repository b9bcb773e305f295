"""Operators and NumPy on a tensor of `nki`: refused with the name of what to call."""

import operator

import numpy as np
import pytest

from tests.support import load, value, whole_numbers
from trnlab.errors import BadArguments
from trnlab.nki import language as nl

A = whole_numbers(4, 4)


def refused(use):
    """The error of a kernel that does something to a tile."""
    with pytest.raises(BadArguments, match="does not work on a tensor") as error:
        value(lambda a: use(load(a)), A)
    assert error.value.place is not None
    return error.value


@pytest.mark.parametrize(
    ("use", "symbol", "name"),
    [
        (operator.add, "+", "nl.add"), (operator.sub, "-", "nl.subtract"),
        (operator.mul, "*", "nl.multiply"), (operator.truediv, "/", "nl.divide"),
        (operator.pow, "**", "nl.power"), (operator.lt, "<", "nl.less"),
        (operator.and_, "&", "nl.bitwise_and"), (operator.iadd, "+", "nl.add"),
    ],
)  # fmt: skip
def test_an_operator_names_its_function(use, symbol, name):
    for other in (lambda t: t, lambda t: 2):
        error = refused(lambda t, other=other: use(t, other(t)))
        assert error.what.startswith(f"the operator {symbol} ")
        assert f"{name}(x, y)" in error.fix
        assert hasattr(nl, name.removeprefix("nl."))


def test_numbers_and_arrays_on_the_left():
    assert "nl.multiply" in refused(lambda t: 2.0 * t).fix
    assert "nl.multiply" in refused(lambda t: np.float32(2) * t).fix
    assert "nl.subtract" in refused(lambda t: A - t).fix


def test_negation_and_matrix_products():
    assert "nl.negative" in refused(operator.neg).fix
    assert "nisa.nc_matmul" in refused(lambda t: t @ t).fix


def test_numpy_names_the_function_that_is_meant():
    assert "nl.exp" in refused(np.exp).fix
    assert "nl.sum" in refused(np.sum).fix
    assert "nisa" in refused(np.linalg.norm).fix
    assert "after the call" in refused(np.asarray).fix


def test_equal_is_still_the_same_tensor():
    def kernel(a):
        tile = load(a)
        other = tile
        assert (other == tile, a == tile) == (True, False)
        return a

    assert (value(kernel, A) == A).all()
