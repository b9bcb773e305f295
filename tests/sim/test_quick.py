"""Passes of the older compiler in Python and compiled by numba: the same to the last number."""

from dataclasses import replace

import numpy as np
import pytest

from tests.sim.test_spilling import PARTS, TILE, WIDTH, random_kernel, recorded
from trnlab.machine.catalogue import chip as find_chip
from trnlab.sim import quick as quickly
from trnlab.sim.older import crowding, merging, spilling

compiled = pytest.importorskip(
    "trnlab.sim.timing.compiled", reason="the fast extra is not installed"
)


@pytest.fixture
def both(monkeypatch):
    """Runs passes in both ways, and which those were."""
    seen = []

    def compared(function, *given):
        one, other = function(*map(quickly.listed, given)), compiled.of(function)(*given)
        assert tuple(map(list, one)) == tuple(map(list, other))
        seen.append(function.__name__)
        return one

    for module in (merging, spilling):
        monkeypatch.setattr(module, "quick", compared)
    return seen


@pytest.mark.parametrize("room", [4, 40])
def test_random_programs_that_spill(room, both, monkeypatch):
    monkeypatch.setattr(crowding, "_lag", lambda *_: 1e9)  # results wait where there is room
    core, x = find_chip("trn1").core, np.zeros((5, 128, WIDTH * PARTS), np.float32)
    small = replace(core, sbuf=replace(core.sbuf, usable=room * TILE))
    for seed in range(24):
        spilling.fitted_in(recorded(monkeypatch, random_kernel(seed), x), small)
    assert both.count("evicted") > 12
