import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, tile
from trnlab.isa.select import Iota


def make(**changes):
    return Iota(**({"dst": tile((128, 512), "int32"), "pattern": [[1, 512]]} | changes))


def test_counts_along_a_row():
    out = make(dst=tile((1, 512), "int32")).value()
    np.testing.assert_array_equal(out, np.arange(512, dtype=np.int32)[None])


def test_offset_and_channel_multiplier():
    out = make(pattern=[[-2, 512]], offset=5, channel_multiplier=3).value()
    expected = 5 + 3 * np.arange(128)[:, None] - 2 * np.arange(512)
    assert out.dtype == np.int32
    np.testing.assert_array_equal(out, expected)


def test_four_dimensions():
    pattern = [[1000, 2], [100, 3], [10, 4], [1, 5]]
    out = make(dst=tile((2, 6, 20), "int32"), pattern=pattern, channel_multiplier=10000).value()
    p, w, z, y, x = np.indices((2, 2, 3, 4, 5))
    expected = 10000 * p + 1000 * w + 100 * z + 10 * y + x
    np.testing.assert_array_equal(out, expected.reshape(2, 6, 20))


def test_int32_is_exact_and_wraps():
    whole = make(dst=tile((1, 2), "int32"), pattern=[[1, 2]], offset=2**31 - 1)
    assert whole.keeps_bits
    np.testing.assert_array_equal(whole.value(), [[2**31 - 1, -(2**31)]])


def test_small_integers_saturate():
    out = make(dst=tile((1, 3), "uint8"), pattern=[[1, 3]], offset=254).value()
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out, [[254, 255, 255]])


def test_floats_are_left_to_be_rounded():
    instruction = make(dst=tile((1, 2), "bfloat16"), pattern=[[1, 2]], offset=300)
    assert not instruction.keeps_bits
    out = instruction.value()
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, [[300, 301]])


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        (
            {"pattern": []},
            ["pattern has 1 to 4 dimensions", "pattern has 512 elements, as a row of dst"],
        ),
        (
            {"pattern": [[1, 1], [1, 1], [1, 1], [1, 1], [1, 512]]},
            ["pattern has 1 to 4 dimensions"],
        ),
        ({"pattern": [[1, 511]]}, ["pattern has 512 elements, as a row of dst"]),
        (
            {"dst": tile((128, 512), "int32", "psum")},
            ["dst is not in PSUM: GpSimd cannot reach it"],
        ),
    ],
)
def test_rule(changes, sentences):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == sentences


@pytest.mark.parametrize("core", [TRN1, TRN2, TRN3])
def test_one_pass(core):
    instruction = make()
    assert (instruction.queue, instruction.passes(core)) == ("gpsimd", 1)
    assert (instruction.elements(), instruction.overhead(core)) == (512, 0)


@pytest.mark.parametrize("name", ["offset", "channel_multiplier"])
def test_it_counts_in_32_bits(name):
    assert make(**{name: -(2**31)}).broken(TRN2) == []
    assert make(**{name: 2**31}).broken(TRN2) == [f"{name} fits 32 bits"]
