"""Somebody's test-suite under `trnlab pytest` and `pytest -p trnlab`, each in a process."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import trnlab
from tests.support import load, nisa, nl, store
from trnlab.errors import MissingExtra, NotModelled
from trnlab.studies import suite
from trnlab.studies.run import run_once
from trnlab.studies.suite import Calls, run_suite

ROOT = Path(trnlab.__file__).parents[1]
CONFTEST = "import nki\n\nBEFORE_THE_TESTS = nki.jit\n"
TESTS = """
import subprocess

import numpy as np
import nki
import nki.isa as nisa
import nki.language as nl
import pytest
import torch_xla.core.xla_model as xm


@nki.jit
def double(a):
    tile = nl.ndarray(a.shape, a.dtype)
    nisa.dma_copy(tile, a)
    nisa.tensor_scalar(tile, tile, nl.multiply, 2.0)
    out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(out, tile)
    return out


@nki.jit
def too_big(a):
    tile = nl.ndarray((128, 65536), a.dtype)
    nisa.memset(tile, 0.0)
    out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(out, tile[:, 0:64])
    return out


@pytest.mark.parametrize("n", [1, 2])
def test_double(n):
    assert (nki.simulate(double)(np.ones((128, n), np.float32)) == 2).all()


@nki.jit
def test_is_not_its_name(a):
    return a


@nki.jit
def outside(a):
    return a[4:6]


def test_outside():
    outside(np.ones((4, 4), np.float32))


def test_too_big():
    too_big(np.ones((128, 64), np.float32))


def test_the_tool():
    done = subprocess.run("neuron-profile view -s no.ntff", shell=True, capture_output=True)
    assert done.returncode == 1
    assert b"no.ntff" in done.stderr
    xm.mark_step()
"""


@pytest.fixture
def outcome(tmp_path):
    """Runs a command line on the suite; returns its exit code and what it printed."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(TESTS)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("PYTEST_ADDOPTS", None)

    def run(*words):
        done = subprocess.run(
            [sys.executable, "-m", *words, "-q", "-p", "no:cacheprovider"],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    return run


def test_strict_unless_asked(outcome):
    code, said = outcome("trnlab", "pytest", "-W", "error")
    assert code == 1
    assert "2 failed, 3 passed" in said
    assert "1 kernel, 2 calls, 0 broken rules let through" in said
    assert "double on trn2: 2 calls, the last" in said
    assert "1 test stopped by Violations" in said
    assert "1 test stopped by OutOfBounds" in said
    assert "trnlab/nki/" not in said  # a traceback ends with the user's line
    assert "trnlab/sim/" not in said


def test_as_the_vendors_simulator_on_another_chip(outcome):
    code, said = outcome("pytest", "-p", "trnlab", "--as-vendor-sim", "--trnlab-chip", "trn1",
                         "--trnlab-no-time")  # fmt: skip
    assert (code, "1 failed" in said) == (1, True)  # what is outside has no value
    assert "2 kernels, 3 calls, 1 broken rule let through" in said
    assert "too_big on trn1: 1 call, 1 broken rule: t1 ends at byte 262,144" in said


def test_workers_hand_over_what_they_counted(outcome):
    pytest.importorskip("xdist")
    code, said = outcome("pytest", "-p", "trnlab", "--as-vendor-sim", "-n", "2")
    assert (code, "1 failed" in said) == (1, True)
    assert "2 kernels, 3 calls, 1 broken rule let through" in said


def test_a_chip_that_does_not_exist(outcome):
    code, said = outcome("trnlab", "pytest", "--trnlab-chip", "trn9")
    assert code == 4  # pytest's own for wrong usage
    assert "did you mean" in said
    assert "Traceback" not in said


def test_without_kernels_nothing_is_said(outcome):
    code, said = outcome("trnlab", "pytest", "-k", "the_tool")
    assert code == 0
    assert "trnlab ==" not in said


def test_without_pytest(monkeypatch):
    monkeypatch.setattr(suite.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"trnlab\[test\]"):
        run_suite([])


def test_many_kernels_are_counted_and_some_listed():
    def kernel(a):
        tile = load(a)
        nisa.tensor_scalar(tile, tile, nl.add, 1.0)
        return store(tile)

    calls = Calls()
    result = run_once(kernel, [np.ones((4, 4), np.float32)], {})
    for number in range(12):
        result.kernel = f"k{number}"
        calls.add(result)
    calls.add(result)
    lines = list(calls.summary())
    assert lines[0] == "12 kernels, 13 calls, 0 broken rules let through"
    assert lines[1].startswith("  k11 on trn2: 2 calls, the last ")
    assert lines[-1] == "  and 2 more"


def test_tests_are_counted_by_what_stopped_them():
    calls = Calls()
    for error in (NotModelled("this"), NotModelled("that"), ValueError("own"), None):
        calls.stop(error)
    calls.merge({"k on trn2": (1, 1e-6, 2, "first")}, {"NotModelled": 1})
    assert calls.stopped == {"NotModelled": 3}
    assert list(calls.summary())[:2] == [
        "1 kernel, 1 call, 2 broken rules let through",
        "  k on trn2: 1 call, the last 1.00 us, 2 broken rules: first",
    ]
