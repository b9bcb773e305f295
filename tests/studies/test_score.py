"""Scores: what is right, what is not, and candidates that would rather do something else."""

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import trnlab
from trnlab import cli
from trnlab.errors import BadArguments, TrnlabError, UnknownName
from trnlab.studies.scoring import score as score_module
from trnlab.studies.scoring.comparing import compare
from trnlab.studies.scoring.confine import LIMITS, MAPPED, missing
from trnlab.studies.scoring.places import Full, Places
from trnlab.studies.scoring.request import MB, request_of
from trnlab.studies.scoring.score import describe, score, score_files
from trnlab.studies.scoring.serve import Service
from trnlab.studies.scoring.wanted import meant
from trnlab.studies.scoring.watch import LOADED, PAUSE, Use, children

SHAPE = "f32[128,64]"
REFERENCE = "def reference(x, y):\n    return x + y\n"
KERNEL = """
import nki
import nki.isa as nisa
import nki.language as nl

@nki.jit
def kernel(x, y):
    out = nl.ndarray(x.shape, x.dtype, buffer=nl.shared_hbm)
    a, b = nl.load(x), nl.load(y)
    nisa.tensor_tensor(a, a, b, nl.add)
    nl.store(out, a)
    return out
"""
OLDER = """
import neuronxcc.nki as nki
import neuronxcc.nki.language as nl

@nki.jit
def kernel(x, y):
    out = nl.ndarray(x.shape, x.dtype, buffer=nl.shared_hbm)
    rows, columns = nl.arange(128)[:, None], nl.arange(x.shape[1])[None, :]
    for tile in nl.affine_range((x.shape[0] + 127) // 128):
        inside = tile * 128 + rows < x.shape[0]
        a = nl.load(x[tile * 128 + rows, columns], mask=inside)
        b = nl.load(y[tile * 128 + rows, columns], mask=inside)
        nl.store(out[tile * 128 + rows, columns], a + b, mask=inside)
    return out
"""
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="walls of Linux")


def scored(kernel: str = KERNEL, reference: str = REFERENCE, **asked: Any) -> dict[str, Any]:
    asked = {"inputs": [SHAPE, SHAPE], "seeds": 2, "seconds": 60} | asked
    return score(kernel=kernel, reference=reference, **asked)


def made(source: str) -> Any:
    scope: dict[str, Any] = {}
    trnlab.activate()
    exec(source, scope)
    return scope["kernel"]


# --- honest candidates


def test_a_right_kernel_takes_the_time_that_it_takes_in_a_run():
    told = scored()
    assert told["verdict"] == "correct"
    x = np.ones((128, 64), np.float32)
    assert told["seconds"] == trnlab.run(made(KERNEL))(x, x)[1].seconds
    (case,) = told["cases"]
    assert case["errors"] == [0.0, 0.0]
    assert case["counters"]["hbm_read_bytes"] == 2 * x.nbytes
    assert told == scored(), "the same request has the same answer"


@pytest.mark.parametrize("written", ["", "@nki.compiler.skip_middle_end_transformations\n"])
def test_a_kernel_of_the_older_api_with_its_masks_and_its_compiler(written: str):
    kernel = OLDER.replace("@nki.jit", written + "@nki.jit")
    told = scored(kernel, inputs=["f32[200,64]"] * 2, chip="trn1")
    assert told["verdict"] == "correct"
    x = np.ones((200, 64), np.float32)
    assert told["seconds"] == trnlab.run(made(kernel), "trn1")(x, x + 1)[1].seconds


def test_a_wrong_kernel():
    told = scored(KERNEL.replace("nl.add", "nl.subtract"))
    assert (told["verdict"], told["correct"], told["seconds"]) == ("wrong", False, None)
    assert min(told["cases"][0]["errors"]) > 0.1


def test_a_broken_rule():
    told = scored(KERNEL.replace("nisa.tensor_tensor", "a = a[1:65]\n    nisa.tensor_tensor"))
    assert told["verdict"] == "illegal"


def test_values_that_nobody_wrote_are_a_violation():
    told = scored(KERNEL.replace("nl.store(out, a)", "nl.store(out[0:64, :], a[0:64, :])"))
    assert told["verdict"] == "illegal"
    assert "UninitialisedRead" in told["cases"][0]["violations"][0]


def test_a_rule_that_only_the_source_shows():
    told = scored(KERNEL.replace("nl.load(y)", "nl.transpose(nl.load_transpose2d(out))"),
                  inputs=["f32[128,128]", "f32[128,128]"])  # fmt: skip
    assert told["verdict"] == "illegal"
    found = told["cases"][0]["violations"]
    assert sum("local to the kernel" in text for text in found) == 1


def test_hidden_shapes_are_judged_and_not_told():
    hidden = [["f32[128,48]", "f32[128,48]"]]
    told = scored(KERNEL.replace("x.shape,", "(128, 64),"), hidden=hidden)
    assert told["verdict"] != "correct"
    assert [case["verdict"] == "correct" for case in told["cases"]] == [True, False]
    assert "48" not in json.dumps(told["cases"][1])


SPY = """
import os, sys
def secrets():
    frame = sys._getframe()
    while frame:
        for value in frame.f_locals.values():
            if f"f32[128,{6 * 8}]" in repr(value): return repr(value)[-100:]
        frame = frame.f_back
"""


@pytest.mark.parametrize(
    "attack",
    [
        "found = secrets()\nif found: raise ValueError(found)",
        "    if x.shape != (128, 64): raise type(str(x.shape), (Exception,), {})\n",
        "    if x.shape != (128, 64): print(x.shape, flush=True); os._exit(48)\n",
    ],
)
def test_nobody_hears_of_hidden_shapes(attack: str):
    kernel = SPY + (KERNEL + attack if "found" in attack else
                    KERNEL.replace("    out =", attack + "    out ="))  # fmt: skip
    told = scored(kernel, hidden=[["f32[128,48]", "f32[128,48]"]])
    assert told["cases"][0]["verdict"] == "correct"
    assert not re.search(r"\b48\b", json.dumps(told | {"cases": [told["cases"][1]]}))


@pytest.mark.parametrize(
    ("source", "name", "found"),
    [
        ("def one(x): pass", "", "one"),
        ("def kernel(x): pass\ndef other(x): pass", "", "kernel"),
        ("def kernel(x): pass\ndef other(x): pass", "other", "other"),
        ("@nki.jit\ndef one(x): pass\ndef helper(x): pass", "", "one"),
        ("@nki.jit\ndef _one(x): pass", "", "_one"),
        ("@nki.jit\ndef a(x): pass\n@nki.jit\ndef b(x): pass", "", "there are 2: a, b"),
        ("@nki.jit\ndef a(x): pass\n@nki.jit\ndef b(x): pass", "", "name one: FILE:a"),
        ("def a(x): pass", "b", "no kernel is called 'b'"),
        ("from json import loads", "", "there is no kernel"),
    ],
)
def test_the_kernel_is_the_usual_one_or_the_only_one(source: str, name: str, found: str):
    trnlab.activate()
    scope = {"__name__": "candidate"}
    exec(f"import nki\n{source}", scope)
    if " " not in found:
        assert meant(scope, "kernel", name, "kernel").__name__ == found
    else:
        with pytest.raises(TrnlabError, match=found):
            meant(scope, "kernel", name, "kernel")


def test_two_cores_with_an_output_each():
    half = "core = 32 * nl.program_id(0)\n    here = (slice(None), slice(core, core + 32))\n    "
    kernel = KERNEL.replace("a, b = nl.load(x), nl.load(y)", half + "a, b = x[here], y[here]\n")
    kernel = kernel.replace("    nisa.", "    a, b = nl.load(a), nl.load(b)\n    nisa.")
    kernel = kernel.replace("nl.store(out, a)", "nl.store(out[here], a)")
    for memory in ("shared_hbm", "hbm"):
        told = scored(kernel.replace("shared_hbm", memory), grid=[2])
        assert told["verdict"] == "correct", told["error"]
    assert scored(kernel)["verdict"] == "illegal"  # half of the output is never written


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("r = nisa.register_alloc(0)\n    nisa.register_load(r, a[0:1, 0:1])\n"
         "    for _ in nl.dynamic_range(r): nisa.memset(a, 0)", "in a register"),
        ("for i in nl.dynamic_range(2): nisa.dma_copy(a[:, nl.ds(i, 8)], x[:, nl.ds(i, 8)])",
         "a register or a tile decides"),
    ],
)  # fmt: skip
def test_what_values_decide_is_not_modelled(body: str, said: str):
    told = scored(KERNEL.replace("    nisa.", f"    {body}\n    nisa.", 1))
    assert told["verdict"] == "not modelled"
    assert said in told["error"]


def test_a_reference_may_be_a_kernel():
    assert scored(reference=KERNEL, reference_name="kernel")["verdict"] == "correct"


def test_a_kernel_that_branches_on_values_is_not_modelled():
    told = scored(KERNEL.replace("a, b =", "nl.load(x[nl.load(y)[0:1, 0:1], :])\n    a, b ="))
    assert told["verdict"] in ("not modelled", "illegal")
    assert not told["correct"]


# --- other candidates: what runs before the kernel is asked for


@pytest.mark.parametrize(
    "attack",
    [
        "import numpy as np\nnp.array_equal = np.allclose = lambda *_, **__: True",
        "import trnlab.sim.timing.cost, trnlab.studies.scoring.judge\n"
        "trnlab.studies.scoring.judge.compare = lambda *_: 0.0\n"
        "trnlab.sim.timing.cost.cost = lambda *_: None",
        "import time\ntime.perf_counter = time.time = lambda: 0.0",
    ],
    ids=["numpy", "trnlab", "clock"],
)
def test_patches_stay_in_the_candidate(attack: str):
    told = scored(KERNEL.replace("nl.add", "nl.subtract") + attack)
    assert not told["correct"]


PRODUCT = """
import nki
import nki.isa as nisa
import nki.language as nl

@nki.jit
def kernel(x, y):
    out = nl.ndarray((64, 64), x.dtype, buffer=nl.shared_hbm)
    total = nl.ndarray((64, 64), nl.float32, buffer=nl.psum)
    nisa.nc_matmul(total, nl.load(x), nl.load(y))
    done = nl.ndarray((64, 64), x.dtype, buffer=nl.sbuf)
    nisa.tensor_copy(done, total)
    nl.store(out, done)
    return out
"""


@pytest.mark.parametrize("promise", ["is_stationary_onezero", "is_moving_onezero", "is_transpose"])
def test_promises_that_make_a_product_quicker_are_checked(promise: str):
    reference = "def reference(x, y): return x.T @ y"
    assert scored(PRODUCT, reference)["verdict"] == "correct"
    told = scored(PRODUCT.replace("load(y))", f"load(y), {promise}=True)"), reference)
    assert told["verdict"] == "illegal"
    again = f"    nisa.nc_matmul(total, done, done, {promise}=True)\n"  # of a sum that still waits
    chained = PRODUCT.replace(
        "    nl.store", f"{again}    nisa.tensor_copy(done, total)\n    nl.store"
    )
    assert scored(chained, reference)["verdict"] == "illegal"
    ones = PRODUCT.replace("nl.load(y)", "nl.ones((128, 64), x.dtype), is_moving_onezero=True")
    told = scored(ones, "import numpy as np\ndef reference(x, y): return x.T @ np.ones_like(y)")
    assert told["verdict"] == "correct"


def test_a_constant_is_no_result():
    body = "return nl.shared_constant(__import__('numpy').zeros(x.shape, 'float32'))"
    told = scored(KERNEL.replace("    return out", f"    {body}"))
    assert told["verdict"] == "wrong"
    notes = told["cases"][0]["notes"]
    assert any("the same whatever the inputs are" in note for note in notes)


@pytest.mark.parametrize(
    ("attack", "verdict", "said"),
    [
        ("while True: pass", "limit", "longer than"),
        ("import ctypes\nctypes.string_at(0)", "failed", "SIGSEGV"),
        (
            "import os\nos._exit(0)",
            "failed",
            "no program came from the candidate: its process ended with exit code 0",
        ),
        (
            "import os\nprint('oh, no', flush=True)\nos._exit(3)",
            "failed",
            "exit code 3; it printed at the end:\noh, no",
        ),
        ("import os\nif os.fork(): os._exit(4)", "failed", "exit code 4"),
        ("raise SystemExit", "failed", "SystemExit"),
        ("import os\nwhile True: os.write(2, b'x' * 65536)", "limit", "printed more than"),
        ("import os\nwhile True: os.write(3, b'x' * 65536)", "limit", "program is longer"),
        ("import sys\nraise type('f32[128,64]', (Exception,), {})", "failed", "f32"),
        ("held = bytearray(1 << 40)", "limit", "MemoryError"),
        ("1 / 0", "failed", "ZeroDivisionError"),
        ("kernel = 3", "failed", "there is no kernel of the candidate"),
        ("def kernel(", "failed", "SyntaxError"),
        ("def f(): f()\nf()", "failed", "RecursionError"),
        ("import os\nos.closerange(0, 64)", "failed", "exit code 1"),
        ("import os, time\nos.closerange(0, 64)\ntime.sleep(600)", "limit", "did nothing"),
        ("open('big', 'wb').write(bytes(1 << 25))", "failed", "File too large"),
        ("import time\ntime.sleep(600)", "limit", "longer than"),
        (
            "import signal\nfor n in {*range(1, 32)} - {9, 19}: signal.signal(n, signal.SIG_IGN)\n"
            "while True: pass",
            "limit",
            "longer than",
        ),
        ('import os\nos.write(3, b\'{"verdict": "correct"}\\n\')', "illegal", "malformed"),
        ("import os\nos.write(3, b'[' * 100000 + b'\\n')", "failed", "malformed"),
        ("import os\nos.write(3, b'\\xff\\n')", "failed", "malformed"),
    ],
)
def test_candidates_that_do_something_else(attack: str, verdict: str, said: str):
    # Whatever a candidate does, it is killed in the end: only some need the time they get.
    seconds = 3 if "while True: pass" in attack or "sleep" in attack else 60
    told = scored(KERNEL + attack, seconds=seconds, output=4 * MB)
    assert told["verdict"] == verdict
    assert said in told["error"]


@pytest.mark.parametrize("attack", ["held = bytearray(1 << 40)", "import time\ntime.sleep(600)"])
def test_cases_that_the_candidate_did_not_live_to_see_end_as_it_did(attack: str):
    told = scored(KERNEL + attack, hidden=[[SHAPE, SHAPE]], seconds=3)
    assert told["verdict"] == "limit"
    assert [case["verdict"] for case in told["cases"]] == ["limit", "limit"]
    assert told["cases"][0]["error"] == told["error"]


@pytest.mark.parametrize("hangs", ["while True: pass", "import time\ntime.sleep(600)"])
def test_an_answer_has_the_same_entries_when_nobody_is_left_to_give_it(hangs: str, monkeypatch):
    usual = scored(KERNEL + "1 / 0")
    if "sleep" in hangs:
        monkeypatch.setattr(score_module, "LOADED", 0)
        monkeypatch.setattr(score_module, "PATIENCE", 2)
    told = scored(reference=hangs, compute=0.5)
    assert told["verdict"] == "limit"
    assert told["error"] == "computing the program and the reference took longer than 0.5 s"
    assert told.keys() == usual.keys()
    assert told["receipt"].items() <= usual["receipt"].items()


@pytest.mark.parametrize(
    ("use", "passed", "late"),
    [
        (Use(worked=2.9, waited=20.0), 23.0, False),  # others have the CPU
        (Use(worked=3.1), 3.1, True),
        (Use(worked=0.1), 3 + PAUSE, False),  # it waits for a disk, perhaps
        (Use(worked=0.1), 4 + PAUSE, True),  # it sleeps
        (Use(), 4 + PAUSE, True),  # nobody counts
        (Use(worked=2.9, waited=1e3), LOADED * (3 + PAUSE) + 1, True),
    ],
)
def test_only_time_in_which_a_candidate_has_a_cpu_or_does_nothing_counts(
    use: Use, passed: float, late: bool
):
    assert bool(use.late(3, passed)) == late


@LINUX
def test_work_of_all_processes_counts_together():
    attack = "import os\nos.fork(), os.fork()\nwhile True: pass"
    told = scored(KERNEL + attack, seconds=2)
    assert told["verdict"] == "limit"
    assert "2 s of CPU" in told["error"]


def test_a_copy_that_a_candidate_makes_of_its_process_answers_nothing():
    other = KERNEL.replace("nl.add", "nl.subtract")
    for attack in (f"if os.fork() == 0:\n    exec({other!r})", "os.fork()"):
        told = scored(f"{KERNEL}import os\n{attack}")
        assert told == scored(f"{KERNEL}import os\n{attack}")
        assert told["verdict"] == "correct"
    within = KERNEL.replace("    return out", "    import os\n    os.fork()\n    return out")
    assert scored(within, hidden=[[SHAPE, SHAPE]])["verdict"] == "correct"


@LINUX
@pytest.mark.parametrize(
    ("attack", "said"),
    [
        ("while True:\n    try: os.fork()\n    except OSError: pass",
         "64 processes|bytes of memory together"),
        ("for _ in range(8):\n    if os.fork() == 0: b = bytearray(1 << 28); time.sleep(600)\n"
         "time.sleep(600)", "bytes of memory together"),
        ("for n in range(80): open(str(n), 'wb').write(bytes(1 << 20))\ntime.sleep(600)",
         "files took more"),
        ("for n in range(3000): os.mkdir('d'), os.chdir('d')\ntime.sleep(600)", "too deep"),
        ("import mmap\nfor _ in range(4):\n    if os.fork() == 0:\n"
         "        held = mmap.mmap(-1, 1 << 29)\n"
         "        for n in range(0, len(held), 4096): held[n] = 1\n"
         "        time.sleep(600)\ntime.sleep(600)", "bytes of memory together"),
    ],
    ids=["forks", "memory", "files", "folders", "shared"],
)  # fmt: skip
def test_what_no_single_process_or_file_takes(
    attack: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    told = scored(KERNEL + "import os, time\n" + attack, memory=1024 * MB)
    assert told["verdict"] == "limit"
    assert re.search(said, told["error"])
    assert not list(tmp_path.iterdir())


@LINUX
def test_memory_that_belongs_to_no_process_is_out_of_reach():
    told = scored(KERNEL + "import os\nos.memfd_create('x')")
    if MAPPED not in told["receipt"]["confined"]:
        pytest.skip("this machine has no seccomp")
    assert "Function not implemented" in told["error"]


def test_what_a_candidate_says_does_not_steer_a_terminal():
    told = scored(KERNEL + "raise ValueError('\\x1b[2Jcorrect')")
    assert "?[2Jcorrect" in describe(told)


def test_a_reference_does_not_see_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRNLAB_TOKEN", "secret")
    reference = "import os\n" + REFERENCE + "assert 'TRNLAB_TOKEN' not in os.environ"
    assert scored(reference=reference)["verdict"] == "correct"


@pytest.mark.parametrize("attack", ["1 / 0", "raise SystemExit", "nl.load(3)", "nl.laod"])
def test_errors_are_the_same_every_time(attack: str):
    first, second = scored(KERNEL + attack), scored(KERNEL + attack)
    assert first == second
    assert "trnlab-" not in first["error"]


@LINUX
def test_forks_end_with_the_candidate():
    attack = "import os, time\nprint(os.getcwd())\nif os.fork() == 0: os.setsid(); time.sleep(600)"
    told = scored(KERNEL + attack)
    assert told["verdict"] == "correct"
    folder = told["printed"].strip()
    assert folder
    commands = [_text(process / "cmdline") for process in Path("/proc").glob("[0-9]*")]
    assert not [command for command in commands if folder in command]


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


@LINUX
def test_files_elsewhere_are_out_of_reach(tmp_path: Path):
    secret, target = tmp_path / "reference.py", tmp_path / "written"
    secret.write_text(REFERENCE)
    told = scored(KERNEL + f"open({str(target)!r}, 'w').write('x')")
    walls = [wall for wall in told["receipt"]["confined"] if "its own folder" in wall]
    if not walls:
        pytest.skip("this kernel has no Landlock")
    assert not target.exists()
    assert "PermissionError" in told["error"]
    told = scored(KERNEL + f"print(open({str(secret)!r}).read())")
    assert "PermissionError" in told["error"]
    told = scored(KERNEL + "open('mine', 'w').write('x')")
    assert told["verdict"] == "correct"


def test_what_a_candidate_prints_is_told():
    assert scored(KERNEL + "print('hello')")["printed"] == "hello\n"


ELSEWHERE = """
import os, subprocess, sys, sysconfig, tempfile, numpy, ml_dtypes
sysconfig.get_config_vars()  # they all know the platform that is there
sys.platform = {platform!r}
sys.modules.update(dict.fromkeys({modules}))
for name in {names}: delattr(os, name)
"""


@LINUX
@pytest.mark.parametrize(
    ("platform", "modules", "names", "limited"),
    [
        ("darwin", [], ["waitid"], True),
        ("win32", ["resource"], ["waitid", "WNOHANG", "killpg", "fork", "nice"], False),
    ],
)
def test_other_platforms_do_what_they_can_and_say_so(
    platform: str, modules: list[str], names: list[str], limited: bool,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    source = ELSEWHERE.format(platform=platform, modules=modules, names=names)
    (tmp_path / "sitecustomize.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    told = scored()
    assert told["verdict"] == "correct"
    receipt = told["receipt"]
    assert receipt["confined"] == [text for text in (LIMITS,) if limited]
    assert receipt["not_prevented"] == missing(receipt["confined"])
    assert len(receipt["not_prevented"]) == 6 - limited
    told = scored(KERNEL + "import os\nos._exit(3)")
    assert "exit code 3" in told["error"]
    told = scored(KERNEL + "import time\ntime.sleep(600)", seconds=1)
    assert told["verdict"] == "limit"


# --- requests


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ([], BadArguments, "JSON object"),
        ({"kernel": "x"}, BadArguments, "'reference'"),
        ({"kernl": "x"}, UnknownName, "did you mean 'kernel'"),
        ({"kernel": "x", "reference": "y", "seeds": "many"}, BadArguments, "whole number"),
        ({"kernel": "x", "reference": "y", "seeds": 10**6}, BadArguments, "seeds"),
        ({"kernel": "x", "reference": "y", "chip": "trn9"}, UnknownName, "trn9"),
        ({"kernel": "x", "reference": "y", "inputs": ["f33[2]"]}, UnknownName, "f33"),
        ({"kernel": "x", "reference": "y", "inputs": "f32[2]"}, BadArguments, "a list"),
        ({"kernel": "x", "reference": "y", "grid": [0]}, BadArguments, "instances"),
        ({"kernel": "x", "reference": "y", "hidden": [[]] * 99}, BadArguments, "cases"),
        ({"kernel": "x", "reference": "y", "inputs": ["1"] * 999}, BadArguments, "inputs of a"),
        ({"kernel": "x", "reference": "y", "inputs": ["[" * 999]}, BadArguments, "characters"),
        ({"kernel": "x", "reference": "y", "inputs": [f"f32[{9**40}]"]}, BadArguments, "no tensor"),
        ({"kernel": "x", "reference": "y", "inputs": ["f32[99999,99999]"]}, BadArguments, "bytes"),
        ({"kernel": "x", "reference": "y", "seconds": float("nan")}, BadArguments, "seconds"),
    ],
)
def test_requests_that_make_no_sense(given: Any, error: type[Exception], said: str):
    with pytest.raises(error, match=said):
        request_of(given)


def test_a_reference_that_fails_is_not_the_candidates_fault():
    with pytest.raises(BadArguments, match=r"reference.py:1: ZeroDivisionError"):
        scored(reference="def reference(x, y): return 1 / 0")
    with pytest.raises(BadArguments, match=r"reference.py:1: SyntaxError"):
        scored(reference="def reference(x y): return x")
    with pytest.raises(BadArguments, match="reference"):
        scored(reference_name="referee")
    with pytest.raises(BadArguments, match="no finite number"):
        scored(reference="def reference(x, y): return x * float('nan')")
    with pytest.raises(BadArguments, match="no finite number"):
        scored(reference="def reference(x, y): return []")
    with pytest.raises(BadArguments, match="output 0 is <U2"):
        scored(reference="def reference(x, y): return 'no'")


def test_files_and_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "kernel.py").write_text(KERNEL)
    (tmp_path / "what.py").write_text(REFERENCE)
    monkeypatch.chdir(tmp_path)
    words = ["score", "kernel.py", "what.py:reference", "--in", SHAPE, "--in", SHAPE]
    found = CliRunner().invoke(cli.app, words)
    assert found.exit_code == 0, found.output
    assert found.output.startswith("correct")
    found = CliRunner().invoke(cli.app, [*words, "--chip", "trn1", "--json"])
    assert json.loads(found.output)["receipt"]["chip"] == "trn1"
    with pytest.raises(UnknownName, match=r"kernel\.py"):
        score_files("kernl.py", "what.py")
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(UnknownName, match="no file is called 'folder"):
        score_files("folder.py", "what.py")
    (tmp_path / "empty.py").write_text("\n")
    with pytest.raises(BadArguments, match=r"'empty.py' is empty"):
        score_files("kernel.py", "empty.py")
    (tmp_path / "binary.py").write_bytes(b"\xff\xfe")
    with pytest.raises(BadArguments, match="UTF-8"):
        score_files("kernel.py", "binary.py")


@pytest.mark.parametrize(
    ("given", "want", "error"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([np.nan, 2.0], [np.nan, 2.0], 0.0),
        ([np.inf, 2.0], [np.inf, 2.0], 0.0),
        ([3.0, 4.0], [4.0, 4.0], 0.125),
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([0.5, 0.0], [0.0, 0.0], 0.5),
        ([np.nan, 2.0], [1.0, 2.0], "NaN"),
        ([-np.inf, 2.0], [np.inf, 2.0], "infinite"),
        ([-1e9, 0.0], [-1e9, 1.0], 0.5),  # a mask does not drown what it leaves
        ([1.0, 1e38], [1.0, 1e-310], sys.float_info.max),
        ([1.0], [1.0, 2.0], "output 0 is"),
    ],
)
def test_errors_are_relative_to_the_tensor(given: Any, want: Any, error: Any):
    found = compare([np.array(given, np.float32)], [np.array(want)])
    assert found == error if isinstance(error, float) else error in str(found)


def test_integers_are_compared_exactly():
    given = [np.array([1, 2], np.int32)]
    assert compare(given, [np.array([1, 2])]) == 0.0
    assert "exactly" in str(compare(given, [np.array([1, 3])]))
    assert "2 outputs" in str(compare(given * 2, given))
    close = [np.array([1000, 2000.5], np.float32)]
    assert "exactly" in str(compare(close, [np.array([1000, 2000])]))


# --- the service


@pytest.fixture
def service() -> Iterator[Service]:
    with Service(0, 2, "secret") as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def ask(
    service: Service, body: Any, method: str = "POST", path: str = "/score", **more: str
) -> Any:
    headers = {"Content-Type": "application/json", "Authorization": "Bearer secret"} | more
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection = HTTPConnection("127.0.0.1", service.server_address[1], timeout=300)
    with closing(connection):
        connection.request(method, path, data, headers)
        with connection.getresponse() as answer:
            return answer.status, json.loads(answer.read())


@LINUX
def test_candidates_end_with_the_service():
    command = [sys.executable, "-m", "trnlab", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        port = int(re.search(r":(\d+)/", server.stdout.readline())[1])  # type: ignore[union-attr,index]
        request = {"kernel": KERNEL + "while True: pass", "reference": REFERENCE,
                   "inputs": [SHAPE, SHAPE], "seconds": 600}  # fmt: skip
        connection = HTTPConnection("127.0.0.1", port)
        with closing(connection):
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/score", json.dumps(request), headers)
            while len(started := descendants(server.pid)) < 2:
                time.sleep(0.05)
            server.kill()
    while [pid for pid in started if _state(pid) not in ("", "Z")]:
        time.sleep(0.05)


def descendants(pid: int) -> list[int]:
    found = children(pid)
    return found + [other for child in found for other in descendants(child)]


def _state(pid: int) -> str:
    return _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].strip()[:1]


def test_a_port_that_is_taken(service: Service):
    port = str(service.server_address[1])
    with pytest.raises(BadArguments, match=f"cannot listen on port {port}"):
        Service(int(port), 2)
    found = CliRunner().invoke(cli.app, ["serve", "--port", "99999"])
    assert found.exit_code == 2
    assert "65535" in found.output


def test_the_service_lives(service: Service):
    good = {"kernel": KERNEL, "reference": REFERENCE, "inputs": [SHAPE, SHAPE], "seconds": 60}
    bad = good | {"kernel": KERNEL + "import os\nos.kill(os.getppid(), 9)\nos._exit(1)"}
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda r=request: found.append(ask(service, r)))
        for request in (good, bad, good)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    verdicts = sorted(told["verdict"] for status, told in found if status == 200)
    assert verdicts == ["correct", "correct", "failed"]
    counts = {"answered": 3, "refused": 0, "running": 0, "waiting": 0}
    assert ask(service, b"", "GET", "/health") == (200, counts)


def in_turn(places: Places, first: str, then: list[str]) -> list[str]:
    """Who was served in which order, while the first held a place until all others waited."""
    order: list[str] = []

    def take(caller: str) -> None:
        with places.taken(caller):
            order.append(caller)

    threads = [threading.Thread(target=take, args=(caller,)) for caller in then]
    with places.taken(first):
        for count, thread in enumerate(threads, 1):
            thread.start()
            while len(places.waiting) + len(order) < count:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    return order


def test_callers_take_turns():
    assert in_turn(Places(1), "a", ["a", "a", "b", "a", "c"]) == ["b", "c", "a", "a", "a"]


def test_a_slow_candidate_keeps_only_its_own_caller_waiting():
    places = Places(1, slow=0.05)
    with places.taken("slow"):
        with places.taken("other"):
            pass
        waits = threading.Thread(target=lambda: places.taken("slow").__enter__())
        waits.start()
        with places.taken("other"):
            assert list(places.waiting.values()) == ["slow"]
    waits.join()


def test_only_so_many_wait(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("trnlab.studies.scoring.places.WAITING", 0)
    with pytest.raises(Full, match="waiting already"), Places(1).taken("a"):
        pass


@pytest.mark.parametrize(
    ("body", "more", "status", "said"),
    [
        (b"{", {}, 400, "property name"),
        (b"\xff", {}, 400, "decode"),
        (b"[" * 100_000, {}, 400, "recursion"),
        ({"kernel": "x"}, {}, 400, "reference"),
        ({}, {"Content-Type": "text/plain"}, 415, "application/json"),
        ({}, {"Content-Length": "99999999999"}, 413, "at most"),
        ({}, {"Content-Length": "-1"}, 413, "at most"),
        ({}, {"Host": "evil.example"}, 403, "answers to that only"),
        ({}, {"Authorization": "Bearer guess"}, 401, "token"),
        ({}, {"path": "/elsewhere"}, 404, "nothing at"),
        ({}, {"method": "PUT"}, 501, "Unsupported method"),
    ],
)
def test_malformed_requests_are_refused(
    service: Service, body: Any, more: dict[str, str], status: int, said: str
):
    got, told = ask(service, body, **more)
    assert got == status
    assert said in told["error"]
    assert ask(service, b"", "GET", "/health")[0] == 200
