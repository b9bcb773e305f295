"""Instructions whose destination is not known yet.

In the older API an instruction returns its result as a new tile. When the next thing the kernel does
is to assign that tile (``dst[...] = nisa.activation(...)``, ``psum += nisa.nc_matmul(...)``) the
instruction writes there and the tile never exists. So the last instruction is held back until the
next one, or an assignment, tells.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from trnlab.errors import BadArguments
from trnlab.isa.dma import DmaCopy
from trnlab.isa.elementwise import TensorTensor
from trnlab.isa.instruction import Instruction
from trnlab.isa.matmul import NcMatmul
from trnlab.isa.move import Memset, TensorCopy
from trnlab.isa.tile import HBM_SPACES, PSUM, SBUF, Space, Tile
from trnlab.nki.issue import key_of
from trnlab.nki.jit import launch, running
from trnlab.nki.legacy.index import Mask
from trnlab.nki.legacy.tensor import OldTensor, mask_ranges
from trnlab.nki.tensors import make


@dataclass(eq=False)
class Pending:
    """An instruction that waits for its destination; ``operands[0]`` is where it goes if none comes."""

    kind: type[Instruction]
    operands: list[Any]
    mask: Mask | None


def result(
    kind: type[Instruction],
    shape: Any,
    dtype: Any,
    *operands: Any,
    mask: Mask | None = None,
    space: Space = SBUF,
) -> OldTensor:
    """Holds an instruction back and returns the tile that it would make."""
    settle()
    made = make(shape, dtype, space)
    launch().pending = Pending(kind, [made, *operands], mask)
    return made


def settle() -> None:
    """Issues the instruction that was held back, if there is one."""
    here = launch()
    waiting, here.pending = here.pending, None
    if waiting is not None:
        emit(waiting.kind, *waiting.operands, mask=waiting.mask)


def emit(kind: type[Instruction], *operands: Any, mask: Mask | None = None) -> None:
    """Issues an instruction on the part of its tiles that the mask leaves."""
    run = running()
    chosen = None
    if mask is not None:
        cut = _masked(operands, mask)
        if cut is None:
            return
        operands, chosen = cut
    settled = tuple(v.checked() if isinstance(v, OldTensor) else v for v in operands)
    settled = settled + tuple(f.default for f in fields(kind)[len(settled) :])
    key = key_of(kind, settled)
    entry = run.entries.get(key) or run.enter(kind, settled, key)
    run.issue(entry, settled, chosen)


def _masked(
    operands: tuple[Any, ...], mask: Mask
) -> tuple[tuple[Any, ...], np.ndarray | None] | None:
    """The operands cut to a mask's box, and which elements of it; None when nothing is left."""
    tiles = [v for v in operands if isinstance(v, OldTensor)]
    guide = next((t for t in tiles if _fits(mask, t.shape)), None)
    if guide is None:
        shapes = ", ".join(str(t.shape) for t in tiles)
        raise BadArguments(
            f"a mask over {mask.shape} fits none of the tiles {shapes}", place=running().here()
        )
    ranges, chosen = mask_ranges(mask, guide.shape)
    if any(high <= low for low, high in ranges):
        return None
    return tuple(_cut(v, guide.shape, ranges) for v in operands), chosen


def _fits(mask: Mask, shape: tuple[int, ...]) -> bool:
    return len(mask.shape) == len(shape) and all(
        m in (1, n) for m, n in zip(mask.shape, shape, strict=True)
    )


def _cut(value: Any, shape: tuple[int, ...], ranges: list[tuple[int, int]]) -> Any:
    """A tile cut to the ranges of the dimensions that it shares with the masked tile."""
    if not isinstance(value, OldTensor):
        return value
    if value.shape == shape:
        return value.cut(ranges)
    same = value.ndim == len(shape)
    mine = [
        r if n == m and (same or axis == 0) else (0, n)
        for axis, (n, (m, r)) in enumerate(
            zip(value.shape, _padded(shape, ranges, value.ndim), strict=False)
        )
    ]
    return value.cut(mine)


def _padded(
    shape: tuple[int, ...], ranges: list[tuple[int, int]], ndim: int
) -> list[tuple[int, tuple[int, int]]]:
    pairs = list(zip(shape, ranges, strict=True))
    return [*pairs, *[(-1, (0, 0))] * (ndim - len(pairs))]


def assign(dst: OldTensor, value: Any) -> None:
    """``dst[...] = value``: the waiting instruction's destination, a copy, or a fill."""
    waiting = launch().pending
    if waiting is not None and value is waiting.operands[0] and _may_write(waiting, dst, value):
        launch().pending = None
        target = _shaped(dst, value.shape)
        emit(waiting.kind, target, *waiting.operands[1:], mask=waiting.mask)
        value.buffer, value.layout, value.offset = target.buffer, target.layout, target.offset
        value.sig, value.axes = target.sig, target.axes
        return
    settle()
    if isinstance(value, LoopSum):
        value.into(dst)
    elif not isinstance(value, Tile):
        emit(Memset, dst, value)
    elif not _same_place(dst, value):
        _copy(dst, value)


def _may_write(waiting: Pending, dst: OldTensor, value: OldTensor) -> bool:
    """Whether the device lets this instruction write there; else its result is copied."""
    if value.size != dst.size:
        return False
    if waiting.kind is NcMatmul:
        return dst.space is PSUM
    if waiting.kind is DmaCopy:
        return dst.space is SBUF
    return dst.space not in HBM_SPACES


def _shaped(dst: OldTensor, shape: tuple[int, ...]) -> OldTensor:
    return dst if dst.shape == shape or dst.axes is not None else _reshaped(dst, shape)


def _reshaped(dst: OldTensor, shape: tuple[int, ...]) -> OldTensor:
    try:
        return dst.reshape(shape)  # type: ignore[return-value]
    except Exception:  # noqa: BLE001 - a strided view keeps its own shape; elements agree
        return dst


def _same_place(a: Tile, b: Tile) -> bool:
    return a.buffer is b.buffer and a.offset == b.offset and a.layout is b.layout


def _copy(dst: OldTensor, value: OldTensor) -> None:
    if value.size != dst.size or value.shape != dst.shape:
        value = _broadcast(value, dst.shape) if value.size != dst.size else value
    if dst.space in HBM_SPACES or value.space in HBM_SPACES:
        emit(DmaCopy, dst, value)
    else:
        emit(TensorCopy, dst, value)


def _broadcast(value: OldTensor, shape: tuple[int, ...]) -> OldTensor:
    from trnlab.nki.tensor import NkiTensor  # noqa: PLC0415

    return NkiTensor.broadcast_to(value, shape)  # type: ignore[return-value]


def add_into(dst: OldTensor, value: Any) -> OldTensor:
    """``dst += value``: accumulation on the tensor engine, else an addition in place."""
    waiting = launch().pending
    if (
        waiting is not None
        and value is waiting.operands[0]
        and waiting.kind is NcMatmul
        and dst.space is PSUM
    ):
        launch().pending = None
        operands = [_shaped(dst, value.shape), *waiting.operands[1:]]
        operands[6] = True  # accumulate
        emit(waiting.kind, *operands, mask=waiting.mask)
        return dst
    from trnlab.nki.legacy import math  # noqa: PLC0415

    settle()
    if isinstance(value, Tile) and value.size == dst.size:
        emit(TensorTensor, dst, dst, value, "add")
    else:
        assign(dst, math.add(dst, value))
    return dst


@dataclass(eq=False)
class LoopSum:
    """``nl.loop_reduce``: adds up over the iterations of loops, in the tensor it is assigned to."""

    value: OldTensor
    op: Any
    first: bool
    mask: Mask | None = None

    def into(self, dst: OldTensor) -> None:
        """The first iteration writes, later ones combine."""
        if self.first:
            _copy(dst, self.value)
        else:
            emit(TensorTensor, dst, dst, self.value, self.op, mask=self.mask)
