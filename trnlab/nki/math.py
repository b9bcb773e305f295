"""Functions of tiles, one instruction each; passed as ``op`` they name an operator."""

from collections.abc import Callable
from typing import Any

from trnlab.errors import NotModelled
from trnlab.isa.rules import before, since
from trnlab.isa.tile import PSUM, SBUF, Tile
from trnlab.nki import isa as nisa
from trnlab.nki.jit import running
from trnlab.nki.tensor import NkiTensor
from trnlab.nki.tensors import given, make, must


def _binary(name: str, columns: bool = False) -> Callable[..., NkiTensor]:
    """``columns``: whether a tile of one element a partition may stand for a scalar."""

    def scalar(value: Any, other: Any) -> bool:
        column = columns and isinstance(other, Tile) and other.free > 1
        return not isinstance(value, Tile) or (column and value.free == 1)

    def function(x: Any, y: Any, dtype: Any = None) -> NkiTensor:
        if scalar(x, y):
            made = make(y.shape, given(dtype, y.dtype), SBUF)
            nisa.tensor_scalar(made, y, name, x, reverse0=True)
            return made
        made = make(x.shape, given(dtype, x.dtype), SBUF)
        if scalar(y, x):
            nisa.tensor_scalar(made, x, name, y)
        else:
            nisa.tensor_tensor(made, x, y, name)
        return made

    return _as_operator(function, name, f"x {name} y, element by element.")


def _unary(name: str) -> Callable[..., NkiTensor]:
    def function(x: Any, dtype: Any = None) -> NkiTensor:
        made = make(x.shape, given(dtype, x.dtype), SBUF)
        nisa.activation(made, name, x)
        return made

    return _as_operator(function, name, f"{name}(x), element by element, on the scalar engine.")


def _reduction(name: str, operator: str) -> Callable[..., NkiTensor]:
    def function(x: Any, axis: Any, dtype: Any = None, keepdims: bool = False) -> NkiTensor:
        axes = {a % x.ndim for a in (axis if isinstance(axis, (tuple, list)) else (axis,))}
        kept = [1 if i in axes else n for i, n in enumerate(x.shape)]
        shape = kept if keepdims else [n for i, n in enumerate(x.shape) if i not in axes]
        made = make(shape if len(shape) > 1 else [*shape, 1], given(dtype, x.dtype), SBUF)
        nisa.tensor_reduce(made, operator, x, axis, keepdims=keepdims)
        return made

    return _as_operator(function, operator, f"The {name} of x over trailing free axes.", name)


def _as_operator(function: Any, name: str, doc: str, called: str = "") -> Any:
    function.__trnlab_op__ = name
    function.__name__ = function.__qualname__ = called or name
    function.__doc__ = doc
    return function


def _operator_only(name: str) -> Any:
    def function(*_: Any, **__: Any) -> None:
        raise NotModelled(f"nl.{name} as a function", "it is an operator: pass it as op=")

    return _as_operator(function, name, f"The operator {name}.")


add = _binary("add")
subtract = _binary("subtract")
multiply = _binary("multiply")
maximum = _binary("maximum")
minimum = _binary("minimum")
equal = _binary("equal")
not_equal = _binary("not_equal")
greater = _binary("greater")
greater_equal = _binary("greater_equal")
less = _binary("less")
less_equal = _binary("less_equal")
logical_and = _binary("logical_and")
logical_or = _binary("logical_or")
logical_xor = _binary("logical_xor")
bitwise_and = _binary("bitwise_and")
bitwise_or = _binary("bitwise_or")
bitwise_xor = _binary("bitwise_xor")
left_shift = _binary("left_shift")
right_shift = _binary("right_shift")
_power = _binary("power")
divide = _binary("divide")
mod = _binary("mod")
fmod = _binary("fmod")
abs_max = _binary("abs_max", columns=True)  # as the examples of its page use it
abs_min = _binary("abs_min", columns=True)
exp = _unary("exp")
log = _unary("log")
arctan = _unary("arctan")
sqrt = _unary("sqrt")
square = _unary("square")
sigmoid = _unary("sigmoid")
relu = _unary("relu")
gelu = _unary("gelu")
gelu_dx = _unary("gelu_dx")
gelu_apprx_tanh = _unary("gelu_apprx_tanh")
gelu_apprx_sigmoid = _unary("gelu_apprx_sigmoid")
gelu_apprx_sigmoid_dx = _unary("gelu_apprx_sigmoid_dx")
silu = _unary("silu")
silu_dx = _unary("silu_dx")
tanh = _unary("tanh")
softplus = _unary("softplus")
mish = _unary("mish")
erf = _unary("erf")
erf_dx = _unary("erf_dx")
sign = _unary("sign")
abs = _unary("abs")
sum = _reduction("sum", "add")
max = _reduction("max", "maximum")
min = _reduction("min", "minimum")
prod = _reduction("prod", "multiply")
bypass = _operator_only("bypass")
average = _operator_only("average")
prelu = _operator_only("prelu")


def reciprocal(x: Any, dtype: Any = None) -> NkiTensor:
    """1 / x on the vector engine."""
    made = make(x.shape, given(dtype, x.dtype), SBUF)
    nisa.reciprocal(made, x)
    return made


def rsqrt(x: Any, dtype: Any = None) -> NkiTensor:
    """1 / sqrt(x) on GpSimd, which does not reach PSUM; by the scalar engine before nki 0.5."""
    made = make(x.shape, given(dtype, x.dtype), SBUF)
    if before("0.5").covers(running().compiler):
        nisa.activation(made, "rsqrt", x)
    else:
        nisa.tensor_scalar(made, x, "rsqrt", 0.0)
    return made


def power(x: Any, y: Any, dtype: Any = None) -> NkiTensor:
    """x to the power of y, element by element, on GpSimd."""
    both = isinstance(x, Tile) and isinstance(y, Tile)
    must(both, since("0.3"), "power", "is given a number", "two tiles of one shape")
    return _power(x, y, dtype)


def invert(x: Any, dtype: Any = None) -> NkiTensor:
    """Every bit of x turned."""
    made = make(x.shape, given(dtype, x.dtype), SBUF)
    nisa.tensor_scalar(made, x, bitwise_xor, -1)
    return made


def logical_not(x: Any, dtype: Any = None) -> NkiTensor:
    """1 where x is 0, else 0."""
    made = make(x.shape, given(dtype, x.dtype), SBUF)
    nisa.tensor_scalar(made, x, logical_xor, 1.0)
    return made


def negative(x: Any, dtype: Any = None) -> NkiTensor:
    """-x."""
    made = make(x.shape, given(dtype, x.dtype), SBUF)
    nisa.tensor_scalar(made, x, multiply, -1.0)
    return made


def copy(x: Any, dtype: Any = None) -> NkiTensor:
    """A copy in SBUF, cast if asked for; through fp32, by the scalar engine, before nki 0.6."""
    made = make(x.shape, given(dtype, x.dtype), SBUF)
    if before("0.6").covers(running().compiler):
        on_sbuf = x.space is not PSUM
        must(on_sbuf, since("0.3"), "copy", "crosses from PSUM to SBUF", "SBUF to SBUF before 0.6")
        nisa.activation(made, "copy", x)
    else:
        nisa.tensor_copy(made, x)
    return made


for _function in (copy, power, reciprocal, rsqrt, invert, logical_not):
    _function.__trnlab_op__ = _function.__name__  # type: ignore[attr-defined]
