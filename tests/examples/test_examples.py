"""The course: every example runs as a script and under `trnlab run`, and its kernels are right.

Examples compare their own results with NumPy and raise where they differ. Here kernels are also
called at other sizes, and a wrong result is shown to be noticed.
"""

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples"
FILES = sorted(FOLDER.glob("[0-9][0-9]_*.py"))
LONG = ("05", "06", "07", "08", "09", "10")  # a second or more
UNDER_THE_COMMAND = [
    pytest.param(file, marks=[pytest.mark.slow] if file.name.startswith(LONG) else [], id=file.stem)
    for file in FILES
]
TRNLAB = (sys.executable, "-W", "error", "-c", "from trnlab.cli import main; main()")
bf16 = ml_dtypes.bfloat16


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    # One thread: tests run side by side, and threads that wait for a busy core cost most.
    one = {"OPENBLAS_NUM_THREADS": "1"}
    env = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"} | one
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True,
        encoding="utf-8", check=False,
    )  # fmt: skip


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch):
    """Loads an example by its number without running it: its namespace."""
    monkeypatch.syspath_prepend(FOLDER)

    def load(number: int) -> dict[str, Any]:
        return runpy.run_path(str(FILES[number - 1]))

    return load


def test_they_are_numbered_from_one_without_gaps():
    assert [int(file.name[:2]) for file in FILES] == list(range(1, len(FILES) + 1))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_runs_as_a_script(file: Path, tmp_path: Path):
    done = run(sys.executable, "-W", "error", file, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) > 3
    assert done.stdout.isascii()


@pytest.mark.parametrize("file", UNDER_THE_COMMAND)
def test_it_runs_under_the_command(file: Path, tmp_path: Path):
    done = run(*TRNLAB, "run", file, "--trace", "last.json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "receipt" in done.stdout
    assert json.loads((tmp_path / "last.json").read_text())


@pytest.mark.parametrize("name", ["naive", "reuse", "blocked", "near_peak"])
def test_matmuls_agree_with_numpy(example: Any, name: str):
    number = 5 + ["naive", "reuse", "blocked", "near_peak"].index(name)
    rng = np.random.default_rng(1)
    a_t = rng.integers(-4, 5, (256, 1024)).astype(bf16)
    b = rng.integers(-4, 5, (256, 2048)).astype(bf16)
    out = example(number)[f"matmul_{name}"](a_t, b)
    want = (a_t.astype(np.float32).T @ b.astype(np.float32)).astype(bf16)
    np.testing.assert_array_equal(out, want)  # sums of small whole numbers are exact in fp32


def test_each_matmul_is_faster_than_the_one_before(example: Any):
    import trnlab

    x = np.zeros((2048, 2048), bf16)
    names = ("naive", "reuse", "blocked", "near_peak")
    kernels = [example(5 + i)[f"matmul_{name}"] for i, name in enumerate(names)]
    seconds = [trnlab.run(kernel, values=False)(x, x)[1].seconds for kernel in kernels]
    assert seconds == sorted(seconds, reverse=True)
    peak = float(trnlab.chip("trn2").core.peak())
    assert 2 * 2048**3 / seconds[-1] > 0.9 * peak  # what "near peak" claims


@pytest.mark.parametrize(("block", "flight"), [(128, 1), (256, 2), (512, 4)])
def test_flash_attention_agrees_with_numpy(example: Any, block: int, flight: int):
    here = example(9)
    rng = np.random.default_rng(1)
    q, k, v = (rng.standard_normal((512, 128)).astype(bf16) for _ in range(3))
    out = here["flash_attention"](q.T, k.T, v, block, flight).astype(np.float32)
    want = here["attention"](q, k, v)
    assert np.abs(out - want).max() < 2**-7 * np.abs(want).max()  # weights and results are bf16


def test_rmsnorm_matmul_agrees_with_numpy(example: Any):
    here = example(10)
    rng = np.random.default_rng(1)
    x, w = (rng.standard_normal(shape).astype(np.float32) for shape in ((256, 256), (256, 512)))
    g = rng.uniform(0.5, 1.5, 256).astype(np.float32)
    want = here["reference"](x, g, w)
    np.testing.assert_allclose(here["rmsnorm_matmul"](x, g, w), want, rtol=1e-4, atol=1e-4)
    apart = here["matmul"](here["rmsnorm"](x, g), w)
    np.testing.assert_allclose(apart, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("chunk", [64, 128])
def test_scan_carries_its_state_from_chunk_to_chunk(example: Any, chunk: int):
    here = example(11)
    rng = np.random.default_rng(1)
    u, delta = (rng.uniform(0.01, 1, (128, 128)).astype(np.float32) for _ in range(2))
    a = -rng.uniform(0.1, 2, (128, 4)).astype(np.float32)
    b, c = (rng.standard_normal((4, 128)).astype(np.float32) for _ in range(2))
    for helper in (here["nisa"].engine.vector, here["nisa"].engine.gpsimd):
        out = here["selective_scan"](u, delta, a, b, c, chunk, helper)
        np.testing.assert_allclose(out, here["reference"](u, delta, a, b, c), rtol=1e-3, atol=1e-4)


def test_both_generations_give_the_same_softmax(example: Any):
    here = example(12)
    x = np.random.default_rng(1).standard_normal((130, 64), dtype=np.float32)
    then, now = here["softmax_then"](x), here["softmax_now"](x)
    want = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(then, want, rtol=1e-5)
    np.testing.assert_allclose(now, want, rtol=1e-5)


def test_breaking_rules_shows_each_kind(example: Any):
    import trnlab

    a, b = np.ones((128, 128), np.float32), np.ones((128, 1024), np.float32)
    with pytest.raises(trnlab.Violations) as raised:
        example(4)["broken"](a, b)
    kinds = {type(error).__name__ for error in raised.value.found}
    assert kinds == {"IllegalInstruction", "OutOfMemory", "UninitialisedRead"}
    assert len(raised.value.found) >= 5


def test_a_wrong_result_is_noticed(example: Any, monkeypatch: pytest.MonkeyPatch):
    example(5)  # puts examples/ on the path
    import course

    course.check(np.ones((2, 2)), np.ones((2, 2)), tolerance=0)
    with pytest.raises(AssertionError, match="largest element"):
        course.check(np.ones((2, 2)), np.full((2, 2), 1.1), tolerance=0.01)
    with pytest.raises(AssertionError, match="shape"):
        course.check(np.ones((2, 2)), np.ones((2, 1)), tolerance=0.01)
    monkeypatch.delitem(sys.modules, "course")


@pytest.fixture
def short_tour(tmp_path: Path) -> Path:
    """A tour of two examples."""
    (tmp_path / "examples").mkdir()
    for name in ("__main__.py", "course.py", FILES[1].name, FILES[2].name):
        shutil.copy(FOLDER / name, tmp_path / "examples")
    return tmp_path


def test_the_tour_runs_all_and_ends_with_a_trace(short_tour: Path):
    done = run(sys.executable, "-m", "examples", cwd=short_tour)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\n=== 0") == 2
    saved = short_tour / "trnlab-traces" / "softmax.json"
    assert str(saved.relative_to(short_tour)) in done.stdout.rpartition("===")[2]
    assert json.loads(saved.read_text())


def test_the_tour_goes_on_past_a_failure_and_says_so(short_tour: Path):
    (short_tour / "examples" / "01_wrong.py").write_text('"""Wrong."""\nassert 1 == 2, "one"\n')
    done = run(sys.executable, "-m", "examples", cwd=short_tour)
    assert done.returncode == 1
    assert done.stdout.count("\n=== 0") == 3
    assert done.stdout.rstrip().endswith("failed: 01_wrong.py")


@pytest.mark.parametrize("chip", ["trn1", "trn3"])
def test_what_limits_a_run_may_be_another_engine_on_another_chip(chip, tmp_path):
    """On trn1 it is DMA, which is several lanes."""
    for name in ("02_first_kernel.py", "06_matmul_reuse.py"):
        said = run(*TRNLAB, "run", FOLDER / name, "--chip", chip, cwd=tmp_path)
        assert said.returncode == 0, said.stderr
