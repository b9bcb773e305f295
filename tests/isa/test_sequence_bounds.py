import numpy as np
import pytest

from tests.isa.make import TRN1, TRN2, TRN3, same, tile
from trnlab.isa.search import SequenceBounds


def make(**changes):
    given = {"dst": tile((1, 2, 8)), "segment_ids": tile((1, 8))}
    return SequenceBounds(**(given | changes))


@pytest.mark.parametrize(
    ("ids", "starts", "stops"),
    [
        ([1, 1, 2, 2, 2, 5, 6, 6], [0, 0, 2, 2, 2, 5, 6, 6], [2, 2, 5, 5, 5, 6, 8, 8]),
        ([3, 3, 0, 0, 3, 3, 3, 0], [0, 0, 8, 8, 4, 4, 4, 8], [2, 2, -1, -1, 7, 7, 7, -1]),
        ([0] * 8, [8] * 8, [-1] * 8),
        ([9] * 8, [0] * 8, [8] * 8),
    ],
)
def test_where_each_segment_begins_and_has_ended(ids, starts, stops):
    out = make().value(np.array([ids], np.float32))
    assert same(out, np.array([[starts, stops]], np.float32))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"segment_ids": tile((2, 8))}, "segment_ids spans one partition"),
        ({"dst": tile((1, 8, 2))}, "dst has shape [1, 2, 8]"),
        ({"dst": tile((1, 2, 8), "int16")}, "dst is float32 or int32"),
        ({"segment_ids": tile((1, 8), "uint32")}, "segment_ids is float32 or int32"),
        (
            {"segment_ids": tile((1, 8), space="psum")},
            "segment_ids is not in PSUM: GpSimd cannot reach it",
        ),
    ],
)
def test_rule(changes, sentence):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == [sentence]


@pytest.mark.parametrize("core", [TRN1, TRN2, TRN3])
def test_one_pass(core):
    instruction = make()
    assert (instruction.queue, instruction.passes(core)) == ("gpsimd", 1)
    assert (instruction.elements(), instruction.overhead(core)) == (8, 0)
