"""Numbers through whole kernels: random ones, block-scaled ones, fp8 in pairs, conversions."""

import ml_dtypes
import numpy as np
import pytest

from tests.nki.older import converted, drawn
from tests.support import load, nisa, nl, same, store, value
from trnlab import Violations

ANY = np.ones((128, 4), np.float32)


# --- sine


def sine(x, function=nl.sin, dtype=np.float32):
    return value(lambda a: store(function(load(a))), x.astype(dtype))


@pytest.mark.parametrize(("reach", "error"), [(3.0, 3e-7), (100.0, 5e-7), (400_000.0, 1e-6)])
def test_sine_takes_whole_turns_off_first(reach, error):
    x = np.linspace(-reach, reach, 128 * 64).astype(np.float32).reshape(128, 64)
    np.testing.assert_allclose(sine(x), np.sin(x.astype(np.float64)), atol=error)
    shifted = x.astype(np.float32) + np.float32(np.pi / 2)
    np.testing.assert_allclose(sine(x, nl.cos), np.sin(shifted.astype(np.float64)), atol=error)


def test_sine_in_bf16_and_of_nan():
    x = np.full((4, 2), 9.0)
    assert same(sine(x, dtype=ml_dtypes.bfloat16), np.sin(x).astype(ml_dtypes.bfloat16))
    assert np.isnan(sine(np.full((4, 2), np.nan))).all()


def test_the_instruction_itself_reduces_nothing():
    def kernel(a):
        tile = load(a)
        nisa.activation(tile, nl.sin, tile)
        return store(tile)

    np.testing.assert_allclose(value(kernel, np.full((1, 1), 9, np.float32)), 27.65, atol=0.01)


# --- random numbers


def seeded(kernel, seed, chip):
    """What a kernel of a seed tensor returns."""
    return value(lambda s: kernel(load(s)), np.array([[seed]], np.uint32), chip=chip)


@pytest.mark.parametrize("chip", ["trn1", "trn2", "trn3"])
def test_a_seed_gives_one_sequence(chip):
    def kernel(seed):
        nl.random_seed(seed)
        first, second = nl.rand((128, 512), nl.float32), nl.rand((128, 512), nl.float32)
        nl.random_seed(seed)
        return store(first), store(second), store(nl.rand((128, 512), nl.float32))

    first, second, again = seeded(kernel, 42, chip)
    assert same(first, again)
    assert not same(first, second)
    assert not same(first, seeded(kernel, 43, chip)[0])
    assert 0 <= first.min() < 1e-3 < 0.999 < first.max() < 1
    assert abs(first.mean() - 0.5) < 0.005
    assert abs(np.corrcoef(first[:, 1:].ravel(), first[:, :-1].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(first[1:].ravel(), first[:-1].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize(("chip", "engine", "words"), [
    ("trn2", "gpsimd", 6), ("trn3", "gpsimd", 6), ("trn3", "vector", 24),
])  # fmt: skip
def test_states_are_kept_and_set_again(chip, engine, words):
    on = getattr(nisa.engine, engine)

    def kernel(_):
        kept = nl.ndarray((128, words), nl.uint32)
        nisa.rand_get_state(kept, on)
        drawn = [nl.ndarray((128, 16), nl.uint32), nl.ndarray((128, 16), nl.uint32)]
        nisa.rng(drawn[0], on)
        nisa.rand_set_state(kept, engine=on)
        nisa.rng(drawn[1], on)
        return store(drawn[0]), store(drawn[1]), store(kept)

    first, second, kept = value(kernel, ANY, chip=chip)
    assert same(first, second)
    assert len(np.unique(kept)) > 0.99 * kept.size


def test_engines_draw_from_states_of_their_own():
    def kernel(mixed):
        vector, gpsimd = nl.ndarray((128, 8), nl.uint32), nl.ndarray((128, 8), nl.uint32)
        if mixed:
            nisa.rng(vector, nisa.engine.vector)
        nisa.rng(gpsimd, nisa.engine.gpsimd)
        return store(gpsimd)

    assert same(value(lambda _: kernel(True), ANY), value(lambda _: kernel(False), ANY))


def test_dropout_keeps_the_rest():
    x = np.arange(1, 128 * 256 + 1, dtype=np.float32).reshape(128, 256)
    out = value(lambda a: store(nl.dropout(load(a), 0.25)), x)
    assert abs((out == 0).mean() - 0.25) < 0.01
    assert same(out, np.where(out == 0, np.float32(0), x))
    cast = value(lambda a: store(nl.dropout(load(a), 0.0, dtype=nl.bfloat16)), x)
    assert same(cast, x.astype(ml_dtypes.bfloat16))


def test_both_generations_draw_alike():
    def new(seed):
        nl.random_seed(seed)
        return store(nl.rand((64, 32), nl.float32))

    old = value(drawn, np.array([[7]], np.uint32))
    assert same(seeded(new, 7, "trn2"), old)


# --- block-scaled formats, on Trainium3

FP8, FP4, E8M0 = ml_dtypes.float8_e4m3fn, ml_dtypes.float4_e2m1fn, ml_dtypes.float8_e8m0fnu
PACKED = {"float8_e4m3fn_x4": FP8, "float8_e5m2_x4": ml_dtypes.float8_e5m2}


def block_scales(data, dtype):
    """Scales and scaled numbers by the published formula, in fp64: one of 8 x 4 numbers each."""
    rows, columns = data.shape
    groups = data.astype(np.float64).reshape(rows // 8, 8, columns // 4, 4)
    largest = np.abs(groups).max(axis=(1, 3))
    top = {FP8: 8, ml_dtypes.float8_e5m2: 15}[dtype]
    with np.errstate(divide="ignore"):
        power = np.floor(np.log2(largest)) - (top - 1)
    scale = np.exp2(np.where(largest == 0, -127, np.clip(power, -127, 127)))
    scaled = groups / scale[:, None, :, None]
    return scale, scaled.astype(np.float32).astype(dtype).reshape(rows, columns)


def spread(scale, rows, start=0):
    """Scales where the device wants them: four rows in each 32."""
    out = np.ones((rows, scale.shape[1]), E8M0)
    for group, line in enumerate(scale):
        out[start + group // 4 * 32 + group % 4] = line.astype(np.float32).astype(E8M0)
    return out


def blocks(rows, columns, seed):
    rng = np.random.default_rng(seed)
    data = rng.standard_normal((rows, columns)) * np.exp2(rng.integers(-20, 20, (rows, columns)))
    data[:8, :4] = 0
    return data.astype(ml_dtypes.bfloat16)


@pytest.mark.parametrize("rows", [32, 64, 128])
@pytest.mark.parametrize("name", PACKED)
def test_quantized_blocks_follow_the_published_formula(name, rows):
    data = blocks(rows, 64, seed=rows)

    def kernel(a, fill):
        scales = load(fill)
        packed = nl.ndarray((rows, 16), getattr(nl, name))
        nisa.quantize_mx(packed, load(a), scales)
        return store(packed.view(nl.uint8)), store(scales)

    codes, scales = value(kernel, data, np.ones((rows, 16), E8M0), chip="trn3")
    scale, scaled = block_scales(data, PACKED[name])
    assert same(codes, scaled.view(np.uint8))
    assert same(scales, spread(scale, rows))


def packed4(values):
    """Two fp4 numbers a byte, the first in the lower half."""
    codes = values.astype(FP4).view(np.uint8)
    return codes[:, 0::2] | codes[:, 1::2] << 4


@pytest.mark.parametrize("start", [0, 4, 8, 12])
@pytest.mark.parametrize("kinds", [("fp8", "fp8"), ("fp4", "fp4"), ("fp8", "fp4")])
def test_block_scaled_matmul(kinds, start):
    rows, m, n = 64, 16, 24
    rng = np.random.default_rng(start)
    sides, expected = [], []
    for kind, columns in zip(kinds, (m, n), strict=True):
        data = rng.choice([-6, -4, -3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 6],
                          (rows, 4 * columns)).astype(np.float32)  # fmt: skip
        codes = packed4(data) if kind == "fp4" else data.astype(FP8).view(np.uint8)
        powers = np.exp2(rng.integers(-2, 3, (rows // 8, columns)))
        sides.append((codes, spread(powers, rows + start, start)[start:]))
        wide = data.reshape(rows, columns, 4) * np.repeat(powers, 8, axis=0)[:, :, None]
        expected.append(wide)
    names = {"fp8": nl.float8_e4m3fn_x4, "fp4": nl.float4_e2m1fn_x4}

    def kernel(left, left_scale, right, right_scale):
        tiles = []
        for codes, kind in ((left, kinds[0]), (right, kinds[1])):
            tiles.append(load(codes).view(names[kind]))
        scales = []
        for given in (left_scale, right_scale):
            held = nl.ndarray((rows + start, given.shape[1]), nl.float8_e8m0fnu)
            nisa.dma_copy(held[start:], given)
            scales.append(held[start:])
        out = nl.ndarray((m, n), nl.float32, buffer=nl.psum)
        for _ in range(2):
            nisa.nc_matmul_mx(out, *tiles, *scales)
        copied = nl.ndarray((m, n), nl.float32)
        nisa.tensor_copy(copied, out)
        return store(copied)

    got = value(kernel, *sides[0], *sides[1], chip="trn3")
    assert same(got, 2 * np.einsum("kmq,knq->mn", *expected).astype(np.float32))


def test_scales_elsewhere_in_a_quadrant_are_refused():
    def kernel(a):
        packed = nl.ndarray((32, 8), nl.float8_e4m3fn_x4)
        scales = nl.ndarray((64, 8), nl.float8_e8m0fnu)
        nisa.quantize_mx(packed, load(a), scales[16:])
        return store(packed.view(nl.uint8))

    with pytest.raises(Violations, match="starts 0, 4, 8 or 12 partitions into a quadrant"):
        value(kernel, blocks(32, 32, 0), chip="trn3")


# --- fp8 in pairs of rows


@pytest.mark.parametrize("name", ["float8_e4m3", "float8_e5m2"])
def test_double_row_contracts_over_both_rows(name):
    kind = getattr(ml_dtypes, name)
    rng = np.random.default_rng(0)
    left = rng.integers(-4, 5, (128, 2, 32)).astype(kind)
    right = rng.integers(-4, 5, (128, 2, 64)).astype(kind)

    def kernel(a, b):
        out = nl.ndarray((32, 64), nl.float32, buffer=nl.psum)
        nisa.nc_matmul(out, load(a), load(b), perf_mode=nisa.matmul_perf_mode.double_row)
        copied = nl.ndarray((32, 64), nl.float32)
        nisa.tensor_copy(copied, out)
        return store(copied)

    expected = np.einsum("krm,krn->mn", left.astype(np.float64), right.astype(np.float64))
    assert same(value(kernel, left, right), expected.astype(np.float32))


# --- conversions


def cast(values, name, source=np.float32, chip="trn2"):
    """fp32 numbers through a copy into a tile of another dtype."""

    def kernel(a):
        tile = nl.ndarray(a.shape, getattr(nl, name))
        nisa.tensor_copy(tile, load(a))
        return store(tile)

    return value(kernel, np.asarray(values, source).reshape(1, -1), chip=chip)[0]


def test_largest_fp8_numbers():
    edge = [240.0, 247.99, 248.0, 448.0, 463.99, 464.0, 57344.0, 61439.9, 61440.0]
    e4m3, e5m2 = cast(edge, "float8_e4m3"), cast(edge, "float8_e5m2")
    assert e4m3.astype(np.float32).tolist() == [240, 240, *[np.inf] * 7]
    assert e5m2.astype(np.float32)[-3:].tolist() == [57344, 57344, np.inf]
    ocp = cast(edge, "float8_e4m3fn", chip="trn3").astype(np.float32)
    assert ocp[:6].tolist() == [240, 240, 256, 448, 448, 448]
    assert np.isnan(ocp[6:]).all()


@pytest.mark.parametrize("name", ["int8", "uint8", "int16", "uint16", "int32", "uint32"])
def test_integers_round_to_even_and_saturate(name):
    limits = np.iinfo(name)
    values = np.float32([0.5, 1.5, 2.5, -0.5, -1.5, 1e30, -1e30, np.inf, -np.inf, np.nan])
    low = [max(limits.min, n) for n in (0, -2)]
    expected = [0, 2, 2, *low, limits.max, limits.min, limits.max, limits.min, 0]
    assert cast(values, name).tolist() == expected


def test_all_codes_of_fp8_are_read_exactly_by_an_engine():
    for name in ("float8_e4m3", "float8_e5m2", "float8_e4m3fn"):
        kind = np.dtype(getattr(ml_dtypes, name))
        codes = np.arange(256, dtype=np.uint8).view(kind)
        got = cast(codes, "float32", kind, chip="trn3")
        assert np.array_equal(got, codes.astype(np.float32), equal_nan=True)


def test_older_isa_has_the_same_conversions():
    values = np.float32([[0.5, 1.5, 300.0, -300.0, np.nan]])

    assert value(converted, values).tolist() == [[0, 2, 127, -128, 0]]
