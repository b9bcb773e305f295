"""`trnlab explain`: our rules by the names that violations print, the vendor's codes, words."""

import pytest

import trnlab
from tests.support import command, load, nisa, nl, store, whole_numbers
from trnlab import Violations
from trnlab.errors import UnknownName
from trnlab.isa.instruction import ISA
from trnlab.studies.reference.explain import ALL_CODES, explain, templates
from trnlab.studies.reference.graph_codes import GRAPH_CODES


@pytest.mark.parametrize("name", ALL_CODES)
def test_every_code_has_a_cause_a_limit_an_example_and_a_source(name):
    page = explain(name)
    assert page.splitlines()[0] == name
    assert [line.split()[0] for line in page.splitlines()[1:]] == [
        "cause", "limit", "example", "source",
    ]  # fmt: skip


def test_codes_are_found_in_a_line_of_a_log():
    line = "2026-11-22T08:00:00Z ERROR 8 [Codegen]: [NCC_IBIR605] illegal instruction"
    assert explain(line) == explain("IBIR605") == explain("ibir605")
    assert explain("err_unexpected_output").startswith("err_unexpected_output_dependencies")


def test_every_instruction_has_rules():
    subjects = {template.subject for template in templates()}
    # arguments of register_move are checked when it is called
    assert ISA.keys() - subjects == {"register_move"}
    assert {"all_reduce", "all_gather_v", "collective_permute"} <= subjects


def test_a_rule_has_its_limit_on_each_generation_and_a_legal_example():
    page = explain("nc_matmul/moving-streams-at-most-columns").splitlines()
    assert "  limit     moving streams at most 512 columns (trn1, inf2, trn2)" in page
    assert "  limit     moving streams at most 4096 columns (trn3)" in page
    assert any(line.startswith("  example   nc_matmul(dst=psum float32[128,512]") for line in page)


def test_every_rule_with_a_subject_in_the_manual_has_an_example():
    pages = {t.code: explain(t.code) for t in templates() if t.subject in ISA}
    assert [code for code, page in pages.items() if "\n  example   " not in page] == []


def test_sources_are_spelled_out():
    assert explain("GCA046").endswith("  source    NKI known issues, Neuron SDK 2.26")
    assert explain("NCC_IBIR605").endswith("in a public thread: trn1, nki 0.3")


def test_no_two_rules_share_a_name():
    codes = [template.code for template in templates()]
    assert len(set(codes)) == len(codes)


def broken(kernel, *arrays, chip="trn2"):
    with pytest.raises(Violations) as found:
        trnlab.run(kernel, chip)(*arrays)
    return found.value.found


def wide(a):
    tile = load(a)
    out = nl.ndarray((128, 600), nl.float32, buffer=nl.psum)
    nisa.nc_matmul(out, tile[:, 0:128], tile)
    nisa.tensor_tensor(tile, tile[0:64, :], tile, nl.divide)
    nisa.activation(tile, nl.exp, tile, scale=nl.ndarray((128, 1), nl.bfloat16))
    return store(tile)


def test_what_a_violation_prints_can_be_explained():
    found = [v for v in broken(wide, whole_numbers(128, 600)) if v.rule]
    assert len(found) >= 4
    for violation in found:
        page = explain(violation.rule)
        assert "not known" not in page, violation.rule
        subject = violation.rule.partition("/")[0]
        assert f"of        {subject}" in page


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("interleaved sums in psum", "ISCH714"),
        ("not enough sbuf", "couldn't be allocated in SB"),
        ("complex numbers", "NCC_EVRF004"),
        ("all-reduce of integers", "NCC_EVRF061"),
        ("NCC_EXSP01", "NCC_EXSP001"),
        ("nc_matmul dst psum", "nc_matmul/dst-is-in-psum"),
        ("collective dimension of all_gather in hbm", "all_gather/"),
    ],
)
def test_words_and_misspelled_codes_find_the_nearest(words, name):
    page = explain(words)
    assert page.startswith(f"'{words}' is not known; the nearest is\n\n{name}"), page


def test_every_code_of_the_vendors_page_is_there():
    assert len(ALL_CODES) == 52 + 51
    assert all(name.startswith("NCC_E") for name in GRAPH_CODES)


def test_words_find_the_nearest():
    page = explain("list comprehensions in a kernel")
    assert page.startswith("'list comprehensions in a kernel' is not known; the nearest is")
    assert "python/list-comprehension" in page
    with pytest.raises(UnknownName, match="no rule or error code"):
        explain("zzzzzz")


def test_the_command(capsys, monkeypatch):
    said = command(["explain", "GCA046"], capsys, monkeypatch)
    assert (said.code, said.out) == (0, explain("GCA046") + "\n")
    assert command(["explain", "qqqqqqqq"], capsys, monkeypatch).code == 1
