"""The import names of NKI, supplied on request.

`activate` puts modules called `nki` and `neuronxcc.nki` where Python looks for imports. A vendor
package that is installed is shadowed only when asked for, and then it is said.
"""

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Mapping
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

from trnlab import formats
from trnlab.errors import NotModelled, TrnlabError
from trnlab.nki.clients.frameworks import stand_in

Shipped = Mapping[str, Callable[[str], Any]]


def activate(*, shadow: bool = False, shipped: Shipped | None = None) -> None:
    """Makes ``import nki`` and ``import neuronxcc.nki`` give the simulated NKI.

    ``shipped`` holds modules of library kernels: their names, and what finds a kernel in them (None
    where it is not there). Raises TrnlabError when the vendor's package is installed, unless
    ``shadow`` is set.
    """
    for top in TOPS:
        if _installed(top):
            _refuse(top, shadow)
            for name in [n for n in sys.modules if n.partition(".")[0] == top]:
                del sys.modules[name]
    if not any(isinstance(finder, Names) for finder in sys.meta_path):
        sys.meta_path.insert(0, Names(shipped or {}))
    stand_in()


def _installed(top: str) -> bool:
    """Whether another package of this name can be imported; a bare folder is none."""
    if top in sys.modules:
        return not hasattr(sys.modules[top], "__trnlab__")
    spec = importlib.util.find_spec(top)
    ours = spec is not None and isinstance(spec.loader, Names)
    return spec is not None and spec.origin is not None and not ours


class Names(MetaPathFinder, Loader):
    """Gives Python the modules of NKI when they are imported, each generation when first asked."""

    def __init__(self, shipped: Shipped) -> None:
        self.made: dict[str, dict[str, ModuleType]] = {}
        self.shipped = shipped

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """The module of that name, if it is one of NKI's."""
        if fullname in self._modules(fullname.partition(".")[0]):
            return ModuleSpec(fullname, self, origin="trnlab", is_package=True)
        return None

    def _modules(self, top: str) -> dict[str, ModuleType]:
        if top not in TOPS:
            return {}
        if top not in self.made:
            kernels = [_kernels(n, find) for n, find in self.shipped.items() if n.startswith(top)]
            self.made[top] = {module.__name__: module for module in [*MAKERS[top](), *kernels]}
        return self.made[top]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module, ready made."""
        return self._modules(spec.name.partition(".")[0])[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to run; the modules below become attributes, as in the vendor's."""
        found = self._modules(module.__name__.partition(".")[0])
        for name in found:
            parent, _, item = name.rpartition(".")
            if parent == module.__name__:
                setattr(module, item, importlib.import_module(name))


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


def _empty(name: str, needs: str, known: Callable[[str], Any] = lambda item: None) -> ModuleType:
    """A module that gives any name, but only what is known can be called."""

    def __getattr__(item: str) -> Any:
        if item.startswith("__"):
            raise AttributeError(f"module {name!r} has no attribute {item!r}")
        found = known(item)
        return _not_modelled(f"{name}.{item}", needs) if found is None else found

    return _module(name, None, __getattr__=__getattr__)


def _kernels(name: str, find: Callable[[str], Any]) -> ModuleType:
    return _empty(name, "a kernel of the vendor's package: write it, or bring its source", find)


def _not_modelled(name: str, needs: str) -> Any:
    def call(*_: Any, **__: Any) -> Any:
        raise NotModelled(name, needs)

    return type(name.rpartition(".")[2], (), {"__new__": call, "__doc__": f"Needs {needs}."})


def _current(root: str = "nki") -> list[ModuleType]:
    from trnlab.nki import collectives, entry, isa, language
    from trnlab.nki.clients import compiler, runners, standins

    typing = _module(f"{root}.typing")
    typing.tensor = typing.mutable_tensor = _annotation()  # type: ignore[attr-defined]
    simulator = _module(
        f"{root}.simulator",
        simulate_kernel=lambda func, args=(), kwargs=None, _lnc=1: entry.simulate(
            entry.jit(func)[_lnc]
        )(*args, **(kwargs or {})),
    )
    return [
        _module(root, entry, cpu_simulate=standins.cpu_simulate),
        _module(f"{root}.language", language),
        _module(f"{root}.language.constants", sizeinbytes=formats.itemsize),
        _module(f"{root}.language.dtypes", **language.DTYPES),
        _module(f"{root}.dtype", **language.DTYPES),
        _module(f"{root}.isa", isa),
        _module(f"{root}.isa.constants", isa.constants),
        _module(f"{root}.collectives", collectives),
        _module(f"{root}.tensor", NkiTensor=language.NkiTensor, identity=standins.identity),
        typing,
        _module(f"{root}.builtin"),
        _module(f"{root}.compiler"),
        *(
            _empty(f"{root}.compiler.{name}", compiler.NEEDS, known.get)
            for name, known in compiler.MODULES.items()
        ),
        _module(f"{root}.framework"),
        _module(f"{root}.framework.compiled", CompileKernel=runners.CompileKernel),
        _module(f"{root}.framework.kernel", Kernel=entry.Kernel),
        simulator,
    ]


def _simulator() -> list[ModuleType]:
    """A vendor's test plugin puts these in the place of `nki`."""
    return [_module("nki_cpu_simulator"), *_current("nki_cpu_simulator.nki")]


def _host_formats() -> list[ModuleType]:
    from trnlab.nki.clients import standins

    held = {name: formats.format_of(name) for name in standins.HOST_FORMATS}
    return [_module("neuron_dtypes", standins, sizeinbytes=formats.itemsize, **held)]


def _older() -> list[ModuleType]:
    from trnlab.nki.legacy import entry, isa, language, nccl

    root = "neuronxcc.nki"
    return [
        _module("neuronxcc"),
        _module(root, entry),
        _module(f"{root}.language", language),
        _module(f"{root}.language.constants", language.constants),
        _empty(f"{root}.language.iterators", "instances of a grid that run at the same time"),
        _module(f"{root}.isa", isa),
        _module(f"{root}.isa.constants", isa.constants),
        _module(f"{root}.isa.neuron_isa", isa),
        _module(
            f"{root}.typing",
            tensor=entry.tensor,
            mutable_tensor=entry.mutable_tensor,
            mutable=entry.mutable,
            scalar=language.scalar,
        ),
        *_compiler(root),
        _empty(f"{root}.nccl", COLLECTIVES, vars(nccl).get),
        _empty(f"{root}.nccl.collectives", COLLECTIVES, vars(nccl).get),
        _module(f"{root}._private"),
        _empty(f"{root}._private.private_api", "instructions that the vendor does not publish"),
        _module("neuronxcc.starfish"),
        _module("neuronxcc.starfish.penguin"),
        _module("neuronxcc.starfish.penguin.targets"),
        _module("neuronxcc.starfish.penguin.targets.nki"),
        _empty(
            "neuronxcc.starfish.penguin.targets.nki.private_api",
            "instructions that the vendor does not publish",
            {"vnc": language.nc}.get,
        ),
        _module("neuronxcc.starfish.support"),
        _module("neuronxcc.starfish.support.dtype", language, static_cast=language.static_cast),
        _module("neuronxcc.starfish.support.util", allclose=entry.allclose),
    ]


def _compiler(root: str) -> list[ModuleType]:
    from trnlab.isa.tile import PSUM, SBUF
    from trnlab.nki.legacy import entry, placing

    inside = f"{root}.compiler.backends"
    needs = "the internals of the vendor's compiler"
    sbuf = SimpleNamespace(
        alloc=placing.sbuf_alloc,
        mod_alloc=placing.sbuf_mod_alloc,
        auto_alloc=placing.auto_alloc(SBUF),
    )
    psum = SimpleNamespace(
        alloc=placing.psum_alloc,
        mod_alloc=placing.psum_mod_alloc,
        auto_alloc=placing.auto_alloc(PSUM),
    )
    directives = dict.fromkeys(
        ("enable_stack_allocator", "force_auto_alloc"), entry.passes_through
    ) | dict.fromkeys(("no_reorder", "allocation_scope", "multi_buffer"), entry.no_reorder)
    directives |= {"skip_middle_end_transformations": entry.as_written}
    return [
        _module(f"{root}.compiler", sbuf=sbuf, psum=psum, **directives),
        _module(inside),
        _module(f"{inside}.neuron"),
        _empty(f"{inside}.neuron.tensor", needs),
        _empty(f"{inside}.neuron.indexing", needs),
    ]


def _annotation() -> Any:
    from trnlab.nki.legacy.entry import tensor

    return tensor


COLLECTIVES = "a collective that public kernels use, with its parameters; try nki.collectives"
MAKERS = {
    "nki": _current,
    "neuronxcc": _older,
    "nki_cpu_simulator": _simulator,
    "neuron_dtypes": _host_formats,
}
TOPS = tuple(MAKERS)
