from typing import Any

import pytest

from tests.isa.make import TRN1, TRN2, numbers, same, tile
from trnlab.isa.dma import DgeMode, DmaTranspose, GatherTranspose, OobMode
from trnlab.isa.rules import Compiler, version_of

HARD: dict[str, Any] = {"dge_mode": DgeMode.hwdge}


def make(shape=(16, 128), turned=(128, 16), dtype="bfloat16", kind=DmaTranspose, **changes):
    given: dict[str, Any] = {"dst": tile(turned, dtype), "src": tile(shape, dtype, "hbm")}
    return kind(**(given | changes))


def gathered(*shapes, **changes):
    return make(*shapes, kind=GatherTranspose, **changes)


def test_value():
    data = numbers(4, 3, 2, 5)
    four = make((4, 3, 2, 5), (5, 3, 2, 4))
    assert same(four.value(data), data.transpose(3, 1, 2, 0))


@pytest.mark.parametrize(
    ("instruction", "sentences"),
    [
        (make(dst=tile((128, 16), "bfloat16", "psum")), ["dst is in SBUF"]),
        (
            make(src=tile((16, 128), "bfloat16", "psum")),
            ["src is not in PSUM: DMA cannot reach it"],
        ),
        (make(dst=tile((128, 16))), ["dst and src have one dtype"]),
        (
            make((16, 129), (128, 16)),
            [
                "the last dimension of src is at most 128",
                "dst is shaped as src transposed",
                "dst and src have equally many elements",
            ],
        ),
        (make(turned=(128, 4, 4)), ["dst is shaped as src transposed"]),
        (
            make(axes=(0, 1), turned=(16, 128)),
            ["axes are one of (1, 0), (2, 1, 0), (3, 1, 2, 0)"],
        ),
        (
            make(dge_mode=DgeMode.none),
            ["dge_mode is unknown or hwdge, or swdge for an indexed src"],
        ),
        (make(oob_mode=OobMode.skip), ["only an indexed src skips what is outside"]),
        (make(dtype="float32", **HARD), ["hardware descriptors transpose 2-byte elements"]),
        (make((32, 128), (128, 32), **HARD), ["src has 16 rows for hardware descriptors"]),
        (
            make((3, 16, 128), (128, 16, 3), **HARD),
            ["src has 1, 2, 4, 8 or 16 rows for hardware descriptors"],
        ),
        (
            make((2, 4, 128), (128, 4, 2), **HARD),
            ["first times last but one dimension of src is a multiple of 16"],
        ),
        (make(priority=1), ["priority needs a core with 'dma_priority'"]),
    ],
)
def test_rule(instruction, sentences):
    assert make().broken(TRN2) == []
    assert instruction.broken(TRN2) == sentences


def test_hardware_descriptors_take_blocks_of_16_rows():
    for good in (make(**HARD), make((2, 8, 128), (128, 8, 2), **HARD)):
        assert good.broken(TRN2) == []
        assert good.broken(TRN1) == ["hardware descriptors need a core that writes them"]


@pytest.mark.parametrize(
    ("instruction", "sentence"),
    [
        (gathered(src=tile((16, 128), "bfloat16")), "an indexed src is in HBM"),
        (gathered(dtype="float32"), "an indexed src has 2-byte elements"),
        (gathered((8, 128), (128, 8)), "an indexed src has a multiple of 16 rows"),
        (
            gathered((16, 2, 2, 8), (8, 2, 2, 16)),
            "an indexed src of 4 dimensions has 1 in the second or third",
        ),
    ],
)
def test_rule_of_gathering(instruction, sentence):
    assert gathered().broken(TRN2) == []
    assert gathered().broken(TRN1) == ["gathering transposes need a core that has them"]
    assert instruction.broken(TRN2) == [sentence]


def test_rule_of_a_version():
    short = make((2, 8, 64), (64, 8, 2), **HARD)
    assert short.broken(TRN2) == []
    assert short.broken(TRN2, Compiler(version_of("0.5"))) == [
        "src has 16 rows for hardware descriptors",
        "the last dimension of src is 128",
    ]
    padded = make(turned=(128, 4, 4))
    assert padded.broken(TRN2, Compiler(version_of("0.3"))) == []
