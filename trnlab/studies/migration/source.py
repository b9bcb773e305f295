"""A kernel's file, read but not run: which names mean NKI, which functions are kernels."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from trnlab.errors import BadArguments
from trnlab.studies.run import find_file

OLDER = "neuronxcc.nki"
LANGUAGE, ISA = "nki.language.", "nki.isa."
DECORATORS = ("nki.jit", "nki.baremetal", "nki.benchmark", "nki.profile", "nki.simulate_kernel")
MAKERS = ("ndarray", "zeros", "ones", "full", "zeros_like", "empty_like")
FAR = ("hbm", "private_hbm", "shared_hbm")


class NoKernels(BadArguments):
    """A file imports no NKI."""


@dataclass(frozen=True)
class Made:
    """What is known of a tensor from the call that made it."""

    shape: tuple[str, ...]  # as written; empty: not known
    space: str  # empty: not known
    dtype: str


@dataclass(frozen=True, eq=False)
class Source:
    """The syntax tree of a file, with what its names mean."""

    path: str
    tree: ast.Module

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """The node that each node stands in."""
        pairs = (
            (child, node) for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)
        )
        return dict(pairs)

    @cached_property
    def names(self) -> dict[str, str]:
        """What imported names mean, `neuronxcc.nki` spelled `nki`."""
        found: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    top = alias.name.partition(".")[0]
                    found[alias.asname or top] = _current(alias.name if alias.asname else top)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                for alias in node.names:
                    found[alias.asname or alias.name] = _current(f"{node.module}.{alias.name}")
        return found

    @cached_property
    def is_older(self) -> bool:
        """Whether the file imports the older API."""
        return any(name.startswith(OLDER) for _, name in self.imports())

    def imports(self) -> Iterator[tuple[ast.stmt, str]]:
        """Every import statement with each module or name that it brings."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)

    def dotted(self, node: ast.AST | None) -> str:
        """What an expression such as ``nl.arange`` means: `nki.language.arange`; else empty."""
        if isinstance(node, ast.Attribute):
            before = self.dotted(node.value)
            return _current(f"{before}.{node.attr}") if before else ""
        return self.names.get(node.id, "") if isinstance(node, ast.Name) else ""

    def references(self) -> Iterator[tuple[ast.expr, str]]:
        """Every name of NKI in the file, at its full length."""
        for node in ast.walk(self.tree):
            inner = isinstance(self.parents.get(node), ast.Attribute)
            if isinstance(node, (ast.Attribute, ast.Name)) and not inner:
                if (name := self.dotted(node)).startswith("nki."):
                    yield node, name
                elif isinstance(node, ast.Attribute):
                    yield from self._begun(node)

    def _begun(self, node: ast.Attribute) -> Iterator[tuple[ast.expr, str]]:
        """The NKI name that an expression begins with, such as ``nl.mgrid[0:4].p``."""
        value = node.value
        if isinstance(value, ast.Attribute) and (name := self.dotted(value)).startswith("nki."):
            yield value, name

    def calls(self) -> Iterator[tuple[ast.Call, str]]:
        """Every call of an NKI function."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and (name := self.dotted(node.func)).startswith("nki."):
                yield node, name

    @cached_property
    def functions(self) -> dict[str, ast.FunctionDef]:
        """Functions of the file by name."""
        return {n.name: n for n in ast.walk(self.tree) if isinstance(n, ast.FunctionDef)}

    @cached_property
    def decorated(self) -> dict[str, ast.FunctionDef]:
        """Functions that NKI is told to compile, by decorator or by a call such as nki.jit(f)."""
        named = {
            arg.id
            for call, name in self.calls()
            if name in DECORATORS
            for arg in call.args
            if isinstance(arg, ast.Name)
        }
        return {
            name: node
            for name, node in self.functions.items()
            if name in named or any(self._compiles(d) for d in node.decorator_list)
        }

    def _compiles(self, decorator: ast.expr) -> bool:
        function = decorator.func if isinstance(decorator, ast.Call) else decorator
        return self.dotted(function) in DECORATORS

    @cached_property
    def kernels(self) -> dict[str, ast.FunctionDef]:
        """Functions that NKI compiles: the decorated ones, and those that they call."""
        found, waiting = dict(self.decorated), list(self.decorated.values())
        while waiting:
            for name in called(waiting.pop()):
                if name in self.functions and name not in found:
                    found[name] = self.functions[name]
                    waiting.append(self.functions[name])
        return found

    def made_in(self, function: ast.FunctionDef) -> dict[str, Made]:
        """The tensors that a function makes and gives a name, by name."""
        found: dict[str, Made] = {}
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                made = self._made(node.value)
                for target in node.targets:
                    if made and isinstance(target, ast.Name):
                        found[target.id] = made
        return found

    def _made(self, call: ast.Call) -> Made | None:
        name = self.dotted(call.func)
        if name.startswith(ISA):
            return Made((), "", "")
        if not name.startswith(LANGUAGE):
            return None
        short = name.removeprefix(LANGUAGE)
        if short not in MAKERS:
            return Made((), "sbuf", "") if short in TILES else None
        shape = argument(call, 0, "shape")
        written = tuple(ast.unparse(n) for n in shape.elts) if isinstance(shape, ast.Tuple) else ()
        space = self.dotted(keyword(call, "buffer")).removeprefix(LANGUAGE)
        dtype = self.dotted(argument(call, 1, "dtype")).removeprefix(LANGUAGE)
        return Made(written, space or ("" if keyword(call, "buffer") else "sbuf"), dtype)


TILES = (
    "load", "add", "subtract", "multiply", "divide", "maximum", "minimum", "exp", "log", "sqrt",
    "rsqrt", "square", "sigmoid", "tanh", "relu", "gelu", "silu", "abs", "negative", "reciprocal",
    "sum", "max", "min", "mean", "prod", "where", "softmax", "transpose", "matmul", "copy",
)  # fmt: skip


def _current(name: str) -> str:
    """A dotted name of either generation as one of `nki`, short names spelled out."""
    return "nki" + name[len(OLDER) :] if name == OLDER or name.startswith(f"{OLDER}.") else name


def called(function: ast.FunctionDef) -> set[str]:
    """Plain names that a function calls."""
    return {
        node.func.id
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """What a call gives for a parameter by name."""
    return next((k.value for k in call.keywords if k.arg == name), None)


def argument(call: ast.Call, place: int, name: str) -> ast.expr | None:
    """What a call gives for a parameter, by name or by place."""
    return keyword(call, name) or (call.args[place] if len(call.args) > place else None)


def base(node: ast.AST | None) -> str:
    """The name that an expression such as ``t[0:4, i]`` begins with."""
    while isinstance(node, ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def read(path: str) -> Source:
    """Reads a file; raises BadArguments where it is not a Python file that imports NKI."""
    file = find_file(path)
    try:
        tree = ast.parse(Path(file).read_bytes(), path)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise BadArguments(
            f"{path} is not Python{f': {error.msg}' if isinstance(error, SyntaxError) else ''}",
            {"line": str(line)} if line else {},
            fix="give a Python file that holds kernels",
        ) from None
    source = Source(path, tree)
    if not any(
        name.split(".")[0] == "nki" or name.startswith(OLDER) for _, name in source.imports()
    ):
        raise NoKernels(
            f"{path} imports no NKI: there is nothing to migrate",
            fix="give a file that imports nki or neuronxcc.nki",
        )
    return source
