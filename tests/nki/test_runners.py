"""Runners that leave something: stand-in files, a latency, a profile; in both generations."""

import json
from pathlib import Path

import numpy as np
import pytest

import trnlab
from tests.report.make import trace_of
from tests.support import load, nisa, nl, same, store, whole_numbers
from trnlab.errors import BadArguments, UnknownName
from trnlab.nki import entry, jit
from trnlab.nki.clients import artifacts
from trnlab.nki.clients.runners import CompileKernel
from trnlab.nki.legacy import entry as old_entry
from trnlab.nki.legacy import language as old_nl

A = whole_numbers(128, 64)


def new_doubled(a):
    tile = load(a)
    nisa.tensor_scalar(tile, tile, nl.multiply, 2.0)
    return store(tile)


def old_doubled(a):
    out = old_nl.ndarray(a.shape, a.dtype, buffer=old_nl.shared_hbm)
    old_nl.store(out, old_nl.multiply(old_nl.load(a), 2.0, dtype=a.dtype))
    return out


GENERATIONS = pytest.mark.parametrize(
    ("nki", "doubled"), [(entry, new_doubled), (old_entry, old_doubled)], ids=["new", "old"]
)


def head(path: Path) -> dict:
    return json.loads(path.read_bytes().partition(b"\n")[0])


@GENERATIONS
def test_baremetal_is_a_call_and_a_decorator(nki, doubled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"save_neff_name": "k.neff", "save_trace_name": str(tmp_path / "b" / "k.ntff")}
    more = {"additional_compile_opt": "--disable-dge", "artifacts_dir": tmp_path / "a"}
    assert same(nki.baremetal(doubled, **names, **more)(A), A * 2)
    program, profile = tmp_path / "a" / "k.neff", tmp_path / "b" / "k.ntff"
    assert head(program)["stands_in_for"] == "a compiled program (NEFF)"
    assert head(profile)["stands_in_for"] == "a profile (NTFF)"
    profile.unlink()
    decorated = nki.baremetal(**names)(nki.jit(doubled))
    assert same(decorated(A), A * 2)
    told, trace = artifacts.read(profile)
    assert trace is not None
    assert told["seconds"] == trace.seconds == trnlab.last_trace().seconds


@GENERATIONS
def test_no_file_that_nobody_asked_for(nki, doubled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nki.baremetal(doubled)(A)
    nki.benchmark(doubled)(A)
    assert list(tmp_path.iterdir()) == []


@GENERATIONS
def test_a_benchmark_has_a_latency_in_microseconds_and_files(nki, doubled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    timed = nki.benchmark(warmup=2, iters=3, save_neff_name="file.neff")(doubled)
    timed(A)
    latency = timed.benchmark_result.nc_latency
    for percentile in (0, 1, 10, 25, 50, 90, 99, 100):
        assert latency.get_latency_percentile(percentile) == trnlab.last_trace().seconds * 1e6
    assert head(tmp_path / "file.neff")["kernel"] == doubled.__name__


def test_a_benchmark_without_time_has_no_latency():
    before = jit.configure(timed=False)
    timed = entry.benchmark(new_doubled)
    try:
        timed(A)
    finally:
        jit.configure(**vars(before))
    assert np.isnan(timed.benchmark_result.nc_latency.get_latency_percentile(50))


@pytest.mark.parametrize(
    ("options", "profiles"),
    [
        ({}, ["profile.ntff"]),
        ({"profile_nth": 2}, ["profile_exec_2.ntff"]),
        ({"save_trace_name": "p.ntff", "num_execs": 20, "profile_nth": 10},
         ["p_exec_10.ntff", "p_exec_20.ntff"]),
        ({"num_execs": 3}, ["profile.ntff", "profile_exec_2.ntff", "profile_exec_3.ntff"]),
    ],
)  # fmt: skip
@GENERATIONS
def test_a_profile_has_a_file_and_a_report_for_each_execution(
    nki, doubled, options, profiles, tmp_path
):
    folder = tmp_path / "profiles"
    assert same(nki.profile(working_directory=str(folder), **options)(doubled)(A), A * 2)
    assert sorted(p.name for p in folder.glob("*.ntff")) == profiles
    assert head(folder / "file.neff")["made_by"] == "trnlab"
    reports = sorted((folder / "json_reports").iterdir())
    assert len(reports) == len(profiles)
    told = json.loads(reports[0].read_text())["nc0"]
    assert told["made_by"] == "trnlab"
    assert told["total_time"] > told["device_latency"] == trnlab.last_trace().seconds


def test_a_profile_needs_a_folder():
    with pytest.raises(BadArguments, match="needs a folder") as error:
        old_entry.profile(old_doubled)
    assert "working_directory" in error.value.fix


def test_a_runner_called_inside_of_a_kernel_leaves_nothing(tmp_path):
    inner = entry.baremetal(new_doubled, save_neff_name=str(tmp_path / "k.neff"))

    def outer(a):
        return inner(a)

    assert same(entry.jit(outer)(A), A * 2)
    assert not (tmp_path / "k.neff").exists()


def test_compile_kernel_runs_and_leaves_its_artifact(tmp_path):
    ready = CompileKernel(func=new_doubled, artifacts_dir=str(tmp_path), _enable_simulation=True)
    assert same(ready(A), A * 2)
    assert head(tmp_path / "kernel.neff")["kernel"] == "new_doubled"
    assert same(CompileKernel(func=entry.jit(new_doubled))[1](A), A * 2)


@pytest.mark.parametrize("mode", old_entry.MODES)
def test_every_mode_runs(mode):
    assert same(old_entry.jit(old_doubled, mode=mode)(A), A * 2)


def test_a_mode_that_is_misspelt():
    with pytest.raises(UnknownName, match="did you mean 'simulation'"):
        old_entry.jit(mode="simulate")


def test_only_functions_are_kernels():
    with pytest.raises(BadArguments, match="not a str"):
        entry.baremetal("kernel")


# --- the files


def test_a_trace_comes_back_from_its_file(tmp_path):
    trace = trace_of()
    path = artifacts.write(tmp_path / "k.ntff", artifacts.PROFILE, "k", "trn2", trace)
    told, back = artifacts.read(path)
    assert (told["kernel"], told["chip"], told["seconds"]) == ("k", "trn2", trace.seconds)
    assert back is not None
    assert list(back) == list(trace)
    assert back.totals == trace.totals
    assert back.meta["kernel"] == "toy_matmul"
    for name, columns in trace.counters.items():
        assert all(map(np.array_equal, back.counters[name], columns))


def test_a_file_without_times(tmp_path):
    path = artifacts.write(tmp_path / "k.ntff", artifacts.PROFILE, "k", "trn2", None)
    assert artifacts.read(path)[1] is None


@pytest.mark.parametrize("bytes_", [b"\x7fELF", b"", b"[1]\n", b'{"made_by": "somebody"}\n'])
def test_a_file_of_somebody_else(bytes_, tmp_path):
    (tmp_path / "vendor.neff").write_bytes(bytes_)
    with pytest.raises(BadArguments, match="not written by trnlab"):
        artifacts.read(tmp_path / "vendor.neff")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(BadArguments, match="No such file"):
        artifacts.read(tmp_path / "k.ntff")
