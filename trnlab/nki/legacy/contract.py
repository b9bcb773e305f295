"""What a kernel of the older API promises: arguments it may write, tensors it has to return.

``@nki.jit`` makes arguments read only, except those that are annotated ``nt.mutable_tensor`` or
``nt.tensor[nt.mutable]``, and the kernel returns these (NKI error page, 2.21 to 2.26). Kernels of
``nki.trace`` and ``nki_jit``, and functions that ``nki.simulate_kernel``, ``nki.baremetal`` or
``nki.benchmark`` is given and that return nothing, write their last arguments instead.
"""

from collections.abc import Callable, Iterator
from typing import Any, get_args, get_type_hints

from trnlab.errors import BadArguments
from trnlab.isa.rules import ALLOCATED
from trnlab.sim.core import Run

SEE = "nki.errors"
UNCHECKED = "skip-mutable-return-check"  # of the decorator's experimental_flags


class mutable_tensor:
    """A tensor that the kernel may write."""

    def __class_getitem__(cls, key: Any) -> Any:
        return cls


def mutable_names(function: Callable[..., Any]) -> set[str]:
    """The parameters that are annotated as mutable."""
    try:
        hints = get_type_hints(function)
    except (NameError, TypeError, AttributeError):  # names that only a type checker knows
        hints = getattr(function, "__annotations__", {})
    return {name for name, hint in hints.items() if _is_mutable(hint)}


def _is_mutable(hint: Any) -> bool:
    if isinstance(hint, str):
        return "mutable" in hint
    return hint is mutable_tensor or any(map(_is_mutable, get_args(hint)))


def faults(
    run: Run, function: Callable[..., Any], options: dict[str, Any], returned: set[int]
) -> Iterator[BadArguments]:
    """What a kernel does with tensors in HBM that its compiler does not allow."""
    if ALLOCATED in run.compiler.modes:
        yield from _declared(run, returned)
    mode = options.get("mode")
    if mode == "trace" or (mode is None and not returned):
        return
    mutable = mutable_names(function)
    written = run.program.written() & run.arguments
    for tensor in sorted(run.arguments):
        name = run.program.tensor(tensor).name
        if name.partition("[")[0] not in mutable and tensor in written:
            yield BadArguments(
                f"the kernel writes its argument {name}",
                {"vendor": "err_cannot_update_immutable_parameter"},
                "arguments are read only unless they are annotated nt.mutable_tensor",
                run.program.place(run.program.first_write(tensor)),
                "write to nl.ndarray(..., buffer=nl.shared_hbm) and return that, or annotate it",
                SEE,
                "kernel/arguments-are-read-only",
            )
        elif name in mutable and tensor not in returned and UNCHECKED not in _flags(options):
            yield BadArguments(
                f"the kernel does not return its argument {name}, which is annotated as mutable",
                {"vendor": "err_mutable_parameter_not_returned"},
                "what a kernel may write it returns",
                run.program.place(run.program.buffers[tensor].place),
                f"return {name} besides what the kernel returns",
                SEE,
                "kernel/mutable-arguments-are-returned",
            )


def _declared(run: Run, returned: set[int]) -> Iterator[BadArguments]:
    """Tensors in HBM that are neither given, returned nor constant, where a kernel places tiles."""
    for tensor, facts in enumerate(run.program.buffers):
        known = facts.name == "constant" or tensor in run.arguments or tensor in returned
        if facts.space == "hbm" and not known:
            yield BadArguments(
                f"{run.program.tensor(tensor).name} is in HBM, and the kernel places tiles",
                {"vendor": "NKI005"},
                "with direct allocation, tensors in HBM are inputs, outputs or constants",
                run.program.place(facts.place),
                "return it, or keep it on chip",
                SEE,
                "kernel/places-tiles-or-declares-hbm",
            )


def _flags(options: dict[str, Any]) -> str:
    return str(options.get("experimental_flags", ""))
