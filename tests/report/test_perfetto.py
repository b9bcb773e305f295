"""Files for ui.perfetto.dev, read back by the rules of their formats."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from dataclasses import replace as changed
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report.make import META, ROWS, many, trace_of
from trnlab.errors import MissingExtra, TrnlabError, UnknownName
from trnlab.report import perfetto
from trnlab.report.perfetto import save
from trnlab.report.timeline import timeline
from trnlab.trace import Trace

SUFFIXES = (".json", ".pftrace", ".perfetto-trace")

# What both formats must show of the toy trace: track, begin, end (ns), name.
SLICES = {
    ("run", 0, 12_000, "toy_matmul"),
    ("critical path", 0, 2_000, "dma/sync"),
    ("critical path", 2_000, 9_000, "tensor"),
    ("critical path", 9_000, 11_000, "vector"),
    ("critical path", 11_000, 12_000, "dma/gpsimd"),
    ("dma/sync", 0, 2_000, "load a"),
    ("dma/sync", 1_000, 3_000, "load b"),
    ("tensor", 2_000, 6_000, "nc_matmul"),
    ("tensor", 6_000, 8_000, "nc_matmul"),
    ("vector", 9_000, 11_000, "tensor_copy"),
    ("dma/gpsimd", 11_000, 12_000, "store"),
}
ARROWS = {
    ("dma/sync", 0, "tensor", 2_000),
    ("tensor", 6_000, "vector", 9_000),
    ("vector", 9_000, "dma/gpsimd", 11_000),
}


@dataclass
class Drawn:
    """What a viewer would show: slices as (track, begin, end, name), arrows as pairs of them."""

    title: str = ""
    rows: dict[int, str] = field(default_factory=dict)
    slices: dict[tuple[int, int, int, str], dict[str, Any]] = field(default_factory=dict)
    arrows: set[tuple[str, int, str, int]] = field(default_factory=set)
    counters: dict[str, list[tuple[int, float]]] = field(default_factory=dict)

    def named(self) -> set[tuple[str, int, int, str]]:
        return {(self.rows[row], begin, end, name) for row, begin, end, name in self.slices}

    def args(self, *where: object) -> dict[str, Any]:
        return next(
            args
            for (row, begin, _, name), args in self.slices.items()
            if (self.rows[row], begin, name) == where
        )


@pytest.fixture(params=[".json", ".pftrace"])
def drawn(request: pytest.FixtureRequest, tmp_path: Path) -> Drawn:
    return read(save(trace_of(), tmp_path / f"toy{request.param}"))


def test_every_span_is_drawn(drawn: Drawn):
    assert drawn.title == "toy_matmul on toy"
    assert drawn.named() == SLICES


def test_transfers_that_overlap_have_rows_of_their_own(drawn: Drawn):
    assert list(drawn.rows.values())[:3] == ["run", "critical path", "dma/sync"]
    assert sorted(drawn.rows.values()).count("dma/sync") == 2
    check_no_overlap(drawn)


def test_arrows_lead_from_blocker_to_span(drawn: Drawn):
    assert drawn.arrows == ARROWS


def test_counters_are_steps(drawn: Drawn):
    assert drawn.counters == {"sbuf bytes": [(0, 500.0), (3_000, 0.0)]}


def test_a_click_says_where_why_and_when(drawn: Drawn):
    assert drawn.args("tensor", 2_000, "nc_matmul") == {
        "where": "k.py:2",
        "cause": "data",
        "result visible (ns)": 7_000,
    }
    assert drawn.args("critical path", 2_000, "tensor") == {"spans": 2, "first": "k.py:2"}


def test_the_run_carries_its_receipt(drawn: Drawn):
    assert drawn.args("run", 0, "toy_matmul") == {
        **{key: str(value) for key, value in META.items()},
        "notes": "collectives are not modelled",
    }


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_trace_gives_the_same_bytes(suffix: str, tmp_path: Path):
    trace = many(500)
    first, second = (save(trace, tmp_path / f"{name}{suffix}").read_bytes() for name in "ab")
    assert first == second


@pytest.mark.parametrize("suffix", [".json", ".pftrace"])
def test_a_long_trace_is_complete(suffix: str, tmp_path: Path):
    trace = many(40_000)
    found = read(save(trace, tmp_path / f"long{suffix}"))
    check_no_overlap(found)
    assert len(found.slices) == 40_000 + sum(slice.track < 2 for slice in timeline(trace).extra)
    assert len(found.arrows) == len(timeline(trace).arrows) > 10_000


@pytest.mark.parametrize("suffix", [".json", ".pftrace"])
def test_more_places_than_a_byte_counts(suffix: str, tmp_path: Path):
    rows = tuple(("vector", "iota", n, n, n + 1, n + 1, "first", -1) for n in range(300))
    found = read(save(trace_of(rows), tmp_path / f"places{suffix}"))
    assert found.args("vector", 299_000, "iota")["where"] == "k.py:299"
    assert found.args("vector", 299_000, "iota")["cause"] == "first"


@pytest.mark.parametrize("suffix", [".json", ".pftrace"])
def test_an_empty_trace_is_a_file(suffix: str, tmp_path: Path):
    found = read(save(Trace(), tmp_path / f"empty{suffix}"))
    assert found.named() == {("run", 0, 0, "program")}


@pytest.mark.parametrize("suffix", [".json", ".pftrace"])
def test_names_are_kept_as_they_are(suffix: str, tmp_path: Path):
    odd = 'a "b"\\c\n\u00e9\u4e2d'
    rows = tuple((lane, odd, *rest) for lane, _, *rest in ROWS)
    found = read(save(trace_of(rows, meta={"kernel": odd}), tmp_path / f"odd{suffix}"))
    assert found.title == odd
    assert ("vector", 9_000, 11_000, odd) in found.named()


@pytest.mark.parametrize("name", ["trace.txt", "trace", "trace.pftrace.gz"])
def test_another_suffix_is_refused(name: str, tmp_path: Path):
    with pytest.raises(UnknownName, match=r"trace format.*\.json, \.perfetto-trace, \.pftrace"):
        save(trace_of(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_folder_must_exist(tmp_path: Path):
    with pytest.raises(TrnlabError, match="no folder"):
        save(trace_of(), tmp_path / "nowhere" / "trace.json")


def test_without_the_extra_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "perfetto.trace_builder.proto_builder", None)
    with pytest.raises(MissingExtra, match=r"trnlab\[report\]"):
        save(trace_of(), tmp_path / "trace.pftrace")
    assert not list(tmp_path.iterdir())
    save(trace_of(), tmp_path / "trace.json")


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def failing(_: object) -> Iterator[bytes]:
        yield b"half"
        raise OSError("disk full")

    path = save(trace_of(), tmp_path / "trace.json")
    before = path.read_bytes()
    monkeypatch.setitem(perfetto.WRITERS, ".json", failing)
    with pytest.raises(OSError, match="disk full"):
        save(trace_of(), path)
    assert [(found, found.read_bytes()) for found in tmp_path.iterdir()] == [(path, before)]


def test_a_counter_that_is_no_number_is_refused(tmp_path: Path):
    counters = {"sbuf bytes": (np.zeros(1), np.array([np.nan]))}
    with pytest.raises(ValueError, match="JSON"):
        save(changed(trace_of(), counters=counters), tmp_path / "trace.json")


SPANS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 20)).map(lambda p: (p[0], p[0] + p[1])),
    max_size=30,
)


@given(SPANS)
def test_a_lane_needs_as_many_rows_as_it_has_spans_at_once(spans: list[tuple[int, int]]):
    rows = tuple(("dma/sync", "load", 1, a, b, b, "first", -1) for a, b in spans)
    laid = timeline(trace_of(rows, counters={}))
    for row in set(laid.track.tolist()):
        mine = sorted(spans[span] for span in np.flatnonzero(laid.track == row))
        assert all(a[1] <= b[0] for a, b in pairwise(mine))
    lengthy = [(a, b) for a, b in spans if b > a]
    most = max((sum(a <= at < b for a, b in lengthy) for at, _ in lengthy), default=0)
    assert len(set(laid.track.tolist())) <= most + (len(lengthy) < len(spans))


def check_no_overlap(found: Drawn):
    for row in found.rows:
        mine = sorted((begin, end) for at, begin, end, _ in found.slices if at == row)
        assert all(a[1] <= b[0] for a, b in pairwise(mine))


def read(path: Path) -> Drawn:
    return read_json(path) if path.suffix == ".json" else read_protobuf(path)


def read_json(path: Path) -> Drawn:
    """Chrome's rules: a complete event is a slice, an arrow binds to the slice around its time."""
    found = Drawn()
    starts: dict[int, tuple[str, int]] = {}
    events = json.loads(path.read_text("utf-8"))["traceEvents"]
    boxes: dict[int, list[tuple[int, int]]] = {}
    for event in events:
        at = round(event.get("ts", 0) * 1000)
        match event["ph"]:
            case "M" if event["name"] == "process_name":
                found.title = event["args"]["name"]
            case "M":
                found.rows[event["tid"]] = event["args"]["name"]
            case "X":
                end = at + round(event["dur"] * 1000)
                found.slices[event["tid"], at, end, event["name"]] = event["args"]
                boxes.setdefault(event["tid"], []).append((at, end))
            case "C":
                found.counters.setdefault(event["name"], []).append((at, event["args"]["value"]))
    begins = {row: np.array(sorted(spans)) for row, spans in boxes.items()}
    for event in events:
        if event["ph"] not in "sf":
            continue
        at, mine = round(event["ts"] * 1000), begins[event["tid"]]
        begin, end = mine[np.searchsorted(mine[:, 0], at, side="right") - 1].tolist()
        assert begin <= at < end
        if event["ph"] == "s":
            starts[event["id"]] = (found.rows[event["tid"]], begin)
        else:
            found.arrows.add((*starts.pop(event["id"]), found.rows[event["tid"]], begin))
    assert not starts
    return found


def read_protobuf(path: Path) -> Drawn:
    """Perfetto's rules: strings by number, packets by time, an end closes what is open."""
    pytest.importorskip("perfetto", reason="the extra 'report' is not installed")
    from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace as Packets
    from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TrackEvent

    packets = Packets.FromString(path.read_bytes()).packet
    found = Drawn()
    table = packets[0].interned_data
    names = {entry.iid: entry.name for entry in table.event_names}
    keys = {entry.iid: entry.name for entry in table.debug_annotation_names}
    texts = {entry.iid: entry.str.decode() for entry in table.debug_annotation_string_values}
    counters: dict[int, str] = {}
    for packet in packets:
        about = packet.track_descriptor
        if about.HasField("counter"):
            counters[about.uuid] = about.name
            assert about.counter.unit_name == "bytes"
        elif not about.HasField("parent_uuid") and about.HasField("uuid"):
            found.title, found.rows[about.uuid] = about.name, "run"
        elif about.HasField("uuid"):
            found.rows[about.uuid] = about.name
            assert found.rows[about.parent_uuid] == "run"
    opened: dict[int, tuple[int, str, dict[str, Any]]] = {}
    leaving: dict[int, tuple[str, int]] = {}
    events = [packet for packet in packets if packet.HasField("track_event")]
    for packet in sorted(events, key=lambda packet: packet.timestamp):
        event, at = packet.track_event, packet.timestamp
        track = event.track_uuid
        if event.type == TrackEvent.TYPE_COUNTER:
            steps = found.counters.setdefault(counters[track], [])
            steps.append((at, event.double_counter_value))
        elif event.type == TrackEvent.TYPE_SLICE_END:
            begin, name, args = opened.pop(track)
            found.slices[track, begin, at, name] = args
        else:
            assert track not in opened
            opened[track] = at, event.name or names[event.name_iid], args_of(event, keys, texts)
            leaving |= dict.fromkeys(event.flow_ids, (found.rows[track], at))
            for flow in event.terminating_flow_ids:
                found.arrows.add((*leaving.pop(flow), found.rows[track], at))
    assert not opened
    assert not leaving
    return found


def args_of(event: Any, keys: dict[int, str], texts: dict[int, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for note in event.debug_annotations:
        name = note.name or keys[note.name_iid]
        if note.HasField("int_value"):
            found[name] = note.int_value
        else:
            found[name] = note.string_value or texts.get(note.string_value_iid, "")
    return found
