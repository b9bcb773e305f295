"""`neuronxcc.nki.language`: operators on tiles, with broadcasting, masks and default dtypes."""

from collections.abc import Callable
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.errors import BadArguments, NotModelled
from trnlab.isa.activation import Activate
from trnlab.isa.elementwise import Reciprocal, TensorScalar, TensorTensor
from trnlab.isa.matmul import NcMatmul
from trnlab.isa.move import Memset, TensorCopy
from trnlab.isa.ops import op_of
from trnlab.isa.reduce import TensorReduce
from trnlab.isa.tile import PSUM, SBUF
from trnlab.nki.jit import running
from trnlab.nki.legacy.index import Mask
from trnlab.nki.legacy.issuing import emit, on_sbuf
from trnlab.nki.legacy.pending import result, settle
from trnlab.nki.legacy.tensor import OldTensor
from trnlab.nki.tensor import NkiTensor
from trnlab.nki.tensors import given, make

MOVING_MAX = 512  # columns that one matmul streams
REPEATED = "repeated"  # name of a tile that the older compiler may hold wherever it suits


def broadcast_to(src: Any, *, shape: Any, name: Any = None) -> OldTensor:
    """Repeats dimensions of size 1: a view in free dimensions, copies across partitions."""
    settle()
    sizes = tuple(int(n) for n in shape)
    if not src.layout.on_chip or src.partitions != 1 or sizes[0] == 1 or len(sizes) != src.ndim:
        return NkiTensor.broadcast_to(src, sizes)  # type: ignore[return-value]
    copies = _to_partitions(src, sizes[0]).reshape((sizes[0], *src.shape[1:]))
    return NkiTensor.broadcast_to(copies, sizes)  # type: ignore[return-value]


def _to_partitions(x: OldTensor, count: int) -> OldTensor:
    """One partition copied to many: a matmul with a column of ones.

    What fits a bank stays in PSUM, from where the vector engine reads it while it reads SBUF.
    """
    if formats.is_integer(x.dtype) and x.itemsize == 4:  # fp32 holds 24 bits only
        return _to_partitions(x.view("uint8"), count).view(x.dtype)  # type: ignore[return-value]
    exact = x.dtype if formats.is_float(x.dtype) else "float32"
    row = on_sbuf(x, exact).reshape((1, x.size))
    ones = make((1, count), row.dtype, SBUF)
    emit(Memset, ones, 1.0)
    if x.size <= MOVING_MAX and formats.name(x.dtype) == "float32":
        made = make((count, x.size), "float32", PSUM, REPEATED)
        emit(NcMatmul, made, ones, row, False, False, False, False)
        return made
    made = make((count, x.size), x.dtype, SBUF)
    for start in range(0, x.size, MOVING_MAX):
        stop = min(start + MOVING_MAX, x.size)
        part = make((count, stop - start), "float32", PSUM)
        emit(NcMatmul, part, ones, row[:, start:stop], False, False, False, False)
        emit(TensorCopy, made[:, start:stop], part)
    return made


def together(*tiles: OldTensor) -> list[OldTensor]:
    """Tiles broadcast to one shape; missing dimensions are added behind the partition one."""
    if len({t.shape for t in tiles}) == 1:
        return list(tiles)
    if len({(t.partitions, t.size) for t in tiles}) == 1:
        return list(tiles)
    ndim = max(t.ndim for t in tiles)
    full = [
        t if t.ndim == ndim else t.reshape((t.shape[0], *(1,) * (ndim - t.ndim), *t.shape[1:]))
        for t in tiles
    ]
    try:
        shape = np.broadcast_shapes(*(t.shape for t in full))
    except ValueError:
        raise BadArguments(
            "tiles do not broadcast to one shape",
            {f"tile {i}": t.describe() for i, t in enumerate(tiles)},
            place=running().here(),
        ) from None
    return [t if t.shape == shape else broadcast_to(t, shape=shape) for t in full]  # type: ignore[misc]


def binary(name: str, x: Any, y: Any, dtype: Any = None, mask: Any = None) -> Any:
    """x <op> y, element by element."""
    x, y = _operand(x), _operand(y)
    if not isinstance(x, OldTensor) and not isinstance(y, OldTensor):
        raise NotModelled(f"nl.{name} of two numbers", "nothing: use Python")
    settle()
    if name == "divide":
        return _divided(x, y, dtype, mask)
    if name.startswith("bitwise") and _is_truth(x) and _is_truth(y):
        name = name.replace("bitwise", "logical")
    kind = dtype
    if kind is None:
        kind = np.bool_ if name in _FLAGS else formats.promote(_dtype(x), _dtype(y))
    if not isinstance(y, OldTensor):
        return _with_scalar(name, x, y, kind, mask)
    if not isinstance(x, OldTensor):
        return _with_scalar(name, y, x, kind, mask, reverse=True)
    for tile, vector, reverse in ((x, y, False), (y, x, True)):
        if _is_column(vector, tile) and _is_operand(vector, name):
            return _with_scalar(name, tile, vector, kind, mask, reverse=reverse)
    x, y = together(x, y)
    if x.space is PSUM and y.space is PSUM:
        y = on_sbuf(y)
    return result(TensorTensor, x.shape, kind, x, y, name, mask=mask)


def _operand(value: Any) -> Any:
    """An operand as given by users; one that is no tile and no number cannot be computed with."""
    if isinstance(value, OldTensor) or np.isscalar(value):
        return value
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return value[()]
    raise BadArguments(
        f"an operand is {value!r}"[:120],
        limit="a tile (index the block dimensions first) or a number",
        fix="nisa.iota makes a tile of an index expression",
        place=running().here(),
    )


def _with_scalar(
    name: str, x: OldTensor, y: Any, kind: Any, mask: Any, *, reverse: bool = False
) -> OldTensor:
    value = y if isinstance(y, OldTensor) else y.item() if isinstance(y, np.generic) else y
    return result(TensorScalar, x.shape, kind, x, name, value, reverse, mask=mask)


def _divided(x: Any, y: Any, dtype: Any, mask: Any) -> Any:
    """Dividing by a tile takes a reciprocal and a multiplication; integers give floats."""
    kind = dtype if dtype is not None else formats.promote(_dtype(x), _dtype(y))
    if dtype is None and not formats.is_float(kind):
        kind = np.float32
    if not isinstance(y, OldTensor):
        return _with_scalar("divide", x, y, kind, mask)
    mine = mask if isinstance(mask, Mask) and mask.fitted(y.shape) is not None else None
    if not isinstance(x, OldTensor) and x == 1:
        return result(Reciprocal, y.shape, kind, y, mask=mask)
    inverse = make(y.shape, "float32", SBUF)
    emit(Reciprocal, inverse, y, mask=mask if isinstance(mask, bool) else mine)
    return binary("multiply", x, inverse, kind, mask)


def _dtype(value: Any) -> Any:
    return value.dtype if isinstance(value, (OldTensor, np.generic)) else value


def _is_truth(value: Any) -> bool:
    return isinstance(value, OldTensor) and formats.name(value.dtype) == "bool_"


def _is_column(vector: OldTensor, tile: OldTensor) -> bool:
    return vector.free == 1 and tile.free > 1 and vector.partitions == tile.partitions


def _is_operand(vector: OldTensor, name: str) -> bool:
    return formats.name(vector.dtype) == "float32" and not name.startswith("bitwise")


def unary(name: str, x: Any, dtype: Any = None, mask: Any = None) -> OldTensor:
    """A function of the scalar engine."""
    settle()
    return result(Activate, x.shape, given(dtype, x.dtype), name, x, mask=mask)


def reduction(
    name: Any, x: Any, axis: Any, dtype: Any = None, mask: Any = None, keepdims: bool = False,
    negate: bool = False,
) -> OldTensor:  # fmt: skip
    """A reduction over free axes, wherever they stand."""
    settle()
    axes = sorted({a % x.ndim for a in (axis if isinstance(axis, (tuple, list)) else (axis,))})
    if 0 in axes:
        raise BadArguments(
            f"a reduction with {op_of(name)} over the partition dimension",
            {"tile": x.describe()},
            "free dimensions only",
            running().here(),
            "transpose first, or multiply with a matrix of ones",
        )
    order = [a for a in range(x.ndim) if a not in axes] + axes
    shape = [1 if a in axes else x.shape[a] for a in range(x.ndim)]
    if not keepdims:
        shape = [x.shape[a] for a in order[: x.ndim - len(axes)]]
    if order != list(range(x.ndim)):
        fitted = mask.fitted(x.shape) if isinstance(mask, Mask) else None
        x, mask = x.transposed(order), fitted.permuted(order) if fitted is not None else mask
    trailing = tuple(range(x.ndim - len(axes), x.ndim))
    shape = shape if len(shape) > 1 else [*shape, 1]
    return result(TensorReduce, shape, given(dtype, x.dtype), name, x, trailing, negate, mask=mask)


def _binary(op: str) -> Callable[..., Any]:
    made = np.bool_ if op in _FLAGS else None

    def function(
        x: Any, y: Any, *, dtype: Any = made, mask: Any = None, max_free_vec_size: Any = None,
        name: Any = None,
    ) -> Any:  # fmt: skip
        return binary(op, x, y, dtype, mask)

    return operator(function, op)


def _remainder(op: str) -> Callable[..., Any]:
    def function(x: Any, y: Any, dtype: Any = None, mask: Any = None, *, name: Any = None) -> Any:
        return binary(op, x, y, dtype, mask)

    return operator(function, op)


def _unary(op: str) -> Callable[..., Any]:
    def function(x: Any, *, dtype: Any = None, mask: Any = None, name: Any = None) -> Any:
        return unary(op, x, dtype, mask)

    return operator(function, op)


def _reduction(called: str, op: str) -> Callable[..., Any]:
    def function(
        x: Any,
        axis: Any,
        *,
        dtype: Any = None,
        mask: Any = None,
        keepdims: bool = False,
        name: Any = None,
    ) -> Any:
        return reduction(op, x, axis, dtype, mask, keepdims)

    return operator(function, op, called)


def operator(function: Any, name: str, called: str = "") -> Any:
    """A function of this module that names an operator when it is passed as ``op``."""
    function.__trnlab_op__ = name
    function.__name__ = function.__qualname__ = called or name
    function.__doc__ = f"{name}, as the engines compute it."
    return function


_COMPARISONS = ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal")
_LOGICAL = ("logical_and", "logical_or", "logical_xor")
_FLAGS = (*_COMPARISONS, *_LOGICAL)

BINARY = (
    "add", "subtract", "multiply", "divide", "maximum", "minimum", "power",
    "bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift", *_FLAGS,
)  # fmt: skip
UNARY = (
    "exp", "log", "sin", "arctan", "sqrt", "rsqrt", "square", "sigmoid", "relu", "gelu", "gelu_dx",
    "gelu_apprx_tanh", "gelu_apprx_sigmoid", "silu", "silu_dx", "tanh", "softplus", "mish", "erf",
    "erf_dx", "sign", "abs",
)  # fmt: skip
REDUCTIONS = {"sum": "add", "max": "maximum", "min": "minimum", "prod": "multiply"}

OPERATORS: dict[str, Any] = (
    {name: _binary(name) for name in BINARY}
    | {name: _remainder(name) for name in ("mod", "fmod")}
    | {name: _unary(name) for name in UNARY}
    | {name: _reduction(name, op) for name, op in REDUCTIONS.items()}
)


def negative(x: Any, *, dtype: Any = None, mask: Any = None, name: Any = None) -> Any:
    """-x."""
    return binary("multiply", x, -1.0, given(dtype, x.dtype), mask)


def invert(x: Any, *, dtype: Any = None, mask: Any = None, name: Any = None) -> Any:
    """Every bit of x turned; of a truth value, its opposite."""
    if formats.name(x.dtype) == "bool_":
        return logical_not(x, dtype=dtype, mask=mask)
    return binary("bitwise_xor", x, -1, given(dtype, x.dtype), mask)


def logical_not(x: Any, *, dtype: Any = np.bool_, mask: Any = None, name: Any = None) -> Any:
    """1 where x is 0, else 0."""
    return binary("equal", x, 0.0, dtype, mask)


def reciprocal(x: Any, *, dtype: Any = None, mask: Any = None, name: Any = None) -> Any:
    """1 / x on the vector engine."""
    return result(Reciprocal, x.shape, given(dtype, x.dtype), x, mask=mask)


def copy(src: Any, *, dtype: Any = None, mask: Any = None, name: Any = None) -> Any:
    """A copy in SBUF, cast if asked for."""
    settle()
    return result(TensorCopy, src.shape, given(dtype, src.dtype), src, mask=mask)


for _function in (negative, invert, logical_not, reciprocal, copy):
    _function.__trnlab_op__ = _function.__name__  # type: ignore[attr-defined]


def __getattr__(name: str) -> Any:
    try:
        return OPERATORS[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
