"""The schedule in Python and compiled by numba: every time, cause and blocking row is the same."""

import subprocess
import sys
from math import inf

import numpy as np
import pytest

import trnlab
from tests.fuzz.checking import check
from tests.fuzz.choices import program
from trnlab.nki import collectives as ncc
from trnlab.nki import entry
from trnlab.nki import isa as nisa
from trnlab.nki import language as nl
from trnlab.nki.legacy import entry as old
from trnlab.nki.legacy import language as old_nl
from trnlab.sim.timing import timed
from trnlab.studies.validation.measurements import Measurement, published
from trnlab.studies.validation.timed import KERNELS, traces
from trnlab.studies.validation.validate import is_quick

compiled = pytest.importorskip(
    "trnlab.sim.timing.compiled", reason="the fast extra is not installed"
)


@pytest.fixture
def both(monkeypatch):
    """Schedules in both ways, and how many schedules it was."""
    python, seen = timed.interpreted, []

    def compared(*given):
        one, other = python(*given), timed.compiled(*given)
        for mine, theirs in zip(one, other, strict=True):
            assert mine.keys() == theirs.keys()
            for name, column in mine.items():
                assert column.dtype == theirs[name].dtype
                assert column.tobytes() == theirs[name].tobytes(), name
        seen.append(len(one.rows["lane"]))
        return one

    monkeypatch.setattr(timed, "interpreted", compared)
    monkeypatch.setattr(timed, "_pays", lambda count: False)
    return seen


def measured():
    """One row of each kernel that was timed on each chip; the long ones are marked slow."""
    rows: dict[tuple[str, str], Measurement] = {}
    for row in published():
        if row.metric == "seconds" and row.kernel in KERNELS:
            rows.setdefault((row.kernel, row.chip), row)
    for row in rows.values():
        long = row.clock == "profiler" or not is_quick(row)
        yield pytest.param(row, id=f"{row.kernel}-{row.chip}", marks=[pytest.mark.slow] * long)


@pytest.mark.parametrize("row", [*measured()])
def test_kernels_that_were_timed(row, both):
    traces(row)
    assert both


@pytest.mark.parametrize("seed", range(12))
def test_random_kernels(seed, both):
    check(program(seed, 12))
    assert both


@entry.jit
def copied(x):
    """Every core loads all of x, more than SBUF holds, and stores its part of it."""
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    cores, mine = nl.num_programs(), nl.program_id(0)
    for part in range(x.shape[0] // 128):
        tile = nl.ndarray((128, x.shape[1]), dtype=x.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=tile, src=x[part * 128 : (part + 1) * 128, :])
        for op in (nl.exp, nl.sin, nl.sin, nl.sin, nl.sin):
            nisa.activation(tile, op, tile)
        if part % cores == mine:
            nisa.dma_copy(dst=out[part * 128 : (part + 1) * 128, :], src=tile)
    return out


@pytest.mark.parametrize("cores", [1, 2])
def test_full_memories_and_shared_stacks(cores, both):
    kernel = copied[cores] if cores > 1 else copied
    trace = trnlab.run(kernel, "trn2", values=False)(np.zeros((128 * 48, 8192), np.float32))[1]
    assert {"memory", "queue busy", "data"} <= {span.cause for span in trace}


@entry.jit
def summed(x):
    """The sum of every rank's x."""
    mine = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.hbm)
    total = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.hbm)
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(dst=mine, src=x)
    for _ in range(2):
        ncc.all_reduce([mine], [total], ncc.ReplicaGroup([[0, 1, 2]]), op=nl.add)
    nisa.dma_copy(dst=out, src=total)
    return out


def test_collectives(both):
    trnlab.run_ranks(summed, [[np.full((128, 64), n, np.float32)] for n in range(3)])
    assert both


@old.jit
def sums(x):
    """Loads and stores in a loop of the older API, whose compiler reorders them."""
    out = old_nl.ndarray(x.shape, dtype=x.dtype, buffer=old_nl.shared_hbm)
    for i in old_nl.affine_range(x.shape[0]):
        tile = old_nl.load(x[i])
        old_nl.store(out[i], old_nl.exp(tile) + old_nl.copy(tile))
    return out


@pytest.mark.parametrize("chip", ["trn1", "trn2"])
def test_the_order_of_the_older_compiler(chip, both):
    x = np.zeros((300, 128, 512), np.float32)
    trnlab.run(sums, chip, values=False)(x)
    trnlab.run(sums, chip, values=False, without="software_pipelining")(x)
    assert both[0] == both[1] > 1000


def test_long_runs_load_what_is_compiled_and_short_ones_do_not(monkeypatch):
    monkeypatch.delitem(sys.modules, timed.COMPILED)
    monkeypatch.setattr(timed, "in_python", [0.0])
    monkeypatch.setattr(timed, "WORTH", 100)
    found = [timed._pays(60), timed._pays(60), timed._pays(timed.LEAST), timed._pays(10)]
    assert found == [False, True, True, False]


def test_a_numba_that_does_not_load_is_left_alone(monkeypatch):
    def fails(name):
        raise ImportError("Numba needs another NumPy")

    monkeypatch.delitem(sys.modules, timed.COMPILED)
    monkeypatch.setattr(timed, "in_python", [0.0])
    monkeypatch.setattr(timed, "import_module", fails)
    assert not timed._pays(timed.WORTH)
    assert timed.in_python == [-inf]
    assert not timed._pays(timed.WORTH)


def test_where_nothing_can_be_kept_it_is_compiled_again(monkeypatch):
    def njit(function=None, *, cache=False):
        if cache:
            raise RuntimeError("no locator available")
        return function

    monkeypatch.setattr(compiled, "njit", lambda *a, **k: njit(*a, **k) if a else njit(cache=True))
    assert compiled._compiled().__name__ == "passed"


def test_a_short_run_does_not_load_numba():
    code = """
import sys, numpy as np, trnlab
from trnlab.kernels.validation import products
shapes = (1, 128, 1, 128), (1, 128, 512)
trnlab.run(products.matmul, values=False)(*[np.zeros(s, "f4") for s in shapes])
assert "numba" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
