"""What operators and activation functions compute: arrays in, an array of the same dtype out.

Engines compute in float32. What stands here is within a few units in the last place of exact; the
device approximates by piecewise polynomials whose coefficients are not published. float64 in gives
float64 out, so that a second run at high precision can show what rounding costs. NaN and infinity
are data: operators are made `quiet`, and functions take their limits at infinity.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev

from trnlab.errors import BadArguments

Array = np.ndarray
Binary = Callable[[Any, Any], Array]


def quiet(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function without NumPy's warnings about overflow, NaN and division by 0."""
    return np.errstate(all="ignore")(function)


def unary(function: Callable[[Any], Array]) -> Binary:
    """Returns a function of one operand as an operator, which ignores its second."""
    return quiet(lambda a, b=None: function(a))


def flag(truth: Callable[..., Any]) -> Binary:
    """Returns a comparison as an operator that answers 1 and 0 in the dtype of its operands."""
    return quiet(lambda a, b=0: np.asarray(truth(a, b)).astype(np.result_type(a, b)))


def bitwise(ufunc: np.ufunc) -> Binary:
    """Returns a function on bit patterns, in the dtype of the widest array given.

    Shifts are logical and give 0 from the width of the dtype on. Python integers are taken modulo
    that width; bool counts as uint8. Raises BadArguments for anything but integers.
    """

    def on_bits(a: Any, b: Any = None) -> Array:
        operands = (a,) if ufunc.nin == 1 else (a, b)
        kinds = [np.asarray(x).dtype for x in operands]
        if any(kind.kind not in "iub" for kind in kinds):
            given = {"operands": " and ".join(str(kind) for kind in kinds)}
            raise BadArguments("bitwise operators take integers", given)
        arrays = [x.dtype for x in operands if isinstance(x, np.ndarray | np.generic)] or kinds
        dtype = max(arrays, key=lambda kind: kind.itemsize)
        dtype = np.dtype(np.uint8) if dtype.kind == "b" else dtype
        unsigned = _UNSIGNED[dtype.itemsize]
        return np.asarray(ufunc(*(_pattern(x, dtype, unsigned) for x in operands))).view(dtype)

    return on_bits


_UNSIGNED = {n: np.dtype(f"u{n}") for n in (1, 2, 4, 8)}


def _pattern(value: Any, dtype: np.dtype[Any], unsigned: np.dtype[Any]) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.astype(dtype, copy=False).view(unsigned)
    return unsigned.type(value & (1 << 8 * unsigned.itemsize) - 1)


def rsqrt(x: Any) -> Array:
    """1 / sqrt(x)."""
    return 1 / np.sqrt(x)


def relu(x: Any) -> Array:
    """x where positive, else 0."""
    return np.maximum(x, 0)


def prelu(x: Any, slope: Any = 0.0) -> Array:
    """x where positive, ``slope`` (one number or one a partition) times x elsewhere."""
    return np.maximum(x, 0) + np.minimum(x, 0) * slope


def abs_max(a: Any, b: Any) -> Array:
    """The operand of larger magnitude with its sign; b when equal."""
    return np.where(np.abs(a) > np.abs(b), a, b)


def abs_min(a: Any, b: Any) -> Array:
    """The operand of smaller magnitude with its sign; b when equal."""
    return np.where(np.abs(a) < np.abs(b), a, b)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


def _finite(x: Array) -> Array:
    """x with infinities replaced by the largest numbers, so that a factor of 0 gives 0."""
    limits = np.finfo(x.dtype)
    return np.clip(x, limits.min, limits.max)


def silu(x: Array) -> Array:
    """x sigmoid(x)."""
    return np.maximum(x, np.finfo(x.dtype).min) * sigmoid(x)


def silu_dx(x: Array) -> Array:
    """The derivative of silu."""
    return sigmoid(x) * (1 + _finite(x) * sigmoid(-x))


def gelu(x: Array) -> Array:
    """x times the share of a normal distribution below x."""
    return np.maximum(x, np.finfo(x.dtype).min) * _normal(x)


def gelu_dx(x: Array) -> Array:
    """The derivative of gelu."""
    density = np.exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))
    return _normal(x) + _finite(x) * density


def gelu_apprx_tanh(x: Array) -> Array:
    """x (1 + tanh u) / 2 with u = sqrt(2 / pi) (x + 0.044715 x**3)."""
    twice_u = math.sqrt(8 / math.pi) * (x + 0.044715 * (x * x * x))
    return np.maximum(x, np.finfo(x.dtype).min) * sigmoid(twice_u)


def gelu_apprx_sigmoid(x: Array) -> Array:
    """x sigmoid(1.702 x)."""
    return np.maximum(x, np.finfo(x.dtype).min) * sigmoid(1.702 * x)


def gelu_apprx_sigmoid_dx(x: Array) -> Array:
    """The derivative of gelu_apprx_sigmoid."""
    return silu_dx(1.702 * x)


def softplus(x: Array) -> Array:
    """log(1 + exp(x))."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def mish(x: Array) -> Array:
    """x tanh(softplus(x)), by tanh(log(1 + e)) = e (e + 2) / (e (e + 2) + 2)."""
    e = np.exp(np.minimum(x, 20))  # beyond, the factor is 1
    factor = e * (e + 2)
    return np.maximum(x, np.finfo(x.dtype).min) * (factor / (factor + 2))


def erf(x: Array) -> Array:
    """The error function; in float32 off by at most 2 units in the last place."""
    size = np.abs(x)
    inner = np.clip(x, -_NEAR, _NEAR)
    near = inner * _horner(_near(), inner * inner * (2 / _NEAR**2) - 1)
    far = np.copysign(1 - _complement(size), x)
    is_near = (size < _NEAR).astype(x.dtype)  # a sum of products is faster than np.where
    return near * is_near + far * (1 - is_near)


def erf_dx(x: Array) -> Array:
    """The derivative of erf: 2 / sqrt(pi) exp(-x**2)."""
    return np.exp(-x * x) * (2 / math.sqrt(math.pi))


def sin(x: Array) -> Array:
    """Sine inside [-pi, pi]; outside, the cubic that touches it there, as the device does.

    Source: NKI 2.32 says "a cubic" and sin(9) = 27.65; the Taylor cubic about pi gives 27.6526.
    """
    beyond = np.abs(x) - math.pi
    if not np.any(beyond > 0):
        return np.sin(x)
    cubic = np.copysign(1.0, x) * (beyond * (beyond * beyond / 6 - 1))
    return np.where(beyond > 0, cubic, np.sin(x))


_NEAR = 0.75  # up to here erf is x times a polynomial; beyond, 1 - erfc loses nothing
_REACH, _BEND = 12.0, 3.0  # float32 erfc is 0 from 10.1 on; the bend spreads the error evenly
_LOW = _BEND / (_BEND + _REACH)


def _normal(x: Array) -> Array:
    """The share of a normal distribution below x, exact to float32 in both tails."""
    tail = 0.5 * _complement(np.abs(x) * math.sqrt(0.5))
    above = (x > 0).astype(x.dtype)
    return above + tail * (1 - 2 * above)


def _complement(size: Array) -> Array:
    """1 - erf of what is not negative: exp(-size**2) times a polynomial in 1 / (3 + size)."""
    where = (2 * _BEND / (1 - _LOW)) / (_BEND + size) - (1 + _LOW) / (1 - _LOW)
    return np.exp(-size * size) * _horner(_far(), where)


def _horner(coefficients: tuple[float, ...], x: Array) -> Array:
    total = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total *= x
        total += coefficient
    return total


@cache
def _near() -> tuple[float, ...]:
    """erf(x) / x on [0, 0.75] as a polynomial in x**2, off by 3e-11."""
    return _fitted(lambda u: (r := _NEAR * math.sqrt((u + 1) / 2)) and math.erf(r) / r, 6)


@cache
def _far() -> tuple[float, ...]:
    """exp(a**2) erfc(a) on [0, 12] as a polynomial in 1 / (3 + a), off by 3e-9."""

    def scaled(u: float) -> float:
        a = _BEND / ((u + 1) / 2 * (1 - _LOW) + _LOW) - _BEND
        return math.exp(a * a) * math.erfc(a)

    return _fitted(scaled, 10)


def _fitted(function: Callable[[float], float], degree: int) -> tuple[float, ...]:
    fit = chebyshev.chebinterpolate(np.vectorize(function), degree)
    return tuple(float(c) for c in chebyshev.cheb2poly(fit))
