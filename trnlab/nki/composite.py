"""Functions of tiles that take several instructions; each makes a new tile in SBUF.

The vendor's own expansions are not published. These use what the engines have, and no more.
"""

from typing import Any

import numpy as np

from trnlab import formats
from trnlab.errors import BadArguments, NotModelled
from trnlab.isa.tile import PSUM, SBUF, Tile
from trnlab.nki import isa as nisa
from trnlab.nki.jit import running
from trnlab.nki.math import (
    abs,
    add,
    copy,
    exp,
    greater,
    less,
    logical_and,
    maximum,
    minimum,
    multiply,
    not_equal,
    right_shift,
    rsqrt,
    sign,
    square,
    subtract,
    sum,
)
from trnlab.nki.tensor import NkiTensor
from trnlab.nki.tensors import given, make

# 2 pi in three parts; a whole number of turns below 2**16 times one of the first two is exact.
TURN = (6.28125, 0.00193023681640625, 5.07036318e-06)
BELOW_PI = 3.1415925  # the largest fp32 number below pi: the table is right up to there
WHOLE_FROM = 2.0**23  # from here on, every fp32 number is a whole one
MOVING_MAX = 512  # columns that one matmul streams
RANDOM_BITS = 24  # of 32 random bits, those that a float holds exactly


def _column(x: Any) -> NkiTensor:
    return make((x.partitions, 1), "float32", SBUF)


def _wave(x: Any, shift: float, dtype: Any) -> NkiTensor:
    """sin(x + shift): whole turns are taken off first, since the table holds only one."""
    turns, rest = make(x.shape, "int32", SBUF), make(x.shape, "float32", SBUF)
    if shift:
        nisa.tensor_scalar(rest, x, add, shift)
        x = rest
    nisa.tensor_scalar(turns, x, multiply, 0.5 / np.pi)
    for part in TURN:
        nisa.scalar_tensor_tensor(rest, turns, multiply, -part, add, x)
        x = rest
    # Rounding may have left an angle just beyond pi: one more turn, then no further than that.
    nisa.tensor_scalar(turns, rest, multiply, 0.5 / np.pi)
    nisa.scalar_tensor_tensor(rest, turns, multiply, -2 * np.pi, add, rest)
    nisa.tensor_scalar(rest, rest, minimum, BELOW_PI, op1=maximum, operand1=-BELOW_PI)
    made = make(x.shape, dtype, SBUF)
    nisa.activation(made, "sin", rest)
    return made


def sin(x: Any, dtype: Any = None) -> NkiTensor:
    """sin(x) for any x; `nisa.activation` with the same operator is for x in [-pi, pi]."""
    return _wave(x, 0.0, given(dtype, x.dtype))


def cos(x: Any, dtype: Any = None) -> NkiTensor:
    """cos(x) = sin(x + pi/2)."""
    return _wave(x, np.pi / 2, given(dtype, x.dtype))


def tan(x: Any, dtype: Any = None) -> NkiTensor:
    """sin(x) / cos(x)."""
    below = cos(x, "float32")
    nisa.reciprocal(below, below)
    return multiply(sin(x, "float32"), below, given(dtype, x.dtype))


def _rounded(x: Any, too_far: Any, way: Any, dtype: Any) -> NkiTensor:
    """x rounded to nearest by a cast, then one step back where that went too far."""
    if formats.is_integer(x.dtype):
        return copy(x, dtype)
    nearest = copy(x, "int32")
    step = make(x.shape, "float32", SBUF)
    nisa.tensor_tensor(step, nearest, x, too_far)
    nisa.tensor_tensor(step, nearest, step, way)
    made = copy(x, "float32")
    small = make(x.shape, "uint8", SBUF)
    nisa.tensor_scalar(small, abs(x, "float32"), less, WHOLE_FROM)
    nisa.tensor_copy_predicated(made, step, small)
    kind = formats.format_of(given(dtype, x.dtype))
    return made if kind == made.dtype else copy(made, kind)


def floor(x: Any, dtype: Any = None) -> NkiTensor:
    """The largest whole number that is not above x."""
    return _rounded(x, greater, subtract, dtype)


def ceil(x: Any, dtype: Any = None) -> NkiTensor:
    """The smallest whole number that is not below x."""
    return _rounded(x, less, add, dtype)


def trunc(x: Any, dtype: Any = None) -> NkiTensor:
    """x without its fraction."""
    if formats.is_integer(x.dtype):
        return copy(x, dtype)
    return multiply(floor(abs(x, "float32")), sign(x, "float32"), given(dtype, x.dtype))


def mean(x: Any, axis: Any, dtype: Any = None, keepdims: bool = False) -> NkiTensor:
    """The mean of x over trailing free axes, summed in fp32."""
    total = sum(x, axis, "float32", keepdims)
    made = make(total.shape, given(dtype, x.dtype), SBUF)
    nisa.tensor_scalar(made, total, multiply, float(total.size) / x.size)
    return made


def var(x: Any, axis: Any, dtype: Any = None, keepdims: bool = False) -> NkiTensor:
    """The variance of x over trailing free axes, in fp32; they stay as dimensions of size 1."""
    centre = mean(x, axis, "float32", keepdims=True).broadcast_to(x.shape)
    apart = subtract(x, centre, "float32")
    return mean(multiply(apart, apart), axis, given(dtype, x.dtype), keepdims=True)


def all(x: Any, axis: Any, dtype: Any = None) -> NkiTensor:
    """1 where every element of x along trailing free axes is not 0, else 0."""
    axes = {a % x.ndim for a in (axis if isinstance(axis, (tuple, list)) else (axis,))}
    shape = [n for i, n in enumerate(x.shape) if i not in axes]
    made = make(shape if len(shape) > 1 else [*shape, 1], given(dtype, x.dtype), SBUF)
    nisa.tensor_reduce(made, logical_and, x, axis)
    return made


def where(condition: Any, x: Any, y: Any, dtype: Any = None) -> NkiTensor:
    """x where the condition is not 0, else y."""
    made = make(condition.shape, given(dtype, getattr(x, "dtype", "float32")), SBUF)
    if isinstance(y, Tile):
        nisa.tensor_copy(made, y)
    else:
        nisa.memset(made, y)
    mask = make(condition.shape, "uint8", SBUF)
    nisa.tensor_scalar(mask, condition, not_equal, 0.0)
    nisa.tensor_copy_predicated(made, x, mask)
    return made


def softmax(x: Any, axis: int = -1, dtype: Any = None) -> NkiTensor:
    """exp(x - max) / sum along the free dimension."""
    top = _column(x)
    nisa.tensor_reduce(top, maximum, x, axis, negate=True)
    raised, total = make(x.shape, "float32", SBUF), _column(x)
    nisa.activation_reduce(raised, exp, x, add, total, bias=top)
    inverse = _column(x)
    nisa.reciprocal(inverse, total)
    made = make(x.shape, given(dtype, x.dtype), SBUF)
    nisa.tensor_scalar(made, raised, multiply, inverse)
    return made


def rms_norm(
    x: Any,
    w: Any,
    axis: int,
    n: int,
    epsilon: float = 1e-6,
    dtype: Any = None,
    compute_dtype: Any = None,
) -> NkiTensor:
    """x / sqrt(mean(x^2) + epsilon) * w along the free dimension."""
    kind = given(compute_dtype, "float32")
    squares, total = make(x.shape, kind, SBUF), _column(x)
    nisa.activation_reduce(squares, square, x, add, total)
    nisa.tensor_scalar(total, total, multiply, 1.0 / n, op1=add, operand1=epsilon)
    nisa.activation(total, rsqrt, total)
    normed = make(x.shape, kind, SBUF)
    nisa.tensor_scalar(normed, x, multiply, total)
    made = make(x.shape, given(dtype, x.dtype), SBUF)
    nisa.tensor_tensor(made, normed, w, multiply)
    return made


def dropout(x: Any, rate: Any, dtype: Any = None) -> NkiTensor:
    """x with elements replaced by 0 with a probability, one number or one a partition."""
    made = make(x.shape, x.dtype, SBUF)
    nisa.dropout(made, x, rate)
    return made if dtype is None else copy(made, dtype)


def rand(shape: Any, dtype: Any, buffer: Any = SBUF, name: str = "") -> NkiTensor:
    """Random numbers from 0 to 1."""
    made = make(shape, dtype, buffer, name)
    if "rand2" in running().core.can:
        nisa.rand2(made, 0.0, 1.0)
        return made
    bits, high = make(shape, "uint32", SBUF), make(shape, "uint32", SBUF)
    nisa.rng(bits)
    nisa.tensor_scalar(high, bits, right_shift, 32 - RANDOM_BITS)
    nisa.tensor_scalar(made, high, multiply, 2.0**-RANDOM_BITS)
    return made


def random_seed(seed: Any) -> None:
    """Starts the random numbers anew, from one 32-bit number in a [1, 1] tile."""
    if not isinstance(seed, Tile):
        raise BadArguments(
            f"random_seed takes a [1, 1] tile, not {seed!r}",
            fix=f"nl.random_seed(nl.full((1, 1), {seed!r}, dtype=nl.int32))",
            place=running().here(),
            see="nki.language.random_seed",
        )
    nisa.set_rng_seed(seed)


def broadcast_to(x: Any, shape: Any, dtype: Any = None) -> NkiTensor:
    """A copy whose dimensions of size 1 are repeated; x itself where there is nothing to do."""
    sizes = tuple(shape)
    if sizes and x.layout.on_chip and x.shape[0] == 1 and sizes[0] != 1 and len(sizes) == x.ndim:
        x = _to_partitions(x, sizes[0])
    if x.shape == sizes and dtype in (None, x.dtype):
        return x
    return copy(x.broadcast_to(sizes), dtype)


def _to_partitions(x: Any, count: int) -> NkiTensor:
    """One partition copied to many by a matmul with ones, as the guide to Trainium has it."""
    if formats.is_integer(x.dtype) and x.itemsize == 4:  # fp32 holds 24 bits only
        return _to_partitions(copy(x).view("uint8"), count).view(x.dtype)
    exact = x.dtype if formats.name(x.dtype) in ("bfloat16", "float16") else "float32"
    row = copy(x, exact).reshape((1, x.size))
    ones = make((1, count), exact, SBUF)
    nisa.memset(ones, 1.0)
    made = make((count, x.size), x.dtype, SBUF)
    for start in range(0, x.size, MOVING_MAX):
        columns = slice(start, min(start + MOVING_MAX, x.size))
        part = make((count, columns.stop - start), "float32", PSUM)
        nisa.nc_matmul(part, ones, row[:, columns], is_stationary_onezero=True)
        nisa.tensor_copy(made[:, columns], part)
    return made.reshape((count, *x.shape[1:]))


def gather_flattened(data: Any, indices: Any, axis: int = 0, dtype: Any = None) -> NkiTensor:
    """The elements of each partition of data at the columns that indices lists."""
    if axis != 0:
        raise NotModelled(f"gather_flattened with axis={axis}", "its meaning, which is unpublished")
    made = make(indices.shape, data.dtype, SBUF)
    nisa.nc_n_gather(made, data, indices)
    return made if dtype is None else copy(made, dtype)


sin.__trnlab_op__ = "sin"  # type: ignore[attr-defined]
