"""The manual: samples are legal, pages say what the classes say, docs/isa.md is up to date."""

from pathlib import Path

import pytest

from tests.support import command
from trnlab.errors import UnknownName
from trnlab.isa.instruction import ISA
from trnlab.machine.catalogue import CHIPS, chip
from trnlab.studies.reference import functions
from trnlab.studies.reference.handbook import handbook
from trnlab.studies.reference.manual import (
    becomes,
    collectives,
    costs_of,
    page,
    rules_of,
    signature,
    spelled_sample,
)
from trnlab.studies.reference.samples import SAMPLES, sample

PAGE = Path(__file__).parents[2] / "docs" / "isa.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == handbook(), "docs/isa.md is stale: run `make docs`"


def test_samples_are_of_instructions():
    assert set(SAMPLES) <= set(ISA)


@pytest.mark.parametrize("name", sorted(ISA))
def test_samples_are_legal_on_every_chip_that_has_the_instruction(name: str):
    kind = ISA[name]
    cores = [c.core for c in CHIPS if kind.needs is None or kind.needs in c.core.can]
    assert cores
    assert [sample(kind).broken(core) for core in cores] == [[]] * len(cores)


@pytest.mark.parametrize("name", sorted(ISA))
def test_every_instruction_has_a_page_with_its_rules_and_times(name: str):
    text = page(name)
    assert text.startswith(f"nki.isa.{name}(")
    assert text.count("ns busy, result after") == len(costs_of(ISA[name]))
    assert all(line == line.rstrip() and len(line) <= 100 for line in text.splitlines())
    squeezed = " ".join(text.split())
    assert all(f"- {rule}" in squeezed for rule in rules_of(ISA[name]))
    assert spelled_sample(ISA[name]) in squeezed


def test_rules_say_on_which_chips_they_hold():
    rules = [str(rule) for rule in rules_of(ISA["nc_matmul"])]
    assert "dst is in PSUM" in rules
    assert "moving streams at most 512 columns (trn1, inf2, trn2)" in rules
    assert "moving streams at most 4096 columns (trn3)" in rules


def test_signatures_are_written_as_they_are_published():
    assert signature("tensor_copy").endswith(
        "(dst, src, engine=engine.unknown, name=None, dtype=None)"
    )
    assert "perf_mode=matmul_perf_mode.none" in signature("nc_matmul")
    assert "cmp_op=nl.equal" in signature("affine_select")
    assert "dma_engine=dma_engine.dma" in signature("sendrecv")


@pytest.mark.parametrize("name", ["tensor_copy", "nisa.tensor_copy", "nki.isa.tensor_copy"])
def test_an_instruction_may_be_named_in_full(name: str):
    assert page(name) == page("tensor_copy")


def test_a_name_in_both_modules_is_the_instruction_unless_said_otherwise():
    assert page("reciprocal").startswith("nki.isa.reciprocal(")
    assert page("nl.reciprocal").startswith("nki.language.reciprocal(")


def test_a_function_says_what_it_becomes():
    text = page("nl.softmax")
    wanted = (
        "tensor_reduce (vector), activation_reduce (scalar), reciprocal (vector), tensor_scalar"
    )
    assert wanted in " ".join(text.split())
    assert "operator  op=add of instructions on vector, scalar, gpsimd" in page("nl.add")
    assert "right for inputs from -3.142 to 3.142" in page("nl.sin")
    assert "no instruction of its own" in page("nl.program_id")
    assert "it names an operator" in page("nl.bypass")


def test_what_a_function_becomes_is_what_runs():
    made = functions.expansion("mean", (chip("trn2"),))
    assert made is not None
    assert made.steps == (("tensor_reduce", "vector"), ("tensor_scalar", "scalar"))
    assert made.seconds > 0


def test_a_function_is_shown_on_the_first_chip_that_has_it():
    made = functions.expansion("abs_max", (chip("trn2"), chip("trn3")))
    assert made is not None
    assert (made.chip, made.refused) == ("trn3", "")
    made = functions.expansion("abs_max", (chip("trn2"),))
    assert made is not None
    assert "abs_max needs a core with" in made.refused
    assert "refused by every chip: abs_max needs" in becomes(made)


@pytest.mark.parametrize("name", functions.names())
def test_every_function_becomes_something_or_names_an_operator(name: str):
    made = functions.expansion(name, (chip("trn2"), chip("trn3")))
    assert (made is None) == (name in ("average", "bypass", "prelu"))


@pytest.mark.parametrize(
    ("given", "near"),
    [("nc_matmull", "nc_matmul"), ("softmx", "nl.softmax"), ("nl.softmx", "nl.softmax"),
     ("nisa.tensor_tensr", "tensor_tensor")],
)  # fmt: skip
def test_unknown_names_suggest_the_nearest(given: str, near: str):
    with pytest.raises(UnknownName, match=f"did you mean '{near}'"):
        page(given)


def test_the_whole_page_can_be_printed(capsys, monkeypatch):
    said = command(["isa", "--markdown"], capsys, monkeypatch)
    assert said.code == 0
    assert said.out == handbook()


@pytest.mark.parametrize("name", sorted(collectives()))
def test_every_collective_has_a_page_with_its_rules(name: str):
    text = page(name)
    assert text.startswith(f"nki.collectives.{name}(")
    assert page(f"nki.collectives.{name}") == text
    assert "  - " in text
    assert "run_ranks" in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_collectives_are_listed_and_suggested():
    assert len(collectives()) == 9
    with pytest.raises(UnknownName, match="all_reduce"):
        page("all_reduces")
