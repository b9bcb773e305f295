from types import SimpleNamespace

import pytest

from tests.isa.make import TRN1, TRN2, tile
from trnlab.isa.pair import CoreBarrier, SendRecv
from trnlab.isa.rules import Compiler, version_of


def make(**changes):
    given = {
        "src": tile((128, 64)),
        "dst": tile((128, 64)),
        "send_to_rank": 1,
        "recv_from_rank": 1,
        "pipe_id": 0,
    }
    return SendRecv(**(given | changes))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"src": tile((128, 64), space="psum")}, "src and dst are in SBUF"),
        ({"src": tile((128, 64), "int32")}, "src and dst have one dtype"),
        ({"src": tile((128, 65))}, "src and dst have one shape"),
        ({"send_to_rank": 2}, "ranks are 0 or 1"),
        (
            {
                "src": tile((128, 257)),
                "dst": tile((128, 257)),
                "dma_engine": SimpleNamespace(name="gpsimd_dma"),
            },
            "GpSimd's own DMA exchanges at most 1024 bytes a partition",
        ),
    ],
)
def test_rule(changes, sentence):
    assert make().broken(TRN2) == []
    assert make(**changes).broken(TRN2) == [sentence]


def test_rule_of_a_version():
    few = make(src=tile((8, 64)), dst=tile((8, 64)))
    assert few.broken(TRN2) == []
    sentence = "src and dst span a multiple of 16 partitions"
    assert few.broken(TRN2, Compiler(version_of("0.3"))) == [sentence]


def test_pairs_came_with_the_second_generation():
    barrier = CoreBarrier(tile((128, 64), space="shared_hbm"), (0, 1))
    assert barrier.broken(TRN2) == []
    assert barrier.broken(TRN1) == ["needs a core with 'core_barrier'"]
    assert "needs a core with 'sendrecv'" in make().broken(TRN1)


def test_rules_of_a_barrier():
    private = CoreBarrier(tile((128, 64), space="hbm"), (0, 1))
    assert private.broken(TRN2) == ["data is in shared HBM"]
    alone = CoreBarrier(tile((128, 64), space="shared_hbm"), (0,))
    assert alone.broken(TRN2) == ["cores are (0, 1)"]
