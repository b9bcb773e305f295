"""What a summary says about a trace of six spans."""

import json
from dataclasses import replace

import numpy as np
import pytest

import trnlab
from tests.report.make import META, ROWS, TOTALS, TOY, many, trace_of
from trnlab.errors import TrnlabError
from trnlab.report.roofline import memory_rate, peak_flops, roofline
from trnlab.report.summary import BAND, band, percent, reason, summarise
from trnlab.report.waiting import by_line, engine_waits, group, path_seconds, waits
from trnlab.trace import CAUSES
from trnlab.units import us


def test_waits_are_idle_seconds_by_cause_and_blocker():
    assert rounded(waits(trace_of())) == {
        "dma/sync": {},
        "tensor": {("data", "dma/sync"): 2},
        "vector": {("data", "tensor"): 9},
        "dma/gpsimd": {("data", "vector"): 11},
    }


def test_dma_waits_only_while_no_queue_moves_anything():
    assert rounded(engine_waits(trace_of()))["dma"] == {("data", "vector"): 8}


def test_the_longest_wait_comes_first():
    rows = (
        ("dma/sync", "load", 1, 1, 2, 2, "first", -1),
        ("tensor", "nc_matmul", 2, 2, 3, 3, "data", 0),
        ("dma/sync", "load", 1, 7, 8, 8, "buffer", 1),
    )
    found = rounded(waits(trace_of(rows)))
    assert list(found["dma/sync"].items()) == [(("buffer", "tensor"), 5), (("first", ""), 1)]


def test_waits_do_not_depend_on_the_order_of_rows():
    rows = (
        ("tensor", "nc_matmul", 1, 5, 6, 6, "clock", -1),
        ("tensor", "nc_matmul", 1, 0, 2, 2, "first", -1),
    )
    assert rounded(waits(trace_of(rows))) == {"tensor": {("clock", ""): 3}}


def test_busy_and_waiting_never_exceed_the_run():
    trace = many(2_000)
    busy, waited = trace.busy(), waits(trace)
    for lane in trace.lanes:
        assert busy[lane] + sum(waited[lane].values()) <= trace.seconds * (1 + 1e-9)


def test_the_critical_path_is_shared_out_completely():
    found = {lane: round(seconds / us) for lane, seconds in path_seconds(trace_of()).items()}
    assert found == {"dma/sync": 2, "tensor": 7, "vector": 2, "dma/gpsimd": 1}
    assert sum(found.values()) == 12


def test_lines_come_by_occupancy():
    lines = by_line(trace_of())
    assert [line.where for line in lines] == ["k.py:2", "k.py:1", "k.py:3", "k.py:4"]
    first = lines[0]
    assert (first.lane, first.spans) == ("tensor", 2)
    assert first.seconds == pytest.approx(6 * us)
    assert first.share == pytest.approx(6 / 12)
    assert first.path == pytest.approx(7 * us)
    assert by_line(trace_of(), 2) == lines[:2]


def test_the_limit_is_what_the_critical_path_runs_through():
    limit = summarise(trace_of(), TOY)["limit"]
    assert limit["lane"] == "tensor"
    assert limit["busy"] == pytest.approx(0.5)
    assert limit["path"] == pytest.approx(7 / 12)
    assert limit["sentence"] == (
        "tensor engine is the limit: busy 50 % of the time, 58 % of the critical path; "
        "tensor waited 33 % of its idle time for data from dma/sync"
    )


def test_a_run_without_a_busy_engine_is_limited_by_latency():
    rows = (*ROWS[:5], ("dma/gpsimd", "store", 4, 11, 20, 20, "data", 4))
    rows = (*rows, ("vector", "tensor_copy", 3, 29, 30, 30, "data", 5))
    limit = summarise(trace_of(rows), TOY)["limit"]
    assert limit["sentence"].startswith(
        "latency is the limit: no engine is busy more than 40 % of the time; "
        "67 % of the critical path is DMA"
    )


def test_a_nearly_full_engine_is_the_limit_wherever_the_critical_path_runs():
    rows = (
        ("vector", "tensor_copy", 1, 0, 9, 9, "first", -1),
        ("tensor", "nc_matmul", 2, 0, 3, 7, "first", -1),
        ("scalar", "activation", 3, 7, 8, 10, "data", 1),
    )
    limit = summarise(trace_of(rows), TOY)["limit"]
    assert limit["sentence"].startswith("vector engine is the limit: busy 90 % of the time")


def test_a_busy_engine_beside_the_critical_path_is_not_the_limit():
    rows = (
        ("vector", "tensor_copy", 1, 0, 6, 6, "first", -1),
        ("tensor", "nc_matmul", 2, 0, 3, 7, "first", -1),
        ("scalar", "activation", 3, 7, 8, 10, "data", 1),
    )
    assert summarise(trace_of(rows), TOY)["limit"]["sentence"] == (
        "tensor engine is the limit: 70 % of the critical path, though busy only 30 % of the time; "
        "scalar waited 78 % of its idle time for data from tensor"
    )


def test_without_blockers_the_busiest_engine_is_the_limit():
    rows = tuple((*row[:6], "first", -1) for row in ROWS)
    limit = summarise(trace_of(rows), TOY)["limit"]
    assert limit["lane"] == "tensor"
    assert limit["path"] == 0


def test_nothing_ran():
    summary = summarise(trace_of((), counters={}, totals={}), TOY)
    assert summary["limit"]["sentence"] == "nothing ran"
    assert summary["engines"] == summary["waits"] == summary["lines"] == []
    json.dumps(summary, allow_nan=False)


def test_busy_has_each_lane_and_dma_as_one():
    busy = summarise(trace_of(), TOY)["busy"]
    twelfths = {lane: round(share * 12) for lane, share in busy.items()}
    assert twelfths == {"dma/sync": 3, "dma/gpsimd": 1, "dma": 4, "tensor": 6, "vector": 2}


def test_engines_stand_by_core_and_dma_comes_last():
    rows = tuple((f"nc{core}/{row[0]}", *row[1:]) for core in (1, 0) for row in ROWS)
    lanes = [entry["lane"] for entry in summarise(trace_of(rows), TOY)["engines"]]
    assert lanes == [f"nc{core}/{engine}" for core in (0, 1) for engine in ENGINES]


ENGINES = ("tensor", "vector", "dma")


@pytest.mark.parametrize(
    ("lane", "engine"),
    [("tensor", "tensor"), ("dma/sync", "dma"), ("nc1/dma/sync", "nc1/dma"), ("nc0/sync",) * 2],
)
def test_queues_belong_to_the_dma_of_their_core(lane: str, engine: str):
    assert group(lane) == engine


def test_the_roofline_of_a_memory_bound_run():
    found = roofline(trace_of(), TOY)
    assert found["intensity"] == 8
    assert found["peak"] == 2 * 4 * 4 * 1e9
    assert found["memory_rate"] == 2e9
    assert found["ceiling"] == 16e9
    assert found["bound"] == "memory"
    assert found["attained"] == pytest.approx(8e9)
    assert found["share"] == pytest.approx(0.5)
    assert found["memory_share"] == pytest.approx(0.5)


def test_the_roofline_without_memory_or_without_matmuls():
    alone = roofline(trace_of(totals={"flops.bf16": 96_000.0}), TOY)
    assert (alone["intensity"], alone["bound"], alone["ceiling"]) == (None, "compute", 32e9)
    copies = roofline(trace_of(totals={"hbm_read_bytes": 12_000.0}), TOY)
    assert (copies["flops"], copies["ceiling"], copies["share"]) == (0, 0, 0)
    assert copies["memory_share"] == pytest.approx(0.5)


def test_the_peak_weighs_formats_by_their_flops():
    half = trace_of(totals={"flops.bf16": 1.0, "flops.fp32": 1.0})
    assert peak_flops(half, TOY) == pytest.approx(32e9 / 2.5)
    fp8 = trace_of(totals={"flops.fp8": 1.0})
    assert peak_flops(fp8, TOY) == 64e9
    plain = replace(TOY, core=replace(TOY.core, can=frozenset()))
    assert peak_flops(fp8, plain) == 32e9


def test_a_core_reads_at_least_one_stack():
    narrow = replace(TOY, hbm=replace(TOY.hbm, rate=3e9))
    assert memory_rate(trace_of(), narrow) == 1.5e9
    assert memory_rate(trace_of(meta={"cores": 2}), narrow) == 3e9
    assert memory_rate(trace_of(meta={"cores": 2}), TOY) == 4e9


def test_memory_peaks_stand_against_what_is_usable():
    memory = summarise(trace_of(), TOY)["memory"]
    assert memory["sbuf"] == {"peak": 500, "usable": 2000, "share": 0.25}
    assert memory["psum"] == {"peak": 128, "usable": 512, "share": 0.25}


def test_a_summary_survives_json():
    summary = summarise(trace_of(), TOY)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["seconds"] == pytest.approx(12 * us)
    assert summary["flops"] == {"bf16": 96_000.0}
    assert summary["totals"] == TOTALS
    assert summary["band"] == "no band: nothing was measured on toy"
    assert summary["receipt"] == {
        **META,
        "notes": ["collectives are not modelled"],
        "without": [],
        "chip_cores": 2,
        "system": "",
        "ranks": 1,
    }


def test_mechanisms_that_are_left_out_leave_no_band():
    trace = trace_of()
    trace.meta = META | {"without": ("cold_clock", "launch")}
    summary = summarise(trace, TOY)
    assert summary["receipt"]["without"] == ["cold_clock", "launch"]
    assert summary["band"] == "no band: mechanisms of time are left out"


def test_the_start_of_the_kernel_is_no_engine():
    assert reason("first", "kernel", "sync") == "the kernel to start"
    assert reason("first", "nc1/kernel", "nc1/sync") == "the kernel to start"


@pytest.mark.parametrize(
    ("chip", "api", "said"),
    [
        ("trn1", "neuronxcc.nki", f"band: {BAND}, docs/accuracy.md"),
        ("trn2", "neuronxcc.nki", f"band: {BAND}, docs/accuracy.md"),
        ("trn2", "nki", f"band: {BAND}, carried over from the older API"),
        ("trn3", "neuronxcc.nki", "no band: nothing was measured on trn3"),
        ("trn3", "nki", "no band: nothing was measured on trn3"),
    ],
)
def test_the_band_says_what_it_rests_on(chip, api, said):
    assert band(trace_of(meta={"chip": chip, "api": api}), trnlab.chip(chip)) == said


def test_a_trace_of_another_chip_is_refused():
    with pytest.raises(TrnlabError, match=r"made on 'trn9'.*as 'toy'"):
        summarise(trace_of(meta={"chip": "trn9"}), TOY)
    assert summarise(trace_of(meta={"chip": "plaything"}), TOY)["receipt"]["chip"] == "toy"


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (0.004, "0.4 %"),
        (0.0994, "9.9 %"),
        (0.0996, "10 %"),
        (0.832, "83 %"),
        (1, "100 %"),
    ],
)
def test_percent(share: float, text: str):
    assert percent(share) == text


def test_a_lane_does_not_wait_for_itself_by_name():
    assert reason("data", "dma/sync", "vector") == "data from dma/sync"
    assert reason("queue busy", "dma/sync", "dma/sync") == "the queue"
    assert reason("first", "", "vector") == "its first work"


def rounded(
    found: dict[str, dict[tuple[str, str], float]],
) -> dict[str, dict[tuple[str, str], int]]:
    """Whole microseconds, after checking that they are whole."""
    flat = [seconds / us for kinds in found.values() for seconds in kinds.values()]
    assert np.allclose(flat, np.round(flat))
    return {lane: {why: round(s / us) for why, s in kinds.items()} for lane, kinds in found.items()}


@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_has_words(cause: str):
    assert reason(cause, "dma/sync", "vector").endswith(" from dma/sync")
