"""`flash_attn_bwd`: the gradients of attention; weights are computed again from logarithms.

Layouts as nki-samples documents them (reference/attention, July 2025).
"""

from dataclasses import dataclass
from typing import Any

from trnlab.errors import NotModelled
from trnlab.kernels.shipped.attention import DROPOUT
from trnlab.kernels.shipped.flash import Sight, masked
from trnlab.kernels.shipped.tiles import (
    BANK,
    LANES,
    cuts,
    mine,
    need,
    sums,
    tile,
    turned,
    turned_columns,
)
from trnlab.nki.legacy import entry as nki
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl

CHUNK = 2048  # keys whose gradients are summed in SBUF at a time


@nki.jit
def flash_attn_bwd(
    q_ref: Any,
    k_ref: Any,
    v_ref: Any,
    o_ref: Any,
    dy_ref: Any,
    lse_ref: Any,
    seed_ref: Any,
    logit_bias_ref: Any = None,
    use_causal_mask: bool = False,
    mixed_precision: bool = False,
    dropout_p: float = 0.0,
    softmax_scale: Any = None,
    sliding_window: int = -1,
    sinks: Any = None,
) -> Any:
    """dq, dk, dv and, with ``sinks``, their gradient; launched as ``kernel[batch, kv_heads]``.

    q, o and dy [b, heads, d, n], k and v [b, kv_heads, d, n], lse [b, heads, 128, n / 128],
    logit_bias [b, heads, n, n], sinks [b, heads]; results like q, k, v and sinks. n is a multiple
    of 512. Raises NotModelled for dropout.
    """
    heads, depth, length = q_ref.shape[1:]
    group = heads // k_ref.shape[1]
    if dropout_p:
        raise NotModelled("dropout in flash_attn_bwd", DROPOUT)
    need(depth <= LANES, "flash_attn_bwd: heads are too wide", depth, "d at most 128")
    need(length % BANK == 0, "flash_attn_bwd: the sequence", length, "a multiple of 512")
    kind = nl.bfloat16 if mixed_precision else q_ref.dtype
    scale = depth**-0.5 if softmax_scale is None else softmax_scale
    sight = Sight(use_causal_mask or sliding_window > 0, sliding_window)
    dq = nl.ndarray(q_ref.shape, dtype=q_ref.dtype, buffer=nl.shared_hbm)
    dk = nl.ndarray(k_ref.shape, dtype=k_ref.dtype, buffer=nl.shared_hbm)
    dv = nl.ndarray(v_ref.shape, dtype=v_ref.dtype, buffer=nl.shared_hbm)
    dsinks = None
    if sinks is not None:
        dsinks = nl.ndarray(sinks.shape, dtype=sinks.dtype, buffer=nl.shared_hbm)
    for batch in mine(0, q_ref.shape[0]):
        for head in mine(1, k_ref.shape[1]):
            found = []
            for member in nl.static_range(group):
                here = head * group + member
                bias = logit_bias_ref[batch, here] if logit_bias_ref is not None else None
                one = Head(
                    q_ref[batch, here], o_ref[batch, here], dy_ref[batch, here],
                    nl.load(lse_ref[batch, here], dtype=nl.float32), bias, scale, kind,
                )  # fmt: skip
                one.shares = _shares(one)
                one.dq = tile(depth, length)
                one.dq[...] = nisa.memset(shape=(depth, length), value=0, dtype=nl.float32)
                found.append(one)
                if dsinks is not None:
                    _sink(one, sinks, dsinks, batch, here)
            for start, size in cuts(length, CHUNK):
                there = nl.ds(start, size)
                keys = nl.load(k_ref[batch, head, 0:depth, there], dtype=kind)
                values = nl.load(v_ref[batch, head, 0:depth, there], dtype=kind)
                grads = _chunk(found, keys, values, sight, start)
                nl.store(dk[batch, head, 0:depth, there], grads[0])
                nl.store(dv[batch, head, 0:depth, there], grads[1])
            for member in nl.static_range(group):
                nl.store(dq[batch, head * group + member], found[member].dq)
    return (dq, dk, dv) if dsinks is None else (dq, dk, dv, dsinks)


@dataclass
class Head:
    """One head of queries: HBM views [d, n], logarithms [128, n / 128], and what is summed."""

    q: Any
    o: Any
    dy: Any
    logs: Any
    bias: Any
    scale: float
    kind: Any
    shares: Any = None  # sum(dy * o) over the head's width [128, n / 128]
    dq: Any = None  # [d, n]


def _shares(head: Head) -> Any:
    """The sums over d by a product with ones, as partitions are not summed otherwise."""
    depth, length = head.q.shape
    ones, kept = tile(depth, 1), tile(LANES, length // LANES)
    ones[...] = nisa.memset(shape=(depth, 1), value=1.0, dtype=nl.float32)
    for start, size in cuts(length, LANES):
        here = nl.ds(start, size)
        left = nl.load(head.dy[0:depth, here], dtype=nl.float32)
        right = nl.load(head.o[0:depth, here], dtype=nl.float32)
        total = sums(LANES, 1)
        total[...] = nisa.nc_matmul(nisa.tensor_tensor(left, right, nl.multiply), ones)
        kept[:, nl.ds(start // LANES, 1)] = nisa.tensor_copy(total)
    return kept


def _sink(head: Head, sinks: Any, out: Any, batch: int, here: int) -> None:
    """The gradient of a sink is less its weight times the shares, summed over the queries."""
    one = nl.load(sinks[nl.ds(batch, 1), nl.ds(here, 1)], dtype=nl.float32).broadcast_to((LANES, 1))
    column = tile(LANES, 1)
    column[...] = nl.copy(one)
    weights = nisa.activation(nl.exp, head.logs, bias=column, scale=-1.0)
    parts = nisa.tensor_reduce(
        nl.add, nisa.tensor_tensor(weights, head.shares, nl.multiply), axis=1, negate=True
    )
    ones, total = tile(LANES, 1), sums(1, 1)
    ones[...] = nisa.memset(shape=(LANES, 1), value=1.0, dtype=nl.float32)
    total[...] = nisa.nc_matmul(parts, ones)
    nl.store(out[nl.ds(batch, 1), nl.ds(here, 1)], nisa.tensor_copy(total))


def _chunk(heads: list[Head], keys: Any, values: Any, sight: Sight, start: int) -> tuple[Any, Any]:
    """Gradients of keys and values [d, size], summed over the queries of the heads."""
    depth, size = keys.shape
    rows = turned_columns(keys, heads[0].kind)
    dk, dv = tile(depth, size), tile(depth, size)
    dk[...] = nisa.memset(shape=(depth, size), value=0, dtype=nl.float32)
    dv[...] = nisa.memset(shape=(depth, size), value=0, dtype=nl.float32)
    for head in heads:
        for q0, _ in cuts(head.q.shape[1], LANES):
            if sight.of(q0, start, size)[0]:
                _queries(head, q0, (keys, rows, values), sight, start, dk, dv)
    return dk, dv


def _queries(
    head: Head, q0: int, given: tuple[Any, Any, Any], sight: Sight, start: int, dk: Any, dv: Any
) -> None:
    """Adds what 128 queries give to the gradients of a chunk of keys, and to their own."""
    (keys, rows, values), depth = given, head.q.shape[0]
    here, kind = nl.ds(q0, LANES), head.kind
    q, dy = nl.load(head.q[0:depth, here]), nl.load(head.dy[0:depth, here], dtype=kind)
    q = nisa.tensor_scalar(q, nl.multiply, head.scale, dtype=kind)
    by_row, dy_by_row = turned(q, kind), turned(dy, kind)
    own = sums(depth, LANES)
    for k0, size in cuts(keys.shape[1], BANK):
        if sight.of(q0, start + k0, size)[0]:
            there = nl.ds(k0, size)
            weights = _weights(head, q, keys[:, there], sight, q0, start + k0)
            change = _change(head, dy, values[:, there], weights, q0)
            _add(dv, there, nisa.nc_matmul(dy_by_row, weights))
            _add(dk, there, nisa.nc_matmul(by_row, change))
            for part, many in cuts(size, LANES):
                block = turned(change[:, nl.ds(part, many)], kind)
                own += nisa.nc_matmul(rows[:, (k0 + part) // LANES, :], block)
    head.dq[:, here] = nisa.scalar_tensor_tensor(
        data=own, op0=nl.multiply, operand0=head.scale, op1=nl.add, operand1=head.dq[:, here]
    )


def _add(total: Any, columns: Any, product: Any) -> None:
    total[:, columns] = nisa.tensor_tensor(total[:, columns], product, nl.add)


def _weights(head: Head, q: Any, keys: Any, sight: Sight, q0: int, k0: int) -> Any:
    """exp(score - log(sum)) [128, size]."""
    size = keys.shape[1]
    scores, product = tile(LANES, size), sums(LANES, size)
    product[...] = nisa.nc_matmul(q, keys)
    if head.bias is None:
        scores[...] = nisa.tensor_copy(product)
    else:
        added = nl.load(head.bias[nl.ds(q0, LANES), nl.ds(k0, size)], dtype=nl.float32)
        scores[...] = nisa.tensor_tensor(product, added, nl.add)
    lower = nisa.tensor_scalar(head.logs[:, nl.ds(q0 // LANES, 1)], nl.multiply, -1.0)
    return nisa.activation(nl.exp, masked(scores, sight, q0, k0), bias=lower, dtype=head.kind)


def _change(head: Head, dy: Any, values: Any, weights: Any, q0: int) -> Any:
    """The gradient of the scores: weights * (dy.T v - shares)."""
    product = sums(LANES, values.shape[1])
    product[...] = nisa.nc_matmul(dy, values)
    return nisa.scalar_tensor_tensor(
        data=product, op0=nl.subtract, operand0=head.shares[:, nl.ds(q0 // LANES, 1)],
        op1=nl.multiply, operand1=weights, dtype=head.kind,
    )  # fmt: skip
