"""Profiles in the vendor's tables: as documented, and in agreement with the counters."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trnlab
from trnlab.errors import BadArguments, MissingExtra
from trnlab.machine.catalogue import chip
from trnlab.nki import entry
from trnlab.nki import isa as nisa
from trnlab.nki import language as nl
from trnlab.report.counters import counters
from trnlab.report.parquet import ARROW, save_profile, schema
from trnlab.trace import Trace

pytest.importorskip("pyarrow")
import pyarrow.parquet as pq

A = np.random.default_rng(0).standard_normal((128, 256), dtype=np.float32)


@entry.jit
def kernel(a):
    out = nl.ndarray((128, 256), a.dtype, buffer=nl.shared_hbm)
    half = a.shape[1] // nl.num_programs(0) if nl.num_programs(0) > 1 else a.shape[1]
    begin = half * nl.program_id(0)
    for column in range(begin, begin + half, 128):
        tile = nl.load(a[:, column : column + 128])
        total = nl.ndarray((128, 128), nl.float32, buffer=nl.psum)
        nisa.nc_matmul(total, tile, tile)
        nisa.activation(tile, nl.exp, total, scale=0.001)
        nl.store(out[:, column : column + 128], tile)
    return out


def traced(cores: int = 1, name: str = "trn2") -> Trace:
    return trnlab.run(kernel[cores], name)(A)[1]


@pytest.fixture(params=[(1, "trn2"), (2, "trn2"), (1, "trn1"), (1, "trn3")], ids=str)
def profile(request: Any, tmp_path: Path) -> tuple[Trace, str, Path]:
    cores, name = request.param
    trace = traced(cores, name)
    return trace, name, save_profile(trace, chip(name), tmp_path / "profile")


def rows(folder: Path, table: str) -> list[dict[str, Any]]:
    return pq.read_table(folder / f"{table}.parquet").to_pylist()


def test_every_documented_column_is_there(profile: tuple[Trace, str, Path]):
    _, _, folder = profile
    assert {p.stem for p in folder.iterdir()} == set(schema())
    for table, fields in schema().items():
        held = pq.read_schema(folder / f"{table}.parquet")
        assert held.names == [field.field for field in fields]
        assert held.metadata[b"profile_schema_version"] == b"7.4.0"
        for field in fields:
            given = held.field(field.field)
            is_list = field.type.startswith("array of ")
            assert str(given.type).startswith("list") == is_list
            of = given.type.value_type if is_list else given.type
            name = {"float": "float32", "double": "float64"}.get(str(of), str(of))
            assert name == ARROW[field.type.removeprefix("array of ")].removesuffix("_")
            assert given.metadata[b"unit"].decode() == field.unit


def test_the_version_is_stamped(profile: tuple[Trace, str, Path]):
    (told,) = rows(profile[2], "Metadata")
    assert told["profile_schema_version"] == "7.4.0"
    assert told["is_simulation"] is True
    assert len(rows(profile[2], "SchemaFields")) == sum(map(len, schema().values()))
    assert "no device" in rows(profile[2], "Warning")[0]["message"]


def test_totals_agree_with_the_summary(profile: tuple[Trace, str, Path]):
    trace, name, folder = profile
    want = counters(trace, chip(name))
    (told,) = rows(folder, "Summary")
    for key in want.keys() - {"receipt"}:
        value = want[key]
        assert told[key] == (np.float32(value) if isinstance(value, float) else value)
    instructions, transfers = rows(folder, "Instruction"), rows(folder, "DmaPacketAggregated")
    assert len(transfers) == want["dma_transfer_count"] == told["dma_transfer_count"]
    for key in ("hbm_read_bytes", "hbm_write_bytes", "sbuf_read_bytes", "psum_write_bytes"):
        assert sum(row[key] for row in instructions) == want[key]
    flops = sum(v for k, v in trace.totals.items() if k.startswith("flops."))
    assert sum(row["raw_flops"] for row in instructions) == flops > 0
    assert rows(folder, "HbmUsage")[-1]["total_transfer_bytes"] == (
        want["hbm_read_bytes"] + want["hbm_write_bytes"]
    )
    assert sum(r["instruction_count"] for r in rows(folder, "OpcodeSummary")) == len(instructions)
    for engine in ("tensor", "vector", "scalar", "gpsimd", "sync"):
        share = told[f"{engine}_engine_active_time_percent"]
        cores = len({row["pcore_idx"] for row in instructions})
        active = [r["duration_ns"] for r in rows(folder, "ActiveTime") if r["engine"] == engine]
        assert sum(active) == pytest.approx(share * trace.seconds * cores * 1e9, abs=len(active))
        one = [r for r in rows(folder, "OpcodeSummary") if r["engine"] == engine]
        if len(one) == 1:
            assert one[0]["active_time_percent"] == pytest.approx(share, rel=1e-6)
            assert one[0]["active_time_ns"] == pytest.approx(share * trace.seconds * 1e9, abs=1)
    counted = sum(told[f"{e}_engine_instruction_count"] for e in ("tensor", "scalar", "sync"))
    assert counted == len(instructions)


def test_rows_refer_to_each_other(profile: tuple[Trace, str, Path]):
    trace, _, folder = profile
    instructions = {row["id"]: row for row in rows(folder, "Instruction")}
    transfers = {row["id"]: row for row in rows(folder, "DmaPacketAggregated")}
    assert not instructions.keys() & transfers.keys()
    for edge in rows(folder, "Flow"):
        tables = {"instruction": instructions, "dma_block": transfers}
        assert edge["in_id"] in tables[edge["in_table"]]
        assert edge["out_id"] in tables[edge["out_table"]]
    starts = {row["start_ts"] for row in instructions.values()}
    assert {row["trigger"] for row in transfers.values()} <= starts
    assert all(row["dma_wait_time_ns"] > 0 for row in instructions.values()
               if row["dma_trigger_start_ts"] is not None)  # fmt: skip
    names = [row["kernel_instruction_name"] for row in instructions.values()]
    assert names == [r["kernel_instruction_name"] for r in rows(folder, "KernelInstructions")]
    cores = {row["pcore_idx"] for row in instructions.values()}
    assert cores == set(range(int(str(trace.meta["cores"]))))


def test_a_load_says_what_it_moves(tmp_path: Path):
    folder = save_profile(traced(), chip("trn2"), tmp_path / "profile")
    load = rows(folder, "DmaPacketAggregated")[0]
    assert (load["source"], load["dest"], load["op"]) == ("[DRAM]", "[SB]", "read")
    assert load["variable"] == "a"
    assert load["transfer_bytes"] == load["read_bytes"] == 128 * 128 * 4
    (tensor,) = [row for row in rows(folder, "TensorInfo") if row["variable_name"] == "a"]
    assert tensor["load_to_sbuf_total_size_bytes"] == A.nbytes
    assert {row["tensor_name"] for row in rows(folder, "SbufAllocation")}
    used = [row["avg_util_percent"] for row in rows(folder, "SbufUsage")]
    assert 0 < max(used) < 1


def test_the_same_trace_gives_the_same_tables(tmp_path: Path):
    for name in ("one", "two"):
        save_profile(traced(), chip("trn2"), tmp_path / name)
    for one in sorted((tmp_path / "one").iterdir()):
        assert one.read_bytes() == (tmp_path / "two" / one.name).read_bytes()


def test_an_empty_run_has_empty_tables(tmp_path: Path):
    folder = save_profile(Trace(), chip("trn2"), tmp_path / "profile")
    assert rows(folder, "Instruction") == []
    assert rows(folder, "Summary")[0]["hbm_read_bytes"] == 0


def test_folders_that_hold_something_else(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BadArguments, match=r"holds 'notes\.txt'"):
        save_profile(traced(), chip("trn2"), tmp_path)
    with pytest.raises(BadArguments, match="is a file"):
        save_profile(traced(), chip("trn2"), tmp_path / "notes.txt")
    with pytest.raises(BadArguments, match="cannot write"):
        save_profile(traced(), chip("trn2"), tmp_path / "notes.txt" / "more")


def test_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"trnlab\[report\]"):
        save_profile(traced(), chip("trn2"), tmp_path / "profile")
