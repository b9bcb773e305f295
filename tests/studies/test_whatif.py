"""What limits cost and what advice is worth, on kernels made to suffer from one thing each."""

from dataclasses import replace
from io import StringIO
from typing import Any

import numpy as np
import pytest

from tests.support import TOY, TOY_CORE, load, store, toy
from trnlab.errors import BadArguments, NotModelled
from trnlab.nki import isa as nisa
from trnlab.nki import language as nl
from trnlab.report.why import render_why
from trnlab.studies.run import run_once
from trnlab.studies.whatif import LIMITS, why

WIDE = np.ones((128, 512), np.float32)


def kept(kernel: Any, *arrays: Any, chip: Any = TOY) -> Any:
    return run_once(kernel, arrays, {}, chip, keep=True)


def gains(result: Any) -> dict[str, float]:
    return {gain.name: gain.seconds for gain in why(result).gains}


def advice(result: Any) -> dict[str, Any]:
    return {item.name: item for item in why(result).advice}


def copies(a):
    tile = load(a)
    other = nl.ndarray(a.shape, a.dtype)
    for _ in range(8):
        nisa.activation(other, nl.exp, tile)
        nisa.activation(other, nl.sqrt, tile)
    return store(other)


def test_nothing_changes_on_the_same_chip():
    result = kept(copies, WIDE)
    again = result.retime(TOY)
    assert np.array_equal(again.start, result.trace.start)
    assert np.array_equal(again.stop, result.trace.stop)
    assert again.meta == result.trace.meta


def test_a_gain_is_what_another_chip_would_save():
    result = kept(copies, WIDE)
    found = gains(result)
    faster = toy(timing=replace(TOY_CORE.timing, table_load=0.0))
    exact = run_once(copies, (WIDE,), {}, faster).trace.seconds
    assert found["tables"] == pytest.approx(result.trace.seconds - exact, abs=1e-15)
    assert found["tables"] == pytest.approx(15 * 500e-9)
    assert found["scalar"] > found["tables"]
    assert "gpsimd" not in found


def test_every_limit_can_be_lifted_and_none_costs_time():
    result = kept(copies, WIDE)
    for limit in LIMITS:
        core = limit.lift(result.chip.core)
        seconds = result.retime(replace(result.chip, core=core)).seconds
        assert seconds <= result.trace.seconds * (1 + 1e-9), limit.name


def test_table_thrash_is_told_with_its_worth():
    found = advice(kept(copies, WIDE))["table thrash"]
    assert "15 times" in found.text
    assert found.seconds == pytest.approx(14 * 500e-9)
    assert found.where.rpartition(":")[0] == __file__


def single(a):
    out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
    tile, made = nl.ndarray((128, 512), a.dtype), nl.ndarray((128, 512), a.dtype)
    for row in range(0, a.shape[0], 128):
        nisa.dma_copy(tile, a[row : row + 128, :])
        nisa.tensor_copy(made, tile)
        nisa.dma_copy(out[row : row + 128, :], made)
    return out


def fresh(a):
    out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
    for row in range(0, a.shape[0], 128):
        tile, made = nl.ndarray((128, 512), a.dtype), nl.ndarray((128, 512), a.dtype)
        nisa.dma_copy(tile, a[row : row + 128, :])
        nisa.tensor_copy(made, tile)
        nisa.dma_copy(out[row : row + 128, :], made)
    return out


def test_a_single_buffer_is_worth_what_allocating_inside_of_the_loop_saves():
    tall = np.ones((1024, 512), np.float32)
    quick = toy(dma=replace(TOY_CORE.dma, rate=1e12, packet=0.0))
    result = kept(single, tall, chip=quick)
    saved = result.trace.seconds - run_once(fresh, (tall,), {}, quick).trace.seconds
    assert saved > 0
    assert advice(result)["single buffer"].seconds == pytest.approx(saved)
    assert "single buffer" not in advice(kept(fresh, tall, chip=quick))


def product(a, b):
    left, right = load(a), load(b)
    total = nl.ndarray((128, 512), np.float32, buffer=nl.psum)
    for _ in range(8):
        nisa.nc_matmul(total, left, right)
    made = nl.ndarray((128, 512), np.float32)
    nisa.tensor_copy(made, total)
    return store(made)


def test_fp32_matmuls_could_be_bf16():
    found = advice(kept(product, np.ones((128, 128), np.float32), WIDE))["fp32"]
    assert "100 % of the matmul FLOPs" in found.text
    assert found.seconds == pytest.approx(8 * 3 * 512e-9)


def test_a_cold_array_is_worth_its_clock():
    cold = toy(array=replace(TOY_CORE.array, cold_rate=0.5, warm_after=3e-6))
    found = advice(kept(product, np.ones((128, 128), np.float32), WIDE, chip=cold))["cold clock"]
    assert "50 % of its clock" in found.text
    assert found.seconds == pytest.approx(1.5e-6)


def narrow(a):
    tile = nl.ndarray((128, 64), a.dtype)
    for column in range(0, a.shape[1], 4):
        nisa.dma_copy(tile[:, 0:4], a[:, column : column + 4])
    nisa.memset(tile, 0)
    return store(tile)


def test_short_rows_and_small_transfers_are_told_apart():
    found = advice(kept(narrow, WIDE))
    assert "short rows" in found
    assert "129 transfers move" in found["small transfers"].text
    assert "short rows" not in advice(kept(single, np.ones((512, 512), np.float32)))


def test_what_cannot_be_timed_again_says_so():
    with pytest.raises(NotModelled, match="which was not kept"):
        why(run_once(copies, (WIDE,), {}, TOY))
    with pytest.raises(BadArguments, match="was not timed"):
        why(run_once(copies, (WIDE,), {}, TOY, time=False, keep=True))


def test_a_page_holds_all_of_it():
    from rich.console import Console

    result = kept(copies, WIDE)
    console = Console(width=100, record=True, file=StringIO())
    console.print(render_why([], why(result)))
    text = console.export_text()
    assert "function tables that are always there" in text
    assert "table thrash" in text
