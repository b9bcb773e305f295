"""Arrays of the caller: NumPy, torch or JAX in, the same kind out."""

import sys
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.errors import BadArguments, UnknownName


def from_user(value: Any, name: str) -> tuple[np.ndarray, Any]:
    """A C-contiguous NumPy array with the caller's data, and its dtype.

    NumPy arrays that are already contiguous are shared, so that kernels can update them in place.
    """
    array = _torch_array(value) if _is_torch(value) else np.asarray(value)
    if array.dtype in (np.float64, np.int64, np.uint64, np.complex64, np.complex128):
        narrow = {"f": "float32", "i": "int32", "u": "uint32"}.get(array.dtype.kind, "float32")
        raise BadArguments(
            f"argument {name} is {array.dtype}, which NeuronCores do not have",
            {"shape": str(list(array.shape))},
            fix=f"convert it first: {name}.astype(np.{narrow})",
        )
    if array.dtype == np.object_ or array.dtype.kind in "USMm":
        raise _not_numbers(name, array)
    if array.size == 0:
        raise BadArguments(
            f"argument {name} has no elements",
            {"shape": str(list(array.shape))},
            "every dimension is at least 1",
        )
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    try:
        return np.ascontiguousarray(array), formats.format_of(array.dtype)
    except UnknownName:
        raise _not_numbers(name, array) from None


def _not_numbers(name: str, array: np.ndarray) -> BadArguments:
    return BadArguments(f"argument {name} is an array of {array.dtype}, not of numbers")


def like_user(array: np.ndarray, example: Any) -> Any:
    """An array of the same kind as the caller's."""
    if example is not None and _is_torch(example):
        return _torch_tensor(array)
    if example is not None and type(example).__module__.startswith("jax"):
        return sys.modules["jax"].numpy.asarray(array)
    return array


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
