import ml_dtypes
import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, numbers, same, tile
from trnlab.formats import storage, widen
from trnlab.isa.mx import QuantizeMx
from trnlab.isa.rules import Compiler, version_of

E8M0 = ml_dtypes.float8_e8m0fnu


def make(**changes):
    given = {
        "dst": tile((128, 16), "float8_e4m3fn_x4"),
        "src": tile((128, 64), "bfloat16"),
        "dst_scale": tile((128, 16), "uint8"),
    }
    return QuantizeMx(**(given | changes))


def small(value, dtype="float8_e4m3fn_x4"):
    """One group of 32 with one number that is not 0: its code and its scale."""
    src = np.zeros((32, 4), ml_dtypes.bfloat16)
    src[3, 1] = value
    instruction = make(
        dst=tile((32, 1), dtype), src=tile((32, 4), "bfloat16"), dst_scale=tile((4, 1), "uint8")
    )
    scale, packed = instruction.value(src, np.zeros((4, 1), np.uint8))
    return widen(packed, dtype)[3, 1], int(scale[0, 0])


@pytest.mark.parametrize(
    ("value", "code", "exponent"),
    [(1.0, 128.0, -7), (-1.0, -128.0, -7), (1.9921875, 256.0, -7), (448.0, 224.0, 1)],
)
def test_scale_of_e4m3(value, code, exponent):
    assert small(value) == (code, exponent + 127)


@pytest.mark.parametrize(("value", "code", "exponent"), [(1.0, 2.0**14, -14), (3.0, 24576.0, -13)])
def test_scale_of_e5m2(value, code, exponent):
    assert small(value, "float8_e5m2_x4") == (code, exponent + 127)


def test_a_group_of_zeros_has_the_smallest_scale():
    assert small(0.0) == (0, 0)


@pytest.mark.parametrize("dtype", ["float8_e4m3fn_x4", "float8_e5m2_x4"])
def test_quantized_numbers_times_scales_are_the_numbers(dtype):
    data = (numbers(128, 64) * np.exp2(numbers(128, 64, seed=1) * 3)).astype(ml_dtypes.bfloat16)
    kept = np.full((128, 16), 7, np.uint8)
    scale, packed = make(dst=tile((128, 16), dtype)).value(data, kept)
    assert (packed.dtype, packed.shape) == (storage(dtype), (128, 16))
    rows = [quadrant * 32 + group for quadrant in range(4) for group in range(4)]
    factors = np.exp2(scale[rows].astype(np.float32) - 127)
    values = widen(packed, dtype).reshape(16, 8, 16, 4) * factors[:, None, :, None]
    wide = data.astype(np.float32).reshape(16, 8, 16, 4)
    largest = np.abs(wide).max(axis=(1, 3), keepdims=True)
    step = 2.0**-4 if dtype == "float8_e4m3fn_x4" else 2.0**-3
    assert (np.abs(values - wide) <= step * np.maximum(np.abs(wide), largest * 2.0**-13)).all()
    untouched = np.delete(scale, rows, axis=0)
    assert same(untouched, np.full((112, 16), 7, np.uint8))


def test_scales_as_powers_of_two_and_further_columns():
    src = np.ones((32, 8), ml_dtypes.bfloat16)
    instruction = make(
        src=tile((32, 8), "bfloat16"),
        dst=tile((32, 2), "float8_e4m3fn_x4"),
        dst_scale=tile((32, 3), "float8_e8m0fnu"),
    )
    assert instruction.broken(TRN3) == []
    scale, _ = instruction.value(src, np.ones((32, 3), E8M0))
    expected = np.ones((32, 3), E8M0)
    expected[:4, :2] = 2.0**-7
    assert same(scale, expected)


def test_the_scale_is_read_because_most_of_it_stays():
    assert make().reads() == ("src", "dst_scale")
    assert make().written() == ("dst_scale", "dst")
    assert make().keeps_bits


@pytest.mark.parametrize("start", [4, 8, 12])
def test_scales_of_several_tiles_share_one(start):
    assert make(dst_scale=tile((128 - start, 16), "uint8", start=start)).broken(TRN3) == []


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({"src": tile((128, 64), "bfloat16", "psum")}, ["src is in SBUF"]),
        ({"src": tile((128, 64))}, ["src is float16 or bfloat16"]),
        (
            {"dst": tile((128, 16), "float4_e2m1fn_x4")},
            ["dst is float8_e4m3fn_x4 or float8_e5m2_x4"],
        ),
        (
            {
                "src": tile((48, 64), "bfloat16"),
                "dst": tile((48, 16), "float8_e4m3fn_x4"),
            },
            ["src spans a multiple of 32 partitions"],
        ),
        ({"src": tile((128, 66), "bfloat16")}, ["src has a multiple of 4 elements a partition"]),
        ({"dst": tile((128, 8), "float8_e4m3fn_x4")}, ["dst has shape [128, 16]"]),
        ({"dst_scale": tile((128, 16), "int8")}, ["dst_scale is float8_e8m0fnu or uint8"]),
        ({"dst_scale": tile((64, 16), "uint8")}, ["dst_scale spans at least 100 partitions"]),
        (
            {"dst_scale": tile((128, 15), "uint8")},
            ["dst_scale has at least 16 elements a partition"],
        ),
        (
            {"dst_scale": tile((112, 16), "uint8", start=16)},
            ["dst_scale starts 0, 4, 8 or 12 partitions into a quadrant"],
        ),
    ],
)
def test_rule(changes, sentences):
    assert make().broken(TRN3) == []
    assert make(**changes).broken(TRN3) == sentences


@pytest.mark.parametrize("core", [TRN1, TRN2])
def test_older_cores_lack_it(core):
    assert make().broken(core) == ["needs a core with 'mx'"]


def test_four_elements_a_cycle():
    assert (make().queue, make().passes(TRN3), make().elements()) == ("vector", 0.25, 64)
    assert make().operations() == 2 * 128 * 64


def test_scales_were_bytes_before_they_had_a_dtype():
    named = make(dst_scale=tile((128, 16), "float8_e8m0fnu"))
    assert named.broken(TRN3) == []
    assert named.broken(TRN3, Compiler(version_of("0.4"))) == ["dst_scale is uint8"]
