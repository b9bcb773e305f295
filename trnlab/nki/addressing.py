"""What holds for operands whose place data decides, whatever the instruction does with them.

Which operands of which instructions, on which engines: their pages, sections "Tensor indirection"
and "DMA indirect transpose constraints" (NKI API reference 2.32).
"""

from collections.abc import Iterator
from typing import Any

from trnlab import formats
from trnlab.errors import IllegalInstruction
from trnlab.isa.dma import DgeMode, DmaTranspose, Transfer
from trnlab.isa.instruction import Instruction
from trnlab.isa.matmul import NcMatmul
from trnlab.isa.rules import since
from trnlab.isa.tile import PSUM, Tile
from trnlab.sim.core import Run

ONE, ROWS, SNAKE = "one index", "an index a row", "indices of sixteen partitions"
QUADRANT = 32
ARRAY = ("float16", "bfloat16", "float8_e4m3", "float8_e5m2", "float8_e4m3fn")

Broken = tuple[str, Tile, str]  # what the instruction does, the operand, the limit


def check(run: Run, kind: type[Instruction], given: dict[str, Any], queue: str) -> None:
    """Reports what an instruction may not do with the views among its operands.

    ``queue`` is where it would run if all its operands were plain.
    """
    views = {
        f"{name}[{n}]" if len(held) > 1 else name: part
        for name, value in given.items()
        for held in [value if isinstance(value, (list, tuple)) else (value,)]
        for n, part in enumerate(held)
        if getattr(part, "address", None) is not None
    }
    columns = {n: v for n, v in views.items() if v.address.kind is SNAKE}
    found = [*_places(run, kind, given, views), *_columns(run, kind, given, columns, queue)]
    for what, view, limit in found:
        operand = {"operand": view.describe()}
        run.report(IllegalInstruction, f"{kind.name} {what}", operand, limit, see=kind.page)


def _places(
    run: Run, kind: type[Instruction], given: dict[str, Any], views: dict[str, Any]
) -> Iterator[Broken]:
    """What indexes what: transfers take one address or one a row, engines take columns."""
    mode, moved = given.get("dge_mode"), issubclass(kind, Transfer)
    for view in views.values():
        how = view.address.kind
        if how is ROWS and mode not in (None, DgeMode.unknown, DgeMode.swdge):
            limit = "dge_mode.swdge or dge_mode.unknown"
            yield "cannot take an index for every row", view, limit
        elif how is ONE and mode is DgeMode.none:
            limit = "a dge_mode that writes descriptors"
            yield "cannot take an address that data decides", view, limit
        elif how is ROWS and (not moved or view.layout.on_chip):
            limit = "transfers to or from HBM"
            yield "cannot take an index for every row", view, limit
        elif how is SNAKE and (moved or "indirect_views" not in run.core.can):
            limit = "engines of NeuronCore-v4 and later"
            yield "cannot take indirect columns", view, limit
        elif how is ROWS and kind is DmaTranspose:
            yield from _listed(view)


def _listed(view: Any) -> Iterator[Broken]:
    """The tile of indices of a transpose that gathers."""
    index = view.address.index
    rows, columns = index.shape[0], index.size // index.shape[0]
    if formats.name(index.dtype) != "uint32" or index.ndim != 2:
        yield "gathers by another index", index, "uint32 of two dimensions"
    if not 16 <= rows <= 128 or rows % 16:
        limit = "16 to 128 partitions, a multiple of 16"
        yield "gathers by an index of another height", index, limit
    if columns > 1 and rows != 128:
        limit = "128 partitions where an index has several columns"
        yield "gathers by an index that is too low", index, limit


def _columns(
    run: Run, kind: type[Instruction], given: dict[str, Any], views: dict[str, Any], queue: str
) -> Iterator[Broken]:
    """What the pages say of operands that are ``.indirect()`` views."""
    for name, view in views.items():
        if not since("0.5").covers(run.compiler):
            yield "came with no indirect views", view, "nki 0.5 and later"
        if name not in kind.indirect:
            limit = f"only {' and '.join(sorted(kind.indirect))}" if kind.indirect else "none"
            yield f"takes no indirect view as {name}", view, limit
        if queue == "gpsimd" and kind.name == "tensor_copy":
            limit = "the vector or the scalar engine"
            yield "copies indirect columns on GpSimd", view, limit
        if name == "dst" and queue == "scalar" and view.space is PSUM:
            limit = "a dst in SBUF, or another engine"
            yield "scatters to PSUM on the scalar engine", view, limit
    if views and "tensor" in kind.engines:
        yield from _of_the_array(kind, given, views)
    yield from _placed(kind, given, views)


def _of_the_array(
    kind: type[Instruction], given: dict[str, Any], views: dict[str, Any]
) -> Iterator[Broken]:
    first = next(iter(views.values()))
    if any(given.get("tile_position") or ()):
        limit = "tile_position (0, 0), or none"
        yield "tiles the array for an indirect operand", first, limit
    if kind is NcMatmul:
        for name in ("stationary", "moving"):
            if name in views and formats.name(views[name].dtype) not in ARRAY:
                limit = f"one of {', '.join(ARRAY)}"
                yield f"takes a wide indirect {name}", views[name], limit
        if given.get("is_transpose") and "moving" in views:
            limit = "moving as it lies, where is_transpose is set"
            yield "transposes with an indirect moving", views["moving"], limit
        return
    for name in ("stationary", "moving"):
        both = [views.get(part) for part in (name, f"{name}_scale")]
        if len({None if v is None else _identity(v.address.index) for v in both}) > 1:
            one = next(v for v in both if v is not None)
            limit = f"{name} and {name}_scale indirect by one index, or neither"
            yield f"indexes {name} and its scales apart", one, limit


def _identity(tile: Tile) -> tuple[int, int, int]:
    return tile.storage.index, tile.layout.index, tile.offset


def _placed(
    kind: type[Instruction], given: dict[str, Any], views: dict[str, Any]
) -> Iterator[Broken]:
    """Where operands begin that the kernel placed."""
    main = next((n for n in given if n in kind.indirect and n != "dst"), "")
    source = given.get(main)
    for name, view in views.items():
        index = view.address.index
        if _start(index) % QUADRANT:
            limit = "a multiple of 32"
            yield f"has the index of {name} inside a quadrant", index, limit
        if name != "dst" and not _level(view, index):
            limit = "where its index starts"
            yield f"has {name} beside its index", view, limit
    if "dst" not in views or not isinstance(source, Tile):
        return
    index, level = views["dst"].address.index, source
    if source.space is PSUM:
        if main not in views:
            return
        level = views[main].address.index
    if not _level(index, level):
        limit = f"where {main}{' has its index' if level is not source else ' starts'}"
        yield "has the index of dst elsewhere", index, limit


def _level(one: Tile, other: Tile) -> bool:
    """Whether two tiles start on one partition, as far as the kernel placed both."""
    return None in (one.storage.address, other.storage.address) or _start(one) == _start(other)


def _start(tile: Tile) -> int:
    return 0 if tile.storage.address is None else tile.start_partition
