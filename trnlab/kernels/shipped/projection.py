"""Root-mean-square norm and the projection to queries, keys and values, in one kernel.

`allocated_fused_rms_norm_qkv` as nki-samples documents it (reference/allocated_fused_linear, July
2025); the others as public code calls them, which is all there is of them.
"""

from typing import Any

from trnlab.errors import NotModelled
from trnlab.kernels.shipped.tiles import BANK, LANES, cuts, need, size_of, sums, tile, turned
from trnlab.nki.legacy import entry as nki
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl

KEPT = 80 * 1024  # bytes of a partition that weights may take; larger ones are loaded again


@nki.jit
def allocated_fused_rms_norm_qkv(
    hidden: Any, weights: Any, norm_dtype: Any = nl.float32, eps: float = 1e-6
) -> Any:
    """(x / sqrt(mean(x ** 2) + eps)) @ w for hidden [b, s, h] and weights [h, i]: [b, s, i].

    h is a multiple of 128; tensors are placed automatically here.
    """
    batch, length, _ = hidden.shape
    out = nl.ndarray((batch, length, weights.shape[1]), hidden.dtype, buffer=nl.shared_hbm)
    _project(hidden, weights, None, out, eps, normed=True, bias=None, norm_dtype=norm_dtype)
    return out


@nki.trace
def rmsnorm_qkv_isa_kernel(
    lhs: Any,
    rhs: Any,
    ln_w: Any,
    out: Any,
    kernel_name: str = "QKV",
    eps: float = 1e-6,
    fused_rmsnorm: bool = True,
    bias: Any = None,
    skip_gamma: bool = False,
) -> Any:
    """(norm(x) * gamma) @ w + bias into ``out``; with a grid, each core takes its rows.

    x [b, s, h], w [h, i], gamma and bias [1, h] and [1, i]; out [b, s, i], or [i / d, b, s, d].
    """
    _check_name("rmsnorm_qkv_isa_kernel", kernel_name)
    gamma = None if skip_gamma or not fused_rmsnorm else ln_w
    _project(lhs, rhs, gamma, out, eps, normed=fused_rmsnorm, bias=bias)
    return out


@nki.trace
def rmsnorm_qkv_isa_fused_add_kernel(
    hidden: Any,
    attn_out: Any,
    mlp_out: Any,
    rhs: Any,
    ln_w: Any,
    out: Any,
    kernel_name: str = "QKV",
    eps: float = 1e-6,
    fused_rmsnorm: bool = True,
    bias: Any = None,
    skip_gamma: bool = False,
) -> Any:
    """As `rmsnorm_qkv_isa_kernel` of the sum of three tensors, which is also left in the first."""
    _check_name("rmsnorm_qkv_isa_fused_add_kernel", kernel_name)
    gamma = None if skip_gamma or not fused_rmsnorm else ln_w
    more = (attn_out, mlp_out)
    _project(hidden, rhs, gamma, out, eps, normed=fused_rmsnorm, bias=bias, more=more)
    return out


def _check_name(kernel: str, name: str) -> None:
    if name != "QKV":
        raise NotModelled(f"{kernel} as {name}", "what it computes, which is private")


def _project(
    x: Any, weights: Any, gamma: Any, out: Any, eps: float, *, normed: bool, bias: Any,
    norm_dtype: Any = nl.float32, more: tuple[Any, ...] = (),
) -> None:  # fmt: skip
    batch, length, depth = x.shape
    width, steps = weights.shape[1], depth // LANES
    need(depth % LANES == 0, "the hidden dimension", depth, "a multiple of 128")
    step = BANK if out.ndim == 3 else BANK // out.shape[3] * out.shape[3]  # whole heads
    fits = steps * width * size_of(weights.dtype) <= KEPT
    kept = _weights(weights, gamma, 0, width) if fits else None
    added = None
    if bias is not None:
        added = nl.copy(nl.load(bias.reshape((1, width))).broadcast_to((LANES, width)))
    first, count = (nl.program_id(0), nl.num_programs(0)) if nl.program_ndim() else (0, 1)
    for row in nl.static_range(batch):
        for start, size in cuts(length, LANES)[first::count]:
            here = nl.ds(start, size)
            data = nl.load(x[row, here, 0:depth])
            for other in more:
                data = nisa.tensor_tensor(data, nl.load(other[row, here, 0:depth]), nl.add)
            if more:
                nl.store(x[row, here, 0:depth], data)
            left = _turned(_normed(data, eps, norm_dtype) if normed else data, weights.dtype)
            for column, many in cuts(width, step):
                there = nl.ds(column, many)
                right = (
                    _weights(weights, gamma, column, many) if kept is None else kept[:, :, there]
                )
                total = sums(size, many)
                for k in nl.affine_range(steps):
                    total += nisa.nc_matmul(left[:, k, :], right[:, k, :])
                done = nl.copy(total, dtype=out.dtype)
                if added is not None:
                    done = nisa.tensor_tensor(total, added[0:size, there], nl.add, dtype=out.dtype)
                _store(out, row, here, column, done)


def _weights(weights: Any, gamma: Any, column: int, many: int) -> Any:
    """Columns of the weights as [128, h / 128, many], times the norm's own weights."""
    depth = weights.shape[0]
    kept = tile(LANES, depth // LANES, many, dtype=weights.dtype)
    for k in range(depth // LANES):
        rows = nl.ds(k * LANES, LANES)
        part = nl.load(weights[rows, nl.ds(column, many)])
        if gamma is not None:
            factors = nl.load(gamma.reshape((depth, 1))[rows, 0:1], dtype=nl.float32)
            part = nisa.tensor_scalar(part, nl.multiply, factors)
        kept[:, k, :] = part
    return kept


def _normed(data: Any, eps: float, kind: Any) -> Any:
    """Rows over the root of their mean square."""
    rows, depth = data.shape
    total, square = tile(rows, 1), tile(rows, depth, dtype=kind)
    square[...] = nisa.activation_reduce(nl.square, data, reduce_op=nl.add, reduce_res=total)
    mean = nisa.tensor_scalar(total, nl.multiply, 1.0 / depth, op1=nl.add, operand1=eps)
    return nisa.tensor_scalar(data, nl.multiply, nisa.activation(nl.rsqrt, mean))


def _turned(data: Any, kind: Any) -> Any:
    """[rows, h] as [128, h / 128, rows]."""
    rows, depth = data.shape
    kept = tile(LANES, depth // LANES, rows, dtype=kind)
    for k in range(depth // LANES):
        kept[:, k, :] = turned(data[:, nl.ds(k * LANES, LANES)], kind)
    return kept


def _store(out: Any, row: int, rows: Any, column: int, done: Any) -> None:
    """To [b, s, i], or head by head to [i / d, b, s, d]."""
    many = done.shape[1]
    if out.ndim == 3:
        nl.store(out[row, rows, nl.ds(column, many)], done)
        return
    depth = out.shape[3]
    for start, size in cuts(many, depth):
        nl.store(out[(column + start) // depth, row, rows, 0:depth], done[:, nl.ds(start, size)])
