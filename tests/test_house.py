"""The architecture, as a test: who imports whom, and what may stand where.

Each rule is a function from a module to its offences, and is tried on code that breaks it.
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINES = 400

FOUNDATION = {"units", "formats", "errors", "trace"}
MACHINE = FOUNDATION | {"machine"}
ISA = MACHINE | {"isa"}
SIM = ISA | {"sim"}
NKI = SIM | {"nki"}
KERNELS = NKI | {"kernels"}
STUDIES = KERNELS | {"report", "studies"}

# What a room may import, itself included. `report` reads traces and machines, never programs.
MAY_IMPORT = {
    "units": {"units"},
    "formats": {"formats", "errors"},
    "errors": {"errors"},
    "trace": {"trace"},
    "machine": MACHINE,
    "isa": ISA,
    "sim": SIM,
    "nki": NKI,
    "kernels": KERNELS,
    "report": MACHINE | {"report"},
    "studies": STUDIES,
    "cli": STUDIES | {"cli", "trnlab"},
    "__main__": {"cli"},
    "__init__": STUDIES,
}

EVERYWHERE = {"numpy", "ml_dtypes"}
THIRD_PARTY = {
    "sim": {"numba", "threadpoolctl"},
    "report": {"rich", "typer", "perfetto", "pyarrow"},
    "cli": {"rich", "typer"},
    "studies": {"pytest"},
}
# What `import trnlab` must not load, so that it stays quick.
LAZY = {"rich", "typer", "perfetto", "pyarrow", "numba", "threadpoolctl", "torch", "jax", "pytest"}

CHIP_NAME = re.compile(
    r"\btrn\b|(trn|inf|gen)[1-9]|trainium|inferentia|neuroncore[-_ ]?v[1-9]", re.I
)
AMBIENT = {"ContextVar", "contextvars.ContextVar", "threading.local"}


@dataclass(frozen=True)
class Module:
    """A file of the package: its dotted name and its text."""

    name: str
    text: str
    is_package: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def room(self) -> str:
        return room_of(self.name) if "." in self.name else "__init__"

    @property
    def package(self) -> str:
        return self.name if self.is_package else self.name.rpartition(".")[0]


def room_of(name: str) -> str:
    """`trnlab.isa.matmul` stands in `isa`; `trnlab` itself stands for the public names."""
    return name.split(".")[1] if "." in name else "trnlab"


def read(path: Path) -> Module:
    parts = path.relative_to(ROOT).with_suffix("").parts
    is_package = parts[-1] == "__init__"
    return Module(".".join(parts[:-1] if is_package else parts), path.read_text(), is_package)


PACKAGE = [read(path) for path in sorted((ROOT / "trnlab").rglob("*.py"))]
NAMES = {module.name for module in PACKAGE}


def imports(
    module: Module, tree: ast.AST | None = None, names: set[str] = NAMES
) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that is imported, also by `import_module("...")`."""
    for node in ast.walk(tree or module.tree):
        match node:
            case ast.Import():
                yield from ((node.lineno, alias.name) for alias in node.names)
            case ast.ImportFrom():
                base = absolute(module, node)
                for alias in node.names:
                    whole = f"{base}.{alias.name}"
                    yield node.lineno, whole if base == "trnlab" or whole in names else base
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__")
                | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name


def absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.package.split(".")
    return ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [node.module])])


def layer(module: Module) -> Iterator[str]:
    """Rooms import downwards only. The version is no room: whoever writes a receipt may read it."""
    allowed = MAY_IMPORT.get(module.room, set())
    for line, name in imports(module):
        ours = name.split(".")[0] == "trnlab" and name != "trnlab.__version__"
        room = room_of(name) if room_of(name) in MAY_IMPORT else "trnlab"
        if ours and room not in allowed:
            yield f"{line}: {module.room} may not import {name}"


def third_party(module: Module) -> Iterator[str]:
    """Other people's packages are used only where they are expected."""
    allowed = EVERYWHERE | THIRD_PARTY.get(module.room, set()) | sys.stdlib_module_names
    for line, name in imports(module):
        top = name.split(".")[0]
        if top != "trnlab" and top not in allowed:
            yield f"{line}: {module.room} may not import {top}"


def chip_name(module: Module) -> Iterator[str]:
    """Chips differ by numbers and capabilities; only the catalogue knows their names."""
    if module.name.startswith("trnlab.machine.catalogue"):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Compare | ast.match_case) or is_prefix_test(node):
            subject = node.pattern if isinstance(node, ast.match_case) else node
            for found in ast.walk(subject):
                if isinstance(found, ast.Constant) and CHIP_NAME.search(str(found.value)):
                    yield f"{found.lineno}: compares with '{found.value}'"


def is_prefix_test(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"startswith", "endswith", "removeprefix"}
    )


def printing(module: Module) -> Iterator[str]:
    """A library returns; only what faces a reader prints."""
    if module.room in {"cli", "report", "__main__"}:
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and called(node) == "print":
            yield f"{node.lineno}: prints"


def ambient_state(module: Module) -> Iterator[str]:
    """A kernel gets no handle, so there must be a current run: in `nki/jit.py`, and only there."""
    if module.name == "trnlab.nki.jit":
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Global) or (isinstance(node, ast.Call) and called(node) in AMBIENT):
            yield f"{node.lineno}: ambient state"


def called(node: ast.Call) -> str:
    return ast.unparse(node.func) if isinstance(node.func, ast.Name | ast.Attribute) else ""


def length(module: Module) -> Iterator[str]:
    count = len(module.text.splitlines())
    if count > LINES:
        yield f"{count} lines, more than {LINES}"


def docstring(module: Module) -> Iterator[str]:
    private = module.name.rpartition(".")[2].startswith("_")
    if not private and module.text.strip() and not ast.get_docstring(module.tree):
        yield "1: no docstring says what this is"


RULES = [layer, third_party, chip_name, printing, ambient_state, length, docstring]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps(rule: Callable[[Module], Iterator[str]]):
    offences = [f"{module.name}:{said}" for module in PACKAGE for said in rule(module)]
    assert not offences, "\n".join([rule.__doc__ or rule.__name__, *offences])


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (layer, "trnlab.units", "import trnlab.trace"),
        (layer, "trnlab.isa.matmul", "from trnlab.sim import core"),
        (layer, "trnlab.isa.matmul", "from ..sim.core import run"),
        (layer, "trnlab.sim.core", "def late():\n    from trnlab import nki"),
        (layer, "trnlab.report.text", "from trnlab.isa.instruction import Instruction"),
        (layer, "trnlab.kernels.softmax", "import trnlab"),
        (layer, "trnlab.nki.jit", "from trnlab import run"),
        (layer, "trnlab.attic.old", "import trnlab.units"),
        (third_party, "trnlab.nki.jit", "def late():\n    import torch"),
        (third_party, "trnlab.nki.jit", "import importlib\nimportlib.import_module('jax.numpy')"),
        (third_party, "trnlab.isa.tile", "from rich.table import Table"),
        (third_party, "trnlab.isa.tile", "import numba"),
        (third_party, "trnlab.sim.core", "import perfetto"),
        (chip_name, "trnlab.sim.core", "fast = chip.name == 'trn2'"),
        (chip_name, "trnlab.sim.core", "fast = name.lower() in ('Trainium3', 'x')"),
        (chip_name, "trnlab.sim.core", "fast = name.startswith('trn')"),
        (chip_name, "trnlab.sim.core", "match name:\n    case 'NeuronCore-v3': pass"),
        (printing, "trnlab.sim.core", "print('done')"),
        (ambient_state, "trnlab.sim.core", "def use():\n    global current\n    current = 1"),
        (ambient_state, "trnlab.sim.core", "current = contextvars.ContextVar('current')"),
        (length, "trnlab.sim.core", "\n" * (LINES + 1)),
        (docstring, "trnlab.sim.core", "x = 1"),
    ],
)
def test_a_rule_can_be_broken(rule: Callable[[Module], Iterator[str]], name: str, text: str):
    assert list(rule(Module(name, text)))


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (layer, "trnlab.isa.matmul", "from . import tile\nfrom ..machine.chip import Core"),
        (layer, "trnlab.nki.jit", "from trnlab import __version__"),
        (layer, "trnlab.cli", "import trnlab\nfrom trnlab import run, nki"),
        (third_party, "trnlab.nki.jit", "import sys\ntorch = sys.modules.get('torch')"),
        (third_party, "trnlab.sim.core", "import numba\nimport numpy.typing\nimport ml_dtypes"),
        (chip_name, "trnlab.machine.catalogue.trn2", "is_new = name == 'trn2'"),
        (chip_name, "trnlab.sim.core", "CHIPS = ('trn1', 'trn2')\nours = name == 'trnlab'"),
        (printing, "trnlab.cli", "print('done')"),
        (ambient_state, "trnlab.nki.jit", "def use():\n    global current\n    current = 1"),
        (docstring, "trnlab.sim.core", '"""What this is."""'),
    ],
)
def test_a_rule_can_be_kept(rule: Callable[[Module], Iterator[str]], name: str, text: str):
    assert not list(rule(Module(name, text)))


def test_imports_make_no_cycle():
    # A package's __init__ may gather names from its own modules, so only named modules count.
    graph = {module.name: named(module, NAMES) for module in PACKAGE}
    assert not cycle(graph)


def test_a_cycle_is_seen():
    names = {"trnlab.a", "trnlab.b"}
    one = Module("trnlab.a", "from trnlab.b import y")
    other = Module("trnlab.b", "from . import a")
    late = Module("trnlab.b", "def late():\n    from . import a")
    assert cycle({module.name: named(module, names) for module in (one, other)})
    assert not cycle({module.name: named(module, names) for module in (one, late)})


def named(module: Module, names: set[str]) -> set[str]:
    """Modules that must be loaded before this one: its imports outside functions."""
    found: set[str] = set()
    for statement in immediate(module.tree):
        found |= {name for _, name in imports(module, statement, names)}
    return {name for name in found if name in names} - {module.name}


def immediate(tree: ast.AST) -> Iterator[ast.stmt]:
    """Import statements that run when the module is loaded."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not (
            isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        ):
            yield from immediate(child)


def cycle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_importing_the_package_loads_no_heavy_one():
    code = f"import sys, trnlab; print(*sorted({LAZY} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_the_version_is_that_of_the_project():
    import trnlab

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert trnlab.__version__ == project["version"]
