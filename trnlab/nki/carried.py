"""Python numbers and lists that a loop changes, where a compiler runs the loop's body once.

The older compiler traces the body of a loop with a symbolic index: ``count += 1`` happens once for
eight iterations, and a list gets one entry. Here loops run, so that a kernel can rely on what the
device never does.
"""

import ast
from collections.abc import Iterator

TRACED = ("affine_range", "sequential_range", "range")  # a plain range is sequential there
CHANGING = ("append", "extend", "insert", "pop", "remove")


def carried(function: ast.FunctionDef) -> Iterator[int]:
    """Lines where a loop first changes a number or a list from before it."""
    known = dict(_started(function))
    found: dict[int, None] = {}
    for loop in ast.walk(function):
        if isinstance(loop, ast.For) and _is_traced(loop.iter):
            fresh = {name for name, _ in _started(loop)}
            latest_first = sorted(_changes(loop), key=lambda change: -change[1])
            first = {n: line for n, line in latest_first if n in known and n not in fresh}
            found |= dict.fromkeys(first.values())
    yield from sorted(found)


def _is_traced(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and _last(node.func) in TRACED


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _started(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Names that are set to a number, a text or a list that is written out."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Assign) and _is_plain(inner.value):
            yield from ((t.id, inner.value) for t in inner.targets if isinstance(t, ast.Name))


def _is_plain(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp):
        return _is_plain(node.operand)
    number = isinstance(node, ast.Constant) and isinstance(node.value, (int, float, str))
    return number or isinstance(node, ast.List)


def _changes(loop: ast.For) -> Iterator[tuple[str, int]]:
    for node in ast.walk(loop):
        match node:
            case ast.AugAssign(target=ast.Name(id=name)):
                yield name, node.lineno
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)):
                if method in CHANGING:
                    yield name, node.lineno
