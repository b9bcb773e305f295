"""Saved runs: what can be compared, and what is said of other files."""

import json

import numpy as np
import pytest

from tests.support import command, load, store
from trnlab import __version__
from trnlab.errors import BadArguments
from trnlab.nki.clients import artifacts
from trnlab.report.summary import summarise
from trnlab.studies.compare import compare
from trnlab.studies.run import run_once
from trnlab.trace import Trace


def copy(a):
    return store(load(a))


@pytest.fixture
def result():
    return run_once(copy, (np.ones((128, 64), np.float32),), {}, "trn2")


def save(result, path, trace=True):
    kept = result.trace if trace else None
    artifacts.write(path, artifacts.RUN, result.kernel, result.chip.key, kept)
    return str(path)


def test_a_trace_survives_its_file(result):
    again = Trace.unpacked(result.trace.packed())
    assert again.tensors == result.trace.tensors
    assert [t for _, _, t in again.tensors] == ["a", "out"]
    assert np.array_equal(again.start, result.trace.start)


def test_a_saved_run_and_its_report_are_the_same(result, tmp_path):
    saved = save(result, tmp_path / "a.run")
    report = tmp_path / "a.json"
    report.write_text(json.dumps(summarise(result.trace, result.chip)))
    found = compare(saved, str(report))
    assert found.before["seconds"] == found.after["seconds"] == result.trace.seconds
    assert all(moved.change == 0 for moved in (*found.path, *found.lanes, *found.lines))
    assert found.totals == {}


def test_other_files_are_refused(result, tmp_path):
    good = save(result, tmp_path / "a.run")
    texts = {
        "text.json": ("not json", "is no saved run"),
        "list.json": ("[{}, {}]", "holds 2 runs"),
        "other.json": ("{}", "is no saved run"),
        "old.json": ('{"receipt": {"version": "0.0.1"}, "seconds": 1}', "of another version"),
    }
    for name, (text, said) in texts.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(BadArguments, match=said):
            compare(good, str(tmp_path / name))
    with pytest.raises(BadArguments, match="cannot read"):
        compare(str(tmp_path / "missing.run"), good)
    with pytest.raises(BadArguments, match="holds no times"):
        compare(save(result, tmp_path / "none.run", trace=False), good)


def test_a_trace_of_another_version_says_so(result, tmp_path):
    path = tmp_path / "a.run"
    save(result, path)
    head, _, _ = path.read_bytes().partition(b"\n")
    head = head.replace(__version__.encode(), b"9.9.9")
    path.write_bytes(head + b"\nwhat a later version wrote")
    with pytest.raises(BadArguments, match="cannot be read") as caught:
        compare(str(path), str(path))
    assert "written by" in str(caught.value)


def test_the_command_prints_text_or_json(result, tmp_path, capsys, monkeypatch):
    saved = save(result, tmp_path / "a.run")
    said = command(["diff", saved, saved], capsys, monkeypatch)
    assert (said.code, "as before" in said.out) == (0, True)
    said = command(["diff", saved, saved, "--json"], capsys, monkeypatch)
    assert json.loads(said.out)["totals"] == {}
