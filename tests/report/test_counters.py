"""The counters of a profiler, worked out by hand for a trace of six spans."""

from dataclasses import replace

import pytest

from tests.report.make import TOTALS, TOY, trace_of
from trnlab.machine.catalogue import chip
from trnlab.report.counters import counters
from trnlab.units import us


def test_every_counter_that_tools_read():
    found = counters(trace_of(), TOY)
    found.pop("receipt")
    assert {name: round(value, 12) for name, value in found.items()} == {
        "total_time": 12 * us,
        "hbm_read_bytes": 8_000,
        "hbm_write_bytes": 4_000,
        "psum_read_bytes": 1_000,
        "psum_write_bytes": 4_000,
        "sbuf_read_bytes": 3_000,
        "sbuf_write_bytes": 2_000,
        "spill_reload_bytes": 0,
        "spill_save_bytes": 0,
        "hardware_flops": 97_000,
        "transpose_flops": 1_000,
        "peak_flops_bandwidth_ratio": 8.0,  # 2 x 16 at 1 GHz, over half of 8 GB/s
        "mm_arithmetic_intensity": 8.0,
        "hfu_estimated_percent": round(97_000 / 384_000, 12),
        "tensor_engine_active_time_percent": 0.5,
        "vector_engine_active_time_percent": round(2 / 12, 12),
        "scalar_engine_active_time_percent": 0.0,
        "gpsimd_engine_active_time_percent": 0.0,
        "sync_engine_active_time_percent": 0.0,
        "dma_transfer_count": 3,
    }


def test_fp32_counts_twice_as_in_a_published_profile():
    """NKIBench swiglu, M 4096, N 3072, K 1024: three products and 256 transposed blocks of fp32."""
    totals = TOTALS | {
        "flops.bf16": 0.0,
        "flops.fp32": 3 * 2.0 * 4096 * 3072 * 1024,
        "transpose_flops": 256 * 2.0 * 128**3,
        "transpose_flops.fp32": 256 * 2.0 * 128**3,
        "hbm_read_bytes": 141_623_296.0,
        "hbm_write_bytes": 83_886_080.0,
    }
    found = counters(trace_of(totals=totals), TOY)
    assert found["hardware_flops"] == 156_766_306_304
    assert found["transpose_flops"] == 2_147_483_648
    assert found["mm_arithmetic_intensity"] == pytest.approx(685.642545771578)


def test_the_clock_of_a_profiler_starts_earlier_and_ends_later():
    timing = replace(TOY.core.timing, profiler=5 * us)
    found = counters(trace_of(), replace(TOY, core=replace(TOY.core, timing=timing)))
    assert found["total_time"] == pytest.approx(17 * us)
    assert found["receipt"]["device_latency"] == pytest.approx(12 * us)
    assert "5.0 us" in found["receipt"]["clock"]
    assert chip("trn1").core.timing.profiler > chip("trn2").core.timing.profiler > 0


@pytest.mark.parametrize("peak", [{"sbuf_peak_bytes": 2_001.0}, {"psum_peak_bytes": 513.0}])
def test_spills_are_unknown_where_tensors_have_no_room(peak):
    found = counters(trace_of(totals=TOTALS | peak), TOY)
    assert found["spill_save_bytes"] is found["spill_reload_bytes"] is None
    assert found["receipt"]["spills"].startswith("not modelled")
    fits = counters(trace_of(totals=TOTALS | {"sbuf_peak_bytes": 2_000.0}), TOY)
    assert fits["spill_save_bytes"] == 0
    assert fits["receipt"]["spills"].startswith("none")


def test_spills_that_were_simulated_are_told():
    totals = TOTALS | {"spill_save_bytes": 64.0, "sbuf_peak_bytes": 2_001.0}
    found = counters(trace_of(totals=totals), TOY)
    assert (found["spill_save_bytes"], found["spill_reload_bytes"]) == (64, 0)


def test_two_cores_share_the_work():
    rows = (
        ("nc0/vector", "add", 1, 0, 4, 4, "first", -1),
        ("nc1/vector", "add", 1, 0, 2, 4, "first", -1),
        ("nc1/dma/vector", "load", 1, 0, 4, 4, "first", -1),
    )
    made = trace_of(rows)
    made.meta["cores"] = 2
    found = counters(made, TOY)
    assert found["vector_engine_active_time_percent"] == pytest.approx(0.75)
    assert found["hfu_estimated_percent"] == pytest.approx(97_000 / (2 * 32e9 * 4 * us))


def test_nothing_ran():
    found = counters(trace_of((), totals={}), TOY)
    assert found["hfu_estimated_percent"] == found["mm_arithmetic_intensity"] == 0.0
    assert found["vector_engine_active_time_percent"] == 0.0
