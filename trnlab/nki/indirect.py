"""Views whose place is decided while the kernel runs: by a register, or by a tile of indices.

Nobody but the device knows where such a view lies, so the schedule takes it to be anywhere in its
tensor. Values are computed on a copy of the elements in question, which for a written operand go
back to their places afterwards.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from math import prod
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.errors import BadArguments, IllegalInstruction, OutOfBounds, ProgramError, Race
from trnlab.isa.dma import (
    DgeMode,
    DmaCompute,
    DmaCopy,
    DmaTranspose,
    GatherTranspose,
    OobMode,
)
from trnlab.isa.indirect import contest, contested
from trnlab.isa.instruction import Instruction
from trnlab.isa.tile import SBUF, Buffer, Layout, Tile, layout, row_major, whole
from trnlab.nki.addressing import ONE, ROWS, SNAKE, check
from trnlab.nki.issue import key_of
from trnlab.nki.jit import running
from trnlab.nki.registers import VirtualRegister
from trnlab.nki.tensor import NkiTensor
from trnlab.sim.core import Run
from trnlab.sim.values.execute import Entry

GROUP, GROUP_TENSOR = 16, 32  # partitions whose indices are read column by column
_scratch = count(-1, -1)  # numbers of tensors that are in no program


@dataclass(frozen=True)
class Address:
    """Where a view begins: ``index`` times ``step`` elements further, for an index in ``limit``."""

    kind: str
    index: Any
    step: int
    limit: int


class IndirectTensor(NkiTensor):
    """A view that begins where a register or a tile of indices says."""

    __slots__ = ("address",)

    def __init__(self, storage: Buffer, layout: Layout, offset: int, address: Address) -> None:
        # No `sig`: what is known of an instruction depends on what the indices turn out to be.
        self.storage, self.layout, self.offset, self.address = storage, layout, offset, address

    def elements_at(
        self, shape: tuple[int, ...], strides: tuple[int, ...], offset: int
    ) -> "IndirectTensor":
        if self.address.kind is not ONE and shape[:1] != self.shape[:1]:
            limit = "the first dimension stays as it is"
            raise self._refused("is indexed by a tile and cannot be cut", limit)
        here = self.layout
        made = layout(here.space, here.dtype, shape, strides, here.pitch)
        return IndirectTensor(self.storage, made, offset, self.address)

    def __getitem__(self, key: Any) -> NkiTensor:
        return self._index(key if isinstance(key, tuple) else (key,))

    def is_indirect(self) -> bool:
        return True

    def view(self, dtype: Any) -> NkiTensor:
        raise self._refused(f"cannot be read as {dtype}", "view before the index is applied")

    def plain(self, offset: int | None = None) -> NkiTensor:
        """The view at a known place."""
        return NkiTensor(self.storage, self.layout, self.offset if offset is None else offset)


def at(tensor: NkiTensor, address: Address) -> NkiTensor:
    """A view that begins where an address says; one index a view."""
    if tensor.is_indirect():
        raise tensor._refused("is indexed by data already", "one such index")
    index = address.index
    if isinstance(index, Tile):
        good = formats.is_integer(index.dtype) and index.space is SBUF
        if not good or (address.kind is ONE and index.size != 1):
            wanted = "one integer" if address.kind is ONE else "integers"
            raise BadArguments(
                f"{tensor.storage.name} is indexed with {index.describe()}",
                limit=f"{wanted} in SBUF, or a register",
                place=running().here(),
                see="nki.language.NkiTensor",
            )
    return IndirectTensor(tensor.storage, tensor.layout, tensor.offset, address)


@dataclass
class _Operand:
    """An indirect operand of one instruction, found while it is issued."""

    tile: Tile  # what the instruction computes on
    priced: Tile  # what it is checked and priced as
    after: Callable[[], None] | None = None  # puts results where they belong
    inside: np.ndarray | None = None  # which rows exist, if not all


@dataclass
class _Issue:
    """One instruction with indirect operands."""

    run: Run
    kind: type[Instruction]
    skip: bool
    found: dict[tuple[int, bool], _Operand] = field(default_factory=dict)  # by view, if written
    nothing: bool = False  # an index leaves its tensor, and the transfer is skipped

    def resolve(self, tensor: IndirectTensor, written: bool) -> None:
        """Finds out where an operand is."""
        if tensor.address.kind is ONE:
            self.found[id(tensor), written] = self._one(tensor)
        else:
            self.found[id(tensor), written] = self._many(tensor, written)

    def replaced(
        self, given: dict[str, Any], chosen: Callable[[_Operand], Tile]
    ) -> tuple[Any, ...]:
        """The operands with a tile for each indirect view."""

        def of(value: Any, written: bool) -> Any:
            if isinstance(value, IndirectTensor):
                return chosen(self.found[id(value), written])
            if isinstance(value, (list, tuple)):
                return type(value)(of(part, written) for part in value)
            return value

        return tuple(of(value, name in self.kind.writes) for name, value in given.items())

    def _one(self, tensor: IndirectTensor) -> _Operand:
        here, run = tensor.address, self.run
        value = 0
        if isinstance(here.index, VirtualRegister):
            value = here.index.address()
        elif run.values:
            value = int(run.executor.show(here.index).item())
        else:
            run.note("addresses that data decides were not known and taken to be 0")
        plain = tensor.plain(tensor.offset + value * here.step)
        if not 0 <= value < here.limit or not _inside(plain):
            if not self.skip:
                raise _outside(tensor, value)
            self.nothing = True
            plain = tensor.plain()
        return _Operand(plain, plain)

    def _many(self, tensor: IndirectTensor, written: bool) -> _Operand:
        here = tensor.layout
        inner = max(
            (s * n for s, n in zip(here.strides[1:], here.shape[1:], strict=True)), default=1
        )
        apart = (inner + 1, *here.strides[1:])  # rows that lie anywhere are never one run
        on_chip = here.on_chip
        strides = here.strides if on_chip else apart
        priced = _shaped(tensor, here.shape, strides)
        if not self.run.values:
            return _Operand(priced, priced)
        rows, where, inside = self._places(tensor)
        made = _copy_of(tensor)
        operand = _Operand(made, priced, inside=None if inside.all() else inside)
        self.run.executor.groups.flush_for(tensor.storage, writing=written)
        if not written or self.kind.updates:
            self.run.executor.fetch(made, rows, where)
        if written:
            operand.after = lambda: self._put(made, rows, where, inside)
        return operand

    def _put(
        self, made: Tile, rows: Tile, where: tuple[np.ndarray, ...], inside: np.ndarray
    ) -> None:
        chosen: Any = ...
        if inside.ndim == 1:
            where, chosen = (where[0][inside],), inside
            self._check_unique(rows, where[0], self.run.executor.show(made)[inside])
        self.run.executor.put(rows, where, made, chosen)

    def _check_unique(self, rows: Tile, listed: np.ndarray, values: np.ndarray) -> None:
        """Sums that meet in one row are lost on the device, and rows are written in no order."""
        if self.kind is not DmaCompute and contested(listed, values):
            self.run.report(Race, *contest(rows.storage.name, rows.describe()))
        if self.kind is DmaCompute and len(np.unique(listed)) < len(listed):
            self.run.report(
                IllegalInstruction,
                "dma_compute adds to one row twice",
                {"tensor": rows.describe()},
                "every index once (unique_indices)",
                "add up rows with equal indices before",
                "nki.isa.dma_compute",
            )

    def _places(self, tensor: IndirectTensor) -> tuple[Tile, tuple[np.ndarray, ...], np.ndarray]:
        """The elements to choose from, the indices of those chosen, and which of them exist."""
        here, address = tensor.layout, tensor.address
        listed = self.run.executor.show(address.index).astype(np.int64)
        if address.kind is SNAKE:
            return self._snake(tensor, listed)
        inner = sum(s * (n - 1) for s, n in zip(here.strides[1:], here.shape[1:], strict=True))
        elements = tensor.storage.nbytes // here.itemsize
        limit = min(address.limit, (elements - 1 - tensor.offset - inner) // address.step + 1)
        strides = (address.step, *here.strides[1:])
        shape = (max(1, limit), *here.shape[1:])
        rows = _shaped(tensor, shape, strides)
        chosen = listed.reshape(listed.shape[0], -1).T.ravel()[: here.shape[0]]
        _check_count(tensor, len(chosen), here.shape[0])
        inside = (chosen >= 0) & (chosen < limit)
        if not inside.all() and not self.skip:
            raise _outside(tensor, int(chosen[~inside][0]), limit)
        return rows, (np.where(inside, chosen, 0),), inside

    def _snake(
        self, tensor: IndirectTensor, listed: np.ndarray
    ) -> tuple[Tile, tuple[np.ndarray, ...], np.ndarray]:
        height, wide = tensor.shape
        group = GROUP_TENSOR if "tensor" in self.kind.engines else GROUP
        blocks = [
            listed[first : first + group].T.ravel()[:wide] for first in range(0, height, group)
        ]
        _check_count(tensor, min(map(len, blocks)), wide)
        columns = np.repeat(np.array(blocks), group, axis=0)[:height]
        limit = tensor.address.limit
        if columns.min() < 0 or columns.max() >= limit:
            raise _outside(tensor, int(columns[(columns < 0) | (columns >= limit)][0]))
        here = tensor.layout
        shape, strides = (height, limit), (here.strides[0], tensor.address.step)
        rows = _shaped(tensor, shape, strides)
        return rows, (np.arange(height)[:, None], columns), np.ones((1, 1), bool)


def issue_indirect(run: Run, kind: type[Instruction], operands: tuple[Any, ...]) -> None:
    """Issues an instruction some of whose operands lie where data says."""
    names = [f.name for f in kind.parameters]
    given = dict(zip(names, operands, strict=True))
    issue = _Issue(run, kind, given.get("oob_mode") is OobMode.skip)
    views: list[IndirectTensor] = []
    for name, value in given.items():
        for part in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(part, IndirectTensor):
                issue.resolve(part, name in kind.writes)
                views.append(part)
    priced = issue.replaced(given, lambda operand: operand.priced)
    check(run, kind, given, kind(*priced).queue)
    if any(v.address.kind is ROWS for v in views) and "dge_mode" in given:
        here = names.index("dge_mode")
        priced = (*priced[:here], DgeMode.swdge, *priced[here + 1 :])
        kind = GatherTranspose if kind is DmaTranspose else kind
    # Rules refuse to skip where nothing is indexed; here something is.
    priced = tuple(OobMode.error if value is OobMode.skip else value for value in priced)
    entry = run.enter_dynamic(kind, priced, key_of(kind, priced), len(views))
    run.record(entry, _touched(entry, operands, views))
    if issue.nothing or not run.values:
        return
    actual = issue.replaced(given, lambda operand: operand.tile)
    run.compute(entry, actual, _mask(kind, actual[names.index("dst")], issue))
    for operand in issue.found.values():
        if operand.after is not None:
            operand.after()


def _touched(entry: Entry, operands: tuple[Any, ...], views: list[IndirectTensor]) -> list[Tile]:
    """What may be written and read: of an indirect operand all its tensor, and the index."""
    touched = [operands[p] if i < 0 else operands[p][i] for p, i in entry.picks]
    touched = [whole(t.storage) if isinstance(t, IndirectTensor) else t for t in touched]
    indices = (v.address.index for v in views)
    return [*touched, *(i.tile if isinstance(i, VirtualRegister) else i for i in indices)]


def _mask(kind: type[Instruction], dst: Tile, issue: _Issue) -> np.ndarray | None:
    """Where a transfer that skips rows writes."""
    gaps = [o.inside for o in issue.found.values() if o.inside is not None and o.after is None]
    if not gaps:
        return None
    if kind not in (DmaCopy, DmaCompute) or dst.shape[0] != len(gaps[0]):
        raise BadArguments(
            f"{kind.name} skips rows of a source that is not shaped as dst",
            {"dst": dst.describe()},
            "one row of dst for every index",
            running().here(),
            see=kind.page,
        )
    rows = np.logical_and.reduce(gaps)
    return np.broadcast_to(rows.reshape(-1, *(1,) * (dst.ndim - 1)), dst.shape)


def _check_count(tensor: IndirectTensor, given: int, wanted: int) -> None:
    if given < wanted:
        raise BadArguments(
            f"{tensor.storage.name} is indexed with {given} indices for {wanted} places",
            {"tensor": tensor.describe(), "index": tensor.address.index.describe()},
            "an index for each row; for .indirect(), 16 x its columns (32 on the tensor engine)",
            running().here(),
            see="nki.language.NkiTensor",
        )


def _shaped(tensor: NkiTensor, shape: tuple[int, ...], strides: tuple[int, ...]) -> Tile:
    """Another access to a tensor, from where the view begins."""
    here = tensor.layout
    made = layout(here.space, here.dtype, shape, strides, here.pitch)
    return Tile(tensor.storage, made, tensor.offset)


def _copy_of(tensor: IndirectTensor) -> Tile:
    """An empty tensor with the shape and the place of a view."""
    held, here = tensor.storage, tensor.layout
    row = (held.base_partition + tensor.offset // here.pitch, held.base_byte)
    address = row if here.on_chip else None
    name = held.name
    return whole(Buffer(next(_scratch), name, here.space, here.dtype, here.shape, address))


def _inside(tile: Tile) -> bool:
    """Whether all of a tile lies in its tensor."""
    here = tile.layout
    low = tile.offset - here.below
    reach = sum(abs(s) * (n - 1) for s, n in zip(here.strides, here.shape, strict=True))
    return low >= 0 and low + reach < tile.storage.nbytes // here.itemsize


def _outside(tensor: IndirectTensor, value: int, limit: int | None = None) -> ProgramError:
    most = tensor.address.limit if limit is None else limit
    return OutOfBounds(
        f"{tensor.storage.name} is indexed by data with {value}",
        {"tensor": tensor.describe()},
        f"0 to {most - 1}",
        running().here(),
        "oob_mode.skip leaves out what is outside (DMA only)",
        "nki.isa.oob_mode",
    )


def access_pattern(
    tensor: NkiTensor, plain: NkiTensor, scalar: Any, vector: Any, dim: int
) -> NkiTensor:
    """`NkiTensor.ap` with an index: ``plain`` is the pattern where the index is 0."""
    if scalar is not None and vector is not None:
        raise BadArguments(
            "an access pattern takes scalar_offset or vector_offset, not both",
            {"tensor": tensor.describe()},
            place=running().here(),
            see="nki.language.NkiTensor.ap",
        )
    if not 0 <= dim < tensor.ndim or (vector is not None and dim):
        limit = "0 with vector_offset" if vector is not None else f"0 to {tensor.ndim - 1}"
        raise tensor._refused(f"has no indirect_dim {dim}", limit)
    step = tensor.strides[dim] * tensor.itemsize // plain.itemsize
    if isinstance(scalar, (int, np.integer)):
        return plain.elements_at(plain.shape, plain.strides, plain.offset + int(scalar) * step)  # type: ignore[return-value]
    kind = ONE if vector is None else ROWS
    return at(plain, Address(kind, scalar if vector is None else vector, step, tensor.shape[dim]))


def columns(tensor: NkiTensor, index: Any, num_elem: int | None) -> NkiTensor:
    """`NkiTensor.indirect`: columns that the indices of each group of partitions list."""
    flat = tensor.reshape((tensor.shape[0], prod(tensor.shape[1:])))
    if not isinstance(index, Tile) or index.shape[0] != flat.shape[0]:
        raise tensor._refused("indirect: index is not as tall as the tensor", "one row a partition")
    chosen = index.size if num_elem is None else num_elem
    here = flat.layout
    shape = (flat.shape[0], chosen)
    made = layout(
        here.space, here.dtype, shape, (here.strides[0], *row_major(shape)[1:]), here.pitch
    )
    view = NkiTensor(flat.storage, made, flat.offset)
    return at(view, Address(SNAKE, index, flat.strides[1], flat.shape[1]))
