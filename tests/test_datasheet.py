"""A datasheet shows all that is known, with units."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from trnlab.machine.catalogue import CHIPS
from trnlab.machine.catalogue.trn2 import TRN2
from trnlab.machine.chip import Chip
from trnlab.machine.facts import Amount, Count, numbers
from trnlab.report.datasheet import chips_table, datasheet, write

every_chip = pytest.mark.parametrize("entry", CHIPS, ids=lambda entry: entry.key)


def sourced(value: float) -> Count | Amount:
    assert isinstance(value, Count | Amount)
    return value


def text(renderable) -> str:
    console = Console(file=io.StringIO(), width=250)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@every_chip
def test_a_datasheet_has_every_number_and_capability(entry: Chip):
    sheet = text(datasheet(entry))
    for path, value in numbers(entry):
        assert path in sheet
        assert write(path, value) in sheet
    assert all(value.source in sheet for value in map(sourced, dict(numbers(entry)).values()))
    assert all(name in sheet for name in entry.core.can)
    assert all(note in sheet for note in entry.notes)


def test_a_datasheet_shows_which_numbers_somebody_changed():
    assert "unsourced" not in text(datasheet(TRN2))
    line = next(
        line for line in text(datasheet(replace(TRN2, watts=450.0))).splitlines() if "watts" in line
    )
    assert "450 W" in line
    assert "unsourced" in line


def test_numbers_are_written_with_units():
    texts = {path: write(path, value) for path, value in numbers(TRN2)}
    assert texts["hbm.rate"] == "2.90 TB/s"
    assert texts["core.sbuf.size"] == "224 KiB"
    assert texts["core.engines.tensor.fixed"] == "165 ns"
    assert texts["claimed.bf16"] == "667 TFLOP/s"
    assert texts["energy.fp8_flop"] == "0.238 pJ"
    assert texts["core.array.cold_rate"] == "50 %"


def test_all_chips_stand_side_by_side():
    table = text(chips_table())
    assert all(entry.key in table for entry in CHIPS)
    assert "629 TFLOP/s" in table  # arrays x clock of trn2
    assert "667 TFLOP/s" in table  # as claimed
    assert "not public" in table
