"""Self-attention of one head: through HBM in three phases, and fused (trainium-kernel-fusion)."""

from typing import Any

from trnlab.nki.legacy import entry as nki
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl

ROWS, COLUMNS = 128, 512


@nki.jit
def through_hbm(q: Any, k: Any, v: Any) -> Any:
    """softmax(q.T @ k) @ v.T for q, k, v [128, length]; scores and weights go through HBM."""
    length = q.shape[1]
    steps = length // ROWS
    out = nl.ndarray((length, ROWS), dtype=q.dtype, buffer=nl.shared_hbm)
    q_all, k_all, v_all = nl.load(q), nl.load(k), nl.load(v)
    scores = nl.ndarray((steps, ROWS, length), dtype=nl.float32, buffer=nl.shared_hbm)
    for step in nl.affine_range(steps):
        nl.store(scores[step], _scores(q_all, k_all, step))
    for step in nl.affine_range(steps):
        row = _tile(length)
        row[...] = nl.load(scores[step])
        powers, inverse = _softmax(row)
        weights = _tile(length)
        for part in _parts(length):
            weights[:, part] = nisa.tensor_scalar(
                data=powers[:, part], op0=nl.multiply, operand0=inverse, engine=nisa.vector_engine
            )
        nl.store(scores[step], weights)
    values = _turned(v_all)
    for step in nl.affine_range(steps):
        weights = _tile(length)
        weights[...] = nl.load(scores[step])
        total = _product(_turned(weights), values)
        rows = _tile(ROWS)
        rows[...] = nisa.tensor_copy(total, dtype=nl.float32)
        nl.store(out[nl.ds(step * ROWS, ROWS), :], rows)
    return out


@nki.jit
def fused(q: Any, k: Any, v: Any) -> Any:
    """As `through_hbm`, but everything stays on chip and the division comes last."""
    length = q.shape[1]
    out = nl.ndarray((length, ROWS), dtype=q.dtype, buffer=nl.shared_hbm)
    q_all, k_all, v_all = nl.load(q), nl.load(k), nl.load(v)
    values = _turned(v_all)
    for step in nl.affine_range(length // ROWS):
        powers, inverse = _softmax(_scores(q_all, k_all, step))
        total = _product(_turned(powers), values)
        rows = _tile(ROWS)
        rows[...] = nisa.tensor_scalar(
            data=total, op0=nl.multiply, operand0=inverse, engine=nisa.vector_engine
        )
        nl.store(out[nl.ds(step * ROWS, ROWS), :], rows)
    return out


def _tile(columns: int) -> Any:
    return nl.ndarray((nl.par_dim(ROWS), columns), dtype=nl.float32, buffer=nl.sbuf)


def _parts(length: int) -> list[Any]:
    return [nl.ds(start, COLUMNS) for start in range(0, length, COLUMNS)]


def _scores(q: Any, k: Any, step: int) -> Any:
    """One row of tiles of q.T @ k."""
    row = _tile(k.shape[1])
    for part in _parts(k.shape[1]):
        product = nl.ndarray((nl.par_dim(ROWS), COLUMNS), dtype=nl.float32, buffer=nl.psum)
        product[...] = nisa.nc_matmul(q[:, nl.ds(step * ROWS, ROWS)], k[:, part])
        row[:, part] = nisa.tensor_copy(product, dtype=nl.float32)
    return row


def _softmax(row: Any) -> tuple[Any, Any]:
    """exp(row - its largest) and one over the sum of that."""
    parts = _parts(row.shape[1])
    largest, sums, powers = _tile(len(parts)), _tile(len(parts)), _tile(row.shape[1])
    for i, part in enumerate(parts):
        largest[:, i] = nisa.tensor_reduce(op=nl.max, data=row[:, part], axis=1)
    shift = nisa.tensor_reduce(op=nl.max, data=largest, axis=1, negate=True)
    for i, part in enumerate(parts):
        powers[:, part] = nisa.activation(op=nl.exp, data=row[:, part], bias=shift, scale=1.0)
        sums[:, i] = nisa.tensor_reduce(op=nl.add, data=powers[:, part], axis=1)
    return powers, nisa.reciprocal(data=nisa.tensor_reduce(op=nl.add, data=sums, axis=1))


def _turned(x: Any) -> Any:
    """The transposes of all [128, 128] parts of a tile."""
    count = x.shape[1] // ROWS
    turned = nl.ndarray((nl.par_dim(ROWS), count, ROWS), dtype=nl.float32, buffer=nl.sbuf)
    for i in range(count):
        block = nisa.nc_transpose(x[:, nl.ds(i * ROWS, ROWS)])
        turned[:, i, :] = nisa.tensor_copy(block, dtype=nl.float32)
    return turned


def _product(left: Any, right: Any) -> Any:
    total = nl.zeros((ROWS, ROWS), dtype=nl.float32, buffer=nl.psum)
    for i in range(left.shape[1]):
        total += nisa.nc_matmul(stationary=left[:, i, :], moving=right[:, i, :])
    return total
