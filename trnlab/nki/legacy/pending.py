"""Instructions whose destination is not known yet.

In the older API an instruction returns its result as a new tile. When the next thing the kernel
does is to assign that tile (``dst[...] = nisa.activation(...)``, ``psum += nisa.nc_matmul(...)``)
the instruction writes there and the tile never exists. So the last instruction is held back until
the next one, or an assignment, tells.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

from trnlab import formats
from trnlab.errors import OutOfBounds
from trnlab.isa.dma import DmaCopy, DmaTranspose
from trnlab.isa.elementwise import TensorTensor
from trnlab.isa.instruction import Instruction
from trnlab.isa.matmul import NcMatmul, NcTranspose
from trnlab.isa.move import Memset, TensorCopy
from trnlab.isa.tile import HBM_SPACES, PSUM, SBUF, Layout, Space, Tile, layout, row_major
from trnlab.nki.jit import launch, running
from trnlab.nki.legacy import masking
from trnlab.nki.legacy.issuing import emit, on_sbuf, turns_into
from trnlab.nki.legacy.tensor import OldTensor
from trnlab.nki.loops.repeats import look
from trnlab.nki.tensor import NkiTensor
from trnlab.nki.tensors import check_shape

__all__ = ["LoopSum", "add_into", "assign", "emit", "result", "settle"]

ACCUMULATE = 6  # where NcMatmul has it

_layouts: dict[Any, Layout] = {}  # of new tiles: memory, dtype and shape as asked for


@dataclass(eq=False)
class Pending:
    """An instruction without a destination; it goes to ``made``, a new tile, if none comes."""

    kind: type[Instruction]
    made: OldTensor
    operands: tuple[Any, ...]
    mask: Any
    place: int  # where the kernel asked for it

    def issue(self, dst: OldTensor, operands: tuple[Any, ...]) -> None:
        """Issues it, as if where it was asked for."""
        run = running()
        run.at = self.place
        try:
            if dst is self.made:
                dst.appear(run)
            emit(self.kind, dst, *operands, mask=self.mask)
        finally:
            run.at = None


def result(
    kind: type[Instruction],
    shape: Any,
    dtype: Any,
    *operands: Any,
    mask: Any = None,
    space: Space = SBUF,
) -> OldTensor:
    """Holds an instruction back and returns the tile that it would make."""
    known = None if mask is None else masking.settled(mask)
    here = launch()
    if here.pending is not None:
        settle()
    shape = tuple(shape)
    found = _layouts.get((space, dtype, shape))
    if found is None:
        sizes = check_shape(shape)
        columns = max(1, prod(sizes[1:]))
        found = layout(space, formats.format_of(dtype), sizes, row_major(sizes), columns)
        _layouts[space, dtype, shape] = found
    made = OldTensor.promised(found)
    here.pending = Pending(kind, made, operands, known, here.run.place())
    here.settle = settle
    return made


def settle() -> None:
    """Issues the instruction that was held back, if there is one."""
    here = launch()
    waiting = here.pending
    if waiting is not None:
        here.pending = None
        waiting.issue(waiting.made, waiting.operands)


def assign(dst: Any, value: Any) -> None:
    """``dst[...] = value``: the waiting instruction's destination, a copy, or a fill."""
    if hasattr(dst, "scatter"):  # addresses that data decides
        settle()
        dst.scatter(value)
        return
    waiting = launch().pending
    if waiting is not None and value is waiting.made and _may_write(waiting, dst, value):
        launch().pending = None
        target = _shaped(dst, value.shape)
        waiting.issue(target, waiting.operands)
        value.storage, value.layout, value.offset = target.storage, target.layout, target.offset
        value.sig, value.axes = target.sig, target.axes
        return
    settle()
    if isinstance(value, LoopSum):
        value.into(dst)
    elif not isinstance(value, OldTensor):
        emit(Memset, dst, value)
    elif not _same_place(dst, value):
        if dst.storage.place == value.storage.place and dst.layout is value.layout:
            look()  # parts of one tensor: in other iterations they may be the same part
        copy_into(dst, value)


def _may_write(waiting: Pending, dst: OldTensor, value: OldTensor) -> bool:
    """Whether the device lets this instruction write there; else its result is copied."""
    if value.size != dst.size or value.partitions != dst.partitions:
        return False
    if waiting.kind is NcMatmul:
        return dst.space is PSUM
    if waiting.kind in (DmaCopy, DmaTranspose):
        return dst.space is SBUF
    if waiting.kind is NcTranspose:
        return turns_into(dst, waiting.operands[0], value.space)
    return dst.space not in HBM_SPACES


def _shaped(dst: OldTensor, shape: tuple[int, ...]) -> OldTensor:
    """The destination in the shape of the result, unless its strides do not allow that."""
    if dst.shape == shape or dst.axes is not None:
        return dst
    try:
        return dst.reshape(shape)  # type: ignore[return-value]
    except OutOfBounds:
        return dst


def _same_place(a: Tile, b: Tile) -> bool:
    return a.storage is b.storage and a.offset == b.offset and a.layout is b.layout


def copy_into(dst: OldTensor, value: OldTensor, mask: Any = None) -> None:
    """Copies a tile, repeating its free dimensions of size 1 where the destination is larger."""
    if value.size != dst.size:
        value = NkiTensor.broadcast_to(value, dst.shape)  # type: ignore[assignment]
    if dst.space in HBM_SPACES or value.space in HBM_SPACES:
        emit(DmaCopy, dst, on_sbuf(value) if value.space is PSUM else value, mask=mask)
    else:
        emit(TensorCopy, dst, value, mask=mask)


def add_into(dst: OldTensor, value: Any) -> OldTensor:
    """``dst += value``: accumulation on the tensor engine, else an addition in place."""
    waiting = launch().pending
    if (
        waiting is not None
        and value is waiting.made
        and waiting.kind is NcMatmul
        and dst.space is PSUM
    ):
        launch().pending = None
        operands = waiting.operands
        added = (*operands[: ACCUMULATE - 1], True, *operands[ACCUMULATE:])
        waiting.issue(_shaped(dst, value.shape), added)
        return dst
    from trnlab.nki.legacy import math

    settle()
    if isinstance(value, LoopSum):
        value = value.value
    if isinstance(value, OldTensor) and value.size == dst.size and dst.axes is None:
        emit(TensorTensor, dst, dst, _beside(dst, value), "add")
    else:
        assign(dst, math.binary("add", dst, value))
    return dst


def _beside(dst: OldTensor, value: Any) -> Any:
    """Only one input of an instruction may be in PSUM."""
    return on_sbuf(value) if dst.space is PSUM and value.space is PSUM else value


@dataclass(eq=False)
class LoopSum:
    """``nl.loop_reduce``: adds up over the iterations of loops, in the tensor it is assigned to."""

    value: OldTensor
    op: Any
    first: bool
    mask: Any = None

    def into(self, dst: OldTensor) -> None:
        """The first iteration writes, later ones combine."""
        program = running().program
        before = program.count
        self._combine(dst)
        program.reduced.update(range(before, program.count))

    def _combine(self, dst: OldTensor) -> None:
        if self.first:
            copy_into(dst, self.value, self.mask)
        else:
            emit(TensorTensor, dst, dst, _beside(dst, self.value), self.op, mask=self.mask)
