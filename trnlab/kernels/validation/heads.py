"""Attention of a small head as tests of the vendor time it (nki-samples): plain, and in pairs."""

from typing import Any

import numpy as np

from trnlab.kernels.shipped.tiles import BANK, LANES, sums, tile
from trnlab.nki.legacy import entry as nki
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl

SCALE, PART, PAIR = 0.125, 1024, 2


@nki.jit
def one_by_one(q: Any, k: Any, v: Any) -> Any:
    """softmax(q.T k.T / 8) v for q [d, n], k and v [n, d], in tiles of 128 x 128.

    Keys are transposed as they are loaded, and the result as it is stored.
    """
    depth, length = q.shape
    steps, kind = length // LANES, q.dtype
    out = nl.ndarray((length, depth), dtype=kind, buffer=nl.shared_hbm)
    values = _values(v)
    queries, keys = (_tiles(steps, depth, LANES) for _ in range(2))
    for i in nl.affine_range(steps):
        part = nl.load(q[0:depth, nl.ds(i * LANES, LANES)], dtype=nl.bfloat16)
        queries[i] = nl.multiply(part, SCALE)
    for j in nl.affine_range(steps):
        keys[j] = nl.load_transpose2d(k[nl.ds(j * LANES, LANES), 0:depth], dtype=nl.bfloat16)
    for i in nl.affine_range(steps):
        scores, highest = tile(LANES, length, dtype=kind), tile(LANES, steps, dtype=kind)
        for j in nl.affine_range(steps):
            here = nl.ds(j * LANES, LANES)
            product = sums(LANES, LANES)
            product += nisa.nc_matmul(queries[i], keys[j])
            scores[:, here] = nl.copy(product, dtype=kind)
            highest[:, nl.ds(j, 1)] = nisa.tensor_reduce(
                np.max, scores[:, here], axis=(1,), dtype=kind, negate=True
            )
        shift = nisa.tensor_reduce(np.min, highest, axis=(1,), dtype=kind)
        powers = nisa.activation(np.exp, scores, bias=shift)
        total = nisa.tensor_reduce(np.add, powers, axis=(1,), dtype=kind)
        weights, shares = tile(LANES, length, dtype=nl.bfloat16), tile(LANES, depth, dtype=kind)
        weights[...] = nl.copy(powers, dtype=nl.bfloat16)
        shares[...] = nl.copy((1.0 / total).broadcast_to((LANES, depth)), dtype=kind)
        turned, done = tile(LANES, steps, LANES, dtype=nl.bfloat16), sums(depth, LANES)
        for j in nl.affine_range(steps):
            turned[:, j, :] = nisa.nc_transpose(weights[:, nl.ds(j * LANES, LANES)])
        for j in nl.affine_range(steps):
            done += nisa.nc_matmul(values[:, j, :], turned[:, j, :])
        columns = nl.multiply(nl.copy(done, dtype=kind), nisa.nc_transpose(shares))
        i_p, i_f = nl.arange(depth)[:, None], nl.arange(LANES)[None, :]
        nl.store(out[i * LANES + i_f, i_p], columns)
    return out


@nki.jit
def in_pairs(q: Any, k: Any, v: Any) -> Any:
    """softmax(q.T k / 8) v, transposed, for q and k [d, n], v [n, d]; out [d, n].

    Two tiles of queries in turn, 512 keys at a time; sums and maxima come with other instructions.
    The kernel that was timed places its tensors itself.
    """
    depth, length = q.shape
    steps, parts = length // LANES, length // BANK
    out = nl.ndarray((depth, length), dtype=q.dtype, buffer=nl.shared_hbm)
    values, unit, exact = _values(v), _identity(nl.bfloat16), _identity(nl.float32)
    queries, keys = _tiles(steps, depth, LANES), _tiles(parts, depth, BANK)
    for i in nl.affine_range(steps):
        queries[i] = nl.load(q[0:depth, nl.ds(i * LANES, LANES)], dtype=nl.bfloat16)
        queries[i] = nl.multiply(queries[i], SCALE)
    for j in nl.affine_range(parts):
        keys[j] = nl.load(k[0:depth, nl.ds(j * BANK, BANK)], dtype=nl.bfloat16)
    for pair in nl.affine_range(steps // PAIR):
        for one in nl.affine_range(PAIR):
            i = pair * PAIR + one
            powers, shares = _softmax(queries[i], keys, depth)
            turned, done = tile(LANES, length, dtype=nl.bfloat16), sums(depth, LANES)
            for j in nl.affine_range(parts):
                block = sums(LANES, BANK)
                for part in nl.affine_range(BANK // LANES):
                    here = nl.ds(j * BANK + part * LANES, LANES)
                    block[:, nl.ds(part * LANES, LANES)] = nisa.nc_matmul(powers[:, here], unit)
                turned[:, nl.ds(j * BANK, BANK)] = nl.copy(block)
            for j in nl.affine_range(steps):
                done += nisa.nc_matmul(values[:, j, :], turned[:, nl.ds(j * LANES, LANES)])
            rows, divisor = tile(depth, LANES), sums(depth, LANES)
            rows[...] = nisa.tensor_copy(done, engine=nisa.vector_engine)
            divisor[...] = nisa.nc_matmul(shares, exact)
            nl.store(out[0:depth, nl.ds(i * LANES, LANES)], nl.multiply(rows, divisor))
    return out


def _softmax(queries: Any, keys: Any, depth: int) -> tuple[Any, Any]:
    """exp(scores - their largest) in bf16, and one over its sums in each of d columns."""
    parts = keys.shape[0]
    scores, highest = tile(LANES, parts * BANK), tile(LANES, parts)
    for j in nl.affine_range(parts):
        product = sums(LANES, BANK)
        product[...] = nisa.nc_matmul(queries, keys[j])
        scores[:, nl.ds(j * BANK, BANK)] = nisa.tensor_scalar_reduce(
            data=product, op0=np.multiply, operand0=1.0, reduce_op=np.max,
            reduce_res=highest[:, nl.ds(j, 1)],
        )  # fmt: skip
    shift = nisa.tensor_reduce(np.max, highest, axis=(1,), negate=True)
    powers, part_sums = tile(LANES, parts * BANK, dtype=nl.bfloat16), tile(LANES, parts // 2)
    for j in nl.affine_range(parts * BANK // PART):
        here = nl.ds(j * PART, PART)
        powers[:, here] = nisa.activation_reduce(
            np.exp, scores[:, here], reduce_op=np.add, reduce_res=part_sums[:, nl.ds(j, 1)],
            bias=shift,
        )  # fmt: skip
    total = nisa.tensor_reduce(np.add, part_sums, axis=(1,))
    shares = tile(LANES, depth)
    shares[...] = nl.copy(nl.divide(1.0, total).broadcast_to((LANES, depth)))
    return powers, shares


def _tiles(count: int, rows: int, columns: int) -> Any:
    return nl.ndarray((count, nl.par_dim(rows), columns), dtype=nl.bfloat16, buffer=nl.sbuf)


def _values(v: Any) -> Any:
    """[n, d] in HBM as [128, n / 128, d] in SBUF."""
    length, depth = v.shape
    kept = tile(LANES, length // LANES, depth, dtype=nl.bfloat16)
    for j in nl.affine_range(length // LANES):
        kept[:, j, :] = nl.load(v[nl.ds(j * LANES, LANES), 0:depth], dtype=nl.bfloat16)
    return kept


def _identity(dtype: Any) -> Any:
    kept = tile(LANES, LANES, dtype=dtype)
    kept[...] = nl.load(nl.shared_constant(np.identity(LANES, dtype=np.int8), dtype=nl.bfloat16))
    return kept
