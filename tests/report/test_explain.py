"""The critical path of a trace of six spans, in parts and in a sentence."""

from dataclasses import replace

import pytest

from tests.report.make import TOY, trace_of
from trnlab.report.explain import KINDS, Part, explain, sentence, table_loads
from trnlab.units import us

TABLES = replace(TOY, core=replace(TOY.core, timing=replace(TOY.core.timing, table_load=2 * us)))


def test_parts_say_what_the_path_went_through():
    trace = trace_of()
    trace.tensors = ((0, 0, "a"), (4, 3, "out"))
    found = {str(part): round(part.seconds / us, 6) for part in explain(trace, TOY)}
    assert found == {
        "tensor": 6,
        "waiting for results of tensor": 1,
        "vector": 2,
        "waiting for DMA of `a`": 2,
        "waiting for DMA of `out`": 1,
    }


def test_parts_add_up_to_the_run():
    parts = explain(trace_of(), TOY)
    assert sum(part.seconds for part in parts) == pytest.approx(12 * us)
    assert sum(part.share for part in parts) == pytest.approx(1)
    assert [p.seconds for p in parts] == sorted((p.seconds for p in parts), reverse=True)


def test_a_sentence_names_the_longest_and_sums_up_the_rest():
    trace = trace_of()
    trace.tensors = ((0, 0, "w"),)
    assert sentence(explain(trace, TOY)) == (
        "50 % tensor, 17 % waiting for DMA of `w`, 17 % vector, "
        "8 % waiting for results of tensor, 8 % other"
    )
    assert sentence([]) == ""


def test_the_start_and_the_bytes_of_a_transfer_are_one_part_of_a_sentence():
    parts = [Part(kind, "dma", "w and 2 more", 1.0, 0.5, 1, "k.py:1") for kind in ("start", "move")]
    assert sentence(parts) == "100 % waiting for DMA of `w` and 2 more"


def test_gaps_are_tables_where_a_table_fits_and_signals_else():
    rows = (
        ("vector", "tensor_copy", 1, 0, 1, 1, "first", -1),
        ("scalar", "activation", 2, 3.5, 4, 4, "data", 0),
        ("vector", "tensor_copy", 3, 4.25, 5, 5, "data", 1),
    )
    found = {str(p): round(p.seconds / us, 6) for p in explain(trace_of(rows), TABLES)}
    assert found["function tables of scalar"] == 2
    assert (found["signals to scalar"], found["signals to vector"]) == (0.5, 0.25)
    assert table_loads(trace_of(rows), TABLES) == 1
    assert table_loads(trace_of(rows), TOY) == 0


def test_a_trigger_is_not_work_and_a_rank_is_waited_for():
    rows = (
        ("sync", "load", 1, 2, 3, 3, "rank", -1),
        ("dma/sync", "load", 1, 4, 6, 6, "queue busy", 0),
    )
    found = {p.kind: round(p.seconds / us, 6) for p in explain(trace_of(rows), TOY)}
    # trace_of gives names by text, so that the trigger and its transfer share one
    assert found == {"rank": 2, "trigger": 1, "start": 1, "move": 2}


def test_nothing_ran():
    assert explain(trace_of((), counters={}, totals={}), TOY) == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_words(kind: str):
    assert "{" not in str(Part(kind, "vector", "", 1.0, 1.0, 1, ""))
