"""Two runs beside each other."""

from io import StringIO

import pytest
from rich.console import Console

from tests.report.make import ROWS, TOTALS, TOY, trace_of
from trnlab.report.diff import diff, record, render_diff
from trnlab.report.summary import summarise
from trnlab.units import us

LATER = (*ROWS[:4], ("vector", "copy", 3, 9, 13, 13, "data", 3),
         ("dma/gpsimd", "store", 4, 13, 14, 14, "data", 4))  # fmt: skip


def shown(found) -> str:
    console = Console(file=StringIO(), record=True, width=100)
    console.print(render_diff(found))
    return console.export_text()


def test_the_same_run_moved_nothing():
    one = summarise(trace_of(), TOY)
    found = diff(one, one)
    assert all(m.change == 0 for m in (*found.path, *found.lanes, *found.lines))
    assert found.totals == {}
    text = shown(found)
    assert "12.0 us, as before" in text
    assert text.count("nothing moved") == 4


def test_what_moved_is_told_by_path_lane_instruction_and_line():
    totals = TOTALS | {"instructions": 4.0}
    found = diff(summarise(trace_of(), TOY), summarise(trace_of(LATER, totals=totals), TOY))
    assert [(m.what, round(m.change / us, 6)) for m in found.path if m.change] == [("vector", 2)]
    assert [(m.what, round(m.change / us, 6)) for m in found.lanes if m.change > 1e-9] == [
        ("vector", 2)
    ]
    names = {m.what: (round(m.change / us, 6), m.counts) for m in found.instructions}
    assert names["copy on vector"] == (4, (0, 1))
    assert names["tensor_copy on vector"] == (-2, (1, 0))
    assert names["store on dma/gpsimd"] == (0, (1, 1))
    assert found.lines[0].what == "vector  k.py:3"
    assert found.totals == {"instructions": (3.0, 4.0)}
    text = shown(found)
    assert "12.0 us -> 14.0 us: +2.00 us (+16.7 %)" in text
    assert "0 -> 1" in text
    told = record(found)
    assert told["seconds"] == [pytest.approx(12 * us), pytest.approx(14 * us)]
    assert told["instructions"][0]["change"] == pytest.approx(4 * us)


def test_runs_that_were_not_made_alike_say_so():
    other = trace_of()
    other.meta |= {"version": "9.9", "without": ("launch",)}
    text = " ".join(shown(diff(summarise(trace_of(), TOY), summarise(other, TOY))).split())
    assert "on toy by trnlab 9.9 without launch:" in text


def test_a_line_that_moved_within_its_file_is_the_same(tmp_path):
    both = []
    for number, text in ((1, "nisa.load()\n"), (3, "# one\n# two\nnisa.load()\n")):
        file = tmp_path / f"kernel{number}.py"
        file.write_text(text)
        trace = trace_of(ROWS[:1])
        trace.wheres = (f"{file}:{number}",)
        both.append(summarise(trace, TOY))
    (line,) = diff(*both).lines
    assert (line.what, line.change, line.counts) == ("dma/sync  nisa.load()", 0, (1, 1))
