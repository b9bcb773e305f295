"""`nki.language` as it is today: tensors, and a convenience layer over `nki.isa`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from os import PathLike
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.errors import BadArguments, IllegalInstruction, NotModelled
from trnlab.isa.rules import only, since
from trnlab.isa.tile import HBM_SPACES, PSUM, SBUF, Space
from trnlab.nki import isa as nisa
from trnlab.nki.composite import *  # noqa: F403
from trnlab.nki.jit import in_kernel, launch, running
from trnlab.nki.lookup import absent
from trnlab.nki.loops.repeats import ranged
from trnlab.nki.math import *  # noqa: F403
from trnlab.nki.math import copy
from trnlab.nki.registers import VirtualRegister, counted, fori_loop, while_loop  # noqa: F401 - part of the language
from trnlab.nki.tensor import DynamicSlice as ds  # noqa: F401 - part of the language
from trnlab.nki.tensor import NkiTensor
from trnlab.nki.tensors import given, make, must

MemoryRegion = Space
DType = formats.DType
sbuf, psum, hbm = Space.sbuf, Space.psum, Space.hbm
private_hbm, shared_hbm = Space.private_hbm, Space.shared_hbm

bool_ = formats.format_of("bool_")
int8 = formats.format_of("int8")
int16 = formats.format_of("int16")
int32 = formats.format_of("int32")
uint8 = formats.format_of("uint8")
uint16 = formats.format_of("uint16")
uint32 = formats.format_of("uint32")
float16 = formats.format_of("float16")
bfloat16 = formats.format_of("bfloat16")
float32 = formats.format_of("float32")
tfloat32 = formats.format_of("tfloat32")
float8_e4m3 = formats.format_of("float8_e4m3")
float8_e4m3fn = formats.format_of("float8_e4m3fn")
float8_e5m2 = formats.format_of("float8_e5m2")
float8_e8m0fnu = formats.format_of("float8_e8m0fnu")
float8_e5m2_x4 = formats.format_of("float8_e5m2_x4")
float8_e4m3fn_x4 = formats.format_of("float8_e4m3fn_x4")
float4_e2m1fn_x4 = formats.format_of("float4_e2m1fn_x4")

DTYPES = {
    name: value for name, value in globals().items() if isinstance(value, np.dtype | formats.Format)
} | {"bool": bool_}
globals()["bool"] = bool_


class NKIObject:
    """Base class for objects that kernels carry around."""


class _TileSize:
    """Limits of tiles on the core that the kernel runs on."""

    pmax = 128
    psum_fmax = psum_bank_fmax = 512
    psum_bank_fmax_bytes = 2048
    gemm_stationary_fmax = 128
    gemm_moving_fmax = 512
    bn_stats_fmax = 512
    psum_num_banks = 8
    psum_min_align = 4
    sbuf_min_align = 1

    @property
    def sbuf_size_bytes(self) -> int:
        """Bytes of SBUF, all partitions together."""
        return int(running().core.sbuf.partitions * running().core.sbuf.size)

    @property
    def sbuf_fmax(self) -> int:
        """fp32 elements a partition that a kernel may allocate."""
        return self.sbuf_fmax_bytes // 4

    @property
    def sbuf_fmax_bytes(self) -> int:
        """Bytes a partition that a kernel may allocate."""
        return int(running().core.sbuf.usable)

    @property
    def total_available_sbuf_size(self) -> int:
        """The former name of ``sbuf_fmax_bytes``."""
        return self.sbuf_fmax_bytes


tile_size = _TileSize()


def ndarray(
    shape: Any, dtype: Any, buffer: Space = SBUF, name: str = "", address: Any = None
) -> NkiTensor:
    """An uninitialised tensor; ``address`` is (partition, byte) on chip."""
    must(address is None, only("0.2", "0.3"), "ndarray", "has an address", "address= since nki 0.3")
    return make(shape, dtype, buffer, name, address)


def zeros(shape: Any, dtype: Any, buffer: Space = SBUF, name: str = "") -> NkiTensor:
    """A tensor of zeros."""
    return full(shape, 0, dtype, buffer, name)


def ones(shape: Any, dtype: Any, buffer: Space = SBUF, name: str = "") -> NkiTensor:
    """A tensor of ones."""
    return full(shape, 1, dtype, buffer, name)


def full(
    shape: Any, fill_value: float, dtype: Any, buffer: Space = SBUF, name: str = ""
) -> NkiTensor:
    """A tensor of one value; on chip only."""
    if buffer in HBM_SPACES:
        raise NotModelled("filling a tensor in HBM", "fill a tile and store it")
    made = make(shape, dtype, buffer, name)
    nisa.memset(made, fill_value)
    return made


def zeros_like(x: Any, dtype: Any = None, buffer: Space | None = None, name: str = "") -> NkiTensor:
    """A tensor of zeros with the shape of another."""
    return zeros(x.shape, given(dtype, x.dtype), given(buffer, x.space), name)


def empty_like(x: Any, dtype: Any = None, buffer: Space | None = None, name: str = "") -> NkiTensor:
    """An uninitialised tensor with the shape of another."""
    return make(x.shape, given(dtype, x.dtype), given(buffer, x.space), name)


def shared_constant(constant: Any, dtype: Any = None) -> NkiTensor:
    """A constant that is baked into the program and lives in HBM: an array, or a ``.npy`` file."""
    held = _read(constant) if isinstance(constant, (str, PathLike)) else constant
    return constant_tensor(held, dtype)


def _read(path: Any) -> Any:
    try:
        return np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise BadArguments(
            f"no array can be read from '{path}': {error}",
            fix="give an array, or a file that np.save wrote",
            place=running().here(),
            see="nki.language.shared_constant",
        ) from None


def constant_tensor(constant: Any, dtype: Any = None) -> Any:
    """An HBM tensor that holds an array from the start."""
    values = np.asarray(constant)
    kind = formats.format_of(dtype if dtype is not None else values.dtype)
    made = make(values.shape, kind, Space.shared_hbm, "constant")
    if values.dtype.kind in "iu" and formats.is_integer(kind):  # fp32 would lose bits
        limits = np.iinfo(formats.storage(kind))
        stored = np.clip(values.astype(np.int64), limits.min, limits.max).astype(limits.dtype)
    else:
        stored = formats.narrow(values.astype(np.float32), kind)
    running().preset(made, np.ascontiguousarray(stored))
    return made


def shared_identity_matrix(n: int, dtype: Any = "uint8", dst: Any = None) -> NkiTensor:
    """The n x n identity in SBUF."""
    made = dst if dst is not None else make((n, n), dtype, SBUF, "identity")
    kind = formats.format_of(made.dtype)
    running().preset(made, formats.narrow(np.eye(n, dtype=np.float32), kind))
    running().note("shared_identity_matrix is charged no time: the compiler loads it once")
    return made


def load(src: Any, dtype: Any = None) -> NkiTensor:
    """HBM to a new tile in SBUF."""
    made = make(src.shape, given(dtype, src.dtype), SBUF)
    nisa.dma_copy(made, src)
    return made


def store(dst: Any, value: Any) -> None:
    """A tile in SBUF to HBM."""
    nisa.dma_copy(dst, value)


def load_transpose2d(src: Any, dtype: Any = None) -> NkiTensor:
    """HBM to SBUF with the two dimensions exchanged."""
    run = running()
    if not src.layout.on_chip and src.storage.index not in run.arguments:
        run.report(
            IllegalInstruction,
            "load_transpose2d reads a tensor that is local to the kernel",
            {"tensor": src.describe()},
            "a tensor that is an argument",
            "load it and transpose on chip, or make it an argument",
            "nki.language.load_transpose2d",
            rule="load_transpose2d/src-is-an-argument",
        )
    made = make(src.shape[::-1], given(dtype, src.dtype), SBUF)
    nisa.dma_transpose(made, src)
    return made


def transpose(x: Any, dtype: Any = None) -> NkiTensor:
    """A [P, F] tile as [F, P], in PSUM."""
    made = make((x.free, x.partitions), given(dtype, x.dtype), PSUM)
    nisa.nc_transpose(made, x)
    return made


def matmul(x: Any, y: Any, transpose_x: bool = False) -> NkiTensor:
    """x @ y in PSUM; the device takes x transposed."""
    must(transpose_x, since("0.3"), "matmul", "is called without transpose_x", "transpose_x=True")
    if not transpose_x:
        turned = make(x.shape[::-1], x.dtype, PSUM)
        nisa.nc_transpose(turned, x)
        x = copy(turned)
    made = make((x.shape[1], y.shape[1]), "float32", PSUM)
    nisa.nc_matmul(made, x, y)
    return made


def expand_dims(x: Any, axis: int) -> NkiTensor:
    """A view with one more dimension of size 1."""
    return x.expand_dim(axis)


def par_dim(size: int) -> int:
    """Marks the partition dimension, which comes first anyway."""
    return size


def program_id(axis: int = 0) -> Any:
    """Which instance of the launch grid this is; None outside of a kernel, as in the vendor's."""
    if not in_kernel():
        return None
    ids = launch().ids
    return ids[axis] if axis < len(ids) else 0


def num_programs(axes: Any = 0) -> Any:
    """How many instances the launch grid has along an axis; None outside of a kernel."""
    if not in_kernel():
        return None
    grid = launch().grid
    return grid[axes] if axes < len(grid) else 1


def program_ndim() -> Any:
    """How many dimensions the launch grid has; None outside of a kernel."""
    return len(launch().grid) if in_kernel() else None


def static_range(start: int, stop: int | None = None, step: int = 1) -> range:
    """A loop that is unrolled, like every loop of this API."""
    bounds = (start,) if stop is None else (start, stop, step)
    return ranged(sys._getframe(1), *bounds)


affine_range = sequential_range = static_range
globals()["range"] = range


def dynamic_range(start: Any, stop: Any = None, step: int = 1) -> Iterator[VirtualRegister]:
    """A loop that the device runs: its bounds may be registers, and its index is one."""
    return counted(start, stop, step)


@contextmanager
def no_reorder() -> Iterator[None]:
    """Inside, every instruction starts only when the one before it on its core has ended."""
    run = running()
    program, core = run.program, run.core_index
    first, inner = program.count, core in run.in_order
    run.in_order.add(core)
    yield
    if not inner:
        run.in_order.discard(core)
    mine = [n for n in range(first, program.count) if program.heads[3 * n + 2] == core]
    for before, number in pairwise(mine):
        program.edges.setdefault(number, []).append(before)


def device_print(print_prefix: str, tensor: Any) -> None:
    """Prints a tensor while the kernel runs, when values are computed."""
    run = running()
    if run.values:
        sys.stdout.write(f"{print_prefix} {run.executor.show(tensor)}\n")


def is_hbm(buffer: Space) -> bool:
    """Whether a memory is HBM."""
    return buffer in HBM_SPACES


def is_sbuf(buffer: Space) -> bool:
    """Whether a memory is SBUF."""
    return buffer is SBUF


def is_psum(buffer: Space) -> bool:
    """Whether a memory is PSUM."""
    return buffer is PSUM


def is_on_chip(buffer: Space) -> bool:
    """Whether a memory is SBUF or PSUM."""
    return buffer in (SBUF, PSUM)


def __getattr__(name: str) -> Any:
    raise absent("nki.language", name, globals())
