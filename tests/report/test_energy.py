"""Joules and dollars against figures worked out by hand."""

from dataclasses import replace

import pytest

from tests.report.make import TOTALS, TOY, trace_of
from trnlab.errors import NotModelled
from trnlab.machine.facts import derived
from trnlab.report.energy import cores_used, dollars, energy, matmul_flops
from trnlab.units import pJ, us


def test_each_part_is_work_times_joules():
    found = energy(trace_of(), TOY)
    # 96,000 bf16 and 1,000 transposing FLOPs at 1 pJ, 500 lane operations at (1 + 3) / 2 pJ
    assert found.compute == pytest.approx(98_000 * pJ)
    assert found.sram == pytest.approx(10_000 * pJ)
    assert found.hbm == pytest.approx(120_000 * pJ)
    assert found.static == pytest.approx(0.1 * 10 * 1 / 2 * 12 * us)
    assert found.total == found.compute + found.sram + found.hbm + found.static
    assert found.watts == pytest.approx(found.total / (12 * us))


@pytest.mark.parametrize(
    ("number", "each"), [("fp8", 0.5), ("bf16", 1), ("fp16", 1), ("tf32", 1), ("fp32", 4)]
)
def test_a_format_costs_its_passes_through_the_array(number: str, each: float):
    trace = trace_of(totals={f"flops.{number}": 1_000.0})
    assert energy(trace, TOY).compute == pytest.approx(1_000 * each * pJ)


def test_an_unknown_format_is_not_charged_as_another():
    with pytest.raises(NotModelled, match="fp4"):
        energy(trace_of(totals={"flops.fp4": 1.0}), TOY)


def test_bytes_of_the_array_are_charged_once_where_they_are_known():
    known = energy(trace_of(totals=TOTALS | {"tensor_sram_bytes": 4_000.0}), TOY)
    assert known.sram == pytest.approx(6_000 * pJ)
    assert "counted once" in known.basis
    assert "counted in FLOPs and bytes" in energy(trace_of(), TOY).basis


def test_the_basis_names_the_kinds_of_its_numbers():
    assert "(unsourced)" in energy(trace_of(), TOY).basis
    sourced = replace(TOY.energy, hbm_byte=derived("a page")(10 * pJ))
    assert "(derived, unsourced)" in energy(trace_of(), replace(TOY, energy=sourced)).basis


def test_all_cores_draw_static_power():
    both = trace_of(meta={"cores": 2})
    assert cores_used(both) == 2
    assert energy(both, TOY).static == pytest.approx(2 * energy(trace_of(), TOY).static)


def test_dollars_are_the_price_of_the_cores_in_use():
    assert dollars(trace_of(), TOY) == pytest.approx(3.6 / 3600 / 2 * 12 * us)
    assert dollars(trace_of(meta={"cores": 2}), TOY) == pytest.approx(0.001 * 12 * us)
    assert dollars(trace_of(), replace(TOY, dollars_per_hour=None)) is None


def test_an_empty_trace_costs_nothing():
    empty = trace_of((), totals={})
    found = energy(empty, TOY)
    assert (found.total, found.watts, dollars(empty, TOY)) == (0, 0, 0)


def test_transposes_are_no_matrix_multiplication():
    assert matmul_flops(trace_of()) == {"bf16": 96_000.0}
