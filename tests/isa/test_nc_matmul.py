from types import SimpleNamespace

import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, numbers, tile
from trnlab.isa.matmul import NcMatmul
from trnlab.isa.rules import Compiler, version_of

DOUBLE = SimpleNamespace(name="double_row")


def make(**changes):
    given = {
        "dst": tile((64, 512), space="psum"),
        "stationary": tile((128, 64), "bfloat16"),
        "moving": tile((128, 512), "bfloat16"),
    }
    return NcMatmul(**(given | changes))


def pair(dtype):
    return {"stationary": tile((128, 64), dtype), "moving": tile((128, 512), dtype)}


def double(dtype="float8_e4m3"):
    shapes = {"stationary": tile((128, 2, 64), dtype), "moving": tile((128, 2, 512), dtype)}
    return {"perf_mode": DOUBLE, **shapes}


def test_stationary_transposed_times_moving():
    stationary, moving = numbers(128, 64), numbers(128, 8, 64, seed=1)
    out = make().value(stationary, moving)
    assert (out.dtype, out.shape) == (np.float32, (64, 512))
    np.testing.assert_allclose(out, stationary.T @ moving.reshape(128, 512), rtol=1e-5, atol=1e-5)


def test_whole_numbers_are_exact():
    rng = np.random.default_rng(0)
    stationary, moving = (rng.integers(-8, 8, (128, n)).astype(np.float32) for n in (64, 512))
    expected = stationary.astype(np.int64).T @ moving.astype(np.int64)
    np.testing.assert_array_equal(make().value(stationary, moving), expected)


def test_double_row_contracts_over_pairs_as_well():
    rng = np.random.default_rng(0)
    stationary, moving = (rng.integers(-8, 8, (128, 2, n)).astype(np.float32) for n in (64, 512))
    expected = np.einsum("kim,kin->mn", stationary, moving)
    np.testing.assert_array_equal(make(**double()).value(stationary, moving), expected)


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({"dst": tile((64, 512))}, ["dst is in PSUM"]),
        ({"stationary": tile((128, 64), "bfloat16", "psum")}, ["stationary is in SBUF"]),
        ({"moving": tile((128, 512), "bfloat16", "psum")}, ["moving is in SBUF"]),
        ({"moving": tile((64, 512), "bfloat16")}, ["both inputs span the same partitions"]),
        (
            {"dst": tile((128, 512), space="psum"), "stationary": tile((128, 129), "bfloat16")},
            [
                "stationary is at most 128 columns wide",
                "dst has a row for every stationary column",
            ],
        ),
        (
            {"dst": tile((32, 512), space="psum")},
            ["dst has a row for every stationary column"],
        ),
        (
            {"dst": tile((64, 256), space="psum")},
            ["dst has a column for every moving column"],
        ),
        (
            {"moving": tile((128, 513), "bfloat16"), "dst": tile((64, 513), space="psum")},
            [
                "moving streams at most 512 columns",
                "dst stays inside one PSUM bank of 2048 bytes",
            ],
        ),
        (
            pair("int8"),
            [
                f"{name} is one of bfloat16, float16, float8_e4m3, float8_e5m2, tfloat32, float32"
                for name in ("stationary", "moving")
            ],
        ),
        ({"moving": tile((128, 512))}, ["if one input is fp32 the other is too"]),
        ({"dst": tile((64, 512), "bfloat16", "psum")}, ["dst is float32"]),
        (
            double("bfloat16"),
            ["double_row takes fp8 inputs"],
        ),
        (
            {"perf_mode": DOUBLE, **pair("float8_e5m2"), "dst": tile((32, 256), space="psum")},
            ["double_row inputs have 2 as their first free dimension"],
        ),
        ({"tile_size": (128, 128)}, ["tile_position and tile_size are given together"]),
        (
            {"tile_size": (64, 128), "tile_position": (64, 0)},
            ["stationary spans at most 64 partitions"],
        ),
        (
            {
                "tile_size": (48, 128),
                "tile_position": (0, 0),
                "stationary": tile((32, 64), "bfloat16"),
                "moving": tile((32, 512), "bfloat16"),
            },
            ["a row tile is one of (32, 64, 128) high"],
        ),
        (
            {
                "tile_size": (64, 128),
                "tile_position": (32, 0),
                "stationary": tile((64, 64), "bfloat16"),
                "moving": tile((64, 512), "bfloat16"),
            },
            ["a row tile starts at a multiple of its height"],
        ),
    ],
)
def test_rule(changes, sentences):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == sentences


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float8_e4m3", "float8_e5m2"])
def test_two_small_formats_may_differ(dtype):
    assert make(stationary=tile((128, 64), dtype)).broken(TRN1) == []


@pytest.mark.parametrize("dtype", ["float32", "tfloat32"])
def test_both_may_be_wide(dtype):
    assert make(**pair(dtype)).broken(TRN1) == []


def test_double_row_came_with_the_second_generation():
    assert make(**double()).broken(TRN1) == ["double_row needs a core that has it"]
    assert make(**double()).broken(TRN2) == []


def test_row_tiles_of_32_came_with_the_second_generation():
    quarter = {
        "tile_size": (32, 128),
        "tile_position": (96, 0),
        "stationary": tile((32, 64), "bfloat16"),
        "moving": tile((32, 512), "bfloat16"),
    }
    assert make(**quarter).broken(TRN1) == ["a row tile is one of (64, 128) high"]
    assert make(**quarter).broken(TRN2) == []


def test_the_third_generation_spans_banks_and_writes_bf16():
    long = {"moving": tile((128, 4096), "bfloat16"), "dst": tile((64, 4096), space="psum")}
    assert make(**long).broken(TRN3) == []
    short = {
        "moving": tile((128, 8192), "bfloat16"),
        "dst": tile((64, 8192), "bfloat16", "psum"),
    }
    assert make(**short).broken(TRN3) == []
    longer = {"moving": tile((128, 4097), "bfloat16"), "dst": tile((64, 4097), space="psum")}
    assert make(**longer).broken(TRN3) == ["moving streams at most 4096 columns"]


def test_ocp_fp8_is_not_mixed_with_the_legacy_format():
    ocp = pair("float8_e4m3fn")
    assert make(**ocp).broken(TRN3) == []
    assert len(make(**ocp).broken(TRN2)) == 2
    mixed = ocp | {"moving": tile((128, 512), "float8_e4m3")}
    assert make(**mixed).broken(TRN3) == ["legacy and OCP float8_e4m3 are not mixed"]


def test_a_transpose_keeps_its_format_where_it_is_exact():
    changes = {"dst": tile((64, 512), "bfloat16", "psum"), "is_transpose": True}
    assert make(**changes).broken(TRN1) == ["dst is float32"]
    assert make(**changes).broken(TRN2) == []


@pytest.mark.parametrize("core", [TRN1, TRN2, TRN3])
def test_one_column_a_cycle_and_four_passes_of_fp32(core):
    assert (make().queue, make().passes(core), make().elements()) == ("tensor", 1, 512)
    assert make(**pair("tfloat32")).passes(core) == 1
    assert make(**pair("float32")).passes(core) == 4
    assert make(**pair("float32"), is_moving_onezero=True).passes(core) == 2
    assert make(**pair("float32"), is_stationary_onezero=True).passes(core) == 2
    assert make().overhead(core) == 0


def test_fp32_transposes_take_half_the_passes_since_the_second_generation():
    transpose = make(**pair("float32"), is_transpose=True)
    assert [transpose.passes(core) for core in (TRN1, TRN2, TRN3)] == [4, 2, 2]


def test_a_short_moving_side_waits_for_the_array():
    short = {"moving": tile((128, 16), "bfloat16"), "dst": tile((64, 16), space="psum")}
    assert make(**short).elements() == 64
    narrow = short | {
        "stationary": tile((128, 8), "bfloat16"),
        "dst": tile((8, 16), space="psum"),
    }
    assert make(**narrow).elements() == 16


def test_double_row_does_twice_the_work_in_the_same_time():
    assert make(**double()).elements() == make().elements()
    assert make().operations() == 2 * 128 * 64 * 512
    assert make(**double()).operations() == 2 * make().operations()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (double() | {"is_transpose": True}, "double_row does not transpose"),
        (
            double() | {"tile_size": (128, 64), "tile_position": (0, 0)},
            "double_row goes with all columns of the array",
        ),
        (
            {"tile_size": (128, 96), "tile_position": (0, 0)},
            "a column tile is one of (32, 64, 128) wide",
        ),
        (
            {"tile_size": (128, 64), "tile_position": (0, 32)},
            "a column tile starts at a multiple of its width",
        ),
        (
            {"tile_size": (128, 64), "tile_position": (0, 128)},
            "a column tile ends inside the array",
        ),
        (
            {"tile_size": (128, 128), "tile_position": (128, 0)},
            "a row tile ends inside the array",
        ),
    ],
)
def test_rule_of_modes(changes, sentence):
    assert sentence in make(**changes).broken(TRN2)


@pytest.mark.parametrize(
    ("changes", "version", "sentence"),
    [
        ({"accumulate": True}, "0.2", "accumulate came with nki 0.3"),
        (pair("float8_e4m3fn"), "0.3", "OCP float8_e4m3 came with nki 0.4"),
        (
            {
                "moving": tile((128, 8192), "bfloat16"),
                "dst": tile((64, 8192), "bfloat16", "psum"),
            },
            "0.4",
            "moving streams at most 4096 columns",
        ),
    ],
)
def test_rule_of_a_version(changes, version, sentence):
    assert make(**changes).broken(TRN3) == []
    assert make(**changes).broken(TRN3, Compiler(version_of(version))) == [sentence]
