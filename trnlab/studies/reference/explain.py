"""What a code or a rule means: ours, by their short names, and those of the vendor's tools."""

import re
from difflib import SequenceMatcher
from functools import cache
from typing import NamedTuple

from trnlab.errors import UnknownName
from trnlab.isa.instruction import ISA, Instruction
from trnlab.isa.rules import code_of
from trnlab.nki import isa as _families  # noqa: F401 - registers every instruction
from trnlab.nki.subset import CONSTRUCTS
from trnlab.studies.reference.codes import CODES, SOURCES, Code
from trnlab.studies.reference.graph_codes import GRAPH_CODES
from trnlab.studies.reference.manual import rules_of, signature, spelled_sample
from trnlab.studies.reference.sentences import kinds, sentences

FORMS = ("a code such as NCC_IBIR605", "a rule such as nc_matmul/dst-is-in-psum", "words")
NEAR = 0.45  # how alike words must be
FILLERS = frozenset(
    ("a", "and", "are", "be", "in", "is", "it", "not", "of", "on", "or", "the", "to")
)


class Template(NamedTuple):
    """A rule as its class writes it: what varies is in braces."""

    code: str
    subject: str
    sentence: str
    who: str


# Rules that belong to no instruction.
OTHERS = (
    Template(
        "psum/a-sum-is-read-when-it-is-complete",
        "PSUM",
        "a sum in PSUM is read when it is complete",
        "a warning: SCH713 and ISCH714 of the vendor's compilers",
    ),
    Template(
        "psum/sums-of-one-bank-do-not-take-turns",
        "PSUM",
        "a sum in a PSUM bank is finished before the next one in that bank goes on",
        "a warning: SCH713 and ISCH714 of the vendor's compilers",
    ),
    Template(
        "ndarray/psum-tensors-start-at-a-bank",
        "nl.ndarray",
        "a tensor that a kernel places in PSUM starts at a bank of 2,048 bytes",
        "nki; the older API wants 4 bytes",
    ),
    Template(
        "kernel/outputs-are-in-shared-hbm",
        "a kernel",
        "what a kernel returns is declared with buffer=nl.shared_hbm",
        "a warning, nki 0.3 and later: the guide says it fails, the vendor's library does it",
    ),
    Template(
        "kernel/arguments-are-read-only",
        "a kernel",
        "a kernel writes only arguments that are annotated nt.mutable_tensor",
        "neuronxcc.nki, kernels of @nki.jit: err_cannot_update_immutable_parameter",
    ),
    Template(
        "kernel/places-tiles-or-declares-hbm",
        "a kernel",
        "a kernel that places its own tiles returns every tensor that it declares in HBM",
        "neuronxcc.nki with direct allocation: NKI005",
    ),
    Template(
        "kernel/mutable-arguments-are-returned",
        "a kernel",
        "a kernel returns the arguments that are annotated nt.mutable_tensor",
        "neuronxcc.nki, kernels of @nki.jit: err_mutable_parameter_not_returned",
    ),
    Template(
        "load_transpose2d/src-is-an-argument",
        "nl.load_transpose2d",
        "it reads tensors that are arguments, none that the kernel declares in HBM",
        "nki; recorded on trn1",
    ),
)


ALL_CODES = CODES | GRAPH_CODES


def explain(words: str) -> str:
    """Explains a rule, an error code or what comes nearest; raises UnknownName if nothing does."""
    wanted = words.strip()
    known: dict[str, Code | Template] = {**ALL_CODES, **{t.code: t for t in templates()}}
    found = known.get(wanted) or _by_part(wanted, known)
    if found is not None:
        return _page(found)
    near = sorted(((_likeness(wanted, name, entry), name) for name, entry in known.items()))[::-1]
    if not near or near[0][0] < NEAR:
        raise UnknownName("rule or error code", wanted, FORMS)
    others = ", ".join(name for score, name in near[1:4] if score >= NEAR)
    first = f"'{wanted}' is not known; the nearest is\n\n{_page(known[near[0][1]])}"
    return f"{first}\n\nnext: {others}" if others else first


def _by_part(wanted: str, known: dict[str, Code | Template]) -> Code | Template | None:
    """An entry whose name is in the words, as in a line copied from a log, or the other way."""
    low = wanted.lower()
    for name, entry in known.items():
        if name.lower() in low or (len(low) > 4 and low in (name.lower(), f"ncc_{name.lower()}")):
            return entry
    subject, _, tail = low.partition("/")
    for name, entry in known.items():  # where a rule names its operand: dst-spans-at-most
        owner, _, rest = name.partition("/")
        if rest and owner == subject and rest in tail:
            return entry
    inside = [e for name, e in known.items() if len(low) > 4 and low in name.lower()]
    return inside[0] if len(inside) == 1 else None


def _likeness(wanted: str, name: str, entry: Code | Template) -> float:
    """How much of what was asked an entry speaks about; its name counts a little more."""
    said = " ".join(entry[1:])
    asked, theirs = _words(wanted), _words(f"{name} {said}")
    share = sum(any(_alike(a, t) for t in theirs) for a in asked) / max(1, len(asked))
    in_name = sum(any(_alike(a, t) for t in _words(name)) for a in asked) / max(1, len(asked))
    spelled = SequenceMatcher(None, wanted.lower(), name.lower()).ratio()
    return max(share * 0.8 + in_name * 0.1 + spelled * 0.1, spelled)


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower())) - FILLERS


def _alike(one: str, other: str) -> bool:
    """Whether two words are the same but for their endings."""
    short, long = sorted((one, other), key=len)
    return short == long or (len(short) > 3 and long.startswith(short.rstrip("s")))


def _page(entry: Code | Template) -> str:
    if isinstance(entry, Code):
        rows = [("cause", entry.cause), ("limit", entry.limit), ("example", entry.example)]
        return _lines(entry.name, [*rows, ("source", SOURCES[entry.source[0]] + entry.source[1:])])
    rows = [("rule", entry.sentence), ("of", entry.subject), ("enforced", entry.who)]
    kind = ISA.get(entry.subject)
    if kind is not None:
        rows[1:1] = [("limit", limit) for limit in _limits(entry, kind)]
        rows += [("example", f"{kind.name}({spelled_sample(kind)})")]
        rows += [("call", signature(kind.name)), ("more", f"trnlab isa {kind.name}")]
    return _lines(entry.code, rows)


def _limits(entry: Template, kind: type[Instruction]) -> list[str]:
    """The rule as the example meets it, on each generation whose numbers differ."""
    if "{" not in entry.sentence:
        return []
    found = [
        f"{rule.text} ({rule.chips})" if rule.chips else rule.text
        for rule in rules_of(kind)
        if code_of(entry.subject, rule.text) == entry.code
    ]
    return list(dict.fromkeys(found))


def _lines(title: str, rows: list[tuple[str, str]]) -> str:
    return "\n".join([title, *(f"  {name:<8}  {text}" for name, text in rows)])


@cache
def templates() -> tuple[Template, ...]:
    """Every rule of every instruction, as its class writes it, and those of the Python subset."""
    found: dict[str, Template] = {}
    for kind in kinds():
        for sentence, when in sentences(kind):
            code = code_of(kind.name, re.sub(r"\{[^}]*\}", " ", sentence))
            found.setdefault(code, Template(code, kind.name, sentence, when or "every compiler"))
    for construct in CONSTRUCTS.values():
        code = code_of("python", construct.name)
        surely = "an error" if construct.known else "a warning"
        text = f"no {construct.name} in a kernel: {construct.fix}"
        found[code] = Template(code, "Python", text, f"{surely}, {construct.when}")
    return (*found.values(), *OTHERS)
