"""One step of a random kernel: what it computes, and how either generation of the API spells it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.fuzz.arrays import (
    BINARY,
    BITWISE,
    CURVES,
    DTYPES,
    UNARY,
    exponent,
    f32,
    stored,
    surely_exact,
    total,
    wide,
)
from tests.fuzz.views import Ref

Array = np.ndarray


@dataclass(frozen=True)
class Fresh:
    """A tensor that a step makes first."""

    space: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """One instruction: ``dsts`` from ``srcs``; ``fresh`` are the destinations that it makes.

    ``mask`` (a, b, c) leaves the elements with a * row + b * column + c >= 0.
    """

    kind: str
    dsts: tuple[Ref, ...]
    srcs: tuple[Ref, ...]
    args: dict[str, Any] = field(default_factory=dict)
    fresh: tuple[tuple[str, Fresh], ...] = ()
    mask: tuple[int, int, int] | None = None

    def names(self) -> set[str]:
        """Every tensor that this touches."""
        return {ref.name for ref in (*self.dsts, *self.srcs)}


def dtype_of(array: Array) -> str:
    """The name of a stored array's dtype."""
    return next(name for name, kind in DTYPES.items() if kind == array.dtype)


def column(array: Array, like: Array) -> Array:
    """One value a partition, for arrays of any rank."""
    return array.reshape(array.shape[0], *(1,) * (like.ndim - 1))


def _scalar(value: Any, rest: list[Array], like: Array) -> Any:
    """A number as fp32, or the next operand as one value a partition."""
    return column(rest.pop(0), like) if value is None else f32(np.float64(value))


def _ordered(op: str, a: Any, b: Any, reverse: bool) -> Array:
    return BINARY[op](b, a) if reverse else BINARY[op](a, b)


# What each kind computes: (step, operands as stored, destination as it was) -> results as stored.


def tensor_copy(step: Step, srcs: list[Array], dst: Array) -> Array:
    if srcs[0].dtype == dst.dtype:
        return srcs[0]
    return stored(wide(srcs[0]), dtype_of(dst))


def memset(step: Step, srcs: list[Array], dst: Array) -> Array:
    return np.full(dst.shape, stored(np.array(step.args["value"]), dtype_of(dst)))


def tensor_tensor(step: Step, srcs: list[Array], dst: Array) -> Array:
    a, b = srcs[0], srcs[1].reshape(srcs[0].shape)
    op = step.args["op"]
    if op in BITWISE:
        return BITWISE[op](a, b)
    if step.args.get("whole"):  # 32-bit integers on GpSimd
        exact = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply}[op]
        return exact(a.astype(np.int64), b.astype(np.int64)).astype(dst.dtype)
    return stored(BINARY[op](wide(a), wide(b)), dtype_of(dst))


def tensor_scalar(step: Step, srcs: list[Array], dst: Array) -> Array:
    args, data = step.args, srcs[0]
    if args["op0"] in BITWISE:
        return BITWISE[args["op0"]](data, np.array(args["operand0"]).astype(data.dtype))
    rest = [wide(s) for s in srcs[1:]]
    out = _ordered(args["op0"], wide(data), _scalar(args["operand0"], rest, data), args["reverse0"])
    if args["op1"]:
        second = _scalar(args["operand1"], rest, data)
        out = _ordered(args["op1"], out, second, args["reverse1"])
    return stored(out, dtype_of(dst))


def scalar_tensor_tensor(step: Step, srcs: list[Array], dst: Array) -> Array:
    args, data = step.args, wide(srcs[0])
    rest = [wide(s) for s in srcs[1:]]
    out = _ordered(args["op0"], data, _scalar(args["operand0"], rest, data), args["reverse0"])
    out = _ordered(args["op1"], out, rest[0].reshape(data.shape), args["reverse1"])
    return stored(out, dtype_of(dst))


def _activated(step: Step, srcs: list[Array]) -> Array:
    data, rest = wide(srcs[0]), [wide(s) for s in srcs[1:]]
    args = step.args
    scaled = f32(data * _scalar(args["scale"], rest, data))
    if args["bias"]:
        scaled = f32(scaled + column(rest.pop(0), data))
    return {**UNARY, **CURVES}[args["op"]](scaled)


def activation(step: Step, srcs: list[Array], dst: Array) -> Array:
    return stored(_activated(step, srcs), dtype_of(dst))


def activation_reduce(step: Step, srcs: list[Array], dst: Array, res: Array) -> tuple:
    out = _activated(step, srcs)
    whole = total(out.reshape(len(out), -1), 1)
    return stored(out, dtype_of(dst)), stored(whole, dtype_of(res))


def tensor_reduce(step: Step, srcs: list[Array], dst: Array) -> Array:
    data, count = wide(srcs[0]), step.args["count"]
    flat = data.reshape(*data.shape[: data.ndim - count], -1)
    op = step.args["op"]
    out = total(flat, -1) if op == "add" else {"maximum": np.max, "minimum": np.min}[op](flat, -1)
    return stored(-out if step.args["negate"] else out, dtype_of(dst))


def tensor_tensor_scan(step: Step, srcs: list[Array], dst: Array) -> Array:
    args = step.args
    first, second = (wide(s).reshape(len(s), -1) for s in srcs[:2])
    start = _scalar(args["initial"], [wide(s) for s in srcs[2:]], first)
    state = np.broadcast_to(start, (len(first), 1))
    out = np.empty_like(first)
    for i in range(first.shape[1]):
        state = _ordered(args["op0"], first[:, i : i + 1], state, args["reverse0"])
        state = _ordered(args["op1"], state, second[:, i : i + 1], args["reverse1"])
        out[:, i : i + 1] = state
    return stored(out, dtype_of(dst))


def nc_transpose(step: Step, srcs: list[Array], dst: Array) -> Array:
    return srcs[0].reshape(len(srcs[0]), -1).T


def dma_transpose(step: Step, srcs: list[Array], dst: Array) -> Array:
    return srcs[0].T


def reciprocal(step: Step, srcs: list[Array], dst: Array) -> Array:
    return stored(1 / wide(srcs[0]), dtype_of(dst))


def nc_stream_shuffle(step: Step, srcs: list[Array], dst: Array) -> Array:
    out = dst.copy()
    for row in range(len(dst)):
        source = step.args["mask"][row % 32]
        if source != 255:
            out[row] = srcs[0][row - row % 32 + source].reshape(out[row].shape)
    return out


def iota(step: Step, srcs: list[Array], dst: Array) -> Array:
    args = step.args
    grids = np.indices([n for _, n in args["pattern"]])
    row = sum(s * g for (s, _), g in zip(args["pattern"], grids, strict=True)).reshape(-1)
    rows = args["offset"] + args["multiplier"] * np.arange(len(dst))
    return stored((rows[:, None] + row).astype(np.float64), dtype_of(dst))


def affine_select(step: Step, srcs: list[Array], dst: Array) -> Array:
    args = step.args
    place = np.arange(len(dst))[:, None] * args["multiplier"] + args["offset"]
    place = place + np.arange(dst[0].size) * args["pattern"][0][0]
    chosen = BINARY[args["op"]](place, 0).reshape(srcs[0].shape) != 0
    return stored(np.where(chosen, wide(srcs[0]), f32(np.float64(args["other"]))), dtype_of(dst))


def tensor_copy_predicated(step: Step, srcs: list[Array], dst: Array) -> Array:
    chosen = (srcs[1] == 0 if step.args["reverse"] else srcs[1] != 0).reshape(dst.shape)
    return np.where(chosen, srcs[0].reshape(dst.shape), dst)


def select_reduce(step: Step, srcs: list[Array], dst: Array) -> Array:
    predicate, data = srcs[0].reshape(srcs[1].shape), wide(srcs[1])
    other = f32(np.float64(step.args["other"]))
    return stored(np.where(predicate != 0, data, other), dtype_of(dst))


def max8(step: Step, srcs: list[Array], dst: Array) -> Array:
    return stored(np.sort(wide(srcs[0]).reshape(len(dst), -1), 1)[:, :-9:-1], dtype_of(dst))


def tensor_partition_reduce(step: Step, srcs: list[Array], dst: Array) -> Array:
    data = wide(srcs[0])
    out = total(data, 0) if step.args["op"] == "add" else data.max(0)
    return stored(out[None], dtype_of(dst))


def dma_compute(step: Step, srcs: list[Array], dst: Array) -> Array:
    parts = np.stack([wide(s).reshape(dst.shape) for s in srcs])
    return stored(total(parts, 0), dtype_of(dst))


def product(left: Array, right: Array) -> tuple[Array, Array, int]:
    """left.T @ right, the sum of magnitudes behind it, and the power of two all terms divide by."""
    a, b = wide(left).reshape(len(left), -1), wide(right).reshape(len(right), -1)
    power = exponent(a) + exponent(b)
    mass = np.abs(a).T @ np.abs(b)
    surely_exact(mass, power)
    return a.T @ b, mass, power


COMPUTE = {
    f.__name__: f
    for f in (
        tensor_copy, memset, tensor_tensor, tensor_scalar, scalar_tensor_tensor, activation,
        activation_reduce, tensor_reduce, tensor_tensor_scan, nc_transpose, dma_transpose,
        reciprocal, nc_stream_shuffle, iota, affine_select, tensor_copy_predicated, select_reduce,
        max8, tensor_partition_reduce, dma_compute,
    )
}  # fmt: skip
COMPUTE["dma_copy"] = COMPUTE["load"] = COMPUTE["store"] = tensor_copy
