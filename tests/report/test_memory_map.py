"""The map of SBUF and PSUM: where tensors stand, and how many of them are drawn."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import trnlab
from benchmarks import kernels
from tests.report.make import trace_of
from trnlab.report import memory_map
from trnlab.report.memory_map import memory_maps, placements
from trnlab.trace import HELD, Trace

lifetimes = st.lists(
    st.tuples(st.integers(1, 64), st.integers(0, 30), st.integers(1, 30)), max_size=30
)


def held_of(*rows):
    """Rows of memory, core, byte, size, since, until."""
    held = np.zeros(len(rows), HELD)
    for number, row in enumerate(rows):
        held[number] = (row[0], row[1], number, 0, *row[2:])
    return held


def test_tensors_stand_in_the_first_gap_that_holds_them():
    rows = [(0, 0, -1, 10, 0, 5), (0, 0, -1, 20, 1, 9), (0, 0, -1, 10, 5, 9), (0, 0, -1, 11, 6, 9)]
    assert placements(held_of(*rows)) == [0, 10, 0, 30]


def test_a_tensor_that_the_kernel_placed_stays_there():
    rows = [(0, 0, 8, 8, 0, 9), (0, 0, -1, 8, 1, 9), (0, 0, -1, 9, 1, 9)]
    assert placements(held_of(*rows)) == [8, 0, 16]


@given(lifetimes)
def test_tensors_that_live_at_the_same_time_do_not_overlap(drawn):
    rows = sorted((since, since + long, size) for size, since, long in drawn)
    held = held_of(*((0, 0, -1, size, since, until) for since, until, size in rows))
    bytes_ = placements(held)
    for number, (since, _, size) in enumerate(rows):
        for other in range(number):
            apart = bytes_[other] >= bytes_[number] + size
            apart |= bytes_[number] >= bytes_[other] + rows[other][2]
            assert apart or rows[other][1] <= since


def test_each_memory_of_each_core_has_a_map(monkeypatch):
    held = held_of((0, 0, -1, 4, 0, 1e-6), (1, 0, 2, 8, 0, 2e-6), (0, 1, -1, 6, 0, 1e-6))
    maps = memory_maps(trace_of(held=held, holders=("a", "b", "c")))
    assert [(m["memory"], m["core"], m["size"]) for m in maps] == [
        ("sbuf", 0, [4]),
        ("psum", 0, [8]),
        ("sbuf", 1, [6]),
    ]
    assert maps[1]["until"] == [2000]
    assert maps[1]["placed"] == [True]
    assert maps[1]["byte"] == [2]


def test_of_many_tensors_those_that_took_most_are_drawn(monkeypatch):
    monkeypatch.setattr(memory_map, "TENSORS", 2)
    held = held_of((0, 0, -1, 9, 3, 4), (0, 0, -1, 1, 0, 1), (0, 0, -1, 8, 0, 1))
    (drawn,) = memory_maps(trace_of(held=held, holders=("a", "b", "c")))
    assert (drawn["size"], drawn["more"]) == ([8, 9], 1)


def test_nothing_on_chip():
    assert memory_maps(Trace()) == []


def test_a_run_knows_what_was_on_chip_and_when():
    zeros = np.zeros((256, 512), np.float32)
    _, trace = trnlab.run(kernels.matmul_tiled, values=False)(zeros, zeros)
    sbuf, psum = memory_maps(trace)
    assert len(sbuf["size"]) == 4 * 2 * 2 + 4  # two inputs for each of two depths, and results
    assert set(psum["size"]) == {2048}
    assert all(
        a < b <= trace.seconds * 1e9 for a, b in zip(sbuf["since"], sbuf["until"], strict=True)
    )
    assert "kernels.py" in trace.wheres[sbuf["where"][0]]
    counted = max(trace.counters["sbuf bytes"][1])
    assert counted <= max(b + s for b, s in zip(sbuf["byte"], sbuf["size"], strict=True))
    kept = Trace.unpacked(trace.packed())
    assert (kept.held == trace.held).all()
    assert kept.holders == trace.holders
