"""`nki.language`: making tensors, the convenience functions against NumPy, and the small print."""

import math

import numpy as np
import pytest

from tests.support import load, nisa, nl, same, simulate, store, value, whole_numbers
from trnlab import NotModelled, Violations, formats
from trnlab.errors import BadArguments
from trnlab.studies.run import run_once

RNG = np.random.default_rng(0)
X = RNG.standard_normal((128, 24)).astype(np.float32)
Y = RNG.standard_normal((128, 24)).astype(np.float32)
POSITIVE = np.abs(X) + 0.25


def apply(function, *arrays, **how):
    """What a function of tiles gives for arrays."""
    return value(lambda *tensors: store(function(*(load(t) for t in tensors))), *arrays, **how)


# --- making tensors


@pytest.mark.parametrize(
    ("make", "number"), [(nl.zeros, 0), (nl.ones, 1), (lambda *a: nl.full(a[0], 2.5, a[1]), 2.5)]
)
def test_filled_tensors(make, number):
    out = value(lambda a: store(make((128, 3, 4), nl.float32)), X)
    assert same(out, np.full((128, 3, 4), number, np.float32))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32", "uint8"])
def test_tensors_like_others(dtype):
    def kernel(a):
        one = nl.ndarray((128, 4), dtype)
        return store(nl.zeros_like(one)), store(nl.zeros_like(one, dtype=nl.int16))

    same_kind, other = value(kernel, X)
    assert (same_kind.dtype, other.dtype) == (getattr(nl, dtype), np.int16)
    assert not same_kind.astype(np.float32).any()


def test_an_empty_tensor_like_another_is_where_it_is():
    seen = []

    def kernel(a):
        psum = nl.ndarray((128, 4), nl.float32, buffer=nl.psum)
        made = nl.empty_like(psum), nl.empty_like(psum, buffer=nl.sbuf)
        seen.extend((tensor.shape, tensor.dtype, tensor.space) for tensor in made)

    value(kernel, X)
    assert seen == [((128, 4), nl.float32, nl.psum), ((128, 4), nl.float32, nl.sbuf)]


@pytest.mark.parametrize("shape", [(128, 4), [128, 4], (np.int64(128), np.int32(4))])
def test_shapes_are_tuples_or_lists_of_whole_numbers(shape):
    assert value(lambda a: store(nl.zeros(shape, nl.float32)), X).shape == (128, 4)


@pytest.mark.parametrize("shape", [(128, 4.5), (128.5, 4), ("a", 4), None])
def test_shapes_of_anything_else_are_refused(shape):
    with pytest.raises(BadArguments, match="shape"):
        value(lambda a: nl.ndarray(shape, nl.float32), X)


@pytest.mark.parametrize("buffer", ["sbuf", 3, nl.float32])
def test_buffers_are_memories(buffer):
    with pytest.raises(BadArguments, match="is not a memory") as caught:
        value(lambda a: nl.ndarray((4, 4), nl.float32, buffer=buffer), X)
    assert caught.value.place is not None
    assert caught.value.place.file == __file__


def test_the_default_memory_is_sbuf():
    seen = []
    value(lambda a: seen.append(nl.ndarray((4, 4), nl.float32).space), X)
    assert seen == [nl.sbuf]


def test_tests_of_memories():
    assert nl.is_hbm(nl.shared_hbm)
    assert nl.is_hbm(nl.private_hbm)
    assert not nl.is_hbm(nl.sbuf)
    assert nl.is_sbuf(nl.sbuf)
    assert nl.is_psum(nl.psum)
    assert [nl.is_on_chip(b) for b in (nl.sbuf, nl.psum, nl.hbm)] == [True, True, False]


def test_dtypes_are_numpys_and_can_be_asked_about():
    assert nl.float32 == np.float32
    assert nl.float32 == "float32"
    assert nl.bfloat16 != nl.float16
    assert (nl.bfloat16.itemsize, nl.float8_e4m3.itemsize, nl.float32.itemsize) == (2, 1, 4)


# --- functions of one tile


UNARY = {
    "exp": np.exp, "log": np.log, "sin": np.sin, "arctan": np.arctan, "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x), "square": np.square, "tanh": np.tanh, "sign": np.sign,
    "abs": np.abs, "relu": lambda x: np.maximum(x, 0), "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)), "softplus": lambda x: np.log1p(np.exp(x)),
    "erf": np.vectorize(math.erf), "negative": np.negative, "reciprocal": lambda x: 1 / x,
    "gelu": lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2,
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))), "copy": lambda x: x,
}  # fmt: skip
ONLY_POSITIVE = {"log", "sqrt", "rsqrt"}


@pytest.mark.parametrize("name", sorted(UNARY))
def test_functions_of_one_tile(name):
    x = POSITIVE if name in ONLY_POSITIVE else np.clip(X, -3, 3)  # sine is for [-pi, pi]
    out = apply(getattr(nl, name), x)
    expected = UNARY[name](x.astype(np.float64))
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, expected, rtol=3e-6, atol=3e-6)


def test_cosine_by_a_shifted_sine():
    x = np.linspace(-3 * np.pi / 2, np.pi / 2, 128, dtype=np.float32).reshape(128, 1)
    np.testing.assert_allclose(apply(nl.cos, x), np.cos(x), atol=1e-6)


def test_a_result_takes_the_dtype_that_is_asked_for():
    def kernel(a):
        tile = load(a)
        return store(nl.exp(tile, dtype=nl.bfloat16)), store(nl.add(tile, tile, dtype=nl.int32))

    one, other = value(kernel, whole_numbers(128, 4))
    assert (one.dtype, other.dtype) == (nl.bfloat16, np.int32)
    assert same(other, (2 * whole_numbers(128, 4)).astype(np.int32))


# --- functions of two tiles


BINARY = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "maximum": np.maximum,
    "minimum": np.minimum, "equal": np.equal, "not_equal": np.not_equal, "greater": np.greater,
    "greater_equal": np.greater_equal, "less": np.less, "less_equal": np.less_equal,
    "logical_and": np.logical_and, "logical_or": np.logical_or, "logical_xor": np.logical_xor,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(BINARY))
def test_functions_of_two_tiles(name):
    a, b = whole_numbers(128, 24, below=2), whole_numbers(128, 24, seed=1, below=2)
    out = apply(getattr(nl, name), a, b)
    assert same(out, BINARY[name](a, b).astype(np.float32))


@pytest.mark.parametrize("name", sorted(BINARY))
def test_a_tile_and_a_number_either_way_round(name):
    function, x = getattr(nl, name), whole_numbers(128, 4)
    assert same(apply(lambda t: function(t, 3.0), x), BINARY[name](x, 3).astype(np.float32))
    assert same(apply(lambda t: function(3.0, t), x), BINARY[name](3, x).astype(np.float32))


@pytest.mark.parametrize(
    ("name", "numpys"),
    [
        ("bitwise_and", np.bitwise_and),
        ("bitwise_or", np.bitwise_or),
        ("bitwise_xor", np.bitwise_xor),
    ],
)
def test_functions_of_bits(name, numpys):
    a, b = (RNG.integers(-(2**31), 2**31, (128, 4)).astype(np.int32) for _ in range(2))
    assert same(apply(getattr(nl, name), a, b), numpys(a, b))


@pytest.mark.parametrize(
    ("name", "expected"), [("left_shift", 0xF0F0F0F0), ("right_shift", 0x00F0F0F0)]
)
def test_shifts_are_logical(name, expected):
    start = {"left_shift": 0x0F0F0F0F, "right_shift": 0x0F0F0F0F}[name]
    a = np.full((128, 1), start, np.uint32)
    assert same(apply(lambda t: getattr(nl, name)(t, 4), a), np.full((128, 1), expected, np.uint32))


def test_two_tiles_must_have_one_shape():
    """The current API never broadcasts: what the device rejects is rejected here."""
    with pytest.raises(Exception, match="equally long rows"):
        apply(nl.add, X, X[:, 0:1].copy())


# --- reductions


@pytest.mark.parametrize(("name", "numpys"), [("sum", np.sum), ("max", np.max), ("min", np.min)])
@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((128, 24), 1), ((128, 4, 6), 2), ((128, 4, 6), (1, 2)), ((128, 24), -1),
     ((128, 4, 6), [1, 2])],
)  # fmt: skip
def test_reductions_over_trailing_axes(name, numpys, shape, axis, keepdims):
    x = whole_numbers(*shape)
    out = apply(lambda t: getattr(nl, name)(t, axis, keepdims=keepdims), x)
    axes = tuple(axis) if isinstance(axis, list) else axis
    expected = numpys(x, axis=axes, keepdims=keepdims).astype(np.float32)
    assert same(out, expected.reshape(out.shape))
    if keepdims:
        assert out.shape == expected.shape


def test_a_product():
    x = whole_numbers(128, 5, below=3)
    assert same(apply(lambda t: nl.prod(t, 1, keepdims=True), x), np.prod(x, 1, keepdims=True))


def test_a_mean_is_kept_in_fp32_until_the_end():
    x = np.full((128, 1000), 3.0, np.float16)
    out = apply(lambda t: nl.mean(t, 1, keepdims=True), x)
    assert same(out, np.full((128, 1), 3.0, np.float16))


# --- composites


def test_softmax():
    x = X * 8
    shifted = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
    np.testing.assert_allclose(
        apply(nl.softmax, x), shifted / shifted.sum(axis=1, keepdims=True), rtol=1e-5, atol=1e-7
    )


def test_softmax_of_large_numbers_does_not_overflow():
    out = apply(nl.softmax, np.full((128, 8), 1e30, np.float32))
    np.testing.assert_allclose(out, np.full((128, 8), 0.125), rtol=1e-6)


def test_rms_norm():
    w = np.broadcast_to(RNG.standard_normal((1, 24)), (128, 24)).astype(np.float32)
    out = value(lambda x, w: store(nl.rms_norm(load(x), load(w), 1, 24)), X, w)
    wide = X.astype(np.float64)
    expected = wide / np.sqrt((wide**2).mean(axis=1, keepdims=True) + 1e-6) * w
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("other", ["tile", "number"])
def test_where(other):
    condition = (X > 0).astype(np.float32)

    def kernel(c, x, y):
        return store(nl.where(load(c), load(x), load(y) if other == "tile" else -1.0))

    expected = np.where(X > 0, X, Y if other == "tile" else np.float32(-1))
    assert same(value(kernel, condition, X, Y), expected)


def test_where_between_two_numbers():
    condition = (X > 0).astype(np.float32)
    out = value(lambda c: store(nl.where(load(c), 1.0, -1.0)), condition)
    assert same(out, np.where(X > 0, 1, -1).astype(np.float32))


def test_matmul_and_transpose():
    a, b = whole_numbers(64, 96), whole_numbers(64, 40, seed=1)
    out = value(lambda a, b: store(nl.copy(nl.matmul(load(a), load(b), transpose_x=True))), a, b)
    assert same(out, a.T @ b)
    plain = run_once(
        lambda a, b: store(nl.copy(nl.matmul(load(a), load(b)))),
        (np.ascontiguousarray(a.T), b), {}, strict=False,
    )  # fmt: skip
    assert same(plain.outputs, a.T @ b)
    assert [v.rule for v in plain.violations] == ["matmul/is-called-without-transpose_x"]
    assert same(
        value(lambda a: store(nl.copy(nl.transpose(load(a)))), a), np.ascontiguousarray(a.T)
    )


def test_loads_and_stores():
    def kernel(a):
        out = nl.ndarray(a.shape, nl.bfloat16, buffer=nl.shared_hbm)
        nl.store(out, nl.load(a, dtype=nl.bfloat16))
        return out

    assert same(value(kernel, X), X.astype(nl.bfloat16))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_load_may_transpose(dtype):
    a = whole_numbers(96, 64).astype(getattr(nl, dtype))
    assert same(value(lambda a: store(nl.load_transpose2d(a)), a), np.ascontiguousarray(a.T))


def test_a_transposing_load_from_the_kernels_own_hbm_is_rejected_as_on_the_device():
    def kernel(a):
        local = nl.ndarray((64, 64), nl.float32, buffer=nl.hbm)
        nl.load_transpose2d(local)

    with pytest.raises(Violations, match="local to the kernel"):
        value(kernel, X)


def test_broadcasts_and_new_dimensions():
    x = whole_numbers(128, 1)
    assert same(apply(lambda t: nl.broadcast_to(t, (128, 8)), x), np.repeat(x, 8, axis=1))
    assert same(apply(lambda t: nl.broadcast_to(t, (128, 1)), x), x)
    assert apply(lambda t: nl.copy(nl.expand_dims(t, 1)), x).shape == (128, 1, 1)


@pytest.mark.parametrize("function", [nl.abs_max, nl.abs_min])
def test_magnitudes_are_compared_with_a_column(function):
    column = whole_numbers(128, 1)
    wide = np.repeat(column, 24, axis=1)
    both = [apply(lambda x, y: function(x, y), X * 9, y, chip="trn3") for y in (column, wide)]
    turned = [apply(lambda x, y: function(y, x), X * 9, y, chip="trn3") for y in (column, wide)]
    assert same(*both)
    assert same(*turned)
    with pytest.raises(Violations, match="equally long rows"):
        apply(nl.add, X, column)


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "float16", "int32", "uint8", "int16"])
@pytest.mark.parametrize("shape", [(1, 700), (1, 3, 1), (1, 5, 4)])
def test_a_partition_is_copied_to_others_bit_by_bit(kind, shape):
    dtype = formats.storage(formats.format_of(kind))
    bits = RNG.integers(-(2**31), 2**31, size=shape) if np.dtype(dtype).kind in "iu" else None
    x = whole_numbers(*shape).astype(dtype) / 3 if bits is None else bits.astype(dtype)
    x = x.astype(dtype)
    wide = (96, *shape[1:-1], 700 if shape[-1] == 700 else 4)
    out = apply(lambda t: nl.broadcast_to(t, wide), x)
    assert same(out, np.broadcast_to(x, wide))


def test_constants_and_identities():
    table = whole_numbers(4, 6)

    def kernel(a):
        one = nl.load(nl.shared_constant(table))
        return store(one), store(nl.shared_identity_matrix(8, nl.float32))

    constant, identity = value(kernel, X)
    assert same(constant, table)
    assert same(identity, np.eye(8, dtype=np.float32))


@pytest.mark.parametrize("dtype", ["int32", "uint32"])
def test_whole_constants_stay_exact(dtype):
    table = np.array([[2**24 + 1, 2**31 - 1]], dtype)
    out = value(lambda a: store(nl.load(nl.shared_constant(table))), X)
    assert same(out, table)


def test_an_identity_says_that_it_costs_nothing():
    trace = simulate(lambda a: store(nl.shared_identity_matrix(8, nl.float32)), X)[1]
    assert "identity" in str(trace.meta["notes"])


# --- the small print


def test_loops_are_pythons():
    for loop in (nl.affine_range, nl.sequential_range, nl.static_range):
        assert list(loop(3)) == [0, 1, 2]
        assert list(loop(2, 8, 3)) == [2, 5]


def test_programs_know_where_they_are():
    seen = []

    def kernel(a):
        seen.append((nl.program_id(0), nl.num_programs(0), nl.program_ndim()))

    value(kernel, X)
    assert seen == [(0, 1, 0)]


def test_sizes_of_tiles():
    sizes = []

    def kernel(a):
        sizes.append(nl.tile_size.total_available_sbuf_size)

    for chip in ("trn1", "trn2", "trn3"):
        value(kernel, X, chip=chip)
    assert sizes == [180_224, 212_984, 245_752]
    size = nl.tile_size
    assert (size.pmax, size.psum_fmax, size.psum_bank_fmax) == (128, 512, 512)
    assert (size.gemm_stationary_fmax, size.gemm_moving_fmax, size.bn_stats_fmax) == (128, 512, 512)
    assert (size.psum_num_banks, size.psum_min_align, size.sbuf_min_align) == (8, 4, 1)


def test_printing_from_a_kernel(capsys):
    def kernel(a):
        nl.device_print("tile", load(a))

    value(kernel, np.array([[1.0, 2.0]], np.float32))
    assert capsys.readouterr().out == "tile [[1. 2.]]\n"
    value(kernel, np.array([[1.0, 2.0]], np.float32), values=False)
    assert capsys.readouterr().out == ""


def test_operators_that_are_no_functions_say_how_they_are_used():
    with pytest.raises(NotModelled, match="pass it as op="):
        value(lambda a: nl.bypass(load(a), 1.0), X)


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(AttributeError, match="did you mean 'multiply'"):
        _ = nl.multiplyy
    assert not hasattr(nl, "nothing_like_it_at_all")


def test_infinity_and_nan_are_data():
    x = np.array([[np.inf, -np.inf, np.nan, 0.0, -0.0, 3e38]], np.float32)
    out = apply(lambda t: nl.add(nl.multiply(t, 2.0), 1.0), x)
    np.testing.assert_array_equal(out, [[np.inf, -np.inf, np.nan, 1, 1, np.inf]])
    np.testing.assert_array_equal(apply(nl.exp, x)[0, :2], [np.inf, 0])
    assert np.isnan(apply(lambda t: nl.max(t, 1, keepdims=True), x)).all()


def test_nothing_here_runs_an_instruction_unasked():
    def kernel(a):
        made = nl.ndarray((128, 4), nl.float32)
        _ = made[0:32, 1:3].view(nl.uint16), nl.expand_dims(made, 1), nl.empty_like(made)
        nisa.memset(made, 0.0)

    assert simulate(kernel, X)[1].totals["instructions"] == 1


def test_outside_of_a_kernel_there_is_no_grid():
    assert nl.program_id(0) is None
    assert nl.num_programs() is None
    assert nl.program_ndim() is None


def test_a_constant_may_be_a_file(tmp_path):
    np.save(tmp_path / "constant.npy", X)
    path = str(tmp_path / "constant.npy")
    out = value(lambda a: store(nl.add(load(a), load(nl.shared_constant(path)))), Y)
    assert same(out, X + Y)


def test_every_format_has_its_name_in_the_language():
    assert nl.bool == np.bool_
    assert nl.DTYPES["float8_e4m3fn_x4"] is nl.float8_e4m3fn_x4
    assert nl.par_dim(128) == 128


def test_a_constant_from_a_file_that_is_not_there():
    with pytest.raises(BadArguments, match="no array can be read from 'a'"):
        value(lambda a: nl.shared_constant("a"), X)
