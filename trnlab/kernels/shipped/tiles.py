"""What these kernels share: tiles, transposes, loads of whole tensors, and refusals."""

from collections.abc import Iterator
from typing import Any

from trnlab import formats
from trnlab.errors import BadArguments
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl

LANES, BANK = 128, 512
LOWEST = nl.fp32.min


def need(holds: bool, what: str, given: Any, limit: str) -> None:
    """Raises BadArguments where a kernel's documented limit is broken."""
    if not holds:
        raise BadArguments(what, {"given": str(given)}, limit, see="trnlab.kernels.shipped")


def tile(rows: int, *columns: int, dtype: Any = nl.float32) -> Any:
    """A tile in SBUF."""
    return nl.ndarray((nl.par_dim(rows), *columns), dtype=dtype, buffer=nl.sbuf)


def sums(rows: int, columns: int) -> Any:
    """A tile in PSUM that products are added up in."""
    return nl.zeros((nl.par_dim(rows), columns), dtype=nl.float32, buffer=nl.psum)


def cuts(length: int, step: int) -> list[tuple[int, int]]:
    """Start and size of the parts of a dimension."""
    return [(start, min(step, length - start)) for start in range(0, length, step)]


def turned(x: Any, dtype: Any) -> Any:
    """The transpose of a tile of at most [128, 128], in SBUF."""
    made = tile(x.shape[1], x.shape[0], dtype=dtype)
    made[...] = nisa.tensor_copy(nisa.nc_transpose(x, engine=nisa.tensor_engine), dtype=dtype)
    return made


def rows_of(x: Any, dtype: Any) -> Any:
    """[n, width] in HBM as [128, n / 128, width] in SBUF: row t * 128 + p is [p, t]."""
    length, width = x.shape
    kept = tile(min(length, LANES), -(-length // LANES), width, dtype=dtype)
    for step, (start, size) in enumerate(cuts(length, LANES)):
        kept[0:size, step, :] = nl.load(x[nl.ds(start, size), 0:width], dtype=dtype)
    return kept


def turned_rows(x: Any, dtype: Any) -> Any:
    """[n, width] in HBM as its transpose [width, n] in SBUF, width at most 128."""
    length, width = x.shape
    kept = tile(width, length, dtype=dtype)
    for start, size in cuts(length, LANES):
        block = nl.load(x[nl.ds(start, size), 0:width], dtype=dtype)
        kept[:, nl.ds(start, size)] = turned(block, dtype)
    return kept


def turned_columns(x: Any, dtype: Any) -> Any:
    """A tile [width, n] in SBUF as [128, n / 128, width]: column t * 128 + p is [p, t]."""
    width, length = x.shape
    kept = tile(LANES, length // LANES, width, dtype=dtype)
    for step in range(length // LANES):
        kept[:, step, :] = turned(x[:, nl.ds(step * LANES, LANES)], dtype)
    return kept


def mine(axis: int, count: int) -> Iterator[int]:
    """The indices of a grid's axis that this instance has; all where there is no such axis."""
    if axis < nl.program_ndim():
        return iter([nl.program_id(axis)])
    return nl.affine_range(count)


def size_of(dtype: Any) -> int:
    """Bytes of an element."""
    return int(formats.itemsize(dtype))
