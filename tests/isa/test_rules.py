"""What a rule says of itself: who enforces it, and its short name."""

import pytest

from tests.isa.make import TRN2, TRN3, tile
from trnlab.errors import UnknownName
from trnlab.isa.elementwise import Reciprocal
from trnlab.isa.instruction import Instruction
from trnlab.isa.move import TensorCopy
from trnlab.isa.rules import (
    ALLOCATED,
    LATEST,
    OLDER,
    RELEASES,
    Compiler,
    When,
    all_but,
    before,
    code_of,
    since,
    version_of,
)
from trnlab.isa.search import Topk

ALL = [Compiler(version_of(name)) for name in RELEASES]


class Sample(Instruction, engines=("vector",), page="test.sample", listed=False):
    """An instruction that breaks three rules, each for somebody."""

    number: int

    def rules(self, core):
        yield "everybody says so", False
        yield "today's compilers say so", False, since("0.3")
        yield "the older one said so", False, before("0.2")
        yield "says one mode", False, before("0.2", mode=ALLOCATED)


@pytest.mark.parametrize(
    ("when", "covered", "text"),
    [
        (When(), ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6"], "neuronxcc.nki and nki"),
        (since("0.2"), ["0.2", "0.3", "0.4", "0.5", "0.6"], "nki"),
        (since("0.4"), ["0.4", "0.5", "0.6"], "nki 0.4 and later"),
        (before("0.2"), ["0.1"], "neuronxcc.nki"),
        (before("0.4"), ["0.1", "0.2", "0.3"], "neuronxcc.nki and nki 0.2 to 0.3"),
        (
            all_but("0.2"),
            ["0.1", "0.3", "0.4", "0.5", "0.6"],
            "neuronxcc.nki and nki 0.3 and later",
        ),
        (before("0.2", mode=ALLOCATED), [], "neuronxcc.nki with direct allocation"),
    ],
)
def test_who_enforces(when, covered, text):
    names = [name for name, each in zip(RELEASES, ALL, strict=True) if when.covers(each)]
    assert (names, str(when)) == (covered, text)


@pytest.mark.parametrize(
    ("compiler", "sentences"),
    [
        (LATEST, ["everybody says so", "today's compilers say so"]),
        (Compiler(version_of("0.2.0")), ["everybody says so"]),
        (Compiler(OLDER), ["everybody says so", "the older one said so"]),
        (
            Compiler(OLDER, frozenset({ALLOCATED})),
            ["everybody says so", "the older one said so", "says one mode"],
        ),
    ],
)
def test_a_kernel_is_judged_by_its_compiler(compiler, sentences):
    assert Sample(0).broken(TRN2, compiler) == sentences


def test_an_instruction_that_came_later():
    data = tile((16, 8), "bfloat16")
    topk = Topk(data, tile((16, 8), "uint32"), data, 64)
    assert topk.broken(TRN3) == []
    assert topk.broken(TRN3, Compiler(version_of("0.5"))) == ["came with nki 0.6"]


@pytest.mark.parametrize(
    ("sentence", "code"),
    [
        ("dst is in PSUM", "dst-is-in-psum"),
        ("moving streams at most 512 columns", "moving-streams-at-most-columns"),
        ("stationary is one of bfloat16, float16", "stationary-is-one-of"),
        ("src is not in PSUM: DMA cannot reach it", "src-is-not-in-psum"),
        ("dst has shape [128, 4]", "dst-has-shape"),
        ("a row tile is one of (64, 128) high", "a-row-tile-is-one-of"),
        ("needs a core with 'mx'", "needs-a-core-with"),
        ("on_false_value is -3.4028235e+38", "on_false_value-is"),
        ("one two three four five six seven eight nine ten", "one-two-three-four-five-six-seven-"
         "eight-nine"),
    ],
)  # fmt: skip
def test_the_short_name_keeps_what_never_changes(sentence, code):
    assert code_of("x", sentence) == f"x/{code}"


@pytest.mark.parametrize("packed", ["float8_e4m3fn_x4", "float8_e5m2_x4", "float4_e2m1fn_x4"])
def test_packed_numbers_are_moved_and_multiplied_only(packed):
    data, plain = tile((32, 8), packed), tile((32, 8))
    assert TensorCopy(data, tile((32, 8), packed)).broken(TRN3) == []
    for model in (TensorCopy(plain, data), Reciprocal(plain, data)):
        name = model.reads()[0]
        assert model.broken(TRN3) == [f"{name} is not packed: it would have to be unpacked"]


def test_unknown_version():
    with pytest.raises(UnknownName, match=r"no API version is called '0\.9'"):
        version_of("0.9")
