"""`neuronxcc.nki.language`: functions of tiles, tensors in memory, loops and grids."""

import ml_dtypes
import numpy as np
import pytest

import trnlab
from tests.support import same, whole_numbers
from trnlab import NotModelled, Violations
from trnlab.errors import BadArguments, OutOfBounds
from trnlab.nki.legacy import entry, placing
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl
from trnlab.nki.legacy.blocks import each_tile

A = whole_numbers(128, 64)
B = whole_numbers(128, 64, seed=1)
S = np.random.default_rng(2).standard_normal((128, 64)).astype(np.float32)
N = whole_numbers(128, 64, seed=3).astype(np.int32)
ROW = whole_numbers(1, 64, seed=4)
COLUMN = whole_numbers(128, 1, seed=5)


def stored(tile):
    out = nl.ndarray(tile.shape, tile.dtype, buffer=nl.shared_hbm)
    nl.store(out, tile)
    return out


def apply(function, *arrays, **how):
    """What a function of tiles returns for arrays."""

    def kernel(*tensors):
        return stored(function(*(nl.load(t) for t in tensors)))

    return trnlab.run(entry.jit(kernel), time=False, **how)(*arrays)[0]


ELEMENTWISE = ["add", "subtract", "multiply", "maximum", "minimum"]
OPERANDS = {"tile": B, "row": ROW, "column": COLUMN}


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("other", OPERANDS)
def test_operators_broadcast(name, other):
    function, want = getattr(nl, name), getattr(np, name)
    assert same(apply(function, A, OPERANDS[other]), want(A, OPERANDS[other]))
    assert same(apply(function, OPERANDS[other], A), want(OPERANDS[other], A))


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_operators_take_numbers_on_either_side(name):
    function, want = getattr(nl, name), getattr(np, name)
    assert same(apply(lambda t: function(t, 3.0), A), want(A, np.float32(3)))
    assert same(apply(lambda t: function(3.0, t), A), want(np.float32(3), A))


COMPARISONS = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]


@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons_give_truth_values(name):
    assert same(apply(getattr(nl, name), A, B), getattr(np, name)(A, B))
    assert same(apply(lambda t: getattr(nl, name)(t, 1.0, dtype=nl.float32), A),
                getattr(np, name)(A, 1.0).astype(np.float32))  # fmt: skip


@pytest.mark.parametrize("name", ["bitwise_and", "bitwise_or", "bitwise_xor"])
def test_bits(name):
    assert same(apply(getattr(nl, name), N, N[:, ::-1].copy()), getattr(np, name)(N, N[:, ::-1]))


PYTHON = [
    lambda x, y: x + y * 2 - 1,
    lambda x, y: 3 - x,
    lambda x, y: -x,
    lambda x, y: np.float32(2) * x,
    lambda x, y: x % 3.0,
    lambda x, y: (x < y) & (x > -3),
    lambda x, y: ~(x == y),
    lambda x, y: (x != 1) | (y >= 2),
]


@pytest.mark.parametrize("function", PYTHON)
def test_operators_of_python(function):
    assert same(apply(function, A, B), function(A, B))


ROUNDING = ["floor", "ceil", "trunc"]


@pytest.mark.parametrize("name", ROUNDING)
def test_rounding(name):
    values = np.concatenate([S * 4, np.round(S * 4), [[-0.5, 0.5, 2.5, -3.0]] * 128], axis=1)
    values = values.astype(np.float32)
    assert (apply(getattr(nl, name), values) == getattr(np, name)(values)).all()
    whole = apply(lambda t: getattr(nl, name)(t, dtype=nl.int32), values)
    assert same(whole, getattr(np, name)(values).astype(np.int32))


def test_division():
    assert same(apply(lambda t: t / 4, A), A / 4)
    assert same(apply(lambda t: t / 3, N), (N.astype(np.float32) / np.float32(3)))
    assert same(apply(lambda t: 1.0 / t, np.abs(A) + 1), 1 / (np.abs(A) + 1))
    np.testing.assert_allclose(apply(nl.divide, A, np.abs(B) + 1), A / (np.abs(B) + 1), rtol=3e-7)


FUNCTIONS = {
    "exp": np.exp,
    "tanh": np.tanh,
    "square": np.square,
    "abs": np.abs,
    "sign": np.sign,
    "cos": np.cos,
    "tan": np.tan,
    "negative": np.negative,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "reciprocal": lambda x: 1 / x,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    x = np.abs(S) + 0.01 if name in ("rsqrt", "reciprocal") else np.clip(S, -1.5, 1.5)
    got = apply(getattr(nl, name), x)
    np.testing.assert_allclose(got, FUNCTIONS[name](x), rtol=2e-5, atol=2e-6)


REDUCED = whole_numbers(128, 3, 4, 5, below=3)


@pytest.mark.parametrize("axis", [3, -1, [1, 2, 3], [2, 3], (1,), [1, 3]])
@pytest.mark.parametrize("name", ["sum", "max", "min", "prod"])
def test_reductions_over_free_axes_wherever_they_stand(name, axis):
    want = getattr(np, name)(REDUCED, axis=tuple(axis) if isinstance(axis, list) else axis)
    got = apply(lambda t: getattr(nl, name)(t, axis=axis), REDUCED)
    assert same(got, want.reshape(got.shape))
    kept = apply(lambda t: getattr(nl, name)(t, axis=axis, keepdims=True), REDUCED)
    assert same(kept.reshape(got.shape), got)
    assert kept.ndim == 4


def test_statistics():
    np.testing.assert_allclose(apply(lambda t: nl.mean(t, axis=1), S), S.mean(1, keepdims=True),
                               rtol=1e-5, atol=1e-6)  # fmt: skip
    np.testing.assert_allclose(apply(lambda t: nl.var(t, axis=1), S), S.var(1, keepdims=True),
                               rtol=1e-5)  # fmt: skip
    assert apply(lambda t: nl.mean(t, axis=1), N).dtype == np.float32
    assert same(apply(lambda t: nl.all(t, axis=1), np.abs(A)), (A != 0).all(1, keepdims=True))


@pytest.mark.parametrize("axis", [1, [1, 2], 2])
def test_softmax(axis):
    x = S.reshape(128, 8, 8)
    axes = tuple(axis) if isinstance(axis, list) else axis
    raised = np.exp(x - x.max(axis=axes, keepdims=True))
    got = apply(lambda t: nl.softmax(t, axis=axis), x)
    np.testing.assert_allclose(got, raised / raised.sum(axis=axes, keepdims=True), rtol=2e-6)


def test_rms_norm():
    w = np.abs(ROW) + 1
    got = apply(lambda t, g: nl.rms_norm(t, g, axis=1, n=64), S, w)
    want = S / np.sqrt(np.mean(np.square(S), axis=1, keepdims=True) + 1e-6) * w
    np.testing.assert_allclose(got, want, rtol=3e-6)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int8, np.int32, np.float32])
def test_where_takes_conditions_of_every_kind(kind):
    condition = (A > 0).astype(kind)
    assert same(apply(nl.where, condition, A, B), np.where(A > 0, A, B))
    assert same(apply(lambda c, x: nl.where(c, x, -1.0), condition, A), np.where(A > 0, A, -1))


def test_where_broadcasts():
    condition = (COLUMN > 0).astype(np.uint8)
    assert same(apply(nl.where, condition, A, ROW), np.where(COLUMN > 0, A, ROW))


@pytest.mark.parametrize("shape", [(128, 128), (32, 16), (64, 100)])
def test_transpose(shape):
    x = whole_numbers(*shape)
    assert same(apply(nl.transpose, x), x.T)


def test_matmul():
    x, y = whole_numbers(96, 128), whole_numbers(128, 512)
    assert same(apply(nl.matmul, x, y), x @ y)
    assert same(apply(lambda a, b: nl.matmul(a, b, transpose_x=True), x.T.copy(), y), x @ y)
    half = y.astype(ml_dtypes.bfloat16)
    assert same(apply(nl.matmul, x, half), x @ y)  # the narrow input is cast to the wide one


@pytest.mark.parametrize("kind", [np.float32, ml_dtypes.bfloat16, np.int32, np.uint8])
@pytest.mark.parametrize("columns", [64, 1500])
def test_one_partition_is_copied_to_many(kind, columns):
    limit = np.iinfo(kind) if np.issubdtype(kind, np.integer) else None
    row = np.random.default_rng(0).integers(
        limit.min if limit else -99, limit.max if limit else 99, (1, columns)
    )
    row = row.astype(kind)
    got = apply(lambda t: t.broadcast_to((128, columns)), row)
    assert same(got, np.broadcast_to(row, (128, columns)))


def test_free_dimensions_are_repeated_without_an_instruction():
    def kernel(a):
        return stored(nl.add(nl.load(a).broadcast_to((128, 64)), 1.0))

    out, trace = trnlab.run(entry.jit(kernel))(COLUMN)
    assert same(out, np.broadcast_to(COLUMN + 1, (128, 64)))
    assert trace.totals["instructions"] == 3


def test_gather_and_casts():
    index = np.random.default_rng(0).integers(0, 64, (128, 9)).astype(np.uint32)
    assert same(apply(nl.gather_flattened, A, index), np.take_along_axis(A, index.astype(int), 1))
    assert same(apply(lambda t: t.astype(nl.int32), A), A.astype(np.int32))
    assert same(nl.static_cast(A, nl.bfloat16), A.astype(ml_dtypes.bfloat16))
    assert nl.finfo(nl.float16).max == 65504
    assert nl.fp32.min == np.finfo(np.float32).min


def test_random_numbers_follow_from_the_seed():
    def drawn(seed):
        def kernel():
            nl.random_seed(seed)
            return stored(nl.rand((128, 64)))

        return trnlab.run(entry.jit(kernel), time=False)()[0]

    one = drawn(1)
    assert same(one, drawn(1))
    assert not same(one, drawn(2))
    assert one.min() >= 0
    assert one.max() < 1
    assert abs(one.mean() - 0.5) < 0.02


def test_dropout():
    ones = np.ones((128, 512), np.float32)
    assert same(apply(lambda t: nl.dropout(t, 0.0), ones), ones)
    assert same(apply(lambda t: nl.dropout(t, 1.0), ones), 0 * ones)
    kept = apply(nl.dropout, ones, np.full((1, 1), 0.25, np.float32)).mean()
    assert abs(kept - 0.75) < 0.01


# --- tensors


@pytest.mark.parametrize(("make", "value"), [(nl.zeros, 0), (nl.ones, 1)])
@pytest.mark.parametrize("buffer", [None, nl.sbuf, nl.psum])
def test_tensors_with_a_value(make, value, buffer):
    def kernel():
        like = nl.zeros_like(nl.full((4, 5), 3, nl.float32))
        like += make((4, 5), dtype=nl.float32, buffer=buffer)
        return stored(like)

    assert same(trnlab.run(entry.jit(kernel))()[0], np.full((4, 5), value, np.float32))


def test_block_dimensions_number_logical_tiles():
    def kernel(a):
        out = nl.ndarray((2, 3, 64, 8), a.dtype, buffer=nl.shared_hbm)
        tiles = nl.zeros((2, 3, nl.par_dim(64), 8), a.dtype)
        assert (tiles.shape, tiles.ndim, len(tiles), len(tiles[1])) == ((2, 3, 64, 8), 4, 2, 3)
        for i in nl.affine_range(2):
            for j in nl.affine_range(3):
                p, f = nl.mgrid[0:64, 0:8]
                tiles[i, j, p, f] = nl.load(a[i * 64 + p, j * 8 + f])
                tiles[i][j] += 1.0
        nl.store(out[0, 0], tiles[0, 0])
        for i, rows in enumerate(tiles):
            for j, tile in enumerate(rows):
                nl.store(out[i, j], tile[:, :])
        nl.store(out[1, 2, :, 0:4], tiles[:, 2][1][..., 4:8])
        return out

    want = (A[:, :24] + 1).reshape(2, 64, 3, 8).transpose(0, 2, 1, 3).copy()
    want[1, 2, :, :4] = want[1, 2, :, 4:]
    assert same(trnlab.run(entry.jit(kernel), time=False)(A)[0], want)


FOUR_TILES = (4, nl.par_dim(128), 16)


def placed_at(buffer, shape=FOUR_TILES):
    """Partition and byte of each logical tile that a placement gives."""
    found = []

    def kernel():
        tensor = nl.ndarray(shape, nl.float32, buffer=buffer)
        tiles = each_tile(tensor)
        found.extend(t.storage.address for t in tiles)

    entry.jit(kernel)()
    return found


PLACEMENTS = [
    (placing.sbuf_mod_alloc(base_addr=100), [(0, 100)] * 4),
    (placing.sbuf_mod_alloc(base_addr=100, num_free_tiles=(2,)), [(0, 100), (0, 164)] * 2),
    (placing.sbuf_alloc(lambda idx, pdim, fdim: (0, idx[0] * fdim)),
     [(0, 0), (0, 64), (0, 128), (0, 192)]),
    (placing.sbuf_alloc(lambda fdim_size, idx, pdim_size: (0, fdim_size)), [(0, 64)] * 4),
    (placing.psum_mod_alloc(base_bank=2), [(0, 4096)] * 4),
    (placing.psum_mod_alloc(base_bank=0, num_bank_tiles=(3,)),
     [(0, 0), (0, 2048), (0, 4096), (0, 0)]),
    (placing.psum_alloc(lambda idx, pdim_size, fdim_size: (7 - idx[0], 0, 0)),
     [(0, 2048 * (7 - i)) for i in range(4)]),
    (placing.auto_alloc(nl.psum)(), [None] * 4),
]  # fmt: skip


@pytest.mark.parametrize(("buffer", "want"), PLACEMENTS)
def test_where_kernels_put_their_tiles(buffer, want):
    assert placed_at(buffer) == want


def test_tiles_of_two_block_dimensions_take_turns_in_row_order():
    buffer = placing.sbuf_mod_alloc(base_addr=0, num_free_tiles=(2, 2))
    places = placed_at(buffer, (2, 3, nl.par_dim(128), 16))
    assert [byte // 64 for _, byte in places] == [0, 1, 0, 2, 3, 2]


def test_a_declaration_in_a_loop_keeps_its_address():
    def kernel(a):
        address, seen = 0, []
        for _ in nl.affine_range(3):
            for _ in nl.sequential_range(2):
                buffer = placing.sbuf_mod_alloc(base_addr=address)
                seen.append(nl.ndarray((nl.par_dim(128), 4), a.dtype, buffer=buffer))
                address += 1000
        for _ in nl.static_range(2):  # unrolled: two declarations
            buffer = placing.sbuf_mod_alloc(base_addr=address)
            seen.append(nl.ndarray((nl.par_dim(128), 4), a.dtype, buffer=buffer))
            address += 1000
        places.extend(t.storage.address[1] for t in seen)

    places = []
    entry.jit(kernel)(A)
    assert places == [0] * 6 + [6000, 7000]


def test_placed_tiles_that_do_not_fit():
    with pytest.raises(Violations, match="ends at byte 300,064"):
        placed_at(placing.sbuf_mod_alloc(base_addr=300_000))
    with pytest.raises(Violations, match="a placed tile cannot span banks"):
        placed_at(placing.psum_mod_alloc(base_bank=0, base_addr=2000))


# --- memory


def test_slices_past_the_end_are_legal_where_a_mask_cuts_them():
    def kernel(a):
        out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
        for start in (0, 128):
            rows = nl.arange(128)[:, None] + start
            tile = nl.load(a[start : start + 128, :], mask=rows < 200)
            nl.store(out[start : start + 128], tile, mask=rows < 200)
        return out

    a = whole_numbers(200, 16)
    assert same(trnlab.run(entry.jit(kernel))(a)[0], a)
    with pytest.raises(OutOfBounds, match="indices 100 to 227 leave dimension 0"):
        entry.jit(lambda t: stored(nl.load(t[100:228])))(a)


def test_numbers_and_psum_tiles_are_stored():
    def kernel(a):
        out = nl.ndarray((64, 192), a.dtype, buffer=nl.shared_hbm)
        nl.store(out[:, 0:64], 5.0)
        nl.store(out[:, 64:192], nisa.nc_transpose(nl.load(a)))
        return out

    want = np.concatenate([np.full((64, 64), 5, np.float32), A.T], axis=1)
    assert same(trnlab.run(entry.jit(kernel))(A)[0], want)


def test_loads_cast_and_turn():
    def kernel(a):
        out = nl.ndarray((64, 128), nl.bfloat16, buffer=nl.shared_hbm)
        nl.store(out, nl.load_transpose2d(a, dtype=nl.bfloat16))
        return out

    assert same(trnlab.run(entry.jit(kernel))(A)[0], A.T.astype(ml_dtypes.bfloat16))
    assert same(apply(lambda t: t[:, 3], A), A[:, 3:4])


def test_constants():
    def kernel():
        tile = nl.load(nl.shared_identity_matrix(16, dtype=nl.float32))
        return stored(nl.add(tile, nl.load(nl.shared_constant(np.ones((16, 16), np.float32)))))

    assert same(trnlab.run(entry.jit(kernel))()[0], np.eye(16, dtype=np.float32) + 1)


ROWS = np.random.default_rng(5).permutation(128)[:40].astype(np.int32)[:, None]


def test_rows_that_data_picks():
    def kernel(a, rows):
        index = nl.load(rows)
        f = nl.arange(64)[None, :]
        picked = nl.load(a[index, f])
        some = nl.zeros((40, 64), a.dtype)
        p = nl.arange(40)[:, None]
        some[...] = nl.load(a[index[p, 0], f], mask=p < 40)
        return stored(nl.add(picked, some))

    assert same(trnlab.run(entry.jit(kernel))(A, ROWS)[0], 2 * A[ROWS[:, 0]])


@pytest.mark.parametrize(
    ("pick", "want"),
    [
        (lambda a, i: a[i], lambda a, i: a[i]),
        (lambda a, i: a[:, i], lambda a, i: a[:, i]),
        (lambda a, i: a[1:7, i, 2:4], lambda a, i: a[1:7, i, 2:4]),
        (lambda a, i: a[3, i], lambda a, i: a[3, i][:, None]),
        (lambda a, i: a[nl.arange(8)[:, None], i, nl.arange(5)[None, :]], lambda a, i: a[:, i, :5]),
    ],
)
def test_a_number_in_a_tile_is_an_index(pick, want):
    def kernel(a, number):
        return stored(nl.load(pick(a, nl.load(number)[0, 0])))

    a = whole_numbers(8, 9, 10)
    number = np.full((1, 1), 4, np.int32)
    assert same(trnlab.run(entry.jit(kernel))(a, number)[0], want(a, 4))


@pytest.mark.parametrize("count", [40, 17])
def test_rows_that_data_picks_are_written(count):
    def kernel(a, b, rows):
        out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
        nl.store(out, nl.load(a))
        p, f = nl.arange(40)[:, None], nl.arange(64)[None, :]
        nl.store(out[nl.load(rows)[p, 0], f], nl.load(b[p, f]), mask=p < count)
        return out

    want = A.copy()
    want[ROWS[:count, 0]] = B[:count]
    assert same(trnlab.run(entry.jit(kernel))(A, B, ROWS)[0], want)


def test_a_row_that_does_not_exist():
    def kernel(a, rows):
        return stored(nl.load(a[nl.load(rows), nl.arange(64)[None, :]]))

    with pytest.raises(OutOfBounds, match="an index has the value 500"):
        trnlab.run(entry.jit(kernel))(A, np.full((4, 1), 500, np.int32))


def test_loops_on_data():
    def kernel(a, count):
        tile = nl.load(a)
        for _ in range(nl.scalar(nl.load(count))):
            tile += 1.0
        return stored(tile)

    count = np.full((1, 1), 3, np.int32)
    assert same(trnlab.run(entry.jit(kernel))(A, count)[0], A + 3)
    with pytest.raises(NotModelled, match="control flow that depends on data"):
        trnlab.run(entry.jit(kernel), values=False)(A, count)


# --- grids


def whoami():
    ids = nl.program_id(0), nl.program_id(1)
    out = nl.ndarray((4, 2, 1), nl.int32, buffer=nl.shared_hbm)
    assert (nl.num_programs(), nl.num_programs(axes=0), nl.num_programs((0, 1))) == (8, 4, 8)
    assert nl.program_ndim() == 2
    nl.store(out[ids], ids[0] * 10 + ids[1])
    return out


GRIDS = [
    ((4, 2), {0}),
    ((nl.nc(2) * 2, 2), {0, 1}),
    ((2 * nl.nc(2), 2), {0, 1}),
    ((nl.spmd_dim(nl.nc(2), 2), 2), {0, 1}),
    ((nl.nc(4), 2), {0, 1, 2, 3}),
]


@pytest.mark.parametrize(("grid", "cores"), GRIDS)
def test_instances_of_a_grid(grid, cores):
    out, trace = trnlab.run(entry.jit(whoami)[grid])()
    assert (out[..., 0] == np.add.outer(np.arange(4) * 10, np.arange(2))).all()
    assert trace.meta["cores"] == len(cores)


def test_where_instances_run():
    assert [(nl.nc(2) * 2).core(i) for i in range(4)] == [0, 0, 1, 1]
    assert [(2 * nl.nc(2)).core(i) for i in range(4)] == [0, 1, 0, 1]


# --- what is not there


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        (lambda t: nl.add(1, 2), NotModelled, "nl.add of two numbers"),
        (lambda t: nl.sum(t, axis=0), BadArguments, "over the partition dimension"),
        (lambda t: nl.add(t, nl.arange(64)[None, :]), BadArguments, "nisa.iota"),
        (lambda t: nl.add(t, t[:, 0:7]), BadArguments, "do not broadcast"),
        (lambda t: nl.full((4, 4), 1, nl.float32, buffer=nl.hbm), BadArguments, "with a value"),
        (lambda t: nl.all_reduce(t, np.add, 0), NotModelled, "language.all_reduce"),
        (lambda t: t[nl.load(t)], BadArguments, "a tile cannot choose partitions"),
        (lambda t: t.assert_shape((1, 2)), BadArguments, "not (1, 2)"),
        (lambda t: 1 if t else 0, BadArguments, "a branch on a tensor's value"),
    ],
)  # fmt: skip
def test_what_is_refused(wrong, error, text):
    with pytest.raises(error) as raised:
        apply(wrong, A)
    assert text in str(raised.value)


def test_names_that_nobody_knows():
    with pytest.raises(AttributeError, match="has no attribute 'fft'"):
        _ = nl.fft
