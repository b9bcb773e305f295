"""Direct allocation: where a kernel of the older API puts its own tiles."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from trnlab.errors import OutOfMemory
from trnlab.isa.tile import PSUM, PSUM_BANK, SBUF, Buffer, Space
from trnlab.sim.core import Run


@dataclass(frozen=True)
class Placement:
    """Says for each logical tile at which byte of its partitions it lies."""

    space: Space
    where: Callable[[tuple[int, ...], int, int], tuple[int, int]]  # index -> partition, byte

    def place(
        self, run: Run, buffer: Buffer, blocks: tuple[int, ...], rows: int, size: int
    ) -> None:
        """Fixes the address of every logical tile of a tensor; reports what lies outside."""
        found = [self.where(idx, rows, size) for idx in np.ndindex(*blocks)] or [
            self.where((), rows, size)
        ]
        limit = (run.core.sbuf if self.space is SBUF else run.core.psum).usable
        worst = max(byte for _, byte in found) + size
        if worst > limit:
            run.report(
                OutOfMemory,
                f"{buffer.name} is placed up to byte {worst:,} of its partitions",
                {"tensor": f"{self.space.name} {buffer.dtype} {[*blocks, rows]} of {size:,} B",
                 "over": f"{worst - limit:,} bytes a partition"},
                f"{limit:,} bytes a partition on {run.core.name}",
                "lower base_addr, or use fewer or smaller tiles",
                "nki.compiler.sbuf.mod_alloc",
            )  # fmt: skip
        run.place_tiles(buffer, found[0][0], tuple(byte for _, byte in found), size)


def sbuf_mod_alloc(
    *, base_addr: int, base_partition: int = 0, num_par_tiles: Any = (), num_free_tiles: Any = ()
) -> Placement:
    """Logical tiles take turns in ``num_free_tiles`` places from ``base_addr`` on."""
    tiles = tuple(num_free_tiles) or (1,)

    def where(idx: tuple[int, ...], _: int, size: int) -> tuple[int, int]:
        return base_partition, base_addr + _rotated(idx, tiles) * size

    return Placement(SBUF, where)


def psum_mod_alloc(
    *, base_bank: int, base_addr: int = 0, base_partition: int = 0, num_bank_tiles: Any = (),
    num_par_tiles: Any = (), num_free_tiles: Any = (),
) -> Placement:  # fmt: skip
    """Logical tiles take turns in ``num_bank_tiles`` banks from ``base_bank`` on."""
    banks = tuple(num_bank_tiles) or (1,)

    def where(idx: tuple[int, ...], _: int, size: int) -> tuple[int, int]:
        return base_partition, (base_bank + _rotated(idx, banks)) * PSUM_BANK + base_addr

    return Placement(PSUM, where)


def sbuf_alloc(function: Callable[..., Any]) -> Placement:
    """The kernel's own function says (start partition, byte) for each logical tile."""
    return Placement(SBUF, lambda idx, rows, size: tuple(function(idx, rows, size))[-2:])  # type: ignore[arg-type]


def psum_alloc(function: Callable[..., Any]) -> Placement:
    """The kernel's own function says (bank, start partition, byte) for each logical tile."""

    def where(idx: tuple[int, ...], rows: int, size: int) -> tuple[int, int]:
        bank, partition, byte = function(idx, rows, size)
        return partition, bank * PSUM_BANK + byte

    return Placement(PSUM, where)


def _rotated(idx: tuple[int, ...], tiles: tuple[int, ...]) -> int:
    """The place of a logical tile among physical ones; missing dimensions count as 1."""
    padded = (1,) * (len(idx) - len(tiles)) + tiles[: len(idx)] if len(tiles) < len(idx) else tiles
    place = 0
    for index, count in zip(idx, padded[: len(idx)], strict=False):
        place = place * count + index % count
    return place if prod(tiles) > 1 else 0
