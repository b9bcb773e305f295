"""What a code or a rule means: ours, by their short names, and those of the vendor's tools."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from difflib import SequenceMatcher
from functools import cache
from typing import NamedTuple

from trnlab.errors import UnknownName
from trnlab.isa.instruction import ISA, Instruction
from trnlab.isa.rules import code_of
from trnlab.nki import isa as _families  # noqa: F401 - registers every instruction
from trnlab.nki.subset import CONSTRUCTS
from trnlab.studies.codes import CODES, Code
from trnlab.studies.manual import signature

FORMS = ("a code such as NCC_IBIR605", "a rule such as nc_matmul/dst-is-in-psum", "words")
NEAR = 0.45  # how alike words must be


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
        "load_transpose2d/src-is-an-argument",
        "nl.load_transpose2d",
        "it reads tensors that are arguments, none that the kernel declares in HBM",
        "nki; recorded on trn1",
    ),
)


def explain(words: str) -> str:
    """Explains a rule, an error code or what comes nearest; raises UnknownName if nothing does."""
    wanted = words.strip()
    known: dict[str, Code | Template] = {**CODES, **{t.code: t for t in templates()}}
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
    said = entry.cause if isinstance(entry, Code) else f"{entry.subject} {entry.sentence}"
    words = set(re.findall(r"[a-z0-9]+", wanted.lower()))
    theirs = set(re.findall(r"[a-z0-9]+", f"{name} {said}".lower()))
    share = len(words & theirs) / max(1, len(words))
    return max(share * 0.9, SequenceMatcher(None, wanted.lower(), name.lower()).ratio())


def _page(entry: Code | Template) -> str:
    if isinstance(entry, Code):
        rows = [("cause", entry.cause), ("limit", entry.limit), ("example", entry.example)]
        return _lines(entry.name, [*rows, ("source", entry.source)])
    rows = [("rule", entry.sentence), ("of", entry.subject), ("enforced", entry.who)]
    kind = ISA.get(entry.subject)
    example = [("call", signature(kind.name)), ("more", f"trnlab isa {kind.name}")] if kind else []
    return _lines(entry.code, rows + example)


def _lines(title: str, rows: list[tuple[str, str]]) -> str:
    return "\n".join([title, *(f"  {name:<8}  {text}" for name, text in rows)])


@cache
def templates() -> tuple[Template, ...]:
    """Every rule of every instruction, as its class writes it, and those of the Python subset."""
    found: dict[str, Template] = {}
    for name, kind in sorted(ISA.items()):
        for sentence, when in _sentences(kind):
            code = code_of(name, re.sub(r"\{[^}]*\}", " ", sentence))
            found.setdefault(code, Template(code, name, sentence, when or "every compiler"))
    for construct in CONSTRUCTS.values():
        code = code_of("python", construct.name)
        surely = "an error" if construct.known else "a warning"
        text = f"no {construct.name} in a kernel: {construct.fix}"
        found[code] = Template(code, "Python", text, f"{surely}, {construct.when}")
    return (*found.values(), *OTHERS)


def _sentences(kind: type[Instruction]) -> Iterator[tuple[str, str]]:
    """Texts that the rules of a class yield, with what the source says of who insists."""
    seen: set[object] = set()
    todo: list[tuple[object, dict[str, str]]] = [(kind.rules, {}), (kind._shared_rules, {})]
    while todo:
        function, known = todo.pop(0)
        key = (function, tuple(known.items()))
        if key in seen or not inspect.isfunction(function):
            continue
        seen.add(key)
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
        for node in ast.walk(tree):
            if isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple):
                text, _, *when = node.value.elts
                sentence = _text(text, function, known)
                if sentence:
                    yield sentence, ast.unparse(when[0]) if when else ""
            if isinstance(node, ast.YieldFrom) and isinstance(node.value, ast.Call):
                todo += _next(node.value, function, kind)


def _next(call: ast.Call, function: object, kind: type) -> list[tuple[object, dict[str, str]]]:
    """The generator that a rule takes further rules from, with the names it is given."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
    scope = getattr(function, "__globals__", {})
    target = getattr(kind, name, None) if ast.unparse(call.func).startswith("self") else None
    target = target or scope.get(name)
    if not inspect.isfunction(target):
        return []
    names = list(inspect.signature(target).parameters)
    given = {
        parameter: value.value
        for parameter, value in zip(names, call.args, strict=False)
        if isinstance(value, ast.Constant) and isinstance(value.value, str)
    }
    return [(target, given)]


def _text(node: ast.expr, function: object, known: dict[str, str]) -> str:
    scope = getattr(function, "__globals__", {})
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if not isinstance(node, ast.JoinedStr):
        return ""
    parts = []
    for part in node.values:
        if isinstance(part, ast.Constant):
            parts.append(str(part.value))
            continue
        inner = ast.unparse(part.value) if isinstance(part, ast.FormattedValue) else ""
        value = known.get(inner, scope.get(inner))
        parts.append(str(value) if isinstance(value, str | int) else f"{{{inner}}}")
    return "".join(parts)
