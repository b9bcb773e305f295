"""Names around NKI that client scripts import: a device of torch_xla, the vendor's own examples.

A framework that is installed stays what it is: these stand behind every other finder, and answer
only where nothing else does.
"""

import importlib
import importlib.util
import sys
import warnings
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from trnlab.errors import MissingExtra, NotModelled

# The vendor's package holds its tutorials as EXAMPLES.NAME.FILE, and they import themselves so.
EXAMPLES = "neuronxcc.nki.docs.examples"


class Absent(NotModelled, AttributeError):
    """A name of a framework that the stand-in does not have; for Python an attribute it lacks."""


class StandIns(MetaPathFinder, Loader):
    """Gives Python the few names of absent frameworks that scripts around kernels use."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """The module of that name, if it is one of these."""
        if fullname in STAND_INS or _folder(fullname) or _beside(fullname):
            return ModuleSpec(fullname, self, origin="trnlab", is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The caller's own file where it is one of the vendor's examples; else an empty module."""
        beside = _beside(spec.name)
        if beside:
            return importlib.import_module(beside)
        return ModuleType(spec.name, "Stands in for a module that is not installed.")

    def exec_module(self, module: ModuleType) -> None:
        """Fills a module of a framework."""
        names = STAND_INS.get(module.__name__)
        if names is not None:
            module.__dict__.update(names, __trnlab__=True)
            module.__dict__["__getattr__"] = _absent(module.__name__)


def _folder(fullname: str) -> bool:
    """Whether this is a package on the way to an example."""
    return f"{EXAMPLES}.".startswith(f"{fullname}.") or (
        fullname.startswith(f"{EXAMPLES}.") and fullname.count(".") == EXAMPLES.count(".") + 1
    )


def _beside(fullname: str) -> str:
    """The name of the caller's file that is this example; nothing where there is none."""
    _, _, rest = fullname.partition(f"{EXAMPLES}.")
    file = rest.partition(".")[2]
    return file if file.isidentifier() and importlib.util.find_spec(file) else ""


def _absent(module: str) -> Any:
    def __getattr__(name: str) -> Any:
        raise Absent(f"{module}.{name}", "the framework: kernels take its tensors as they are")

    return __getattr__


def xla_device(*_: Any, **__: Any) -> Any:
    """Where torch tensors live that kernels take: in the host's memory."""
    torch = sys.modules.get("torch")
    if torch is None:
        raise MissingExtra("a device of torch_xla", "torch")
    return torch.device("cpu")


def nothing(*_: Any, **__: Any) -> None:
    """Kernels run when they are called, so that there is nothing to flush."""


def on_host(function: Any, *_: Any, **__: Any) -> Any:
    """The function itself, which is said: only kernels are simulated."""
    warnings.warn("torch_neuronx.trace: the function runs on this machine as it is", stacklevel=2)
    return function


def nki_jit(function: Any = None, **options: Any) -> Any:
    """A kernel of the older API that writes its last arguments, as torch_neuronx has them."""
    from trnlab.nki.legacy.entry import jit

    return jit(function, **({"mode": "trace"} | options))


STAND_INS: dict[str, dict[str, Any]] = {
    "torch_xla": {"device": xla_device, "sync": nothing},
    "torch_xla.core": {},
    "torch_xla.core.xla_model": {
        "xla_device": xla_device,
        "mark_step": nothing,
        "wait_device_ops": nothing,
    },
    "torch_neuronx": {"trace": on_host, "nki_jit": nki_jit},
    "torch_neuronx.xla_impl": {},
    "torch_neuronx.xla_impl.ops": {"nki_jit": nki_jit},
}


def stand_in() -> None:
    """Makes the stand-ins importable where nothing else of that name is."""
    if not any(isinstance(finder, StandIns) for finder in sys.meta_path):
        sys.meta_path.append(StandIns())
