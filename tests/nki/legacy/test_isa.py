"""`neuronxcc.nki.isa`: returned tiles, and the copies that the older compiler puts in between."""

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import trnlab
from tests.support import same, whole_numbers
from trnlab import NotModelled, Violations
from trnlab.errors import BadArguments, OutOfBounds, UnknownName
from trnlab.nki.legacy import entry
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl

TEXT = Path(__file__).read_text().splitlines()
A = whole_numbers(128, 64)
B = whole_numbers(128, 64, seed=1)
S = np.random.default_rng(2).standard_normal((128, 64)).astype(np.float32)
COLUMN = whole_numbers(128, 1, seed=5)


def stored(tile):
    out = nl.ndarray(tile.shape, tile.dtype, buffer=nl.shared_hbm)
    nl.store(out, tile)
    return out


def run(function, *arrays, chip="trn2"):
    """What a function of tiles returns for arrays, and the names of its instructions in order."""

    def kernel(*tensors):
        out = function(*(nl.load(t) for t in tensors))
        return tuple(stored(t) for t in out) if isinstance(out, tuple) else stored(out)

    out, trace = trnlab.run(entry.jit(kernel), chip, without=("launch", "identities"))(*arrays)
    names = [trace.names[trace.name[row]] for row in range(len(trace))]
    return out, [name for name in names if name != "dma_copy"]


def apply(function, *arrays, **how):
    return run(function, *arrays, **how)[0]


def test_arithmetic():
    assert same(apply(lambda a, b: nisa.tensor_tensor(a, b, np.add), A, B), A + B)
    assert same(apply(lambda a, b: nisa.tensor_tensor(a, b, nl.multiply), A, COLUMN), A * COLUMN)
    twice = apply(lambda a: nisa.tensor_scalar(a, np.multiply, 2.0, op1=np.add, operand1=1.0), A)
    assert same(twice, A * 2 + 1)
    assert same(apply(lambda a: nisa.tensor_scalar(a, np.subtract, 2.0, True), A), 2 - A)
    assert same(
        apply(lambda a, b, c: nisa.scalar_tensor_tensor(
            data=a, op0=np.subtract, operand0=c, op1=np.multiply, operand1=b), A, B, COLUMN),
        (A - COLUMN) * B,
    )  # fmt: skip
    assert same(apply(lambda a: nisa.reciprocal(a, dtype=nl.float32), np.abs(A) + 1),
                1 / (np.abs(A) + 1))  # fmt: skip


def test_activation_and_its_sums():
    def function(a, c):
        total, more = nl.ndarray((128, 1), nl.float32), nl.ndarray((128, 1), nl.float32)
        out = nisa.activation(nl.square, a, bias=c, scale=2.0, reduce_op=np.add, reduce_res=total,
                              reduce_cmd=nisa.reduce_cmd.reset_reduce)  # fmt: skip
        again = nisa.activation_reduce(np.copy, a, reduce_op=np.add, reduce_res=more)
        return out, again, total, more

    out, again, total, more = apply(function, A, COLUMN)
    want = np.square(A * 2 + COLUMN)
    assert same(out, want)
    assert same(again, A)
    assert same(total, want.sum(axis=1, keepdims=True))
    assert same(more, A.sum(axis=1, keepdims=True))


REDUCED = whole_numbers(128, 3, 4)


@pytest.mark.parametrize("axis", [2, (1, 2), (1,)])
def test_reductions(axis):
    got = apply(lambda a: nisa.tensor_reduce(np.max, a, axis=axis, negate=True), REDUCED)
    assert same(got, -REDUCED.max(axis=axis).reshape(got.shape))


def test_reductions_of_other_kinds():
    assert same(
        apply(lambda a: nisa.tensor_partition_reduce(np.add, a), A), A.sum(0, keepdims=True)
    )

    def both(a):
        top = nl.ndarray((128, 1), nl.float32)
        return nisa.tensor_scalar_reduce(
            data=a, op0=np.multiply, operand0=2.0, reduce_op=np.max, reduce_res=top
        ), top

    out, top = apply(both, A)
    assert same(out, A * 2)
    assert same(top, (A * 2).max(axis=1, keepdims=True))
    ones = np.ones_like(A)
    scan = apply(lambda o, a: nisa.tensor_tensor_scan(o, a, 0.0, np.multiply, np.add), ones, A)
    assert same(scan, np.cumsum(A, axis=1))


def test_statistics():
    def function(a):
        return nisa.bn_aggr(nisa.bn_stats(a))

    want = np.stack([S.mean(axis=1), S.var(axis=1)], axis=1)
    np.testing.assert_allclose(apply(function, S), want, rtol=1e-5, atol=1e-6)


def test_the_largest_eight():
    def function(a):
        top = nisa.max8(src=a)
        where = nisa.nc_find_index8(data=a, vals=top)
        left = nisa.nc_match_replace8(data=a, vals=top, imm=0.0)
        return top, where, left

    top, where, left = apply(function, np.abs(S))
    order = np.argsort(-np.abs(S), axis=1)[:, :8]
    assert same(top, np.take_along_axis(np.abs(S), order, 1))
    assert same(where, order.astype(np.uint32))
    want = np.abs(S)
    np.put_along_axis(want, order, 0, 1)
    assert same(left, want)


def test_iota_and_affine_select():
    i, j, k = nl.mgrid[0:128, 0:8, 0:8]
    got = apply(lambda a: nisa.iota(i * 100 + j * 10 - k, dtype=nl.int32), A)
    x, y, z = np.mgrid[0:128, 0:8, 0:8]
    assert same(got, (x * 100 + y * 10 - z).astype(np.int32))
    p, f = nl.arange(128)[:, None], nl.arange(64)[None, :]
    rows, columns = np.mgrid[0:128, 0:64]
    for pred, want in (
        (p >= f, rows >= columns),
        (2 * p < f + 3, 2 * rows < columns + 3),
        (p == f, rows == columns),
        (f > 5, columns > 5),
        (True, rows >= 0),
        (False, rows < 0),
    ):
        got = apply(lambda a, pred=pred: nisa.affine_select(pred, a, -7.0), A)
        assert same(got, np.where(want, A, np.float32(-7)))


def test_selecting():
    def ranges(a, low, high):
        top = nl.ndarray((128, 1), nl.float32)
        out = nisa.range_select(
            on_true_tile=a, comp_op0=np.greater_equal, comp_op1=np.less, bound0=low, bound1=high,
            reduce_res=top, range_start=10,
        )  # fmt: skip
        return out, top

    low, high = np.full((128, 1), 20, np.float32), np.full((128, 1), 40, np.float32)
    out, top = apply(ranges, A, low, high)
    columns = np.arange(64) + 10
    want = np.where((columns >= 20) & (columns < 40), A, np.finfo(np.float32).min)
    assert same(out, want.astype(np.float32))
    assert same(top, want.max(axis=1, keepdims=True).astype(np.float32))

    def reduced(a, chosen):
        out, top = nl.ndarray((128, 64), nl.float32), nl.ndarray((128, 1), nl.float32)
        nisa.select_reduce(dst=out, predicate=chosen, on_true=a, on_false=-1.0, reduce_res=top)
        return out, top

    out, top = apply(reduced, A, (B > 0).astype(np.uint8))
    assert same(out, np.where(B > 0, A, np.float32(-1)))
    assert same(top, out.max(axis=1, keepdims=True))


@pytest.mark.parametrize("shape", [(128, 64), (128, 1)])
def test_copies_where_a_predicate_holds(shape):
    chosen = (whole_numbers(*shape, seed=3) > 0).astype(np.uint8)

    def function(a, b, c):
        nisa.tensor_copy_predicated(src=a, dst=b, predicate=c)
        return b

    assert same(apply(function, A, B, chosen), np.where(chosen, A, B))


def test_moving():
    assert same(
        apply(lambda a: nisa.tensor_copy(a, dtype=nl.bfloat16), A), A.astype(ml_dtypes.bfloat16)
    )
    assert same(apply(lambda a: nisa.memset((4, 5), 3, nl.int32), A), np.full((4, 5), 3, np.int32))

    def shuffled(a):
        out = nl.ndarray((128, 64), a.dtype)
        nisa.nc_stream_shuffle(a, out, list(range(31, -1, -1)))
        return out

    assert same(apply(shuffled, A), A.reshape(4, 32, 64)[:, ::-1].reshape(128, 64))


def test_gathers():
    index = np.random.default_rng(0).integers(0, 64, (128, 4)).astype(np.uint16)
    got = apply(nisa.local_gather, A, index)
    flat = index.reshape(8, 16, 4).transpose(0, 2, 1).reshape(8, 1, 64)
    want = np.take_along_axis(A.reshape(8, 16, 64), flat.astype(int), axis=2)
    assert same(got, want.reshape(128, 64))
    ids = np.array([[1, 1, 2, 0, 3, 3]], np.int32)
    got = apply(lambda t: nisa.sequence_bounds(segment_ids=t), ids)
    assert same(got, np.array([[[0, 0, 2, 6, 4, 4], [2, 2, 3, -1, 6, 6]]], np.int32))


def test_a_running_sum():
    def function(a):
        return nisa.tensor_scalar_cumulative(src=a, op0=np.multiply, op1=np.add, imm0=2.0)

    assert same(apply(function, A), np.cumsum(2 * A, axis=1))


# --- copies in between


def test_a_large_transpose_lands_in_psum():
    out, names = run(nisa.nc_transpose, A)
    assert same(out, A.T)
    assert names == ["nc_transpose", "tensor_copy"]


def test_a_small_transpose_stays_on_the_vector_engine():
    out, names = run(nisa.nc_transpose, A[:32, :32].copy())
    assert same(out, A[:32, :32].T)
    assert names == ["nc_transpose"]


@pytest.mark.parametrize("space", [nl.sbuf, nl.psum])
@pytest.mark.parametrize("dtype", [nl.float32, nl.bfloat16])
def test_a_transpose_goes_where_it_is_assigned(space, dtype):
    def function(a):
        out = nl.ndarray((64, 128), dtype, buffer=space)
        out[...] = nisa.nc_transpose(a)
        return out

    out, names = run(function, A)
    assert same(out, A.T.astype(out.dtype))
    direct = space is nl.psum and dtype == nl.float32
    assert names[: 2 - direct] == ["nc_transpose", *["tensor_copy"] * (not direct)]


def test_matmuls_read_sbuf():
    def function(a, b):
        return nisa.nc_matmul(nisa.nc_transpose(a), nisa.nc_transpose(b))

    out, names = run(function, A, B)
    assert same(out, A @ B.T)
    assert names.count("tensor_copy") == 3  # both inputs, and the result on its way out


def test_gpsimd_stays_away_from_psum():
    def function(a):
        held = nl.ndarray((128, 64), nl.float32, buffer=nl.psum)
        held[...] = a
        out = nl.ndarray((128, 64), nl.float32, buffer=nl.psum)
        p, f = nl.arange(128)[:, None], nl.arange(64)[None, :]
        out[...] = nisa.affine_select(p > f, held, 0.0)
        return out

    out, names = run(function, A)
    rows, columns = np.mgrid[0:128, 0:64]
    assert same(out, np.where(rows > columns, A, 0).astype(np.float32))
    assert names.count("tensor_copy") == 4  # to PSUM, to SBUF, back, and out


def test_a_mask_holds_for_the_copies_too():
    def function(a, b):
        out = nl.ndarray((128, 64), nl.float32, buffer=nl.psum)
        out[...] = b
        p, f = nl.mgrid[0:128, 0:64]
        out[...] = nisa.affine_select(p > 5, a, -1.0, mask=p >= f)
        return out

    rows, columns = np.mgrid[0:128, 0:64]
    chosen = np.where(rows > 5, A, np.float32(-1))
    assert same(apply(function, A, B), np.where(rows >= columns, chosen, B))


def test_a_transpose_in_flight_casts_afterwards():
    def kernel(a):
        return stored(nisa.dma_transpose(a, dtype=nl.bfloat16))

    out, trace = trnlab.run(entry.jit(kernel))(A)
    assert same(out, A.T.astype(ml_dtypes.bfloat16))
    assert trace.totals["instructions"] == 3


def test_the_device_still_decides():
    def both_in_psum(a):
        held = nl.zeros((128, 64), nl.float32, buffer=nl.psum)
        return nisa.tensor_tensor(held, held, np.add)

    with pytest.raises(Violations, match="not both inputs are in PSUM"):
        apply(both_in_psum, A)
    with pytest.raises(Violations, match="at most 512 columns"):
        apply(lambda a, b: nisa.nc_matmul(a, b), A, whole_numbers(128, 600))
    with pytest.raises(Violations, match="if one input is fp32 the other is too"):
        apply(lambda a, b: nisa.nc_matmul(a, b), A, B.astype(ml_dtypes.bfloat16))
    with pytest.raises(Violations, match="at most \\[32, 32\\]"):
        apply(lambda a: nisa.nc_transpose(a, engine=nisa.vector_engine), A)


def test_double_rows():
    left = whole_numbers(128, 2, 128, below=4).astype(ml_dtypes.float8_e4m3)
    right = whole_numbers(128, 2, 256, below=4).astype(ml_dtypes.float8_e4m3)

    def function(a, b):
        return nisa.nc_matmul(a, b, perf_mode="double_row_gen3")

    want = left.reshape(256, 128).astype(np.float32).T @ right.reshape(256, 256).astype(np.float32)
    assert same(apply(function, left, right), want)


# --- transfers

ROWS = np.array([[3], [7], [7], [1]], np.int32)


def copied(function, *arrays):
    def kernel(a, b, rows):
        out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
        nisa.dma_copy(dst=out, src=a)
        function(out, nl.load(b), nl.load(rows), nl.arange(64)[None, :])
        return out

    return trnlab.run(entry.jit(kernel))(A, *arrays)[0]


def test_transfers_to_rows_that_data_picks():
    def function(out, b, rows, f):
        nisa.dma_copy(dst=out[rows, f], src=b[0:4])

    distinct = np.array([[3], [9], [7], [1]], np.int32)
    want = A.copy()
    want[distinct[:, 0]] = B[:4]
    assert same(copied(function, B, distinct), want)
    with pytest.raises(Violations, match="writes different values to the same place"):
        copied(function, B, ROWS)
    alike = B.copy()
    alike[2] = alike[1]
    want = A.copy()
    want[ROWS[:, 0]] = alike[:4]
    assert same(copied(function, alike, ROWS), want)


def test_transfers_that_add():
    def function(out, b, rows, f):
        nisa.dma_copy(dst=out[rows, f], src=b[0:4], dst_rmw_op=np.add)
        nl.atomic_rmw(out[rows, f], b[4:8], np.add)
        nisa.dma_copy(dst=out[0:2], src=b[0:2], dst_rmw_op=np.add)

    want = A.copy()
    np.add.at(want, ROWS[:, 0], B[:4])
    np.add.at(want, ROWS[:, 0], B[4:8])
    want[:2] += B[:2]
    assert same(copied(function, B, ROWS), want)


def test_rows_outside_are_skipped_or_refused():
    beyond = ROWS + np.array([[0], [0], [500], [0]], np.int32)
    skip = nisa.oob_mode.skip

    def scattered(out, b, rows, f):
        nisa.dma_copy(dst=out[rows, f], src=b[0:4], oob_mode=skip)

    want = A.copy()
    want[[3, 7, 1]] = B[[0, 1, 3]]
    assert same(copied(scattered, B, beyond), want)

    def gathered(out, b, rows, f):
        tile = nl.zeros((4, 64), nl.float32)
        nisa.dma_copy(dst=tile, src=out[rows, f], oob_mode=skip)
        nl.store(out[0:4], tile)

    want = A.copy()
    want[:4] = [A[3], A[7], np.zeros(64), A[1]]
    assert same(copied(gathered, B, beyond), want)
    with pytest.raises(OutOfBounds, match="the value 507") as raised:
        copied(lambda out, b, r, f: nisa.dma_copy(dst=out[r, f], src=b[0:4]), B, beyond)
    assert raised.value.limit == "0 to 127"
    assert raised.value.given["where"] == "index[2, 0], and 0 more are outside"
    assert "out0" in raised.value.given["dst"]
    assert "test_isa.py" in str(raised.value.place)


def test_what_is_skipped_stays_unwritten():
    def gathered(out, b, rows, f):
        tile = nl.ndarray((nl.par_dim(4), 64), nl.float32)
        nisa.dma_copy(dst=tile, src=out[rows, f], oob_mode=nisa.oob_mode.skip)
        nl.store(out[0:4], tile)

    want = A.copy()
    want[:4] = A[ROWS[:, 0]]
    assert same(copied(gathered, B, ROWS), want)
    beyond = ROWS + np.array([[0], [0], [500], [0]], np.int32)
    with pytest.raises(Violations, match="reaches HBM where nobody wrote it"):
        copied(gathered, B, beyond)

    def back(out, b, rows, f):
        tile = nl.ndarray((nl.par_dim(4), 64), nl.float32)
        nisa.dma_copy(dst=tile, src=out[rows, f], oob_mode=nisa.oob_mode.skip)
        nisa.dma_copy(dst=out[rows, f], src=nl.add(tile, 1.0), oob_mode=nisa.oob_mode.skip)

    want = A.copy()
    want[[3, 7, 1]] += 1
    assert same(copied(back, B, beyond), want)


def test_copies_from_and_to_where_a_number_in_sbuf_says():
    def function(a, places):
        i_p, i_f = nl.arange(128)[:, None], nl.arange(16)[None, :]
        tile = nl.copy(a).reshape((128, 4, 16))
        out = nl.zeros((nl.par_dim(128), 4, 16), nl.float32, buffer=nl.sbuf)
        for i in nl.sequential_range(4):
            here = tile[i_p, places[0, i], i_f]
            part = nisa.tensor_copy_dynamic_src(here, engine=nisa.engine.vector)
            nisa.tensor_copy_dynamic_dst(dst=out[:, places[0, i], :], src=nl.add(part, i))
        return out.reshape((128, 64))

    order = np.array([[2, 0, 3, 1]], np.int32)
    out, names = run(function, A, order)
    want = A.reshape(128, 4, 16).copy()
    for i, place in enumerate(order[0]):
        want[:, place] += i
    assert same(out, want.reshape(128, 64))
    assert names.count("tensor_copy") == 8  # nl.copy changes nothing and is not made

    def into(a, places):
        got = nl.ndarray((128, 1), nl.bfloat16)
        got[...] = nisa.tensor_copy_dynamic_src(a[:, places], dtype=nl.bfloat16)  # no other copy
        return nl.copy(got, dtype=nl.float32)

    out, names = run(into, A, order[:, 2:3])
    assert same(out, A[:, 3:4])
    assert names == ["tensor_copy", "tensor_copy"]


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        (lambda a, i: nisa.tensor_copy_dynamic_src(a[:, i]), OutOfBounds, "by data with 64"),
        (lambda a, i: nisa.tensor_copy_dynamic_src(a[i, :]), BadArguments, "choose partitions"),
        (lambda a, i: nisa.activation(nl.exp, a[:, i]), BadArguments, "only copies have dynamic"),
        (lambda a, i: nl.add(a[:, i], 1.0), BadArguments, "an operand is"),
        (lambda a, i: nisa.tensor_copy_dynamic_src(a[:, a[:1, :2]]), BadArguments, "one integer"),
        (lambda a, i: a[i, i], NotModelled, "several tiles"),
    ],
)  # fmt: skip
def test_dynamic_addresses_that_make_no_sense(wrong, error, text):
    with pytest.raises(error) as raised:
        apply(wrong, A, np.array([[64]], np.int32))
    assert text in str(raised.value)


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        (lambda a: nisa.affine_select((nl.arange(128)[:, None] > 3) & (nl.arange(64)[None, :] > 3),
                                      a, 0.0), BadArguments, "one comparison"),
        (lambda a: nisa.iota(nl.arange(64), dtype=nl.int32), BadArguments, "is no tile"),
        (lambda a: nl.atomic_rmw(a, a, np.add), BadArguments, "rows that a tile indexes"),
        (lambda a: entry.FrameworkKernel(a), NotModelled, "FrameworkKernel"),
        (lambda a: nisa.dma_copy(dst=a, src=a, dst_rmw_op=np.multiply), BadArguments,
         "np.add or None"),
        (lambda a: nisa.builtin_custom_op(a), NotModelled, "builtin_custom_op"),
        (lambda a: nisa.nc_matmul_mx(a), NotModelled, "nc_matmul_mx"),
    ],
)  # fmt: skip
def test_what_is_refused(wrong, error, text):
    with pytest.raises(error) as raised:
        apply(wrong, A)
    assert text in str(raised.value)


@pytest.mark.parametrize(
    ("wrong", "word", "near"),
    [
        (lambda a: nisa.tensor_copy(a, nonsense=1), "nonsense", ""),  # type: ignore
        (lambda a: nisa.activation(nl.exp, a, bais=1), "bais", "bias"),  # type: ignore
        (lambda a: nl.max(a, 1, keepdim=True), "keepdim", "keepdims"),
        (lambda a: nl.store(a, a, maks=None), "maks", "mask"),  # type: ignore
        (lambda a: nl.zeros((4, 4), nl.float32, bufer=nl.psum), "bufer", "buffer"),  # type: ignore
        (lambda a: list(nl.affine_range(4, directives=1)), "directives", ""),  # type: ignore
    ],
)  # fmt: skip
def test_a_parameter_that_does_not_exist_is_refused(wrong, word, near):
    with pytest.raises(BadArguments, match=f"has no parameter '{word}'") as raised:
        apply(wrong, A)
    assert raised.value.fix == (f"did you mean '{near}'?" if near else "")
    assert word not in raised.value.given["signature"].replace(near, "")


def test_parameters_that_real_kernels_pass_and_the_manual_lacks():
    def function(a):
        out = nl.ndarray(a.shape, nl.float32)
        for _ in nl.sequential_range(1, directives=None, name="i"):
            for _ in nl.affine_range(1, precise_schedule=True):
                made = nl.zeros(a.shape, nl.float32, buffer=nl.psum, lazy_initialization=True)
                made[...] = nl.multiply(a, 2.0, max_free_vec_size=512, name="m")
                more = nisa.activation(nl.copy, made, buffer=nl.psum, name="n")
                assert more.buffer == nl.psum
                out[...] = nl.copy(more)
        return out

    assert same(apply(function, A), A * 2)


@pytest.mark.parametrize("mask", [3, 0.0, "all", ()])
def test_a_mask_is_a_comparison(mask):
    with pytest.raises(BadArguments, match="a mask is") as raised:
        apply(lambda a: nl.exp(a, mask=mask), A)
    assert "lambda" in TEXT[raised.value.place.line - 1]  # type: ignore
    with pytest.raises(BadArguments, match="a mask is"):
        apply(lambda a: nisa.affine_select(mask, a, 0.0), A)
    assert same(apply(lambda a: nl.add(a, 1.0, mask=np.bool_(True)), A), A + 1)


@pytest.mark.parametrize("dtype", [(), 0, "", False])
def test_a_dtype_that_is_false_is_not_the_default(dtype):
    for wrong in (
        lambda a: nl.exp(a, dtype=dtype),
        lambda a: nisa.reciprocal(a, dtype=dtype),
        lambda a: nl.zeros_like(a, dtype),
        lambda a: nl.softmax(a, 1, compute_dtype=dtype),
    ):
        with pytest.raises(UnknownName, match="no number format"):
            apply(wrong, A)


def test_names_that_nobody_knows():
    with pytest.raises(AttributeError, match="has no attribute 'fly'"):
        _ = nisa.fly


def test_statistics_of_a_row_that_a_mask_ends():
    def function(a):
        i, j = nl.arange(128)[:, None], nl.arange(64)[None, :]
        return nisa.bn_aggr(nisa.bn_stats(a[i, j], mask=j < 40))

    mean = run(function, A)[0][:, 0]
    assert same(mean, A[:, :40].mean(axis=1))
