"""Tensors of the older API and the blocks that made them: what its compiler reads off the source.

Where the index of a loop decides, a branch of ``if`` is a scope for tensors: whoever makes one
inside cannot use it outside. What Python decides before leaves no branch. Vendor's error page of
2.26, err_local_variable_used_out_of_scope and err_annotation_shape_mismatch.
"""

import ast
from collections.abc import Iterator

MAKERS = ("nl", "nisa")  # as everybody imports nki.language and nki.isa
NO_TENSORS = {
    "arange", "mgrid", "ds", "par_dim", "program_id", "num_programs", "program_ndim", "nc",
    "affine_range", "sequential_range", "static_range", "spmd_dim", "get_nc_version",
}  # fmt: skip
LOOPS = ("range", "affine_range", "sequential_range")
ENDS = ast.Return | ast.Raise | ast.Continue | ast.Break

Scope = tuple[int, ...]  # the blocks around a statement, outermost first
Homes = dict[str, frozenset[Scope]]  # where the tensors were made that a name can stand for


def leaks(function: ast.FunctionDef) -> Iterator[int]:
    """Lines that use a tensor outside of the branch that made it."""
    yield from _walk(function.body, (), {}, _indices(function))


def branches(function: ast.FunctionDef) -> list[ast.If]:
    """The branches that are left on the device."""
    indices = _indices(function)
    found = [node for node in ast.walk(function) if isinstance(node, ast.If)]
    return [node for node in found if _knows(node.test, indices)]


def _indices(function: ast.FunctionDef) -> set[str]:
    """Names of what is known on the device only: indices of loops, and what is made of them."""
    found: set[str] = set()
    for node in ast.walk(function):
        match node:
            case ast.For(target=ast.Name(id=name), iter=ast.Call(func=loop)):
                if ast.unparse(loop).rpartition(".")[2] in LOOPS:
                    found.add(name)
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.BinOp() | ast.Call() as value):
                if not _makes(value) and _knows(value, found):
                    found.add(name)
    return found


def _knows(node: ast.expr, indices: set[str]) -> bool:
    """Whether a condition or a number depends on an index of a loop or of a grid."""
    names = {n.id if isinstance(n, ast.Name) else getattr(n, "attr", "") for n in ast.walk(node)}
    return bool(names & (indices | {"program_id"}))


def _walk(body: list[ast.stmt], here: Scope, homes: Homes, indices: set[str]) -> Iterator[int]:
    for statement in body:
        match statement:
            case ast.If(test=test):
                yield from _used(test, here, homes)
                decided = _knows(test, indices)
                after: list[Homes] = []
                for number, branch in enumerate((statement.body, statement.orelse)):
                    mine = dict(homes)
                    inside = (*here, 2 * statement.lineno + number) if decided else here
                    yield from _walk(branch, inside, mine, indices)
                    if not branch or not isinstance(branch[-1], ENDS):
                        after.append(mine)
                for name in {name for mine in after for name in mine}:
                    homes[name] = frozenset().union(*(m.get(name, frozenset()) for m in after))
            case ast.For(body=inner) | ast.While(body=inner) | ast.With(body=inner):
                yield from _walk(inner, here, homes, indices)  # loops are judged while they run
            case ast.FunctionDef() | ast.ClassDef():
                continue
            case _:
                yield from _used(statement, here, homes)
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                homes[name] = frozenset([here] if _makes(value) else [])


def _used(node: ast.AST, here: Scope, homes: Homes) -> Iterator[int]:
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load):
            scopes = homes.get(part.id, frozenset())
            if any(here[: len(scope)] != scope for scope in scopes):
                yield part.lineno


def _makes(value: ast.expr) -> bool:
    match value:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=name)):
            return module in MAKERS and name not in NO_TENSORS
    return False


def misnamed(function: ast.FunctionDef) -> Iterator[int]:
    """Lines that annotate a tensor with another shape than the one that they give it."""
    for node in ast.walk(function):
        match node:
            case ast.AnnAssign(
                annotation=ast.Subscript(value=ast.Attribute(attr="tensor"), slice=told),
                value=ast.Call(func=ast.Attribute(value=ast.Name(id="nl")), args=[given, *_]),
            ):
                sizes, wanted = _sizes(given), _sizes(told)
                if sizes and wanted and sizes != wanted:
                    yield node.lineno


def _sizes(node: ast.expr) -> list[int] | None:
    """A shape that stands there in numbers."""
    parts = node.elts if isinstance(node, ast.Tuple | ast.List) else [node]
    inner = [
        part.args[0]
        if isinstance(part, ast.Call) and "par_dim" in ast.unparse(part.func) and part.args
        else part
        for part in parts
    ]
    values = [part.value if isinstance(part, ast.Constant) else None for part in inner]
    return values if all(isinstance(value, int) for value in values) else None  # type: ignore[return-value]
