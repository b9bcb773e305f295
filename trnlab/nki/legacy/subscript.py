"""Subscripts: what one gives is worked out once for every form, and then looked up.

Of ``tensor[nl.arange(128)[:, None], i + nl.arange(512)[None, :]]`` only the offsets differ from one
iteration of a loop to the next.
"""

from typing import Any, NamedTuple

from trnlab.errors import BadArguments
from trnlab.isa.tile import Layout, Tile, layout
from trnlab.nki.jit import running
from trnlab.nki.legacy.index import Index
from trnlab.nki.legacy.pattern import ALL, Pattern, pattern

_plans: "dict[tuple[Any, ...], Plan]" = {}
NUMBER = pattern((1,), (0,))


class Plan(NamedTuple):
    """The layout of a view, and for each dimension of its tensor how its start counts.

    A start adds stride elements a step, and must be from low to high for the view to stay inside.
    """

    layout: Layout
    axes: tuple[tuple[int, int, int], ...]  # stride, low, high


def plan(tensor: Tile, parts: tuple[Any, ...]) -> Plan:
    """The plan for index expressions and numbers, one a dimension."""
    key = (tensor.layout, *[p.pattern if p.__class__ is Index else None for p in parts])
    found = _plans.get(key)
    if found is None:
        found = _plans[key] = _planned(tensor, [p or NUMBER for p in key[1:]])
    return found


def _planned(tensor: Tile, patterns: list[Pattern]) -> Plan:
    here = tensor.layout
    if len(patterns) < tensor.ndim:
        raise BadArguments(
            f"{tensor.storage.name}: {len(patterns)} indices for {tensor.ndim} dimensions",
            {"tensor": tensor.describe()},
            place=running().here(),
            fix="give one index expression a dimension",
        )
    full = NUMBER
    for each in patterns:
        full = full.plus(each.times(0))
    if full.ndim == 1:
        raise BadArguments(
            f"{tensor.storage.name} is indexed with a 1-D nl.arange",
            {"tensor": tensor.describe()},
            place=running().here(),
            fix="add a dimension: nl.arange(n)[:, None]",
        )
    steps = [each.padded(full.ndim).steps for each in patterns]
    strides = tuple(
        sum(step[d] * stride for step, stride in zip(steps, here.strides, strict=True))
        for d in range(full.ndim)
    )
    axes = tuple(
        (stride, -each.low, size - 1 - each.high)
        for each, stride, size in zip(patterns, here.strides, here.shape, strict=True)
    )
    return Plan(layout(here.space, here.dtype, full.sizes, strides, here.pitch), axes)


def first_of(item: Any, size: int, tensor: Tile) -> int:
    """Where a part of an advanced subscript starts; a slice counts where there is no choice."""
    if item.__class__ is Index:
        return item.offset
    if hasattr(item, "__index__"):
        return item.__index__()
    if isinstance(item, slice) and size == 1:
        return 0
    raise BadArguments(
        "index expressions and slices are mixed in one subscript",
        {"tensor": tensor.describe()},
        place=running().here(),
        fix="use nl.arange or nl.mgrid for every dimension",
    )


def as_index(item: Any, size: int, tensor: Tile) -> Index:
    """A part of an advanced subscript as an index expression."""
    return item if item.__class__ is Index else Index.number(first_of(item, size, tensor))


def inside(axes: Any, sizes: tuple[int, ...]) -> bool:
    """Whether index expressions stay in dimensions of these sizes."""
    bounds = [a.bounds() for a in axes]
    return all(low >= 0 and high < n for (low, high), n in zip(bounds, sizes, strict=True))


def without_ellipsis(parts: tuple[Any, ...], ndim: int) -> tuple[Any, ...]:
    """A subscript with its ellipsis, if there is one, written out."""
    where = [i for i, p in enumerate(parts) if p is Ellipsis]
    if not where:
        return parts
    fill = (ALL,) * (ndim - len(parts) + 1)
    return (*parts[: where[0]], *fill, *parts[where[0] + 1 :])
