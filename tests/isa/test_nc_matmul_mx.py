from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, numbers, tile
from trnlab.formats import widen
from trnlab.isa.mx import NcMatmulMx, QuantizeMx
from trnlab.isa.rules import Compiler, version_of


def make(rows=128, dtype="float8_e4m3fn_x4", **changes):
    given: dict[str, Any] = {
        "dst": tile((64, 32), space="psum"),
        "stationary": tile((rows, 64), dtype),
        "moving": tile((rows, 32), dtype),
        "stationary_scale": tile((rows, 64), "uint8"),
        "moving_scale": tile((rows, 32), "uint8"),
    }
    return NcMatmulMx(**(given | changes))


def whole_numbers(*shape, seed):
    return np.random.default_rng(seed).integers(-6, 7, shape).astype(np.float32)


@pytest.mark.parametrize("rows", [32, 64, 128])
def test_contracts_over_partitions_and_packed_numbers(rows):
    left, right = whole_numbers(rows, 64, 4, seed=0), whole_numbers(rows, 32, 4, seed=1)
    expected = np.einsum("kmq,knq->mn", left, right)
    ones = np.full((rows, 64), 127, np.uint8).astype(np.float32)
    out = make(rows).value(left.reshape(rows, -1), right.reshape(rows, -1), ones, ones[:, :32])
    assert (out.dtype, out.shape) == (np.float32, (64, 32))
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("kind", ["uint8", "float8_e8m0fnu"])
def test_each_group_times_its_scale(kind):
    left, right = whole_numbers(64, 64, 4, seed=0), whole_numbers(64, 32, 4, seed=1)
    rng = np.random.default_rng(2)
    exponents = rng.integers(-3, 4, (8, 64)).astype(np.float32)
    factors = np.repeat(np.exp2(exponents), 8, axis=0)[:, :, None]
    scale = np.full((64, 64), np.nan, np.float32)  # of which four rows in 32 count
    held = exponents + 127 if kind == "uint8" else np.exp2(exponents)
    scale[:4], scale[32:36] = held[:4], held[4:]
    ones = np.full((64, 32), 127, np.float32)
    out = make(64, stationary_scale=tile((64, 64), kind)).value(
        left.reshape(64, -1), right.reshape(64, -1), scale, ones
    )
    np.testing.assert_array_equal(out, np.einsum("kmq,knq->mn", left * factors, right))


def test_what_quantize_mx_makes():
    data = {"stationary": numbers(128, 256), "moving": numbers(128, 128, seed=1)}
    arrays, scales = [], []
    for given in data.values():
        columns = given.shape[1] // 4
        quantize = QuantizeMx(
            tile((128, columns), "float8_e4m3fn_x4"),
            tile(given.shape, "bfloat16"),
            tile((128, columns), "float8_e8m0fnu"),
        )
        empty = np.ones((128, columns), ml_dtypes.float8_e8m0fnu)
        scale, packed = quantize.value(given.astype(ml_dtypes.bfloat16), empty)
        arrays.append(widen(packed, "float8_e4m3fn_x4"))
        scales.append(widen(scale))
    kinds: dict[str, Any] = {
        "stationary_scale": tile((128, 64), "float8_e8m0fnu"),
        "moving_scale": tile((128, 32), "float8_e8m0fnu"),
    }
    out = make(**kinds).value(*arrays, *scales)
    left, right = data["stationary"].reshape(128, 64, 4), data["moving"].reshape(128, 32, 4)
    expected = np.einsum("kmq,knq->mn", left, right)
    assert np.linalg.norm(out - expected) / np.linalg.norm(expected) < 0.05


INSIDE = "a row tile ends inside the array"
LEFT = "stationary is one of float8_e5m2_x4, float8_e4m3fn_x4, float4_e2m1fn_x4"


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({"dst": tile((64, 32))}, ["dst is in PSUM"]),
        ({"dst": tile((64, 32), "float16", "psum")}, ["dst is float32 or bfloat16"]),
        (
            {"moving": tile((128, 32), "float8_e4m3fn_x4", "psum")},
            ["moving is in SBUF"],
        ),
        ({"moving_scale": tile((128, 32), "uint8", "psum")}, ["moving_scale is in SBUF"]),
        ({"stationary": tile((128, 64), "float8_e4m3fn")}, [LEFT]),
        (
            {"moving": tile((96, 32), "float8_e4m3fn_x4")},
            ["both inputs span the same partitions"],
        ),
        (
            {
                "stationary": tile((128, 130), "float8_e4m3fn_x4"),
                "stationary_scale": tile((128, 130), "uint8"),
            },
            ["stationary is at most 128 columns wide", "dst has shape [130, 32]"],
        ),
        (
            {
                "stationary": tile((128, 63), "float8_e4m3fn_x4"),
                "dst": tile((63, 32), space="psum"),
            },
            ["stationary has an even number of columns"],
        ),
        (
            {
                "moving": tile((128, 4097), "float8_e4m3fn_x4"),
                "moving_scale": tile((128, 4097), "uint8"),
                "dst": tile((64, 4097), space="psum"),
            },
            ["moving streams at most 4096 columns"],
        ),
        ({"dst": tile((64, 16), space="psum")}, ["dst has shape [64, 32]"]),
        ({"tile_size": (128, 128)}, ["tile_position and tile_size are given together"]),
        (
            {"tile_size": (64, 128), "tile_position": (64, 0)},
            ["stationary fits the row tile"],
        ),
        ({"tile_size": (128, 64), "tile_position": (0, 0)}, ["a row tile takes all columns"]),
        (
            {"tile_size": (256, 128), "tile_position": (0, 0)},
            ["a row tile is 32, 64 or 128 high", INSIDE],
        ),
        (
            {"tile_size": (128, 128), "tile_position": (32, 0)},
            ["a row tile starts at a multiple of its height", INSIDE],
        ),
        ({"tile_size": (128, 128), "tile_position": (128, 0)}, [INSIDE]),
        ({"moving_scale": tile((128, 32))}, ["moving_scale is float8_e8m0fnu or uint8"]),
        (
            {"stationary_scale": tile((64, 64), "uint8")},
            ["stationary_scale spans at least 100 partitions"],
        ),
        (
            {"moving_scale": tile((128, 16), "uint8")},
            ["moving_scale has at least 32 elements a partition"],
        ),
        (
            {"moving_scale": tile((112, 32), "uint8", start=6)},
            ["moving_scale starts 0, 4, 8 or 12 partitions into a quadrant"],
        ),
    ],
)
def test_rule(changes, sentences):
    assert make().broken(TRN3) == []
    assert make(**changes).broken(TRN3) == sentences


def test_rows_come_in_quadrants():
    assert "both inputs span a multiple of 32 partitions" in make(48).broken(TRN3)


def test_formats_may_differ_and_bf16_results_be_twice_as_long():
    assert make(moving=tile((128, 32), "float4_e2m1fn_x4")).broken(TRN3) == []
    long: dict[str, Any] = {
        "moving": tile((128, 8192), "float8_e5m2_x4"),
        "moving_scale": tile((128, 8192), "uint8"),
        "dst": tile((64, 8192), "bfloat16", "psum"),
    }
    assert make(**long).broken(TRN3) == []


@pytest.mark.parametrize("core", [TRN1, TRN2])
def test_older_cores_lack_it(core):
    assert "needs a core with 'mx'" in make().broken(core)


def test_four_times_the_work_at_one_column_a_cycle():
    assert (make().queue, make().passes(TRN3), make().overhead(TRN3)) == ("tensor", 1, 0)
    assert make().elements() == 64
    wide: dict[str, Any] = {"moving": tile((128, 512), "float8_e4m3fn_x4")}
    assert make(**wide).elements() == 512
    assert make().operations() == 2 * 4 * 128 * 64 * 32


@pytest.mark.parametrize(
    ("changes", "version", "sentences"),
    [
        ({"accumulate": True}, "0.2", ["accumulate came with nki 0.3"]),
        (
            {"moving_scale": tile((128, 32), "float8_e8m0fnu")},
            "0.4",
            ["moving_scale is uint8"],
        ),
    ],
)
def test_rule_of_a_version(changes, version, sentences):
    assert make(**changes).broken(TRN3) == []
    assert make(**changes).broken(TRN3, Compiler(version_of(version))) == sentences
