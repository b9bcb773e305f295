"""Direct allocation: where a kernel of the older API puts its own tiles."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from trnlab.errors import OutOfMemory
from trnlab.isa.tile import PSUM, PSUM_BANK, SBUF, Space
from trnlab.nki.jit import running

Address = tuple[int, int]  # partition, byte in it


@dataclass(frozen=True)
class Placement:
    """Says for each logical tile at which byte of its partitions it lies."""

    space: Space
    where: Callable[[tuple[int, ...], int, int], Address]


def sbuf_mod_alloc(
    *, base_addr: int, base_partition: int = 0, num_par_tiles: Any = (), num_free_tiles: Any = ()
) -> Placement:
    """Logical tiles take turns in ``num_par_tiles`` x ``num_free_tiles`` places."""

    def where(index: tuple[int, ...], rows: int, size: int) -> Address:
        return (
            base_partition + _turn(index, num_par_tiles) * rows,
            base_addr + _turn(index, num_free_tiles) * size,
        )

    return Placement(SBUF, where)


def psum_mod_alloc(
    *, base_bank: int, base_addr: int = 0, base_partition: int = 0, num_bank_tiles: Any = (),
    num_par_tiles: Any = (), num_free_tiles: Any = (),
) -> Placement:  # fmt: skip
    """Logical tiles take turns in ``num_bank_tiles`` banks from ``base_bank`` on."""

    def where(index: tuple[int, ...], rows: int, size: int) -> Address:
        bank = base_bank + _turn(index, num_bank_tiles)
        byte = base_addr + _turn(index, num_free_tiles) * size
        return base_partition + _turn(index, num_par_tiles) * rows, _in_bank(bank, byte, size)

    return Placement(PSUM, where)


def sbuf_alloc(function: Callable[..., Any]) -> Placement:
    """The kernel's own function says (start partition, byte) for each logical tile."""
    ask = _asked(function)

    def where(index: tuple[int, ...], rows: int, size: int) -> Address:
        partition, byte = ask(index, rows, size)
        return int(partition), int(byte)

    return Placement(SBUF, where)


def psum_alloc(function: Callable[..., Any]) -> Placement:
    """The kernel's own function says (bank, start partition, byte) for each logical tile."""
    ask = _asked(function)

    def where(index: tuple[int, ...], rows: int, size: int) -> Address:
        bank, partition, byte = ask(index, rows, size)
        return int(partition), _in_bank(int(bank), int(byte), size)

    return Placement(PSUM, where)


def auto_alloc(space: Space) -> Callable[[], Space]:
    """The allocator of the compiler, as ``buffer=nl.sbuf`` means too."""
    return lambda: space


def _asked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Passes by name where the function has NKI's names, as partial functions need it."""
    names = ("idx", "pdim_size", "fdim_size")
    known = inspect.signature(function).parameters
    if all(name in known for name in names):
        return lambda *given: function(**dict(zip(names, given, strict=True)))
    return function


def _in_bank(bank: int, byte: int, size: int) -> int:
    if byte + size > PSUM_BANK:
        running().report(
            OutOfMemory,
            f"a placed PSUM tile ends at byte {byte + size:,} of its bank",
            {"tile": f"{size:,} bytes a partition"},
            f"{PSUM_BANK:,} bytes a bank: a placed tile cannot span banks",
            "use block dimensions, so that each logical tile fits a bank",
            "nki.compiler.psum.alloc",
        )
    return bank * PSUM_BANK + byte


def _turn(index: tuple[int, ...], tiles: Any) -> int:
    """Which physical tile a logical one takes: indices modulo the physical shape, in row order."""
    counts = tuple(tiles) or (1,) * len(index)
    return sum(
        (i % n) * prod(counts[axis + 1 :])
        for axis, (i, n) in enumerate(zip(index, counts, strict=False))
    )
