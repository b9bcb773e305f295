"""The page that people read, as plain text."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from tests.report.make import META, ROWS, TOY, trace_of
from trnlab.report.summary import summarise
from trnlab.report.terminal import console
from trnlab.report.text import Bar, render

LEGAL = [("trn1", False, "nc_matmul needs double_row [a mode]"), ("trn2", True, "")]


def page(renderable: object, width: int = 100, encoding: str = "utf-8") -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    Console(file=file, width=width).print(renderable)
    file.seek(0)
    return [line.rstrip() for line in file.read().splitlines()]


def test_the_whole_page():
    assert page(render(summarise(trace_of(), TOY), LEGAL, "out/toy.pftrace")) == [
        "time      12.0 us  toy_matmul on toy, 1 of 2 cores  "
        "(no band: nothing was measured on toy)",
        "limit     tensor engine is the limit: busy 50 % of the time, 58 % of the critical path; "
        "tensor",
        "          waited 33 % of its idle time for data from dma/sync",
        "path      50 % tensor, 25 % waiting for DMA, 17 % vector, "
        "8 % waiting for results of tensor",
        "",
        "engines   tensor   ████████████············   50 %  waits 17 % for data from dma/sync",
        "          vector   ████····················   17 %  waits 75 % for data from tensor",
        "          dma      ████████················   33 %  waits 67 % for data from vector",
        "memory    sbuf     ██████··················   25 %  needs 500 B of 1.953 KiB a partition",
        "          psum     ██████··················   25 %  needs 128 B of 512 B a partition",
        "roofline  8.00 GFLOP/s: 50 % of the memory roof (16.0 GFLOP/s at 8 FLOP/B)",
        "          HBM 1.00 GB/s: 50 % of 2.00 GB/s; array peak 32.0 GFLOP/s",
        "energy    6.23 uJ, 519 mW on average (compute 1.6 %, sram 0.2 %, hbm 1.9 %, static 96 %)",
        "          $0.006 per million runs; joules are modelled, not metered",
        "",
        "lines     occupied  share  critical  lane",
        "           6.00 us   50 %      58 %  tensor x2      k.py:2",
        "           4.00 us   33 %      17 %  dma/sync x2    k.py:1",
        "           2.00 us   17 %      17 %  vector x1      k.py:3",
        "           1.00 us  8.3 %     8.3 %  dma/gpsimd x1  k.py:4",
        "",
        "legal     trn1  no   nc_matmul needs double_row [a mode]",
        "          trn2  yes",
        "",
        "receipt   trnlab 0.1.0, nki, ToyCore, 3 instructions, 3 DMA transfers, 3 fitted constants",
        "          collectives are not modelled",
        "trace     out/toy.pftrace",
        "          open at ui.perfetto.dev",
    ]


def test_a_terminal_without_blocks_gets_ascii():
    text = "\n".join(page(render(summarise(trace_of(), TOY), LEGAL), encoding="ascii"))
    assert "tensor   ############............   50 %" in text


def test_colours_are_left_out_on_request(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NO_COLOR", "1")
    file = io.StringIO()
    Console(file=file, width=100, force_terminal=True).print(render(summarise(trace_of(), TOY)))
    assert "\x1b[3" not in file.getvalue()
    assert "\x1b[9" not in file.getvalue()


def test_the_largest_page_fits_a_screen():
    lanes = [f"nc{core}/{row[0]}" for core in range(4) for row in ROWS]
    rows = [
        (lane, *row[1:2], line, *row[3:])
        for line, (lane, row) in enumerate(zip(lanes, ROWS * 4, strict=True))
    ]
    trace = trace_of(tuple(rows), meta=META | {"notes": tuple(f"note {n}" for n in range(9))})
    trace = replace(trace, wheres=tuple(f"/home/ada/src/kernel.py:{n}" for n in range(24)))
    chips = [(key, False, "a reason that needs two lines " * 4) for key in ("a", "b", "c", "d")]
    lines = page(render(summarise(trace, TOY), chips, "/a/long/folder" * 8), width=200)
    assert len(lines) <= 46
    assert max(map(len, lines)) <= 100
    assert any("and 4 more, at most 17 % busy" in line for line in lines)
    assert any("and 6 more notes" in line for line in lines)


def test_files_below_the_current_folder_are_named_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    wheres = (str(tmp_path / "src" / "k.py:1"), f"{tmp_path}-other/k.py:2")
    trace = replace(trace_of(), wheres=wheres * 2)
    lines = page(render(summarise(trace, TOY)), width=200)
    assert any(line.endswith(f"  {Path('src/k.py:1')}") for line in lines)
    assert not any(line.endswith("  other/k.py:2") for line in lines)


def test_a_narrow_terminal_shortens_bars_and_not_what_they_say():
    lines = page(render(summarise(trace_of(), TOY)), width=50)
    assert max(map(len, lines)) <= 50
    tensor = next(line for line in lines if "50 %" in line and "█" in line)
    assert 0 < tensor.count("█") + tensor.count("·") < 24
    assert tensor.count("█") == pytest.approx(tensor.count("·"), abs=1)


def test_values_not_computed_is_said():
    timed = trace_of(meta=META | {"time_only": True})
    assert any("no values were computed" in line for line in page(render(summarise(timed, TOY))))


def test_no_price_and_no_matmuls_are_said():
    chip = replace(TOY, dollars_per_hour=None)
    lines = page(render(summarise(trace_of(totals={"hbm_read_bytes": 12_000.0}), chip)))
    assert any("no public price" in line for line in lines)
    assert any("no matrix multiplications" in line for line in lines)


def test_an_empty_run_has_a_page():
    lines = page(render(summarise(trace_of((), totals={}), TOY)))
    assert any("nothing ran" in line for line in lines)


@pytest.mark.parametrize(
    ("share", "width", "drawn"),
    [
        (0.0, 8, "········"),
        (0.001, 8, "▏·······"),
        (0.5, 8, "████····"),
        (0.55, 8, "████▍···"),
        (1.0, 8, "████████"),
        (1.7, 8, "████████"),
        (0.5, 24, "████████████············"),
        (0.5, 90, "████████████············"),
    ],
)
def test_bars_are_exact_to_an_eighth(share: float, width: int, drawn: str):
    assert page(Bar(share), width=width) == [drawn]


def test_no_line_of_a_piped_report_ends_in_blanks(capsys: pytest.CaptureFixture[str]):
    console().print(render(summarise(trace_of(), TOY), LEGAL, "out/toy.pftrace"))
    text = capsys.readouterr().out
    assert text.splitlines() == page(render(summarise(trace_of(), TOY), LEGAL, "out/toy.pftrace"))
