"""docs/isa.md: every instruction on one page, written from the classes."""

import inspect
from collections.abc import Iterator, Sequence

from trnlab.isa.instruction import ISA, Instruction
from trnlab.isa.ops import ACTIVATIONS, OPS
from trnlab.nki import language as nl
from trnlab.studies.reference import functions
from trnlab.studies.reference.manual import (
    APIS,
    DEFAULT_FIRST,
    apis_of,
    becomes,
    chips_with,
    costs_of,
    first_sentence,
    generations,
    rules_of,
    signature,
    spelled_sample,
    time_of,
    values_of,
)
from trnlab.studies.reference.samples import sample

INTRODUCTION = """\
# Instructions

Written by `make docs` from the classes in `trnlab/isa`; `trnlab isa NAME` prints one entry. What
the tests check is what stands here: a test fails when this page is out of date.

Rules and times are those of one legal call, the *sample*; rules that depend on operands are shown
as the sample meets them, with its sizes, and other operands may meet others. A rule that names
chips or versions holds there only. A time is that of the sample alone on an idle core, with its
function table loaded and the clock of the array warm: how long its queue is busy, and when the
result is visible. The work is passes x elements, in cycles of the engine, to which start and fixed
latency are added; of a transfer it is its packets.
"""


def handbook() -> str:
    """The page, as Markdown."""
    parts = [INTRODUCTION, *_contents(), *_coverage(), *_shared(), "## Entries", ""]
    for _, kind in sorted(ISA.items()):
        parts += _entry(kind)
    parts += [*_functions(), *_operators()]
    return "\n".join(parts)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [header, ["---"] * len(header), *rows]
    return [*("| " + " | ".join(row) + " |" for row in cells), ""]


def _contents() -> Iterator[str]:
    sections = ("Coverage", "Rules of every instruction", "Entries", "Functions of nki.language")
    for section in (*sections, "Operators and functions"):
        anchor = section.lower().replace(" ", "-").replace(".", "")
        yield f"- [{section}](#{anchor})"
        if section == "Entries":
            yield from (f"  [{name}](#{name})" for name in sorted(ISA))
    yield ""


def _coverage() -> Iterator[str]:
    yield "## Coverage"
    yield ""
    yield f"{len(ISA)} instructions. A dot: that chip, or that import name, has it.\n"
    groups = [keys for keys, _ in generations()]
    rows = []
    for name, kind in sorted(ISA.items()):
        here = [keys for keys, _ in generations(kind)]
        on = ["•" if keys in here else "" for keys in groups]
        apis = ["•" if api in apis_of(kind) else "" for api in APIS]
        engines = ", ".join(kind.engines)
        rows.append([f"[{name}](#{name})", engines, *on, *apis, first_sentence(kind)])
    header = ["instruction", "engines", *groups, *(f"`{api}`" for api in APIS), "what it does"]
    yield from _table(header, [[_escaped(cell) for cell in row] for row in rows])


def _shared() -> Iterator[str]:
    yield "## Rules of every instruction"
    yield ""
    yield "For every operand that is a tile, `dst` for example, of an instruction on an engine:"
    yield ""
    core = generations()[0][1].core
    for text, *_ in sample(ISA["tensor_tensor"])._shared_rules(core):
        if text.startswith("dst "):
            yield f"- {text}"
    yield ""
    yield "An instruction runs on one of its engines, and GpSimd does not reach PSUM. Of these"
    yield "rules, transfers have only the first."
    yield ""


def _entry(kind: type[Instruction]) -> Iterator[str]:
    yield f"### {kind.name}"
    yield ""
    yield "```text"
    yield signature(kind.name)
    yield "```"
    yield ""
    yield _escaped(inspect.getdoc(kind) or "")
    yield ""
    rows = [("engines", ", ".join(kind.engines)), ("chips", chips_with(kind)),
            ("import", ", ".join(f"`{api}`" for api in apis_of(kind))),
            ("vendor's page", f"`{kind.page}`"), ("values", values_of(kind)),
            ("sample", f"`{spelled_sample(kind)}`")]  # fmt: skip
    yield from _table(("", ""), rows)
    yield "Rules:"
    yield ""
    yield from (f"- {rule}" for rule in rules_of(kind))
    yield ""
    rows = [(keys, price.queue, figures, time_of(price)) for keys, price, figures in costs_of(kind)]
    yield from _table(("chips", "queue", "work", "time"), rows)


def _functions() -> Iterator[str]:
    yield "## Functions of nki.language"
    yield ""
    yield "What each function of the current API becomes, found by running it on fp32 [128, 512]"
    yield "tiles or what comes nearest; the time is that of all its instructions, alone on a core,"
    yield "loading of function tables included."
    yield ""
    rows = []
    for name in functions.names():
        made = functions.expansion(name, DEFAULT_FIRST)
        time = f"{made.seconds * 1e6:,.2f} us, {made.chip}" if made and made.steps else ""
        rows.append((f"`{signature(name, nl).removeprefix('nki.language.')}`", becomes(made), time))
    yield from _table(("function", "becomes", "time"), rows)


def _operators() -> Iterator[str]:
    yield "## Operators and functions"
    yield ""
    yield "What instructions take as `op`, `op0`, `op1` or `reduce_op`:"
    yield ""
    rows = [(name, op.kind, ", ".join(op.engines), op.needs or "") for name, op in OPS.items()]
    yield from _table(("operator", "kind", "engines", "needs"), rows)
    yield "What the scalar engine evaluates. Functions of one table do not make it load another; a"
    yield "function is right for the inputs shown."
    yield ""
    rows = []
    for name, function in ACTIVATIONS.items():
        low, high = function.valid or (0, 0)
        size = "magnitude " if function.by_magnitude else ""
        valid = f"{size}{low:.4g} to {high:.4g}" if function.valid else "all"
        rows.append((name, function.table or "none", valid, function.needs or ""))
    yield from _table(("function", "table", "inputs", "needs"), rows)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<")
