"""`NkiTensor.rearrange`: dimensions that are split, reordered and joined by name."""

from math import prod
from typing import Any

from trnlab.errors import BadArguments
from trnlab.nki.jit import running
from trnlab.nki.tensor import NkiTensor


def rearrange(tensor: NkiTensor, source: Any, target: Any, sizes: dict[str, int]) -> NkiTensor:
    """The view that the patterns describe; raises BadArguments where they do not fit."""
    wide = [_names(part) for part in source]
    goal = [_names(part) for part in target]
    before, after = ([n for part in parts for n in part] for parts in (wide, goal))
    if (
        len(wide) != tensor.ndim
        or sorted(before) != sorted(after)
        or len(set(before)) < len(before)
    ):
        raise _wrong(
            tensor, f"cannot rearrange {source} to {target}", "the same names on both sides"
        )
    found: dict[str, int] = {}
    split = tensor
    for names, size in zip(wide, tensor.shape, strict=True):
        found |= _sizes(tensor, names, size, sizes)
        if len(names) != 1:
            dim = len(found) - len(names)
            split = split.reshape_dim(dim, tuple(found[n] for n in names))
    moved = split.permute(tuple(before.index(n) for n in after))
    for dim, names in enumerate(goal):
        if len(names) > 1:
            moved = moved.flatten_dims(dim, dim + len(names) - 1)
        elif not names:
            moved = moved.expand_dim(dim)
    return moved


def _names(part: Any) -> list[str]:
    return [part] if isinstance(part, str) else list(part)


def _sizes(tensor: NkiTensor, names: list[str], size: int, given: dict[str, int]) -> dict[str, int]:
    """The size of each part of a dimension, of which one may be left to find out."""
    known = {n: given[n] for n in names if n in given}
    open_ = [n for n in names if n not in given]
    taken = prod(known.values())
    if len(open_) > 1 or size % taken or (not open_ and taken != size):
        raise _wrong(tensor, f"cannot split {size} into {names} with {given}", "all sizes but one")
    return {n: known.get(n, size // taken) for n in names}


def _wrong(tensor: NkiTensor, what: str, limit: str) -> BadArguments:
    given = {"tensor": tensor.describe()}
    see = "nki.language.NkiTensor.rearrange"
    return BadArguments(what, given, limit, running().here(), see=see)
