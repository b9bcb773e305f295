"""Arrays of the caller: NumPy, torch or JAX in, the same kind out."""

import sys
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.errors import BadArguments, NotModelled, UnknownName
from trnlab.isa.tile import Tile

TOO_WIDE = {
    "float64": "float32", "int64": "int32", "uint64": "uint32", "complex64": "float32",
    "complex128": "float32", "longdouble": "float32", "float128": "float32",
}  # fmt: skip


def is_array(value: Any) -> bool:
    """Whether a value is an array of the caller; NumPy's scalars count as numbers."""
    here = hasattr(value, "shape") and hasattr(value, "dtype")
    return here and not isinstance(value, (Tile, np.generic, type))


def facts_of(value: Any, name: str) -> tuple[tuple[int, ...], Any]:
    """Shape and dtype of a caller's array; raises BadArguments where no kernel could take it."""
    if is_jax(value) and isinstance(value, sys.modules["jax"].core.Tracer):
        raise NotModelled(
            f"argument {name} has no values yet: a kernel inside of jax.jit",
            "a kernel as an operation of XLA; call the kernel outside of jax.jit",
        )
    shape = tuple(int(n) for n in value.shape)
    kind = str(value.dtype).removeprefix("torch.")
    if kind in TOO_WIDE:
        raise BadArguments(
            f"argument {name} is {kind}, which NeuronCores do not have",
            {"shape": str(list(shape))},
            fix=f"convert it first, for example {name}.astype(np.{TOO_WIDE[kind]})",
        )
    if not shape:
        raise BadArguments(f"argument {name} has no dimensions", limit="at least one dimension")
    try:
        return shape, formats.format_of(kind if _is_torch(value) else _native(value.dtype))
    except UnknownName:
        raise BadArguments(
            f"argument {name} is an array of {value.dtype}, not of numbers"
        ) from None


def _native(dtype: Any) -> Any:
    return dtype if getattr(dtype, "isnative", True) else dtype.newbyteorder("=")


def from_user(value: Any) -> np.ndarray:
    """A C-contiguous NumPy array with the caller's data.

    NumPy arrays that are contiguous are shared, so that kernels can update them in place. Those of
    JAX never change, so that kernels get a copy.
    """
    if is_jax(value):
        return np.array(value)
    array = _torch_array(value) if _is_torch(value) else np.asarray(value)
    return np.ascontiguousarray(array, dtype=_native(array.dtype))


def update(given: Any, values: np.ndarray, name: str) -> None:
    """Gives a caller's array new values, unless it shows them already."""
    if _is_torch(given):
        given.data.copy_(_torch_tensor(values.copy()))
    elif isinstance(given, np.ndarray) and not np.may_share_memory(given, values):
        if not given.flags.writeable:
            raise BadArguments(
                f"{name} is written, but the caller's array is read-only",
                fix="pass a copy, or return a new tensor",
            )
        given[...] = values


def like_user(array: np.ndarray, example: Any) -> Any:
    """An array of the same kind as the caller's."""
    if example is not None and _is_torch(example):
        return _torch_tensor(array)
    if example is not None and is_jax(example):
        return sys.modules["jax"].numpy.asarray(array)
    return array


def is_jax(value: Any) -> bool:
    """Whether a value is an array of JAX, or stands for one inside of ``jax.jit``."""
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(value, jax.Array)


def _is_torch(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _torch_array(value: Any) -> np.ndarray:
    torch = sys.modules["torch"]
    value = value.detach().cpu().contiguous()
    same_bits = {
        "torch.bfloat16": (torch.uint16, "bfloat16"),
        "torch.float8_e4m3fn": (torch.uint8, "float8_e4m3fn"),
        "torch.float8_e5m2": (torch.uint8, "float8_e5m2"),
    }
    if str(value.dtype) in same_bits:
        bits, name = same_bits[str(value.dtype)]
        return value.view(bits).numpy().view(formats.storage(formats.format_of(name)))
    return value.numpy()


def _torch_tensor(array: np.ndarray) -> Any:
    torch = sys.modules["torch"]
    same_bits = {
        "bfloat16": (np.uint16, torch.bfloat16),
        "float8_e4m3fn": (np.uint8, torch.float8_e4m3fn),
        "float8_e5m2": (np.uint8, torch.float8_e5m2),
    }
    if array.dtype.name in same_bits:
        bits, dtype = same_bits[array.dtype.name]
        return torch.from_numpy(array.view(bits)).view(dtype)
    return torch.from_numpy(array)
