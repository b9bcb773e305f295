"""The import names of NKI, supplied on request.

`activate` puts modules called `nki` and `neuronxcc.nki` where Python looks for imports. A vendor
package that is installed is shadowed only when asked for, and then it is said.
"""

import importlib.util
import sys
import warnings
from types import ModuleType, SimpleNamespace
from typing import Any

from trnlab.errors import TrnlabError


def activate(*, shadow: bool = False) -> None:
    """Makes ``import nki`` and ``import neuronxcc.nki`` give the simulated NKI.

    Raises TrnlabError when the vendor's package is installed, unless ``shadow`` is set.
    """
    for top in ("neuronxcc", "nki"):
        if (top in sys.modules and not hasattr(sys.modules[top], "__trnlab__")) or (
            top not in sys.modules and importlib.util.find_spec(top) is not None
        ):
            _refuse(top, shadow)
    for name, module in _modules().items():
        sys.modules[name] = module


def _refuse(top: str, shadow: bool) -> None:
    if not shadow:
        raise TrnlabError(
            f"a package called '{top}' is installed here; trnlab does not hide it unasked: "
            "trnlab.activate(shadow=True), or trnlab run --shadow"
        )
    warnings.warn(f"trnlab stands in for the installed package '{top}'", stacklevel=3)


def _module(name: str, source: Any = None, **extra: Any) -> ModuleType:
    module = ModuleType(name, getattr(source, "__doc__", None))
    if source is not None:
        public = {k: v for k, v in vars(source).items() if not k.startswith("__")}
        module.__dict__.update(public)
        if hasattr(source, "__getattr__"):
            module.__dict__["__getattr__"] = source.__getattr__
    module.__dict__.update(extra, __trnlab__=True)
    module.__path__ = []  # type: ignore[attr-defined]
    return module


def _modules() -> dict[str, ModuleType]:
    return _current() | _older()


def _current() -> dict[str, ModuleType]:
    from trnlab.nki import entry, isa, language

    nl, nisa = _module("nki.language", language), _module("nki.isa", isa)
    typing = _module("nki.typing")
    typing.tensor = typing.mutable_tensor = _annotation()  # type: ignore[attr-defined]
    compiler = _module("nki.compiler")
    simulator = _module(
        "nki.simulator",
        simulate_kernel=lambda func, args=(), kwargs=None, _lnc=1: entry.simulate(
            entry.jit(func)[_lnc]
        )(*args, **(kwargs or {})),
    )
    top = _module(
        "nki", entry, language=nl, isa=nisa, typing=typing, compiler=compiler, simulator=simulator,
        tensor=language.NkiTensor,
    )  # fmt: skip
    constants = _module("nki.isa.constants", nisa.constants)
    return {m.__name__: m for m in (top, nl, nisa, typing, compiler, simulator, constants)}


def _older() -> dict[str, ModuleType]:
    from trnlab.nki.legacy import entry, isa, language, placing

    root = "neuronxcc.nki"
    nl, nisa = _module(f"{root}.language", language), _module(f"{root}.isa", isa)
    typing = _module(f"{root}.typing", tensor=entry.tensor, mutable_tensor=entry.mutable_tensor)
    compiler = _module(
        f"{root}.compiler",
        sbuf=SimpleNamespace(
            alloc=placing.sbuf_alloc, mod_alloc=placing.sbuf_mod_alloc, auto_alloc=lambda: None
        ),
        psum=SimpleNamespace(
            alloc=placing.psum_alloc, mod_alloc=placing.psum_mod_alloc, auto_alloc=lambda: None
        ),
        no_reorder=entry.no_reorder,
        skip_middle_end_transformations=entry.passes_through,
        enable_stack_allocator=entry.passes_through,
        force_auto_alloc=entry.passes_through,
        allocation_scope=entry.no_reorder,
        multi_buffer=entry.no_reorder,
    )
    top = _module(
        root, entry, language=nl, isa=nisa, typing=typing, compiler=compiler, tensor=entry.tensor
    )
    package = _module("neuronxcc", nki=top)
    constants = _module(f"{root}.isa.constants", nisa.constants)
    return {m.__name__: m for m in (package, top, nl, nisa, typing, compiler, constants)}


def _annotation() -> Any:
    from trnlab.nki.legacy.entry import tensor

    return tensor
