"""`neuron-profile` reads the stand-ins that kernel calls leave."""

import json
import os
import shutil
import subprocess

import pytest

from tests.report.make import trace_of
from trnlab.errors import BadArguments, NotModelled
from trnlab.nki.clients import artifacts
from trnlab.studies.profiler import TOOLS, neuron_profile, tools_on_path


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with a program and its profile on trn2, and nothing else."""
    monkeypatch.chdir(tmp_path)
    trace = trace_of()
    trace.meta["chip"] = "trn2"
    for name, what in (("k.neff", artifacts.COMPILED), ("k.ntff", artifacts.PROFILE)):
        artifacts.write(tmp_path / name, what, "k", "trn2", trace)
    return tmp_path


def view(*more):
    return neuron_profile(["view", *more])


def test_counters_as_json_below_one_key(files):
    told = json.loads(view("--output-format", "summary-json", "-n", "k.neff", "-s", "k.ntff"))
    found = told[next(iter(told))]
    assert found["total_time"] > found["receipt"]["device_latency"] == 12e-6
    assert found["hardware_flops"] == 97_000
    assert found["receipt"]["made_by"] == "trnlab"


def test_tables(files):
    parquet = pytest.importorskip("pyarrow.parquet")
    with pytest.raises(BadArguments, match="--output-file"):
        view("--output-format", "parquet", "-s", "k.ntff")
    view("--output-format", "parquet", "-s", "k.ntff", "--output-file", "out")
    told = parquet.read_table("out/Summary.parquet").to_pylist()[0]
    wanted = json.loads(view("--output-format", "summary-json", "-s", "k.ntff"))["nc0"]
    assert told["hardware_flops"] == wanted["hardware_flops"] == 97_000
    shutil.copy("k.ntff", "l.ntff")
    view("--output-format", "parquet", "-d", ".", "--output-file", "both")
    assert sorted(os.listdir("both")) == ["nc0", "nc1"]


def test_counters_as_text(files):
    lines = view("--output-format", "summary-text", "-s", "k.ntff").splitlines()
    rows = dict(line.split(None, 1) for line in lines)
    assert rows["hbm_read_bytes"] == "8000"
    assert rows["receipt.kernel"] == "toy_matmul"


def test_a_program_alone_is_its_own_profile(files):
    assert "total_time" in view("--output-format", "summary-text", "-n", "k.neff")


def test_a_folder_of_profiles(files):
    shutil.copy("k.ntff", "l.ntff")
    told = json.loads(view("--output-format", "summary-json", "-d", "."))
    assert list(told) == ["nc0", "nc1"]
    (files / "empty").mkdir()
    with pytest.raises(BadArguments, match=r"no .ntff file"):
        view("-d", "empty")


def test_into_a_file(files):
    said = view("--output-format", "summary-json", "-s", "k.ntff", "--output-file", "out.json")
    assert said == "wrote out.json\n"
    assert "total_time" in json.loads((files / "out.json").read_text())["nc0"]


def test_capture_writes_the_profile_of_a_program(files):
    (files / "k.ntff").unlink()
    said = neuron_profile(["capture", "-n", "k.neff", "-s", "new.ntff", "--ignore-exec-errors"])
    assert "new.ntff" in said
    assert "simulated" in said
    assert artifacts.read(files / "new.ntff")[0]["stands_in_for"] == artifacts.PROFILE
    neuron_profile(["capture", "-n", "k.neff", "-s", "new.ntff", "--profile-nth-exec", "2"])
    assert (files / "new_exec_2.ntff").exists()


def test_what_is_missing_is_said(files):
    with pytest.raises(BadArguments, match="needs a profile"):
        view("--output-format", "summary-json")
    with pytest.raises(NotModelled, match="perfetto"):
        view("--output-format", "perfetto", "-s", "k.ntff")
    artifacts.write(files / "bare.ntff", artifacts.PROFILE, "k", "trn2", None)
    with pytest.raises(BadArguments, match="holds no times"):
        view("--output-format", "summary-json", "-s", "bare.ntff")


def test_the_tool_is_on_path_while_it_is_asked_for(files):
    before = os.environ["PATH"]
    with tools_on_path():
        for tool in TOOLS:
            assert "trnlab-" in (shutil.which(tool) or "")
        with tools_on_path():  # ours inside of ours is no vendor's
            done = subprocess.run(
                f"{TOOLS[0]} view --output-format summary-json -s k.ntff",
                shell=True, capture_output=True, text=True, check=False,
            )  # fmt: skip
    assert json.loads(done.stdout)["nc0"]["dma_transfer_count"] == 3
    assert os.environ["PATH"] == before
    assert shutil.which(TOOLS[0]) is None


@pytest.mark.skipif(os.name == "nt", reason="a POSIX script")
def test_an_installed_tool_is_passed_over_and_that_is_said(tmp_path, monkeypatch):
    tool = tmp_path / TOOLS[0]
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.warns(UserWarning, match="stands in for the installed"), tools_on_path():
        assert shutil.which(TOOLS[0]) != str(tool)
