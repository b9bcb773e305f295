"""`nki.compiler`: what test orchestrators import of the vendor's compiler.

Its modules are internal and change without notice, but options and front ends are plain data that
code builds before it decides whether to compile. Compiling itself is not modelled.
"""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from trnlab.errors import NotModelled

NEEDS = (
    "the vendor's compiler: nki.simulate(kernel) runs the kernel and judges it, and "
    "nki.framework.compiled.CompileKernel also leaves a stand-in for the compiled file"
)


class CompilationMode(Enum):
    """What a compilation is for."""

    INTEGRATION = "integration"


@dataclass(frozen=True)
class CompileOptions:
    """Options of a compilation, kept and not used."""

    target: str | None = None
    lnc: int = 1
    output_path: str | None = None
    artifacts_dir: str | None = None
    mode: CompilationMode = CompilationMode.INTEGRATION
    verbose: bool = False
    neuronx_cc_path: str | None = None
    neuronx_cc_args: Any = None
    backend_optimizations: bool = True

    def disable_backend_optimizations(self) -> "CompileOptions":
        """The same without them."""
        return replace(self, backend_optimizations=False)


class NKIFrontend:
    """How a kernel's source becomes a program; here Python runs it, whichever is chosen."""


class ParserFrontend(NKIFrontend):
    """Reads the syntax of a kernel."""


class TracerFrontend(NKIFrontend):
    """Runs a kernel with symbolic tensors."""


class CompiledKernel:
    """A kernel in the device's code, which cannot be made here."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise NotModelled("nki.compiler.ncc_driver.CompiledKernel", NEEDS)

    @classmethod
    def from_frontend(cls, *_: Any, **__: Any) -> Any:
        """Compiles a kernel."""
        return cls()


MODULES: dict[str, dict[str, Any]] = {
    "driver": {"CompileOptions": CompileOptions},
    "frontend": {kind.__name__: kind for kind in (NKIFrontend, ParserFrontend, TracerFrontend)},
    "ncc_driver": {
        kind.__name__: kind for kind in (CompilationMode, CompileOptions, CompiledKernel)
    },
    "kernel_builder": {},
}
