"""Masks: which part of its operands an instruction works on."""

from typing import Any

import numpy as np

from trnlab.errors import BadArguments, NotModelled
from trnlab.isa.dma import DmaTranspose
from trnlab.isa.instruction import Instruction
from trnlab.isa.matmul import NcMatmul, NcTranspose
from trnlab.isa.tile import Tile
from trnlab.nki.jit import running
from trnlab.nki.legacy.index import Mask, Ranges, where_all
from trnlab.nki.legacy.tensor import OldTensor
from trnlab.nki.loops.repeats import bend

Cut = tuple[tuple[Any, ...], np.ndarray | None]  # operands, and which elements of them if not all


def settled(mask: Any) -> Mask | bool:
    """A mask as given by users: None means everywhere; one whose value is known is a bool."""
    if mask is None:
        return True
    if not isinstance(mask, Mask):
        if isinstance(mask, (bool, np.bool_)):
            return bool(mask)
        raise BadArguments(
            "a mask is a tile" if isinstance(mask, Tile) else f"a mask is {mask!r}"[:100],
            limit="comparisons of indices, joined with &: known before the kernel runs",
            fix="use nl.where or nisa.tensor_copy_predicated where data decides",
            place=running().here(),
        )
    known = mask.always
    if known is not True:
        bend()
    return mask if known is None else known


def cut(kind: type[Instruction], operands: tuple[Any, ...], mask: Mask) -> Cut | None:
    """The operands cut to what a mask leaves; None when that is nothing."""
    guide, fitted = _guide(kind, operands, mask)
    ranges, rest = fitted.box(guide.shape)
    if any(high <= low for low, high in ranges):
        return None
    if kind is NcMatmul:
        parts = _cut_matmul(operands, guide, ranges)
    elif kind in (NcTranspose, DmaTranspose):
        parts = _cut_transpose(operands, guide, ranges)
    else:
        parts = tuple(_cut(v, guide.shape, ranges) for v in operands)
    chosen = where_all(rest, ranges) if rest else None
    if chosen is not None and parts[0].shape != chosen.shape:
        raise NotModelled(
            f"{kind.name} with a mask over several dimensions at once",
            "splitting the instruction",
            running().here(),
        )
    return parts, chosen


def masked_inputs(operands: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """A matmul's operands cut to the masks of its inputs, ``x[i <= 64]``; None if none is left."""
    dst, left, right, *rest = operands
    if left.only is None and right.only is None:
        return operands
    bend()
    (rows, columns), (more_rows, moving) = _input_box(left), _input_box(right)
    shared = (max(rows[0], more_rows[0]), min(rows[1], more_rows[1]))
    if any(high <= low for low, high in (shared, columns, moving)):
        return None
    left, right = left.cut([shared, columns]), right.cut([shared, moving])
    return dst.cut([columns, moving]), left, right, *rest


def _input_box(tile: OldTensor) -> Ranges:
    if tile.only is None:
        return [(0, n) for n in tile.shape]
    fitted = tile.only.fitted(tile.shape)
    ranges, rest = fitted.box(tile.shape) if fitted is not None else ([], ())
    if len(ranges) != 2 or rest:
        raise BadArguments(
            f"a mask over {tile.only.shape} does not cut {tile.describe()}", place=running().here()
        )
    return ranges


def _guide(
    kind: type[Instruction], operands: tuple[Any, ...], mask: Mask
) -> tuple[OldTensor, Mask]:
    """The operand that a mask speaks about: the largest that it fits, an input if there is one."""
    found = []
    for position, tile in enumerate(operands):
        if isinstance(tile, OldTensor):
            fitted = mask.fitted(tile.shape)
            if fitted is not None:
                found.append((tile.size, position, tile, fitted))
    if kind is NcMatmul:
        found = [f for f in found if f[1]] or found
        _one_free_axis(found, mask)
    if not found:
        shapes = ", ".join(str(t.shape) for t in operands if isinstance(t, OldTensor))
        raise BadArguments(
            f"a mask over {mask.shape} fits none of the tiles {shapes}", place=running().here()
        )
    *_, guide, fitted = max(found, key=lambda f: f[:2])
    return guide, fitted


def _one_free_axis(found: list[tuple[int, int, OldTensor, Mask]], mask: Mask) -> None:
    moves = any(step for term in mask.terms for step in term.steps[1:])
    if len(found) > 1 and moves:
        raise BadArguments(
            "it is not clear which free dimension of a matmul the mask means",
            fix="mask the operands instead: matmul(x[i <= 64], y[j <= 256])",
            place=running().here(),
        )


def _cut_matmul(operands: tuple[Any, ...], guide: OldTensor, ranges: Ranges) -> tuple[Any, ...]:
    """Inputs share their partitions; the free dimension of each is a dimension of the result."""
    dst, left, right, *rest = operands
    if guide is dst:
        rows, columns = ranges[0], ranges[1:]
        left = left.cut([(0, left.shape[0]), rows])
        return (dst.cut(ranges), left, right.cut([(0, right.shape[0]), *columns]), *rest)
    both = ranges[0]
    if guide is left:
        dst = dst.cut([ranges[1], (0, dst.shape[1])])
        return dst, left.cut(ranges), _rows(right, both), *rest
    columns = [(0, dst.shape[0]), *ranges[1:]] if right.ndim == dst.ndim else ranges
    return (dst.cut(columns), _rows(left, both), right.cut(ranges), *rest)


def _rows(tile: OldTensor, rows: tuple[int, int]) -> OldTensor:
    return tile.cut([rows, *((0, n) for n in tile.shape[1:])])


def _cut_transpose(operands: tuple[Any, ...], guide: OldTensor, ranges: Ranges) -> tuple[Any, ...]:
    """The mask speaks about the source; the destination has the dimensions the other way round."""
    dst, src, *rest = operands
    ours = ranges if guide is src else ranges[::-1]
    if src.ndim != 2 or dst.ndim != 2:
        raise NotModelled("a masked transpose of more than 2 dimensions", "two dimensions")
    return (dst.cut(ours[::-1]), src.cut(ours), *rest)


def _cut(value: Any, shape: tuple[int, ...], ranges: Ranges) -> Any:
    """A tile cut to the ranges of the dimensions that it shares with the masked one."""
    if not isinstance(value, OldTensor):
        return value
    mine = [(0, n) for n in value.shape]
    for axis, (n, m, part) in enumerate(zip(value.shape, shape, ranges, strict=False)):
        if n == m:
            mine[axis] = part
    if (
        value.size == _size(shape)
        and value.shape != shape
        and any(
            part != (0, m) and (axis >= value.ndim or value.shape[axis] != m)
            for axis, (m, part) in enumerate(zip(shape, ranges, strict=True))
        )
    ):
        raise NotModelled("a mask on tiles of different shapes", "the same shape on all of them")
    return value.cut(mine)


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size
