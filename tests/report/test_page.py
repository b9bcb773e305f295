"""The page of a run: what it holds, that it needs nothing else, and that names cannot break it."""

import json
import re
from pathlib import Path
from shutil import which
from subprocess import run

import numpy as np
import pytest

from tests.report.make import TOY, many, trace_of
from trnlab.errors import TrnlabError
from trnlab.report import page as pages
from trnlab.report.page import contents, page, save_page
from trnlab.report.why import Advice, Gain, Why
from trnlab.units import si


def data_of(text: str) -> dict:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.S)
    assert found
    return json.loads(found[1])


def test_a_page_holds_every_span_and_the_summary():
    told = data_of(page(trace_of(), TOY))
    assert told["title"] == "toy_matmul on toy"
    assert told["ns"] == 12_000
    assert len(told["spans"]["begin"]) == 6
    assert sum(told["spans"]["path"]) == 5
    assert told["summary"]["limit"]["lane"] == "tensor"
    assert told["merged"] == 0
    assert told["without"] is None


def test_a_page_needs_no_network():
    text = page(trace_of(), TOY)
    addresses = set(re.findall(r"https?://[^\"'\s]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", text)
    assert "{{" not in text


@pytest.mark.skipif(not which("node"), reason="needs Node.js")
def test_numbers_on_a_page_are_those_of_the_terminal():
    script = (Path(pages.__file__).parent / "page.js").read_text()
    written = script[script.index("function scaled") : script.index("const percent")]
    values = [0, 1e-5, 2.6e-6, 12e-6, 123.4e-6, 999.96e-6, 1, 2.9e12]
    calls = [f'scaled({v}, "s")' for v in values] + [f'round({v}, "s")' for v in (0, 2e-5, 1e-4)]
    told = run(
        ["node", "-p", f"{written}; JSON.stringify([{','.join(calls)}])"], capture_output=True
    )
    *exact, zero, twenty, hundred = json.loads(told.stdout)
    assert exact == [si(v, "s") for v in values]
    assert (zero, twenty, hundred) == ("0 s", "20 us", "100 us")


def test_names_cannot_end_the_script():
    trace = trace_of(meta={"kernel": "</script><b>", "chip": "toy"})
    text = page(trace, TOY)
    assert text.count("</script>") == 2
    assert data_of(text)["title"] == "</script><b> on toy"
    assert "<title>&lt;/script&gt;" in text


def test_gains_and_advice_are_on_it():
    why = Why([Gain("dma", "no DMA", 1e-6, 0.1)], [Advice("fp32", "do", "k.py:1", 1e-6, 0.1, "x")])
    told = contents(trace_of(), TOY, why)
    assert told["without"][0]["text"] == "no DMA"
    assert told["advice"][0]["where"] == "k.py:1"


def test_a_long_trace_is_drawn_with_fewer_spans(monkeypatch):
    monkeypatch.setattr(pages, "SPANS", 500)
    monkeypatch.setattr(pages, "STEPS", 10)
    trace = many(5_000)
    steps = np.arange(100) * 1e-9, np.arange(100, dtype=float)
    trace.counters = {"sbuf bytes": steps}
    told = contents(trace, TOY)
    drawn = told["spans"]
    assert len(drawn["begin"]) <= 500
    assert len(drawn["begin"]) + told["merged"] == 5_000
    ends = [b + n for b, n in zip(drawn["begin"], drawn["length"], strict=True)]
    assert max(ends) == round(float(trace.busy_until.max()) * 1e9)
    times, values = told["counters"]["sbuf bytes"]
    assert len(times) == len(values) == 10
    assert values[-1] == 99


def test_nothing_ran():
    assert data_of(page(trace_of((), counters={}, totals={}), TOY))["spans"]["begin"] == []


def test_a_page_is_saved_where_there_is_a_folder(tmp_path):
    path = save_page(trace_of(), TOY, tmp_path / "run.html")
    assert path.read_text(encoding="utf-8") == page(trace_of(), TOY)
    with pytest.raises(TrnlabError, match="there is no folder"):
        save_page(trace_of(), TOY, tmp_path / "no" / "run.html")
