"""What in a kernel's file depends on how its tensors were made, as far as the text shows."""

import ast
from collections.abc import Iterator

from trnlab.studies.migration.drift import CHANGED, CHANGES, METHODS, Change
from trnlab.studies.migration.source import FAR, ISA, LANGUAGE, Made, Source, argument, base

Found = Iterator[tuple[ast.AST, Change]]
BINARY = ("add", "subtract", "multiply", "divide", "maximum", "minimum", "power")
UNKNOWN = Made((), "?", "")


def tensors(source: Source) -> Found:
    """What depends on how a tensor of the same function was made."""
    for function in source.functions.values():
        made = source.made_in(function)
        for node in ast.walk(function):
            if isinstance(node, ast.Call):
                yield from _tensor_call(source, node, made)
            elif isinstance(node, ast.Return) and function.name in source.decorated:
                parts = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
                if any(_of(made, part).space in ("hbm", "private_hbm") for part in parts):
                    yield node, CHANGES["output"]
            elif isinstance(node, ast.AugAssign) and _is_tile(made, node.target):
                yield node, CHANGES["accumulate"]
            elif isinstance(node, ast.BinOp) and _is_tile(made, node.left, node.right):
                yield node, CHANGES["operators"]


def _tensor_call(source: Source, call: ast.Call, made: dict[str, Made]) -> Found:
    name = source.dotted(call.func)
    if name == f"{ISA}dma_copy" and _of(made, argument(call, 1, "src")).space == "psum":
        yield call, CHANGES["from_psum"]
    elif name == f"{ISA}memset" and "int" in _of(made, argument(call, 0, "dst")).dtype:
        value = argument(call, 1, "value")
        if isinstance(value, ast.Constant) and isinstance(value.value, float):
            yield call, CHANGES["memset_value"]
    elif name == f"{ISA}tensor_reduce" and not source.is_older:
        axis = argument(call, 3, "axis")
        one = axis is not None and ast.unparse(axis) in ("1", "[1]", "(1,)")
        if one and len(_of(made, argument(call, 2, "data")).shape) > 2:
            yield call, CHANGES["reduce_axis"]
    elif name.removeprefix(LANGUAGE) in BINARY and name.startswith(LANGUAGE):
        shapes = {_of(made, arg).shape for arg in call.args[:2] if isinstance(arg, ast.Name)} - {()}
        if len(shapes) > 1:
            yield call, CHANGES["broadcast"]
    elif isinstance(call.func, ast.Attribute) and _is_tile(made, call.func.value):
        method = call.func.attr
        if method in METHODS:
            yield call, Change("0.2", CHANGED, f".{method}() of a tile", METHODS[method])


def _of(made: dict[str, Made], node: ast.AST | None) -> Made:
    return made.get(base(node), UNKNOWN)


def _is_tile(made: dict[str, Made], *nodes: ast.AST) -> bool:
    return any(_of(made, node).space not in ("?", *FAR) for node in nodes)
