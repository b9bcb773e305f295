"""Whether a tensor fits on a chip at all, where it is put."""

from dataclasses import replace
from typing import Any

from trnlab.errors import OutOfMemory
from trnlab.isa.rules import ALLOCATED, since
from trnlab.isa.tile import Buffer, Space
from trnlab.sim.timing.capacity import PSUM_ALIGN, misplaced


def fits(made: Buffer, run: Any) -> bool:
    """Whether a tensor of a `Run` fits in its memory; reports it if not."""
    before, core = len(run.found), run.core
    memory = core.sbuf if made.space is Space.sbuf else core.psum
    if made.base_partition + made.shape[0] > memory.partitions:
        run.report(
            OutOfMemory,
            f"{made.name} spans {made.shape[0]} partitions",
            {"tensor": f"{made.space.name} {made.dtype} {list(made.shape)}"},
            f"{memory.partitions} partitions",
            "put the partition dimension first and tile it by 128",
            "nki.language.ndarray",
        )
    end = made.base_byte + made.row_bytes
    if end > memory.usable:
        run.report(
            OutOfMemory,
            f"{made.name} ends at byte {end:,} of its partition in {made.space.name}",
            {"tensor": f"{made.space.name} {made.dtype} {list(made.shape)}",
             "over": f"{end - memory.usable:,} bytes a partition"},
            f"{memory.usable:,} bytes a partition on {core.name}",
            "use a smaller tile, or a narrower dtype",
            "nki.language.ndarray",
        )  # fmt: skip
    if made.address is not None:
        _check_address(made, run)
    return len(run.found) == before


def _check_address(made: Buffer, run: Any) -> None:
    """Where a kernel may put a tensor; the older API's placing turns its compiler strict."""
    current = since("0.2").covers(run.compiler)
    if not current:
        run.compiler = replace(run.compiler, modes=frozenset({ALLOCATED}))
    unit = run.core.psum.bank if current else PSUM_ALIGN
    if made.space is Space.psum and made.base_byte % unit:
        run.tell(misplaced(made, unit, run.here()))
