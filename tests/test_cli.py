"""The command line, run in this process: what it prints, what it writes, how it exits."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import trnlab
from tests.support import command

KERNELS = """
import nki
import nki.language as nl
import nki.isa as nisa
import numpy as np


@nki.jit
def double(a, factor=2.0):
    tile = nl.ndarray(a.shape, a.dtype)
    nisa.dma_copy(tile, a)
    nisa.tensor_scalar(tile, tile, nl.multiply, factor)
    out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(out, tile)
    return out


def plain(a, b):
    return double(a), double(b)


@nki.jit
def on_newer_chips(a):
    tile, bound = nl.ndarray(a.shape, a.dtype), nl.full((128, 1), 0.0, nl.float32)
    nisa.dma_copy(tile, a)
    chosen = nl.ndarray(a.shape, a.dtype)
    nisa.range_select(chosen, tile, nl.greater, nl.less, bound, bound)
    out = nl.ndarray(a.shape, a.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(out, chosen)
    return out
"""
LOW = """

@nki.jit
def low(a):
    tile = nl.copy(nl.load(a), nl.bfloat16)
    apart = nl.ndarray(a.shape, nl.float32)
    nisa.tensor_scalar(apart, tile, nl.subtract, 1000.0)
    out = nl.ndarray(a.shape, nl.float32, buffer=nl.shared_hbm)
    nl.store(out, apart)
    return out


low(np.linspace(999, 1001, 128 * 64, dtype=np.float32).reshape(128, 64))
"""
SCRIPT = (
    KERNELS
    + """
if __name__ == "__main__":
    import sys
    print("arguments", sys.argv[1:])
    print("sum", double(np.ones((128, 64), np.float32)).sum())
"""
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Every test runs in an empty folder with one script, and leaves no import names behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NEURON_PLATFORM_TARGET_OVERRIDE", raising=False)
    for name in [n for n in sys.modules if n.partition(".")[0] in ("nki", "neuronxcc")]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "script.py").write_text(SCRIPT)
    yield
    for name in [n for n in sys.modules if n.partition(".")[0] in ("nki", "neuronxcc")]:
        del sys.modules[name]


@pytest.fixture
def trn(capsys, monkeypatch):
    """Runs a command line; words are split at blanks."""
    return lambda *words: command(words, capsys, monkeypatch)


def report(said):
    assert said.code == 0, said.err
    return json.loads(said.out)


# --- run


def test_a_script_runs_and_is_reported(trn):
    said = trn("run", "script.py")
    assert said.code == 0
    assert said.out.startswith("arguments []\nsum 16384.0\n")
    assert "double on trn2" in said.out
    for part in ("time", "limit", "engines", "memory", "receipt"):
        assert f"\n{part}" in said.out
    assert said.err == ""


def test_a_script_gets_its_own_arguments(trn):
    assert trn("run", "script.py", "4", "--fast", "-x").out.startswith(
        "arguments ['4', '--fast', '-x']\n"
    )


def test_a_kernel_runs_on_made_up_inputs(trn):
    said = trn("run", "script.py:double", "--in", "f32[128,64]")
    assert said.code == 0
    assert "double on trn2" in said.out
    assert "arguments" not in said.out  # the script's main part did not run


def test_inputs_may_be_named_and_numbers(trn):
    told = report(
        trn("run", "script.py:double", "--in", "a=bf16[128,512]", "--in", "factor=0.5", "--json")
    )
    assert told["kernel"] == "double"
    assert told["totals"]["hbm_read_bytes"] == 128 * 512 * 2


def test_a_misspelt_input_names_the_parameters(trn):
    said = trn("run", "script.py:double", "--in", "f32[128,64]", "--in", "factr=2.0")
    assert said.code == 1
    assert said.err == (
        "error: no parameter of double is called 'factr'; did you mean 'factor'? "
        "(known: a, factor)\n"
    )


def test_a_kernel_without_an_effect_says_so_in_its_receipt(trn, tmp_path):
    (tmp_path / "idle.py").write_text(KERNELS + "@nki.jit\ndef idle(a):\n    double(a)\n")
    told = report(trn("run", "idle.py:idle", "--in", "f32[128,8]", "--json"))
    assert told["notes"] == ["the kernel returns no tensor and writes none of its arguments"]


def test_a_profiler_for_what_a_script_starts(trn, tmp_path):
    (tmp_path / "profiled.py").write_text(
        KERNELS + "import os\n"
        "nki.baremetal(double, save_neff_name='k.neff', save_trace_name='k.ntff')"
        "(np.ones((128, 8), np.float32))\n"
        "view = 'neuron-profile view --output-format summary-json -n k.neff -s k.ntff'\n"
        "os.system(view + ' > k.json')\n"
    )
    told = report(trn("run", "profiled.py", "--json"))
    found = json.loads((tmp_path / "k.json").read_text())["nc0"]
    assert found["receipt"]["device_latency"] == told["seconds"] < found["total_time"]
    assert (
        trn("neuron-profile", "view", "--output-format", "summary-text", "-s", "k.ntff").code == 0
    )
    assert trn("neuron-profile", "view", "-s", "no.ntff").err.startswith("error: cannot read")
    assert "--output-format" in trn("neuron-profile", "view", "--help").out


def test_a_plain_function_is_one_kernel(trn):
    told = report(
        trn("run", "script.py:plain", "--in", "f32[128,8]", "--in", "f32[64,8]", "--json")
    )
    assert told["kernel"] == "plain"
    assert told["instructions"] == 6


def test_json_is_all_there_is_on_stdout(trn):
    said = trn("run", "script.py", "--json")
    told = report(said)
    assert told["seconds"] > 0
    assert "sum 16384.0" in said.err
    for key in ("seconds", "limit", "legality", "receipt", "violations", "kernel", "chip"):
        assert key in told, key
    assert told["chip"] == "trn2"
    assert told["violations"] == []
    assert told["limit"]["sentence"]
    assert [v["chip"] for v in told["legality"]] == ["trn1", "trn2", "trn3"]
    assert all(v["legal"] for v in told["legality"])


def test_json_says_on_which_chips_a_kernel_is_legal(trn):
    told = report(trn("run", "script.py:on_newer_chips", "--in", "f32[128,64]", "--json"))
    legal = {v["chip"]: v["legal"] for v in told["legality"]}
    assert legal == {"trn1": False, "trn2": True, "trn3": True}
    (refusal,) = [v["reason"] for v in told["legality"] if not v["legal"]]
    assert "range_select" in refusal


def test_json_of_several_calls_is_a_list(trn, tmp_path):
    (tmp_path / "twice.py").write_text(
        KERNELS + "for n in (8, 16):\n    double(np.ones((128, n), np.float32))\n"
    )
    told = report(trn("run", "twice.py", "--json"))
    assert [t["kernel"] for t in told] == ["double", "double"]
    assert told[0]["seconds"] < told[1]["seconds"]


def test_many_calls_are_listed_and_the_last_ones_reported(trn, tmp_path):
    (tmp_path / "many.py").write_text(
        KERNELS + "for n in range(1, 7):\n    double(np.ones((128, n), np.float32))\n"
    )
    lines = trn("run", "many.py").out.splitlines()
    assert [line.split()[:3] for line in lines[:3]] == [
        ["call", "1", "double"], ["call", "2", "double"], ["call", "3", "double"],
    ]  # fmt: skip
    assert sum(line.startswith("time") for line in lines) == 3


def test_the_same_run_gives_the_same_json(trn):
    first, second = (trn("run", "script.py", "--json").out for _ in range(2))
    assert first == second


# --- timelines


def test_a_timeline_as_chrome_json(trn, tmp_path):
    assert trn("run", "script.py", "--trace", "t.json").code == 0
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    names = {e.get("name") for e in events}
    assert {"dma_copy", "tensor_scalar"} <= names
    assert not list(tmp_path.glob("*.part"))


def test_a_timeline_as_protobuf(trn, tmp_path):
    pytest.importorskip("perfetto")
    assert trn("run", "script.py", "--trace", "t.pftrace").code == 0
    assert b"tensor_scalar" in (tmp_path / "t.pftrace").read_bytes()


def test_a_timeline_is_saved_unasked_and_said(trn, tmp_path):
    said = trn("run", "script.py")
    (saved,) = (tmp_path / "trnlab-traces").iterdir()
    assert saved.name in said.out
    assert saved.stem == "double"


def test_a_run_goes_on_where_a_timeline_cannot_be_saved_unasked(trn, tmp_path):
    (tmp_path / "trnlab-traces").write_text("a file, not a folder")
    said = trn("run", "script.py")
    assert said.code == 0
    assert "the timeline was not saved" in said.err
    assert "double on trn2" in said.out


def test_timelines_of_several_calls_have_names_of_their_own(trn, tmp_path):
    (tmp_path / "many.py").write_text(
        KERNELS + "for n in range(1, 5):\n    double(np.ones((128, n), np.float32))\n"
    )
    said = trn("run", "many.py", "--trace", "t.json")
    assert said.code == 0
    assert sorted(p.name for p in tmp_path.glob("*.json")) == ["t-2.json", "t-3.json", "t.json"]
    assert [line.split()[1] for line in said.out.splitlines() if line.startswith("trace")] == [
        "t-2.json", "t-3.json", "t.json",
    ]  # fmt: skip
    unasked = trn("run", "many.py").out
    assert unasked.count("\ntrace ") == 1
    assert ", the last of 4 calls" in unasked


def test_json_says_where_the_timeline_is(trn, tmp_path):
    told = report(trn("run", "script.py", "--json", "--trace", "t.json"))
    assert told["trace"] == "t.json"
    assert (tmp_path / "t.json").is_file()


# --- time or values only


def test_time_only(trn):
    said = trn("run", "script.py:double", "--in", "f32[128,64]", "--time-only", "--json")
    with_values = trn("run", "script.py:double", "--in", "f32[128,64]", "--json")
    assert report(said)["seconds"] == report(with_values)["seconds"]


def test_scripts_that_use_their_results_run_time_only(trn):
    """What does not exist is NaN: the same script that works with values works without."""
    said = trn("run", "script.py", "--time-only")
    assert said.code == 0, said.err
    assert "sum nan" in said.out


def test_values_only(trn):
    said = trn("run", "script.py", "--no-time")
    assert said.code == 0
    assert "sum 16384.0" in said.out
    assert "not timed" in said.out


def test_values_only_as_json(trn):
    told = report(trn("run", "script.py", "--no-time", "--json"))
    assert "seconds" not in told
    assert told["instructions"] == 3
    assert told["trace"] is None


# --- systems


def test_systems(trn):
    said = trn("systems")
    assert said.code == 0
    for key in ("trn1.32xlarge", "trn2.48xlarge", "trn3-gen2"):
        assert key in said.out


def test_one_system_with_sources(trn):
    said = trn("systems", "trn2.48xlarge")
    assert said.code == 0
    assert "16 of Trainium2, 128 cores" in said.out
    assert "server: torus" in said.out
    assert "derived" in said.out


# --- chips


def test_values_beside_a_shadow(trn, tmp_path):
    Path("low.py").write_text(KERNELS + LOW)
    said = trn("run", "low.py", "--trace-values", "2")
    assert said.code == 0
    assert "values: results depart from their fp64 shadow on 1 line, first to last" in said.out
    assert "tensor_scalar, instruction 3, at" in said.out
    assert "inputs nearly cancel" in said.out
    assert "values: " not in trn("run", "low.py").out
    loose = trn("run", "low.py", "--trace-values", "2", "--bound", "1e9")
    assert "no result departs from its fp64 shadow" in loose.out
    told = report(trn("run", "low.py", "--trace-values", "2", "--json"))
    assert [d["instruction"] for d in told["departures"]] == ["tensor_scalar"]
    assert told["departures"][0]["beyond"] is True
    assert "departures" not in report(trn("run", "low.py", "--json"))
    untimed = trn("run", "low.py", "--trace-values", "1", "--no-time")
    assert "inputs nearly cancel" in untimed.out
    refused = trn("run", "low.py", "--trace-values", "1", "--time-only")
    assert refused.code == 1
    assert "needs values" in refused.err


def test_the_flag_wins_over_the_environment_and_that_over_the_default(trn, monkeypatch):
    def used(*more):
        return report(trn("run", "script.py", "--json", *more))["chip"]

    assert used() == "trn2"
    monkeypatch.setenv("NEURON_PLATFORM_TARGET_OVERRIDE", "gen4")
    assert used() == "trn3"
    assert used("--chip", "trn1") == "trn1"
    assert used("--chip", "Trainium2") == "trn2"


def test_chips_differ(trn):
    times = {
        chip: report(trn("run", "script.py", "--json", "--chip", chip))["seconds"]
        for chip in ("trn1", "trn2", "trn3")
    }
    assert len(set(times.values())) == 3


# --- permissive


BROKEN = (
    KERNELS
    + """
@nki.jit
def broken(a):
    tile = nl.ndarray((128, 8), nl.float32)
    out = nl.ndarray((128, 8), nl.float32, buffer=nl.shared_hbm)
    nisa.dma_copy(out, tile)
    return out


print(broken(np.ones((1, 1), np.float32)).shape)
"""
)


def test_broken_rules_end_a_run(trn, tmp_path):
    (tmp_path / "broken.py").write_text(BROKEN)
    said = trn("run", "broken.py")
    assert said.code == 1
    assert said.out == ""
    assert said.err.startswith("error: 1 rule broken\n")


def test_broken_rules_are_warnings_on_request(trn, tmp_path):
    (tmp_path / "broken.py").write_text(BROKEN)
    said = trn("run", "broken.py", "--as-vendor-sim")
    assert said.code == 0
    assert said.out.startswith("(128, 8)\n")
    assert "warning: t1 is read before all of it is written" in said.out


def test_json_lists_broken_rules(trn, tmp_path):
    (tmp_path / "broken.py").write_text(BROKEN)
    told = report(trn("run", "broken.py", "--as-vendor-sim", "--json"))
    assert len(told["violations"]) == 1
    assert {v["chip"]: v["legal"] for v in told["legality"]}["trn2"] is False


# --- scripts that end in their own way


@pytest.mark.parametrize("end", ["sys.exit()", "sys.exit(0)", "sys.exit(None)"])
def test_a_script_may_end_with_success(trn, tmp_path, end):
    (tmp_path / "ends.py").write_text(SCRIPT + f"    {end}\n")
    said = trn("run", "ends.py")
    assert said.code == 0
    assert "double on trn2" in said.out


def test_a_script_may_end_with_failure(trn, tmp_path):
    (tmp_path / "ends.py").write_text(SCRIPT + "    sys.exit(3)\n")
    assert trn("run", "ends.py").code == 3


def test_a_script_finds_its_neighbours(trn, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "shapes.py").write_text("N = 4\n")
    (tmp_path / "sub" / "uses.py").write_text(
        KERNELS + "import shapes\nprint(double(np.ones((128, shapes.N), np.float32)).shape)\n"
    )
    said = trn("run", "sub/uses.py")
    assert said.out.startswith("(128, 4)\n")
    assert str(tmp_path / "sub") not in sys.path
    sys.modules.pop("shapes", None)


def test_a_script_for_the_older_api(trn, tmp_path):
    (tmp_path / "old.py").write_text(
        """
import numpy as np
from neuronxcc import nki
import neuronxcc.nki.language as nl


@nki.jit
def copy(a):
    out = nl.ndarray(a.shape, dtype=a.dtype, buffer=nl.shared_hbm)
    nl.store(out, value=nl.load(a))
    return out


print(copy(np.ones((128, 4), np.float32)).sum())
"""
    )
    told = report(trn("run", "old.py", "--json"))
    assert told["api"] == "neuronxcc.nki"
    reasons = {v["chip"]: v["reason"] for v in told["legality"]}
    assert reasons["trn3"] == "neuronxcc.nki does not target this chip"


# --- the other verbs


def test_version(trn):
    assert trn("version").out == f"trnlab {trnlab.__version__}\n"


def test_chips(trn):
    said = trn("chips")
    assert said.code == 0
    assert all(name in said.out for name in ("trn1", "inf2", "trn2", "trn3"))


@pytest.mark.parametrize("name", ["trn1", "trn2", "trn3", "Trainium2", "gen3"])
def test_one_chip_with_its_sources(trn, name):
    said = trn("chips", name)
    assert said.code == 0
    assert "vendor" in said.out
    assert "Source" in said.out


def test_instructions(trn):
    said = trn("isa")
    assert said.code == 0
    assert "nc_matmul" in said.out


def test_one_instruction(trn):
    said = trn("isa", "nc_matmul")
    assert said.code == 0
    assert said.out.startswith("nki.isa.nc_matmul(dst, stationary, moving,")
    lines = [line.split(maxsplit=1)[0] for line in said.out.splitlines() if line]
    assert {"engine", "chips", "passes", "elements"} <= set(lines)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("isa", "nc_matmull"), "did you mean 'nc_matmul'?"),
        (("chips", "tron2"), "did you mean 'trn2'?"),
        (("run", "script.py", "--chip", "trn22"), "did you mean 'trn2'?"),
        (("run", "scrip.py"), "did you mean 'script.py'?"),
        (("run", "script.py:duble", "--in", "f32[1]"), "did you mean 'double'?"),
        (("isa", "qqq"), " are known)"),
    ],
)
def test_misspelled_names_suggest_the_nearest(trn, words, said):
    told = trn(*words)
    assert told.code == 1
    assert said in told.err
    assert told.out == ""


@pytest.mark.parametrize("words", [("frobnicate",), ("run",), ("run", "script.py", "--seed", "x")])
def test_wrong_usage_has_its_own_exit_code(trn, words):
    said = trn(*words)
    assert said.code == 2
    assert "Usage" in said.err


def test_help(trn):
    assert trn("--help").code == 0
    said = trn("run", "--help")
    assert said.code == 0
    assert all(flag in said.out for flag in ("--chip", "--json", "--trace", "--time-only"))


def test_the_installed_command(tmp_path):
    """In a process of its own, as users start it; errors have exit code 1 and no traceback."""
    root = Path(trnlab.__file__).parents[1]
    start = [sys.executable, "-c", "from trnlab.cli import main; main()"]

    def run(*words):
        return subprocess.run(
            [*start, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60,
            env={"PYTHONPATH": str(root), "PATH": ""}, check=False,
        )  # fmt: skip

    good = run("run", "script.py", "--json")
    assert good.returncode == 0, good.stderr
    assert json.loads(good.stdout)["kernel"] == "double"
    bad = run("run", "script.py:double", "--in", "f32[300,4]")
    assert bad.returncode == 1
    assert "Traceback" not in bad.stderr
    assert "300 partitions" in bad.stderr


def test_the_version(capsys, monkeypatch):
    said = command(["--version"], capsys, monkeypatch)
    assert (said.code, said.out) == (0, f"trnlab {trnlab.__version__}\n")
