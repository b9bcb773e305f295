"""`neuronxcc.nki.language`: functions that take several instructions."""

from typing import Any

import numpy as np

from trnlab import formats
from trnlab.errors import IllegalInstruction
from trnlab.isa.activation import ActivationReduce
from trnlab.isa.elementwise import TensorScalar
from trnlab.isa.gather import NcNGather
from trnlab.isa.instruction import Queue
from trnlab.isa.matmul import WIDE, NcMatmul, NcTranspose
from trnlab.isa.move import Memset
from trnlab.isa.random import Dropout, Rng, SetRngSeed
from trnlab.isa.select import TensorCopyPredicated
from trnlab.isa.tile import PSUM, SBUF
from trnlab.nki.jit import running
from trnlab.nki.legacy.issuing import emit, on_sbuf, transposed_in
from trnlab.nki.legacy.math import binary, reduction, together, unary
from trnlab.nki.legacy.pending import assign, result, settle
from trnlab.nki.legacy.tensor import OldTensor
from trnlab.nki.tensors import given, make

RANDOM_BITS = 24  # of 32 random bits, those that a float holds exactly


def cos(x: Any, *, dtype: Any = None, mask: Any = None, name: Any = None) -> Any:
    """cos(x) = sin(x + pi/2), for x in [-3pi/2, pi/2]."""
    shifted = binary("add", x, float(np.pi / 2), "float32", mask)
    return unary("sin", shifted, given(dtype, x.dtype), mask)


def tan(x: Any, *, dtype: Any = None, mask: Any = None, name: Any = None) -> Any:
    """sin(x) / cos(x)."""
    above, below = unary("sin", x, "float32", mask), cos(x, dtype="float32", mask=mask)
    return binary("divide", above, below, given(dtype, x.dtype), mask)


def floor(x: Any, *, dtype: Any = None, mask: Any = None, name: Any = None) -> Any:
    """x less its remainder: no engine rounds down."""
    rest = binary("mod", x, 1.0, "float32", mask)
    return binary("subtract", x, rest, given(dtype, x.dtype), mask)


def ceil(x: Any, *, dtype: Any = None, mask: Any = None, name: Any = None) -> Any:
    """x and what is missing to the next whole number."""
    settle()
    rest = make(x.shape, "float32", SBUF)
    emit(TensorScalar, rest, x, "multiply", -1.0, False, "mod", 1.0, mask=mask)
    return binary("add", x, rest, given(dtype, x.dtype), mask)


def trunc(x: Any, *, dtype: Any = None, mask: Any = None, name: Any = None) -> Any:
    """x less its remainder towards zero."""
    rest = binary("fmod", x, 1.0, "float32", mask)
    return binary("subtract", x, rest, given(dtype, x.dtype), mask)


def mean(
    x: Any,
    axis: Any,
    *,
    dtype: Any = None,
    mask: Any = None,
    keepdims: bool = False,
    name: Any = None,
) -> Any:
    """The mean over free axes, summed in fp32; of integers it is fp32."""
    total = reduction("add", x, axis, "float32", mask, keepdims)
    kind = given(dtype, x.dtype if formats.is_float(x.dtype) else "float32")
    return binary("multiply", total, total.size / x.size, kind)


def var(x: Any, axis: Any, *, dtype: Any = None, mask: Any = None, name: Any = None) -> Any:
    """The variance over free axes, in fp32."""
    centre = mean(x, axis, dtype="float32", keepdims=True, mask=mask)
    apart = binary("subtract", x, centre, "float32", mask)
    square = unary("square", apart, None, mask)
    return mean(square, axis, dtype=given(dtype, x.dtype), mask=mask)


def all(x: Any, axis: Any, *, dtype: Any = np.bool_, mask: Any = None, name: Any = None) -> Any:
    """Whether all elements along free axes are true."""
    return reduction("logical_and", x, axis, dtype, mask)


def where(
    condition: Any, x: Any, y: Any, *, dtype: Any = None, mask: Any = None, name: Any = None
) -> Any:
    """x where the condition is not 0, else y."""
    settle()
    kinds = [v.dtype if isinstance(v, OldTensor) else v for v in (x, y)]
    kind = dtype if dtype is not None else formats.promote(*kinds)
    tiles = together(*(v for v in (condition, x, y) if isinstance(v, OldTensor)))
    given = iter(tiles)
    chosen, x, y = (next(given) if isinstance(v, OldTensor) else v for v in (condition, x, y))
    made = make(chosen.shape, kind, SBUF)
    assign(made, y)
    if isinstance(x, OldTensor):
        x = x if x.dtype == made.dtype else on_sbuf(x, kind)
    emit(TensorCopyPredicated, made, x, predicate(chosen), mask=mask)
    return made


def predicate(condition: Any) -> Any:
    """A condition as bits that the vector engine tests: unsigned integers of any width."""
    name = formats.name(condition.dtype)
    if name.startswith("uint") or name == "bool_":
        return condition
    if formats.is_integer(condition.dtype):
        return condition.view(f"u{name}")
    made = make(condition.shape, "uint8", SBUF)
    emit(TensorScalar, made, condition, "not_equal", 0.0)
    return made


def transpose(x: Any, *, dtype: Any = None, mask: Any = None, name: Any = None) -> Any:
    """[P, F] as [F, P]; small tiles on the vector engine, others on the tensor engine."""
    if x.ndim != 2:
        running().report(
            IllegalInstruction,
            f"nl.transpose takes a tile of {x.ndim} dimensions",
            {"tensor": x.describe()},
            "2 dimensions",
            "reshape it, or transpose its parts",
            "nki.language.transpose",
        )
    space = transposed_in(x, Queue.unknown)
    shape, kind = (x.free, x.partitions), given(dtype, x.dtype)
    return result(NcTranspose, shape, kind, x, Queue.unknown, mask=mask, space=space)


def matmul(x: Any, y: Any, *, transpose_x: bool = False, mask: Any = None, name: Any = None) -> Any:
    """x @ y in PSUM; the device takes x transposed, and both inputs wide or neither."""
    settle()
    left, right = x if transpose_x else transpose(x), y
    settle()
    wide = {formats.name(t.dtype) in WIDE for t in (left, right)}
    kinds = ("float32", "float32") if len(wide) == 2 else (left.dtype, right.dtype)
    left, right = on_sbuf(left, kinds[0]), on_sbuf(right, kinds[1])
    shape = (left.free, right.free)
    return result(
        NcMatmul, shape, "float32", left, right, False, False, False, False, mask=mask, space=PSUM
    )


def softmax(
    x: Any,
    axis: Any,
    *,
    dtype: Any = None,
    compute_dtype: Any = None,
    mask: Any = None,
    name: Any = None,
) -> Any:
    """exp(x - max) / sum over free axes."""
    axes = {a % x.ndim for a in (axis if isinstance(axis, (tuple, list)) else (axis,))}
    kind = given(dtype, given(compute_dtype, x.dtype))
    if axes != set(range(1, x.ndim)):
        top = reduction("maximum", x, axis, "float32", mask, keepdims=True)
        raised = unary("exp", binary("subtract", x, top, "float32", mask), None, mask)
        total = reduction("add", raised, axis, "float32", mask, keepdims=True)
        return binary("divide", raised, total, kind, mask)
    lowered = reduction("maximum", x, axis, "float32", mask, negate=True)
    settle()
    raised, total = make(x.shape, "float32", SBUF), make((x.partitions, 1), "float32", SBUF)
    emit(ActivationReduce, raised, "exp", x, "add", total, lowered, mask=mask)
    return binary("divide", raised, total, kind, mask)


def rms_norm(
    x: Any, w: Any, axis: Any, n: int, epsilon: float = 1e-6, *, dtype: Any = None,
    compute_dtype: Any = None, mask: Any = None, name: Any = None,
) -> Any:  # fmt: skip
    """x / sqrt(sum(x^2) / n + epsilon) * w."""
    squares = unary("square", x, "float32", mask)
    total = reduction("add", squares, axis, "float32", mask, keepdims=True)
    settle()
    level = make(total.shape, "float32", SBUF)
    emit(TensorScalar, level, total, "multiply", 1.0 / n, False, "add", float(epsilon))
    scale = unary("rsqrt", level, "float32")
    normed = binary("multiply", x, scale, "float32", mask)
    return binary("multiply", normed, w, given(dtype, given(compute_dtype, x.dtype)), mask)


def gather_flattened(
    data: Any, indices: Any, *, dtype: Any = None, mask: Any = None, name: Any = None
) -> Any:
    """The elements of each partition of data at the columns that indices lists."""
    return result(NcNGather, indices.shape, given(dtype, data.dtype), data, indices, mask=mask)


def dropout(x: Any, rate: Any, *, dtype: Any = None, mask: Any = None, name: Any = None) -> Any:
    """x with elements replaced by 0 with a probability."""
    settle()
    if isinstance(rate, OldTensor) and rate.partitions != x.partitions:
        rate = rate.broadcast_to((x.partitions, 1))
    return result(Dropout, x.shape, given(dtype, x.dtype), x, rate, mask=mask)


def rand(shape: Any, dtype: Any = np.float32, *, name: Any = None) -> Any:
    """Random numbers from 0 to just below 1."""
    settle()
    bits, high = make(shape, "uint32", SBUF), make(shape, "uint32", SBUF)
    emit(Rng, bits)
    emit(TensorScalar, high, bits, "right_shift", 32 - RANDOM_BITS)
    return binary("multiply", high, 2.0**-RANDOM_BITS, dtype)


def random_seed(seed: Any, *, mask: Any = None, name: Any = None) -> None:
    """Starts the random numbers anew."""
    settle()
    if not isinstance(seed, OldTensor):
        value, seed = int(seed), make((1, 1), "uint32", SBUF)
        emit(Memset, seed, value)
    emit(SetRngSeed, seed, mask=mask)
