"""The part of Python that the vendor's compiler of `nki` takes.

The older API runs kernels as Python, and so does the simulator of either. The compiler reads their
source instead: the kernel's, and that of every function of the user's that it calls. What it is
known to reject is an error, what its guide does not list is a warning, each with the line.
"""

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from sysconfig import get_paths
from types import CodeType, FunctionType, MethodType
from typing import Any, NamedTuple

from trnlab.errors import Place, UnsupportedPython
from trnlab.isa.rules import Compiler, When, before, code_of, only, since
from trnlab.nki.carried import carried
from trnlab.nki.scopes import branches, leaks, misnamed
from trnlab.nki.versions import CAME, came_with, late

PACKAGE = str(Path(__file__).parents[1])
LIBRARIES = tuple({p for n, p in get_paths().items() if n != "data"})
SEE = "nki/get-started/nki-language-guide"


class Construct(NamedTuple):
    """A way to write Python: its name, what to write instead, who rejects it, and how surely.

    ``known`` says that a rejection was recorded or that the vendor prints its error; otherwise the
    vendor's guides leave it out or advise against it, and their own kernels may use it. ``verb`` is
    what a compiler does with it.
    """

    name: str
    fix: str
    known: bool
    when: When
    verb: str


# Recorded on trn1 with the compilers of 0.2 and 0.3; the vendor's kernel library (April 2026, 111
# files) has none of these either.
_RECORDED = {
    "inner function": "move it to the top of the module and pass what it needs",
    "list comprehension": "append to a list in a for loop",
    "subscript as unpacking target": "unpack to names, then assign each",
}
# Guides to 0.2 and 0.3, sections "Class Support", "Remove @nki.jit decorator on sub-kernels".
_PRINTED = {
    "class that does not inherit NKIObject": "inherit nki.language.NKIObject and nothing else",
}
# Guide to 0.3, "Language restrictions"; the library of April 2026 uses `is` and `*` all the same.
_ADVISED = {
    "comparison with is": "compare with == or !=",
    "keyword-only arguments": "leave out the '*' and move arguments with defaults to the end",
    "list as kernel argument": "pass a tuple",
    "kernel called by a kernel": "take the decorator off the inner one",
}
# Not among what the language guide lists, and not in the library.
_UNLISTED = {
    "generator expression": "append to a list in a for loop",
    "set or dict comprehension": "fill it in a for loop",
    "lambda": "name a function at the top of the module",
    "try": "test for the condition with if",
    "yield": "return a list",
    "global or nonlocal": "pass and return the value",
    "match": "compare with if and elif",
    "assignment expression": "assign in a statement of its own",
    "async": "write a plain function",
    "dict key that is not a string": "use string keys",
    "set": "use a list or a tuple",
    "inner class": "move it to the top of the module",
    "with": "only nl.no_reorder() makes a block",
}

# Programming model of 2.26: loops are traced, Python runs while they are.
_TRACED = {
    "number or list changed in a loop": (
        "compute it from the loop's index, or unroll the loop with nl.static_range"
    ),
}

# Error page of 2.26, err_shared_hbm_must_in_kernel_level.
SHARED = "tensor in shared HBM made in a block or by a called function"
_OLDER = {SHARED: "make it at the top of the kernel and pass it on"}
# The same page, err_local_variable_used_out_of_scope and err_annotation_shape_mismatch.
LEAK, MISNAMED = "tensor used outside of the branch that made it", "annotation of another shape"
_PAGE = {
    LEAK: "make it before the branch and fill it inside: tmp[...] = nl.load(a)",
    MISNAMED: "annotate the shape that the tensor has",
}
INSTEAD = "use instructions of nki.isa"
REJECTED, LEFT_OUT = "is rejected by the compiler", "is not in the compiler's guide"
CONSTRUCTS = {
    name: Construct(name, fix, table not in (_ADVISED, _UNLISTED, _OLDER, _TRACED), when, verb)
    for table, verb, when in (
        (_RECORDED, REJECTED, since("0.2")),
        (_PRINTED, REJECTED, since("0.2")),
        (_ADVISED, LEFT_OUT, since("0.3")),
        (_UNLISTED, LEFT_OUT, since("0.2")),
        (_PAGE, REJECTED, before("0.2")),
        (_OLDER, "is rejected at times by the compiler", before("0.2")),
        (_TRACED, "happens once with the compiler", before("0.2")),
        *(({came_with(v): INSTEAD}, "is not known to the compiler", only("0.2", v)) for v in CAME),
    )
    for name, fix in table.items()
}


@dataclass(frozen=True)
class Finding:
    """A construct at a line."""

    construct: Construct
    place: Place

    @property
    def error(self) -> UnsupportedPython:
        """The finding in the form of every error."""
        name, fix, _, when, verb = self.construct
        return UnsupportedPython(
            f"Python: {name} {verb} of {when}",
            place=self.place,
            fix=fix,
            see=SEE,
            rule=code_of("python", name),
        )


def findings(function: Callable[..., Any], compiler: Compiler) -> list[Finding]:
    """What a kernel and the functions that it calls use beyond the compiler's Python, by line."""
    return [f for f in _findings(plain_function(function)) if f.construct.when.covers(compiler)]


@functools.lru_cache(maxsize=64)
def _findings(function: Any) -> tuple[Finding, ...]:
    found: dict[Finding, None] = {}
    todo, seen = [function], set()
    while todo:
        here = todo.pop()
        code = getattr(here, "__code__", None)
        if code is None or code in seen or not _is_users(code.co_filename):
            continue
        seen.add(code)
        lines = [*_in_source(code), *_shared_in(code, top=here is function)]
        for line, value in called_by(here):
            if _is_foreign_class(value):
                lines.append(("class that does not inherit NKIObject", line))
            if getattr(value, "is_kernel", False):
                lines.append(("kernel called by a kernel", line))
            if name := late(value):
                lines.append((name, line))
            methods = vars(value).values() if isinstance(value, type) else [plain_function(value)]
            todo += [m for m in methods if isinstance(m, FunctionType)]
        for name, line in lines:
            found.setdefault(Finding(CONSTRUCTS[name], Place(code.co_filename, line)))
    return tuple(sorted(found, key=lambda f: (f.place.file, f.place.line)))


def argument_findings(
    function: Callable[..., Any], values: Iterable[Any], compiler: Compiler
) -> list[Finding]:
    """Arguments that the compiler takes in another form only."""
    construct = CONSTRUCTS["list as kernel argument"]
    code = getattr(plain_function(function), "__code__", None)
    if code is None or not construct.when.covers(compiler):
        return []
    place = Place(code.co_filename, code.co_firstlineno)
    return [Finding(construct, place) for v in values if isinstance(v, list)][:1]


def plain_function(function: Any) -> Any:
    """The function behind decorators, partials and methods."""
    while True:
        if isinstance(function, MethodType):
            function = function.__func__
        elif isinstance(function, functools.partial):
            function = function.func
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        else:
            return function


def _is_users(file: str) -> bool:
    return not file.startswith((PACKAGE, "<", *LIBRARIES))


def _is_foreign_class(kind: Any) -> bool:
    """Whether something is a class of the user's that the compiler has no form for."""
    if not isinstance(kind, type) or issubclass(kind, (Enum, BaseException)):
        return False
    if any(base.__name__ == "NKIObject" for base in kind.__mro__):
        return False
    files = {m.__code__.co_filename for m in vars(kind).values() if isinstance(m, FunctionType)}
    return any(map(_is_users, files)) or kind.__module__ in ("__main__", "trnlab_kernel")


@functools.lru_cache(maxsize=256)
def _in_source(code: CodeType) -> tuple[tuple[str, int], ...]:
    """Names of the constructs in a function's source, with their lines."""
    node = tree_of(code)
    return tuple(_constructs(node, code.co_firstlineno - first_line(node))) if node else ()


@functools.lru_cache(maxsize=256)
def _shared_in(code: CodeType, *, top: bool) -> tuple[tuple[str, int], ...]:
    """Where tensors in shared HBM are made: in blocks of a kernel, anywhere in what it calls."""
    node = tree_of(code)
    if node is None:
        return ()
    shift = code.co_firstlineno - first_line(node)
    loops = [n for n in ast.walk(node) if isinstance(n, ast.For | ast.While)]
    inside = [*loops, *branches(node)] if top else [node]
    calls = [n for part in inside for n in ast.walk(part) if isinstance(n, ast.Call)]
    found = {call.lineno + shift for call in calls if _makes_shared(call)}
    return tuple((SHARED, line) for line in sorted(found))


def _makes_shared(node: ast.Call) -> bool:
    buffers = [k.value for k in node.keywords if k.arg == "buffer"]
    return any(isinstance(b, ast.Attribute) and b.attr == "shared_hbm" for b in buffers)


@functools.lru_cache(maxsize=256)
def tree_of(code: CodeType) -> ast.FunctionDef | None:
    """A function's source, None where there is none."""
    try:
        tree = ast.parse(textwrap.dedent("".join(inspect.getsourcelines(code)[0])))
    except (OSError, TypeError, SyntaxError):
        return None
    found = tree.body[0] if tree.body else None
    return found if isinstance(found, ast.FunctionDef) else None


def first_line(node: ast.FunctionDef) -> int:
    """The line of a function's source where Python lets it begin."""
    return min((d.lineno for d in node.decorator_list), default=node.lineno)


def _constructs(function: ast.FunctionDef, shift: int) -> Iterator[tuple[str, int]]:
    if function.args.kwonlyargs:
        yield "keyword-only arguments", function.lineno + shift
    for name, lines in ((LEAK, leaks(function)), (MISNAMED, misnamed(function))):
        yield from ((name, line + shift) for line in lines)
    for line in carried(function):
        yield "number or list changed in a loop", line + shift
    bodies = set(_loop_bodies(function))
    pending: list[ast.AST] = list(function.body)
    while pending:
        node = pending.pop(0)
        name = _name_of(node)
        if name and getattr(node, "name", None) not in bodies:
            yield name, getattr(node, "lineno", function.lineno) + shift
        pending += ast.iter_child_nodes(node)


def _loop_bodies(function: ast.FunctionDef) -> Iterator[str]:
    """Inner functions that nki 0.6 takes: bodies of loops that run on the device."""
    for node in ast.walk(function):
        match node:
            case ast.Call(func=ast.Attribute(attr="fori_loop" | "while_loop")):
                yield from (a.id for a in node.args if isinstance(a, ast.Name))


_NODES = {
    ast.FunctionDef: "inner function",
    ast.ListComp: "list comprehension",
    ast.GeneratorExp: "generator expression",
    ast.SetComp: "set or dict comprehension",
    ast.DictComp: "set or dict comprehension",
    ast.Lambda: "lambda",
    ast.Try: "try",
    ast.TryStar: "try",
    ast.Yield: "yield",
    ast.YieldFrom: "yield",
    ast.Global: "global or nonlocal",
    ast.Nonlocal: "global or nonlocal",
    ast.Match: "match",
    ast.NamedExpr: "assignment expression",
    ast.AsyncFunctionDef: "async",
    ast.Await: "async",
    ast.Set: "set",
    ast.ClassDef: "inner class",
}


def _name_of(node: ast.AST) -> str | None:
    match node:
        case ast.Compare() if any(isinstance(op, ast.Is | ast.IsNot) for op in node.ops):
            return "comparison with is"
        case ast.Assign() | ast.For() if any(map(_unpacks_to_subscript, _targets(node))):
            return "subscript as unpacking target"
        case ast.Dict() if any(
            isinstance(key, ast.Constant) and not isinstance(key.value, str) for key in node.keys
        ):
            return "dict key that is not a string"
        case ast.With() if not all("no_reorder" in ast.unparse(i) for i in node.items):
            return "with"
    return _NODES.get(type(node))


def _targets(node: ast.Assign | ast.For) -> list[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else [node.target]


def _unpacks_to_subscript(target: ast.expr) -> bool:
    return isinstance(target, ast.Tuple | ast.List) and any(
        isinstance(item, ast.Subscript) or _unpacks_to_subscript(item) for item in target.elts
    )


def called_by(function: Any) -> Iterator[tuple[int, Any]]:
    """The user's functions and classes that a function calls by name, with the line."""
    code = function.__code__
    scope = dict(getattr(function, "__globals__", {}))
    cells = getattr(function, "__closure__", None) or ()
    for name, cell in zip(code.co_freevars, cells, strict=True):
        try:
            scope[name] = cell.cell_contents
        except ValueError:  # not bound yet
            continue
    for line, called in _calls(code):
        value = _value(called, scope)
        if isinstance(value, type) or callable(value):
            yield line, value


@functools.lru_cache(maxsize=256)
def _calls(code: CodeType) -> tuple[tuple[int, ast.expr], ...]:
    """What is called in a function's source, with the lines."""
    node = tree_of(code)
    if node is None:
        return ()
    shift = code.co_firstlineno - first_line(node)
    calls = (n for n in ast.walk(node) if isinstance(n, ast.Call))
    return tuple((call.lineno + shift, call.func) for call in calls)


def _value(node: ast.expr, scope: dict[str, Any]) -> Any:
    if isinstance(node, ast.Name):
        return scope.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = _value(node.value, scope)
        if inspect.ismodule(owner) or isinstance(owner, type):
            return getattr(owner, node.attr, None)
    return None
