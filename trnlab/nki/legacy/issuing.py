"""From a call of the older API to instructions that the device takes.

The older compiler cuts instructions to their masks and inserts copies where an engine cannot reach
an operand or cannot write the dtype asked for. Those copies are instructions like any other.
"""

from typing import Any

from trnlab import formats
from trnlab.errors import BadArguments
from trnlab.isa.dma import DmaCopy, DmaTranspose
from trnlab.isa.instruction import Instruction, Queue
from trnlab.isa.matmul import NcMatmul, NcTranspose
from trnlab.isa.move import TensorCopy
from trnlab.isa.tile import PSUM, SBUF, Space, Tile
from trnlab.nki.indirect import IndirectTensor, issue_indirect
from trnlab.nki.issue import key_of
from trnlab.nki.jit import running
from trnlab.nki.legacy import masking
from trnlab.nki.legacy.index import Mask
from trnlab.nki.legacy.tensor import OldTensor
from trnlab.nki.loops.repeats import look
from trnlab.nki.tensors import given, make

VECTOR_TRANSPOSE = 32  # rows and columns that the vector engine transposes


def emit(kind: type[Instruction], *operands: Any, mask: Any = None) -> None:
    """Issues an instruction on the part of its tiles that the mask leaves."""
    known = True if mask is None else masking.settled(mask)
    if kind is NcMatmul:
        operands = masking.masked_inputs(operands) or ()
        if not operands:
            look()
            return
    found = masking.cut(kind, operands, known) if isinstance(known, Mask) else (operands, None)
    if known is False or found is None:
        look()  # other iterations may leave something
        return
    operands, chosen = found
    operands = tuple([v.checked() if v.__class__ is OldTensor else v for v in operands])
    *before, last = _lowered(kind, operands)
    for each, parts in before:
        issue(each, parts, chosen if each is kind else None)
    issue(*last, chosen)


def issue(kind: type[Instruction], operands: tuple[Any, ...], chosen: Any = None) -> None:
    """Issues one instruction as it is, storing results only where ``chosen`` says."""
    run = running()
    if len(operands) < len(kind.parameters):
        operands += tuple(f.default for f in kind.parameters[len(operands) :])
    if any(isinstance(operand, IndirectTensor) for operand in operands):
        _issue_moved(kind, operands, chosen)
        return
    key = key_of(kind, operands)
    entry = run.entries.get(key) or run.enter(kind, operands, key)
    run.issue(entry, operands, chosen)


def _issue_moved(kind: type[Instruction], operands: tuple[Any, ...], chosen: Any) -> None:
    """A copy within the chip, from or to an address that data decides."""
    if kind is not TensorCopy or chosen is not None:
        raise BadArguments(
            f"{kind.name}: a number in a tile cannot say where in SBUF or PSUM an operand begins",
            limit="only copies have dynamic addresses, and no mask over several dimensions",
            fix="copy it first: nisa.tensor_copy_dynamic_src(tile[i_p, index, i_f])",
            place=running().here(),
            see="nki.isa.tensor_copy_dynamic_src",
        )
    issue_indirect(running(), kind, operands)


Steps = list[tuple[type[Instruction], tuple[Any, ...]]]


def _lowered(kind: type[Instruction], operands: tuple[Any, ...]) -> Steps:
    """The instruction, with the copies before and after it that the device needs."""
    if kind is NcMatmul:
        return _with_inputs(kind, operands, (1, 2))
    if kind is NcTranspose:
        return _transpose(operands)
    if kind is DmaTranspose and operands[0].dtype != operands[1].dtype:
        dst, src, *rest = operands
        turned = make(dst.shape, src.dtype, SBUF)
        return [(kind, (turned, src, *rest)), (TensorCopy, (dst, turned))]
    if kind is DmaCopy and operands[1].space is PSUM:
        return _with_inputs(kind, operands, (1,))
    if kind.engines == ("gpsimd",):
        return _away_from_psum(kind, operands)
    return [(kind, operands)]


def _with_inputs(
    kind: type[Instruction], operands: tuple[Any, ...], inputs: tuple[int, ...]
) -> Steps:
    """Inputs that are in PSUM are copied to SBUF first."""
    steps: Steps = []
    moved = list(operands)
    for place in inputs:
        tile = operands[place]
        if isinstance(tile, Tile) and tile.space is PSUM:
            moved[place] = make(tile.shape, tile.dtype, SBUF)
            steps.append((TensorCopy, (moved[place], tile)))
    return [*steps, (kind, tuple(moved))]


def _away_from_psum(kind: type[Instruction], operands: tuple[Any, ...]) -> Steps:
    """GpSimd reaches SBUF only: inputs are copied there, and results back."""
    dst = operands[0]
    inputs = tuple(place for place in range(1, len(operands)))
    if not isinstance(dst, Tile) or dst.space is not PSUM:
        return _with_inputs(kind, operands, inputs)
    made = make(dst.shape, dst.dtype, SBUF)
    return [*_with_inputs(kind, (made, *operands[1:]), inputs), (TensorCopy, (dst, made))]


def _transpose(operands: tuple[Any, ...]) -> Steps:
    """The tensor engine goes from SBUF to PSUM; no engine casts on the way."""
    dst, data, *rest = operands
    engine = rest[0] if rest else Queue.unknown
    space = transposed_in(data, engine)
    turned = dst if turns_into(dst, data, space) else make(dst.shape, data.dtype, space)
    steps: Steps = [(NcTranspose, (turned, data, *rest))]
    if turned.space is PSUM and engine is not Queue.vector:
        steps = _with_inputs(NcTranspose, (turned, data, *rest), (1,))
    return steps if turned is dst else [*steps, (TensorCopy, (dst, turned))]


def turns_into(dst: OldTensor, data: OldTensor, space: Space) -> bool:
    """Whether a transpose may write there; PSUM takes fp32 whatever the data is."""
    wide = dst.space is PSUM and formats.name(dst.dtype) == "float32"
    return dst.space in (space, PSUM) and (dst.dtype == data.dtype or wide)


def transposed_in(data: OldTensor, engine: Any) -> Space:
    """Where a transpose lands: in PSUM if the tensor engine does it."""
    small = data.partitions <= VECTOR_TRANSPOSE and data.free <= VECTOR_TRANSPOSE
    return SBUF if engine is Queue.vector or (engine is Queue.unknown and small) else PSUM


def on_sbuf(tile: Any, dtype: Any = None) -> Any:
    """A tile in SBUF and, if asked for, in another dtype; copied only where it has to be."""
    if tile.space is SBUF and dtype in (None, tile.dtype):
        return tile
    made = make(tile.shape, given(dtype, tile.dtype), SBUF)
    emit(TensorCopy, made, tile)
    return made
