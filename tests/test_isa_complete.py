"""Every name that the vendor publishes is there with its signature, or stands below with a reason.

A test fails when a name is neither there nor in `NOT_THERE`, when a name in `NOT_THERE` has come
to exist, and when parameters, their order or their defaults differ from the published ones.
"""

import ast
import importlib
import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

import pytest

import trnlab
from tests import published
from trnlab import NotModelled
from trnlab.isa.instruction import ISA
from trnlab.nki import language


class Parameter(NamedTuple):
    """One parameter: how it may be given, and its default as the manual spells it."""

    name: str
    keyword_only: bool
    default: str | None


def signatures(text: str) -> dict[str, list[Parameter]]:
    """The parameters of every function in a block of `published`; `**kwargs` is left out."""
    entries = text.strip().replace("\n    ", " ").splitlines()
    return dict(map(parsed, entries))


def parsed(entry: str) -> tuple[str, list[Parameter]]:
    function = ast.parse(f"def {entry}: ...").body[0]
    assert isinstance(function, ast.FunctionDef)
    given = function.args
    plain = [*[None] * (len(given.args) - len(given.defaults)), *given.defaults]
    pairs = zip(given.args, plain, strict=True)
    found = [Parameter(a.arg, False, d and spelled(d)) for a, d in pairs]
    if given.vararg:
        found.append(Parameter(f"*{given.vararg.arg}", False, None))
    pairs = zip(given.kwonlyargs, given.kw_defaults, strict=True)
    return function.name, found + [Parameter(a.arg, True, d and spelled(d)) for a, d in pairs]


def spelled(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else str(ast.literal_eval(node))


FUNCTIONS = {
    "nki.isa": published.ISA,
    "nki.language": published.LANGUAGE,
    "nki.collectives": published.COLLECTIVES,
    "neuronxcc.nki.isa": published.OLDER_ISA,
    "neuronxcc.nki.language": published.OLDER_LANGUAGE,
}
OTHERS = {
    "nki.isa": published.ISA_OTHERS,
    "nki.language": published.LANGUAGE_OTHERS,
    "nki.collectives": published.COLLECTIVES_OTHERS,
    "neuronxcc.nki.isa": published.OLDER_ISA_OTHERS,
    "neuronxcc.nki.language": published.OLDER_LANGUAGE_OTHERS,
}

NOT_THERE: dict[str, dict[str, str]] = {
    "nki.isa": {},
    "neuronxcc.nki.isa": {
        "builtin_custom_op": "programs for GpSimd that are not NKI cannot be run",
    },
    "neuronxcc.nki.language": {
        "all_reduce": "instances of a grid run one after the other",
        "gemm_grid": "a launch grid that the older compiler chose",
        "gemm_stationary_grid": "a launch grid that the older compiler chose",
    },
}
# What ours take beyond the published parameters, and why.
MORE = {
    ("nki.isa", "tensor_copy", "dtype"): "the vendor's samples of NKI 0.2 pass it",
    ("nki.isa", "register_move", "imm"): "the name of src in NKI 0.2",
    ("nki.language", "shared_constant", "dtype"): "NKI 0.2 had it",
    ("neuronxcc.nki.isa", "nc_matmul", "perf_mode"): "kernels of SDK 2.25 pass it",
    ("neuronxcc.nki.isa", "dma_copy", "mode"): "the name of oob_mode in earlier releases",
    ("neuronxcc.nki.language", "load", "mode"): "oob_mode of indirect loads, not documented",
    ("neuronxcc.nki.language", "store", "mode"): "oob_mode of indirect stores, not documented",
}
# What published kernels pass among the **kwargs of the older API; nothing else is taken.
KWARGS = {
    "name", "lazy_initialization", "max_free_vec_size", "precise_schedule", "directives", "buffer",
    "dge_mode",
}  # fmt: skip
# What may be left out here although the published function insists, and why.
LOOSER = {("nki.isa", "register_move", "src"): "it may be given by its name in NKI 0.2"}


def ours(function: Any) -> list[Parameter]:
    kinds = inspect.Parameter
    found = []
    for p in inspect.signature(function).parameters.values():
        if p.kind is kinds.VAR_POSITIONAL:
            found.append(Parameter(f"*{p.name}", False, None))
        elif p.kind is not kinds.VAR_KEYWORD:
            given = None if p.default is p.empty else said(p.default)
            found.append(Parameter(p.name, p.kind is kinds.KEYWORD_ONLY, given))
    return found


def said(default: Any) -> str:
    """A default as the manual spells it: enumerations, operators and dtypes by name."""
    if isinstance(default, float) and abs(default) > 1e38:
        return f"{default:.8g}"
    if isinstance(default, tuple) and default:
        return str(list(default))  # the manual's default can be changed by those who get it
    for attribute in ("name", "__trnlab_op__", "__name__"):
        if isinstance(found := getattr(default, attribute, None), str):
            return found
    return str(default)


@pytest.fixture(scope="module", autouse=True)
def _import_names() -> None:
    trnlab.activate()


def module(api: str) -> ModuleType | None:
    try:
        return importlib.import_module(api)
    except ModuleNotFoundError:
        return None


def stands(api: str, name: str) -> bool:
    """Whether a name is there and works; a stub that raises NotModelled does not."""
    home = module(api)
    try:
        found = getattr(home, name)
    except (AttributeError, NotModelled):
        return False
    return callable(found) is False or name not in getattr(home, "NOT_YET", {})


def names(api: str) -> Iterator[str]:
    yield from signatures(FUNCTIONS[api])
    yield from OTHERS[api].split()


def test_the_lists_are_as_long_as_the_manuals():
    assert {api: len(signatures(text)) for api, text in FUNCTIONS.items()} == {
        "nki.isa": 52,
        "nki.language": 103,
        "nki.collectives": 11,
        "neuronxcc.nki.isa": 34,
        "neuronxcc.nki.language": 100,
    }


@pytest.mark.parametrize("api", FUNCTIONS)
def test_every_published_name_is_there_or_has_a_reason(api: str):
    missing = [n for n in names(api) if not stands(api, n) and n not in NOT_THERE.get(api, {})]
    assert not missing, f"{api}: implement them, or say in NOT_THERE why not: {missing}"


@pytest.mark.parametrize("api", NOT_THERE)
def test_no_reason_is_given_for_a_name_that_is_there(api: str):
    there = [name for name in NOT_THERE[api] if stands(api, name)]
    assert not there, f"{api}: take these out of NOT_THERE: {there}"
    unknown = set(NOT_THERE[api]) - set(names(api))
    assert not unknown, f"{api}: nobody publishes {unknown}"


@pytest.mark.parametrize(
    ("api", "name"),
    [(api, n) for api in NOT_THERE for n in NOT_THERE[api] if n in signatures(FUNCTIONS[api])],
)
def test_what_is_not_there_says_so(api: str, name: str):
    home = module(api)
    if home is None:
        pytest.skip(f"{api} cannot be imported yet")
    with pytest.raises(NotModelled):
        getattr(home, name)()


PUBLISHED = [
    (api, name, parameters)
    for api, text in FUNCTIONS.items()
    for name, parameters in signatures(text).items()
    if name not in NOT_THERE.get(api, {})
]


@pytest.mark.parametrize(
    ("api", "name", "wanted"), PUBLISHED, ids=[f"{api}.{name}" for api, name, _ in PUBLISHED]
)
def test_signatures_are_the_published_ones(api: str, name: str, wanted: list[Parameter]):
    given = ours(getattr(module(api), name))
    published = {p.name for p in wanted}
    silent = KWARGS - published if api.startswith("neuronxcc") else set()
    more = [p for p in given if (api, name, p.name) in MORE or p.name in silent]
    assert all(p.default is not None for p in more), "what is added must be optional"
    loose = [p._replace(default=None) if (api, name, p.name) in LOOSER else p for p in given]
    given = [p for p in loose if p not in more]
    by_position = [p for p in given if not p.keyword_only]
    assert by_position == [p for p in wanted if not p.keyword_only]
    assert set(given) - set(by_position) == {p for p in wanted if p.keyword_only}


@pytest.mark.parametrize(("api", "name", "parameter"), MORE)
def test_no_addition_is_listed_in_vain(api: str, name: str, parameter: str):
    assert parameter in [p.name for p in ours(getattr(module(api), name))]
    assert parameter not in [p.name for p in signatures(FUNCTIONS[api])[name]]


def test_every_instruction_class_is_published():
    known = {name for api in FUNCTIONS if api.endswith("isa") for name in names(api)}
    assert set(ISA) <= known


def test_tensors_have_the_published_attributes():
    kind = language.NkiTensor
    missing = {name for name in published.TENSOR.split() if not hasattr(kind, name)}
    assert not missing - {s for base in kind.__mro__ for s in getattr(base, "__slots__", ())}


def test_tile_sizes_have_the_published_names():
    kind = type(language.tile_size)
    assert not [name for name in published.TILE_SIZE.split() if not hasattr(kind, name)]
