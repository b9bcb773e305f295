"""The rules of an instruction as its class writes them, read from the source."""

import ast
import inspect
import textwrap
from collections.abc import Iterator

from trnlab.isa.instruction import Instruction
from trnlab.nki import collectives as _collectives  # noqa: F401 - registers them


def kinds() -> list[type[Instruction]]:
    """Every class that can break a rule, by name, those that no manual page lists included."""
    found: list[type[Instruction]] = []
    todo: list[type[Instruction]] = [Instruction]
    while todo:
        kind = todo.pop(0)
        todo += kind.__subclasses__()
        if "name" in vars(kind):
            found.append(kind)
    return sorted(found, key=lambda kind: kind.name)


def sentences(kind: type[Instruction]) -> Iterator[tuple[str, str]]:
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
