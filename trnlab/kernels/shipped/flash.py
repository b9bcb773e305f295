"""Softmax of scores times values for 128 rows of queries, with a running maximum."""

from dataclasses import dataclass
from typing import Any

from trnlab.kernels.shipped.tiles import BANK, LANES, LOWEST, sums, tile, turned
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl


@dataclass(frozen=True)
class Sight:
    """Which keys a query sees: all, those up to itself, or the last ``window`` of those."""

    causal: bool = False
    window: int = -1

    def of(self, q0: int, k0: int, width: int) -> tuple[bool, bool, bool]:
        """Whether 128 queries from q0 see any of the keys k0 to k0 + width; which bounds cut."""
        late = self.causal and k0 + width - 1 > q0
        early = self.window > 0 and k0 <= q0 + LANES - 1 - self.window
        beyond = self.causal and k0 > q0 + LANES - 1
        before = self.window > 0 and k0 + width - 1 < q0 - self.window + 1
        return not (beyond or before), late, early


def masked(scores: Any, sight: Sight, q0: int, k0: int) -> Any:
    """Scores [128, width] with the lowest number where a query does not see a key."""
    rows, width = scores.shape
    _, late, early = sight.of(q0, k0, width)
    row, column = nl.arange(rows)[:, None], nl.arange(width)[None, :]
    if late:
        scores = nisa.affine_select(
            pred=(row + (q0 - k0) - column >= 0), on_true_tile=scores, on_false_value=LOWEST
        )
    if early:
        scores = nisa.affine_select(
            pred=(column + (k0 - q0 + sight.window - 1) - row >= 0),
            on_true_tile=scores,
            on_false_value=LOWEST,
        )
    return scores


@dataclass
class Rows:
    """Results of 128 queries so far: values [128, d], sum and maximum of the weights [128, 1]."""

    out: Any
    total: Any
    top: Any


def attend(
    q: Any, keys: Any, values: Any, sight: Sight, q0: int, width: int, bias: Any = None
) -> Rows:
    """Attention of the queries q [d, 128] over keys [d, n] and values [128, n / 128, d].

    ``width`` keys are taken at a time; ``bias`` [128 or more rows of HBM, n] is added to the
    scores. The results are not divided by their sums yet.
    """
    rows, depth, length = q.shape[1], values.shape[2], keys.shape[1]
    done = Rows(tile(rows, depth), tile(rows, 1), tile(rows, 1))
    fresh = True
    for k0 in nl.static_range(0, length, width):
        size = min(width, length - k0)
        if sight.of(q0, k0, size)[0]:
            scores = _scores(q, keys, sight, q0, k0, size, bias)
            _update(done, scores, values, k0, fresh)
            fresh = False
    return done


def _scores(q: Any, keys: Any, sight: Sight, q0: int, k0: int, size: int, bias: Any) -> Any:
    rows = q.shape[1]
    scores = tile(rows, size)
    for start in range(0, size, BANK):
        part = min(BANK, size - start)
        product = sums(rows, part)
        product[...] = nisa.nc_matmul(q, keys[:, nl.ds(k0 + start, part)])
        here = nl.ds(start, part)
        if bias is None:
            scores[:, here] = nisa.tensor_copy(product)
        else:
            added = nl.load(bias[nl.ds(q0, rows), nl.ds(k0 + start, part)], dtype=nl.float32)
            scores[:, here] = nisa.tensor_tensor(product, added, nl.add)
    return masked(scores, sight, q0, k0)


def _update(done: Rows, scores: Any, values: Any, k0: int, fresh: bool) -> None:
    rows, size = scores.shape
    top = nisa.tensor_reduce(nl.max, scores, axis=1)
    if not fresh:
        top = nisa.tensor_tensor(top, done.top, nl.maximum)
    lower = nisa.tensor_scalar(top, nl.multiply, -1.0)
    weights, total = tile(rows, size, dtype=values.dtype), tile(rows, 1)
    weights[...] = nisa.activation_reduce(
        nl.exp, scores, bias=lower, reduce_op=nl.add, reduce_res=total, dtype=values.dtype
    )
    product = sums(rows, values.shape[2])
    for start in range(0, size, LANES):
        part = min(LANES, size - start)
        block = turned(weights[:, nl.ds(start, part)], values.dtype)
        product += nisa.nc_matmul(block, values[0:part, (k0 + start) // LANES, :])
    if fresh:
        done.out[...] = nisa.tensor_copy(product)
        done.total[...] = nisa.tensor_copy(total)
    else:
        fading = nisa.activation(nl.exp, done.top, bias=lower)
        done.out[...] = nisa.scalar_tensor_tensor(
            data=done.out, op0=nl.multiply, operand0=fading, op1=nl.add, operand1=product
        )
        done.total[...] = nisa.scalar_tensor_tensor(
            data=done.total, op0=nl.multiply, operand0=fading, op1=nl.add, operand1=total
        )
    done.top[...] = nisa.tensor_copy(top)
