"""Making tensors: what `nl.ndarray` and its relatives do in every API generation."""

from operator import index
from typing import Any

from trnlab import formats
from trnlab.errors import BadArguments, IllegalInstruction
from trnlab.isa.rules import When, code_of, only
from trnlab.isa.tile import SBUF, Space, whole
from trnlab.nki import tensor_class
from trnlab.nki.jit import launch, running

# What was asked for -> shape, dtype. 64.0 finds what belongs to 64, and is looked at again.
_shapes: dict[Any, tuple[tuple[int, ...], Any]] = {}


def make(
    shape: Any,
    dtype: Any,
    buffer: Space | None = None,
    name: str = "",
    address: tuple[int, int] | None = None,
) -> Any:
    """An uninitialised tensor; one that is shared between instances of a grid is made once."""
    run = running()
    sizes = tuple(shape) if isinstance(shape, list) else shape
    key = (sizes, dtype)
    checked = _shapes.get(key)
    if checked is None or sizes.__class__ is not tuple or sum(sizes).__class__ is not int:
        checked = _shapes[key] = check_shape(shape), formats.format_of(dtype)
    space = SBUF if buffer is None else buffer
    if (
        isinstance(space, str)
        and space in Space.__members__
        and only("0.2", "0.3").covers(run.compiler)
    ):
        space = Space[space]
    if not isinstance(space, Space):
        raise BadArguments(
            f"buffer={buffer!r} is not a memory",
            fix="use nl.sbuf, nl.psum, nl.hbm, nl.private_hbm or nl.shared_hbm",
            place=run.here(),
            see="nki.language.ndarray",
        )
    kind = tensor_class(run.api)
    if space is not Space.shared_hbm:
        return whole(run.buffer(space, checked[1], checked[0], name, address), kind)
    here = launch()
    if here.next_shared == len(here.shared):
        made = run.buffer(space, checked[1], checked[0], name or f"out{here.next_shared}")
        here.shared.append(whole(made, kind))
    here.next_shared += 1
    shared = here.shared[here.next_shared - 1]
    if (shared.shape, shared.dtype) != checked:
        run.report(
            BadArguments,
            f"{shared.storage.name} in shared HBM is another tensor on another core",
            {"here": f"{checked[1]} {list(checked[0])}", "there": shared.describe()},
            "both cores declare the same tensors in shared HBM, in the same order",
            "declare it alike on both cores, and let each use its part",
            "nki.language.ndarray",
        )
    return shared


def check_shape(shape: Any) -> tuple[int, ...]:
    """A shape as a tuple of whole numbers; raises BadArguments for anything else.

    A dimension may be 0: no instruction takes such a tensor, but a kernel may hold one.
    """
    given = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    try:
        sizes = tuple(index(n) for n in given)
    except TypeError:
        sizes = ()
    if not sizes or min(sizes) < 0:
        raise BadArguments(
            f"a tensor cannot have the shape {given}",
            limit="at least one dimension, all of them whole numbers, none below 0",
            place=running().here(),
            see="nki.language.ndarray",
        )
    return sizes


def given(value: Any, default: Any) -> Any:
    """A dtype or a memory as given by users, who may leave it out with None and nothing else."""
    return default if value is None else value


def must(holds: Any, when: When, name: str, what: str, limit: str) -> None:
    """Reports what functions of some versions are known not to do (release notes of nki)."""
    run = running()
    if not holds and when.covers(run.compiler):
        enforced, rule = {"enforced": f"by {when}"}, code_of(name, what)
        see = f"nki.language.{name}"
        run.report(IllegalInstruction, f"nl.{name} {what}", enforced, limit, see=see, rule=rule)
