"""Loops whose iterations all do the same, as far as their source shows.

An iteration leaves Python as it found it: it assigns names of its own, calls functions of NKI or
functions like itself, and changes no list, object or global that was there before. Then the next
iteration differs in the loop's variable alone, and `Unread` tells whether that was looked at.
"""

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import CodeType, FrameType

from trnlab.nki.subset import first_line, tree_of

RANGES = {"range", "affine_range", "sequential_range", "static_range"}
# Methods that change what they belong to.
CHANGING = {
    "append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse", "add", "discard",
    "update", "setdefault", "popitem", "fill", "partition", "put", "resize", "setfield", "setflags",
    "byteswap", "itemset", "send", "throw", "close", "write", "depends_on",
}  # fmt: skip
Path = tuple[str, ...]


@dataclass(eq=False)
class Body:
    """What a loop's body, or a function, reads from outside, calls and assigns."""

    reads: set[Path] = field(default_factory=set)
    calls: dict[Path, list[ast.Call]] = field(default_factory=dict)
    carried: set[str] = field(default_factory=set)  # assigned, and read before that
    tensors: set[str] = field(default_factory=set)  # whose parts are assigned, or that are added to
    bound: dict[str, list[ast.expr | None]] = field(default_factory=dict)  # what names stand for
    parameters: list[str] = field(default_factory=list)  # in order, where a call tells each
    returns: list[ast.expr | None] = field(default_factory=list)
    hidden: set[ast.Call] = field(default_factory=set)  # in comprehensions, with names of their own


class _Unsteady(Exception):
    """Something that may change what a later iteration does."""


def body_at(frame: FrameType) -> Body | None:
    """The body of the loop whose range a frame's line asks for, None where it is unsteady."""
    return _loops(frame.f_code).get(frame.f_lineno)


@functools.lru_cache(maxsize=1024)
def _loops(code: CodeType) -> dict[int, Body | None]:
    """The loops over ranges of a function, by the line of the range."""
    tree = tree_of(code)
    if tree is None or tree.name != code.co_name:
        return {}
    shift = code.co_firstlineno - first_line(tree)
    ranges = [n.lineno for n in ast.walk(tree) if isinstance(n, ast.Call) and _is_range(n)]
    return {
        node.iter.lineno + shift: _read_body(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.For)
        and _is_range(node.iter)
        and ranges.count(node.iter.lineno) == 1
    }


def _is_range(node: ast.expr) -> bool:
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name in RANGES
    return False


def _read_body(node: ast.For) -> Body | None:
    if not isinstance(node.target, ast.Name):
        return None
    try:
        return _Reader(node.body, {node.target.id}).body
    except _Unsteady:
        return None


@functools.lru_cache(maxsize=1024)
def body_of(code: CodeType) -> Body | None:
    """The body of a function, None where it is unsteady."""
    tree = tree_of(code)
    if tree is None or tree.name != code.co_name:
        return None
    args = tree.args
    named = [a.arg for a in (*args.posonlyargs, *args.args, *args.kwonlyargs)]
    several = [a.arg for a in (args.vararg, args.kwarg) if a is not None]
    try:
        body = _Reader(tree.body, {*named, *several}).body
    except _Unsteady:
        return None
    body.parameters = [] if several else named
    return body


class _Reader:
    """Reads statements in order; raises where they might leave something behind."""

    def __init__(self, statements: list[ast.stmt], given: set[str]) -> None:
        self.bound: dict[str, list[ast.expr | None]] = {name: [None] for name in given}
        self.body = Body(bound=self.bound)
        self.known = set(given)  # assigned by now in this iteration
        self.hides = False
        for statement in statements:
            for name, value in _bindings(statement):
                self.bound.setdefault(name, []).append(value)
        self.run(statements)

    def run(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            self.statement(statement)

    def statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Expr(value=value):
                self.see(value)
            case ast.Return(value=value):
                self.see(value)
                self.body.returns.append(value)
            case ast.Assign(targets=targets, value=value):
                self.see(value)
                for target in targets:
                    self.assign(target)
            case ast.AnnAssign(target=target, value=value):
                self.see(value)
                self.assign(target)
            case ast.AugAssign(target=target, value=value):
                self.see(value)
                self.change(target)
            case ast.For(target=target, iter=iterated, body=body, orelse=orelse):
                self.see(iterated)
                self.assign(target)
                self.part(body)
                self.part(orelse)
            case ast.If(test=test, body=body, orelse=orelse):
                self.see(test)
                self.part(body)
                self.part(orelse)
            case ast.Assert(test=test, msg=message):
                self.see(test)
                self.see(message)
            case ast.Pass() | ast.Continue() | ast.Break():
                pass
            case _:
                raise _Unsteady

    def part(self, statements: list[ast.stmt]) -> None:
        """A part that may be left out, in every iteration alike.

        What it alone assigns is as good as known after it: where it is left out, nobody does.
        """
        before = set(self.known)
        self.run(statements)
        inside = [name for statement in statements for name, _ in _bindings(statement)]
        for name in self.known - before:
            if inside.count(name) < len(self.bound[name]):
                self.known.discard(name)

    def assign(self, target: ast.expr) -> None:
        match target:
            case ast.Name(id=name):
                self.known.add(name)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                for part in parts:
                    self.assign(part)
            case ast.Subscript(value=value, slice=where):
                self.see(where)
                self.store(value)
            case _:
                raise _Unsteady

    def change(self, target: ast.expr) -> None:
        """``target += ...``"""
        match target:
            case ast.Name(id=name):
                self.name(name)
                values = self.bound[name]
                counts = all(isinstance(v, ast.Constant) for v in values if v is not AGAIN)
                if not (name in self.known and counts and len(values) > values.count(AGAIN)):
                    self.body.tensors.add(name)
                self.known.add(name)
            case _:
                self.assign(target)

    def store(self, value: ast.expr) -> None:
        """``value[...] = ...``"""
        while isinstance(value, ast.Subscript):
            self.see(value.slice)
            value = value.value
        if not isinstance(value, ast.Name):
            raise _Unsteady
        self.name(value.id)
        if not self.fresh(value.id):
            self.body.tensors.add(value.id)

    def fresh(self, name: str) -> bool:
        """Whether a name is a list or a dict that this iteration has made itself."""
        values = self.bound.get(name, [])
        new = len(values) == 1 and isinstance(values[0], ast.List | ast.Dict | ast.ListComp)
        return new and name in self.known

    def name(self, name: str) -> None:
        if name not in self.bound:
            self.body.reads.add((name,))
        elif name not in self.known:
            self.body.carried.add(name)

    def see(self, node: ast.expr | None) -> None:
        match node:
            case None | ast.Constant():
                pass
            case ast.Name(id=name):
                self.name(name)
            case ast.Attribute():
                self.attribute(node)
            case ast.Call(args=args, keywords=keywords):
                self.call(node)
                for part in (*args, *(k.value for k in keywords)):
                    self.see(part)
            case ast.ListComp(elt=made) | ast.GeneratorExp(elt=made):
                self.comprehension(made, node.generators)
            case (
                ast.BinOp()
                | ast.UnaryOp()
                | ast.BoolOp()
                | ast.Compare()
                | ast.IfExp()
                | ast.Tuple()
                | ast.List()
                | ast.Dict()
                | ast.Slice()
                | ast.JoinedStr()
                | ast.FormattedValue()
                | ast.Starred()
                | ast.Subscript()
            ):
                for part in ast.iter_child_nodes(node):
                    if isinstance(part, ast.expr):
                        self.see(part)
            case _:
                raise _Unsteady

    def comprehension(self, made: ast.expr, generators: list[ast.comprehension]) -> None:
        outer = self.bound, self.known, self.hides
        self.bound, self.known, self.hides = dict(self.bound), set(self.known), True
        for each in generators:
            self.see(each.iter)
            for name in _names(each.target):
                self.bound[name] = [None]
                self.known.add(name)
            for test in each.ifs:
                self.see(test)
        self.see(made)
        self.bound, self.known, self.hides = outer

    def attribute(self, node: ast.Attribute) -> None:
        root, path = dotted(node)
        if isinstance(root, ast.Name) and root.id not in self.bound:
            self.body.reads.add((root.id, *path))
        else:
            self.see(root)

    def call(self, node: ast.Call) -> None:
        root, path = dotted(node.func)
        if self.hides:
            self.body.hidden.add(node)
        if isinstance(root, ast.Name) and root.id not in self.bound:
            self.body.calls.setdefault((root.id, *path), []).append(node)
        elif not path:
            raise _Unsteady  # a function that was assigned, or is made on the way
        elif path[-1] in CHANGING:
            if len(path) > 1 or not isinstance(root, ast.Name) or not self.fresh(root.id):
                raise _Unsteady
        else:
            self.see(root)


AGAIN = ast.expr()  # stands for what `+=` assigns


def _bindings(statement: ast.stmt) -> Iterator[tuple[str, ast.expr | None]]:
    """The names that a statement and its parts assign, each with its value if that is simple."""
    for node in ast.walk(statement):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.Assign(targets=targets):
                for target in targets:
                    yield from ((name, None) for name in _names(target))
            case ast.AnnAssign(target=ast.Name(id=name), value=value):
                yield name, value
            case ast.AugAssign(target=ast.Name(id=name)):
                yield name, AGAIN
            case ast.For(target=target):
                yield from ((name, None) for name in _names(target))


def _names(target: ast.expr) -> list[str]:
    stored = (n for n in ast.walk(target) if isinstance(n, ast.Name))
    return [n.id for n in stored if isinstance(n.ctx, ast.Store)]


def dotted(node: ast.expr) -> tuple[ast.expr, Path]:
    """What an expression takes attributes of, and which."""
    path: list[str] = []
    while isinstance(node, ast.Attribute):
        path.append(node.attr)
        node = node.value
    return node, tuple(reversed(path))
