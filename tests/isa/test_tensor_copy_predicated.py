import ml_dtypes
import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, numbers, same, tile
from trnlab.isa.select import TensorCopyPredicated


def make(**changes):
    given = {
        "dst": tile((128, 16)),
        "src": tile((128, 16)),
        "predicate": tile((128, 16), "uint8"),
    }
    return TensorCopyPredicated(**(given | changes))


def test_dst_is_read_first():
    instruction = make()
    assert instruction.reads() == ("dst", "src", "predicate")
    assert instruction.written() == ("dst",)


@pytest.mark.parametrize("reverse", [False, True])
def test_copies_where_the_predicate_holds(reverse):
    dst, src = numbers(128, 16), numbers(128, 16, seed=1)
    predicate = (numbers(128, 16, seed=2) > 0).astype(np.uint8) * 3
    out = make(reverse_pred=reverse).value(dst, src, predicate)
    chosen = predicate == 0 if reverse else predicate != 0
    assert same(out, np.where(chosen, src, dst))


def test_bits_pass_unconverted():
    dst = np.array([[2**31 - 1, 2**30 + 1]], np.int32)
    instruction = make(
        dst=tile((1, 2), "int32"), src=tile((1, 2), "int32"), predicate=tile((1, 2), "uint8")
    )
    assert instruction.keeps_bits
    out = instruction.value(dst, dst - np.int32(2), np.array([[1, 0]], np.uint8))
    assert same(out, np.array([[2**31 - 3, 2**30 + 1]], np.int32))


def test_one_number_is_rounded_to_the_format_of_dst():
    dst = np.zeros((1, 2), ml_dtypes.bfloat16)
    instruction = make(dst=tile((1, 2), "bfloat16"), src=257.0, predicate=tile((1, 2), "uint32"))
    assert instruction.reads() == ("dst", "predicate")
    out = instruction.value(dst, np.array([[2**31, 0]], np.uint32))
    assert same(out, np.array([[256, 0]], ml_dtypes.bfloat16))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"predicate": tile((128, 8), "uint8")},
            "dst, src and predicate span the same partitions, with equally long rows",
        ),
        (
            {"predicate": tile((128, 16), "int8")},
            "predicate is one of uint8, uint16, uint32, bool_",
        ),
        ({"src": tile((128, 16), "bfloat16")}, "src and dst have one dtype"),
        (
            {
                "src": tile((128, 16), space="psum"),
                "predicate": tile((128, 16), "uint8", space="psum"),
            },
            "not both src and predicate are in PSUM",
        ),
    ],
)
def test_rule(changes, sentence):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == [sentence]


@pytest.mark.parametrize("core", [TRN1, TRN2, TRN3])
def test_two_inputs_from_sbuf_share_a_port(core):
    assert make().passes(core) == 2
    assert make(src=tile((128, 16), space="psum")).passes(core) == 1
    assert make(predicate=tile((128, 16), "uint8", "psum")).passes(core) == 1
    assert make(src=1.0).passes(core) == 1
    assert (make().queue, make().elements(), make().overhead(core)) == ("vector", 16, 0)


def test_computes_nothing():
    assert make().operations() == 0
