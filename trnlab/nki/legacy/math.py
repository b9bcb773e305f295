"""`neuronxcc.nki.language`: functions of tiles, with broadcasting, masks and default dtypes."""

import builtins
from collections.abc import Callable
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.errors import NotModelled
from trnlab.isa.activation import Activate, ActivationReduce
from trnlab.isa.elementwise import Reciprocal, TensorScalar, TensorTensor
from trnlab.isa.instruction import Queue
from trnlab.isa.matmul import NcMatmul, NcTranspose
from trnlab.isa.move import TensorCopy
from trnlab.isa.reduce import TensorReduce
from trnlab.isa.select import TensorCopyPredicated
from trnlab.isa.tile import PSUM, SBUF, Tile
from trnlab.nki.jit import running
from trnlab.nki.legacy.pending import assign, emit, result, settle
from trnlab.nki.legacy.tensor import OldTensor
from trnlab.nki.tensor import NkiTensor
from trnlab.nki.tensors import make

MOVING_MAX = 512  # columns that one matmul streams


def broadcast_to(x: Any, *, shape: Any) -> OldTensor:
    """Repeats dimensions of size 1: a view in free dimensions, copies across partitions."""
    settle()
    view: Any = NkiTensor.broadcast_to(x, tuple(shape))
    if x.partitions != 1 or view.partitions == 1 or not x.layout.on_chip:
        return view
    if not formats.is_float(x.dtype):
        running().note("integer tiles are broadcast across partitions without a cost")
        return view
    return _spread(x, view)


def _spread(x: OldTensor, view: OldTensor) -> OldTensor:
    """Copies one partition to many: a matmul with a column of ones."""
    source = x if x.space is SBUF else _copied(x)
    ones = make((1, view.partitions), source.dtype, SBUF)
    assign(ones, 1.0)
    row = source.reshape((1, source.size))
    made = make((view.partitions, source.size), "float32", PSUM)
    for start in range(0, source.size, MOVING_MAX):
        stop = builtins.min(start + MOVING_MAX, source.size)
        emit(NcMatmul, made[:, start:stop], ones, row[:, start:stop], False, False, False, False)
    if view.free == source.size:
        return made.reshape(view.shape)  # type: ignore[return-value]
    return NkiTensor.broadcast_to(made.reshape((view.partitions, *x.shape[1:])), view.shape)  # type: ignore[return-value]


def _copied(x: OldTensor) -> OldTensor:
    made = make(x.shape, x.dtype, SBUF)
    emit(TensorCopy, made, x)
    return made


def _together(x: OldTensor, y: OldTensor) -> tuple[OldTensor, OldTensor]:
    """Both broadcast to one shape."""
    if x.shape == y.shape:
        return x, y
    if x.size == y.size and x.partitions == y.partitions:
        return x, y
    ndim = builtins.max(x.ndim, y.ndim)
    a, b = _padded(x, ndim), _padded(y, ndim)
    shape = np.broadcast_shapes(a.shape, b.shape)
    return (
        a if a.shape == shape else broadcast_to(a, shape=shape),
        b if b.shape == shape else broadcast_to(b, shape=shape),
    )


def _padded(x: OldTensor, ndim: int) -> OldTensor:
    """Free dimensions are added behind the partition dimension."""
    if x.ndim == ndim:
        return x
    return x.reshape((x.shape[0], *(1,) * (ndim - x.ndim), *x.shape[1:]))  # type: ignore[return-value]


def binary(
    name: str, x: Any, y: Any, dtype: Any = None, mask: Any = None, compare: bool = False
) -> Any:
    """x <op> y, element by element."""
    if not isinstance(x, Tile) and not isinstance(y, Tile):
        raise NotModelled(f"nl.{name} of two numbers", "nothing: use Python")
    settle()
    if name == "divide":
        return _divided(x, y, dtype, mask)
    kind = dtype if dtype is not None else (np.uint8 if compare else formats.promote(_d(x), _d(y)))
    if not isinstance(y, Tile):
        return _with_scalar(name, x, y, kind, mask, reverse=False)
    if not isinstance(x, Tile):
        return _with_scalar(name, y, x, kind, mask, reverse=True)
    for tile, vector, reverse in ((x, y, False), (y, x, True)):
        if _is_column(vector, tile) and _takes_vector(vector, name):
            return result(
                TensorScalar, tile.shape, kind, tile, name, vector, reverse, mask=mask
            )  # fmt: skip
    x, y = _together(x, y)
    if x.space is PSUM and y.space is PSUM:
        y = _copied(y)
    return result(TensorTensor, x.shape, kind, x, y, name, mask=mask)


def _with_scalar(
    name: str, x: OldTensor, y: Any, kind: Any, mask: Any, *, reverse: bool
) -> OldTensor:
    return result(TensorScalar, x.shape, kind, x, name, y, reverse, mask=mask)


def _divided(x: Any, y: Any, dtype: Any, mask: Any) -> Any:
    """No engine divides: a reciprocal and a multiplication."""
    kind = dtype if dtype is not None else formats.promote(_d(x), _d(y))
    if not isinstance(y, Tile):
        return _with_scalar("multiply", x, float(1.0 / y), kind, mask, reverse=False)
    inverse = make(y.shape, "float32", SBUF)
    emit(Reciprocal, inverse, y, mask=mask if y.shape == getattr(x, "shape", None) else None)
    if not isinstance(x, Tile) and x == 1:
        return inverse
    return binary("multiply", x, inverse, kind, mask)


def _d(value: Any) -> Any:
    return value.dtype if isinstance(value, Tile) else value


def _is_column(vector: OldTensor, tile: OldTensor) -> bool:
    return vector.free == 1 and tile.free > 1 and vector.partitions == tile.partitions


def _takes_vector(vector: OldTensor, name: str) -> bool:
    return formats.name(vector.dtype) == "float32" and not name.startswith("bitwise")


def unary(name: str, x: Any, dtype: Any = None, mask: Any = None) -> OldTensor:
    """A function of the scalar engine."""
    return result(Activate, x.shape, dtype or x.dtype, name, x, mask=mask)


def reduction(
    name: str, x: Any, axis: Any, dtype: Any = None, mask: Any = None, keepdims: bool = False
) -> OldTensor:
    """A reduction over free axes, wherever they stand."""
    settle()
    axes = sorted({a % x.ndim for a in (axis if isinstance(axis, (tuple, list)) else (axis,))})
    if 0 in axes:
        raise NotModelled(f"nl.{name} over the partition dimension", "a matmul with ones")
    kept = [a for a in range(x.ndim) if a not in axes]
    shape = [1 if a in axes else x.shape[a] for a in range(x.ndim)]
    if not keepdims:
        shape = [x.shape[a] for a in kept]
    shape = shape if len(shape) > 1 else [*shape, 1]
    data = x if kept + axes == list(range(x.ndim)) else _permuted(x, kept + axes)
    if mask is not None:
        mask = mask.permuted(kept + axes, x.ndim)
    trailing = tuple(range(len(kept), x.ndim))
    return result(TensorReduce, shape, dtype or x.dtype, name, data, trailing, mask=mask)


def _permuted(x: OldTensor, order: list[int]) -> OldTensor:
    view = x._view(
        tuple(x.shape[a] for a in order), tuple(x.strides[a] for a in order), x.offset
    )
    if x.axes is not None:
        axes, limits = x.axes
        view.axes = (tuple(a.permuted(order) for a in axes), limits)
        view.sig = 0
    return view


def _binary(name: str, *, compare: bool = False) -> Callable[..., Any]:
    def function(x: Any, y: Any, *, dtype: Any = None, mask: Any = None, **_: Any) -> Any:
        return binary(name, x, y, dtype, mask, compare)

    return _operator(function, name)


def _unary(name: str) -> Callable[..., Any]:
    def function(x: Any, *, dtype: Any = None, mask: Any = None, **_: Any) -> Any:
        settle()
        return unary(name, x, dtype, mask)

    return _operator(function, name)


def _reduction(name: str, operator: str) -> Callable[..., Any]:
    def function(
        x: Any, axis: Any, *, dtype: Any = None, mask: Any = None, keepdims: bool = False, **_: Any
    ) -> Any:
        return reduction(operator, x, axis, dtype, mask, keepdims)

    return _operator(function, operator)


def _operator(function: Any, name: str) -> Any:
    function.__trnlab_op__ = name
    function.__name__ = name
    function.__doc__ = f"{name}, as the engines compute it."
    return function


add = _binary("add")
subtract = _binary("subtract")
multiply = _binary("multiply")
divide = _binary("divide")
maximum = _binary("maximum")
minimum = _binary("minimum")
power = _binary("power")
mod = _binary("mod")
fmod = _binary("fmod")
bitwise_and = _binary("bitwise_and")
bitwise_or = _binary("bitwise_or")
bitwise_xor = _binary("bitwise_xor")
left_shift = _binary("left_shift")
right_shift = _binary("right_shift")
equal = _binary("equal", compare=True)
not_equal = _binary("not_equal", compare=True)
greater = _binary("greater", compare=True)
greater_equal = _binary("greater_equal", compare=True)
less = _binary("less", compare=True)
less_equal = _binary("less_equal", compare=True)
logical_and = _binary("logical_and", compare=True)
logical_or = _binary("logical_or", compare=True)
logical_xor = _binary("logical_xor", compare=True)

exp = _unary("exp")
log = _unary("log")
sin = _unary("sin")
arctan = _unary("arctan")
sqrt = _unary("sqrt")
rsqrt = _unary("rsqrt")
square = _unary("square")
sigmoid = _unary("sigmoid")
relu = _unary("relu")
gelu = _unary("gelu")
gelu_dx = _unary("gelu_dx")
gelu_apprx_tanh = _unary("gelu_apprx_tanh")
gelu_apprx_sigmoid = _unary("gelu_apprx_sigmoid")
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


def negative(x: Any, *, dtype: Any = None, mask: Any = None) -> Any:
    """-x."""
    return binary("multiply", x, -1.0, dtype or x.dtype, mask)


def invert(x: Any, *, dtype: Any = None, mask: Any = None) -> Any:
    """Every bit of x turned."""
    return binary("bitwise_xor", x, -1, dtype or x.dtype, mask)


def logical_not(x: Any, *, dtype: Any = None, mask: Any = None) -> Any:
    """1 where x is 0, else 0."""
    return binary("equal", x, 0.0, dtype or np.uint8, mask)


def reciprocal(x: Any, *, dtype: Any = None, mask: Any = None) -> Any:
    """1 / x on the vector engine."""
    return result(Reciprocal, x.shape, dtype or x.dtype, x, mask=mask)


def cos(x: Any, *, dtype: Any = None, mask: Any = None) -> Any:
    """cos(x) = sin(x + pi/2), for x in [-3pi/2, pi/2]."""
    settle()
    shifted = binary("add", x, float(np.pi / 2), "float32", mask)
    return unary("sin", shifted, dtype or x.dtype, mask)


def mean(
    x: Any, axis: Any, *, dtype: Any = None, mask: Any = None, keepdims: bool = False, **_: Any
) -> Any:
    """The mean over free axes, summed in fp32."""
    total = reduction("add", x, axis, "float32", mask, keepdims)
    count = x.size // total.size
    return binary("multiply", total, 1.0 / count, dtype or x.dtype)


def var(x: Any, axis: Any, *, dtype: Any = None, mask: Any = None, **_: Any) -> Any:
    """The variance over free axes, in fp32."""
    centre = mean(x, axis, dtype="float32", keepdims=True, mask=mask)
    apart = binary("subtract", x, centre, "float32", mask)
    return mean(unary("square", apart, None, mask), axis, dtype=dtype or x.dtype, mask=mask)


def copy(src: Any, *, dtype: Any = None, mask: Any = None, **_: Any) -> Any:
    """A copy in SBUF, cast if asked for."""
    settle()
    return result(TensorCopy, src.shape, dtype or src.dtype, src, mask=mask)


def where(
    condition: Any, x: Any, y: Any, *, dtype: Any = None, mask: Any = None
) -> Any:
    """x where the condition is not 0, else y."""
    settle()
    kind = dtype if dtype is not None else formats.promote(_d(x), _d(y))
    made = make(condition.shape, kind, SBUF)
    assign(made, y if not isinstance(y, Tile) or y.shape == made.shape else broadcast_to(y, shape=made.shape))
    if isinstance(x, Tile):
        x = x if x.shape == made.shape else broadcast_to(x, shape=made.shape)
        x = x if x.dtype == made.dtype else _cast(x, kind)
    chosen = condition if formats.is_integer(condition.dtype) else _cast(condition, np.uint8)
    settle()
    emit(TensorCopyPredicated, made, x, chosen, mask=mask)
    return made


def _cast(x: OldTensor, dtype: Any) -> OldTensor:
    made = make(x.shape, dtype, SBUF)
    emit(TensorCopy, made, x)
    return made


def transpose(x: Any, *, dtype: Any = None, mask: Any = None) -> Any:
    """[P, F] as [F, P]; small tiles on the vector engine, others on the tensor engine."""
    settle()
    small = x.partitions <= 32 and x.free <= 32
    space = SBUF if small else PSUM
    turned = make((x.free, x.partitions), x.dtype, space)
    emit(NcTranspose, turned, x if x.space is SBUF or small else _copied(x), Queue.unknown, mask=mask)
    return turned


def matmul(x: Any, y: Any, *, transpose_x: bool = False, mask: Any = None, **_: Any) -> Any:
    """x @ y in PSUM; the device takes x transposed."""
    settle()
    left = x if transpose_x else _cast(transpose(_on_sbuf(x)), x.dtype)
    left, right = _on_sbuf(left), _on_sbuf(y)
    settle()
    shape = (left.free, right.free)
    return result(
        NcMatmul, shape, "float32", left, right, False, False, False, False, mask=mask, space=PSUM
    )


def _on_sbuf(x: OldTensor) -> OldTensor:
    return x if x.space is SBUF else _copied(x)


def softmax(x: Any, axis: Any, *, dtype: Any = None, compute_dtype: Any = None, mask: Any = None) -> Any:
    """exp(x - max) / sum over free axes."""
    settle()
    top = reduction("maximum", x, axis, "float32", mask, keepdims=True)
    settle()
    lowered = binary("subtract", x, top, "float32", mask)
    raised = make(x.shape, "float32", SBUF)
    total = make((x.partitions, 1), "float32", SBUF)
    settle()
    emit(ActivationReduce, raised, "exp", lowered, "add", total, mask=mask)
    return binary("divide", raised, total, dtype or x.dtype, mask)


def rms_norm(
    x: Any, w: Any, axis: Any, n: int, epsilon: float = 1e-6, *, dtype: Any = None,
    compute_dtype: Any = None, mask: Any = None,
) -> Any:  # fmt: skip
    """x / sqrt(sum(x^2) / n + epsilon) * w."""
    squares = unary("square", x, "float32", mask)
    total = reduction("add", squares, axis, "float32", mask, keepdims=True)
    level = binary("add", binary("multiply", total, 1.0 / n, "float32"), float(epsilon), "float32")
    scale = unary("rsqrt", level, "float32")
    normed = binary("multiply", x, scale, "float32", mask)
    return binary("multiply", normed, w, dtype or x.dtype, mask)


copy.__trnlab_op__ = "copy"  # type: ignore[attr-defined]
reciprocal.__trnlab_op__ = "reciprocal"  # type: ignore[attr-defined]
negative.__trnlab_op__ = "negative"  # type: ignore[attr-defined]
invert.__trnlab_op__ = "invert"  # type: ignore[attr-defined]
logical_not.__trnlab_op__ = "logical_not"  # type: ignore[attr-defined]
