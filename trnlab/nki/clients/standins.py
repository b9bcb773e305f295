"""What test suites import besides NKI: a vendor's simulator, and number formats of the host."""

import os
import sys
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from trnlab import formats
from trnlab.errors import UnknownName
from trnlab.nki import jit as core
from trnlab.nki.arrays import from_user
from trnlab.nki.entry import jit

HOST_FORMATS = (
    "bfloat16", "float8_e4m3", "float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu",
    "float8_e5m2_x4", "float8_e4m3fn_x4", "float4_e2m1fn_x4",
)  # fmt: skip


class Simulated:
    """A kernel on its way: ``cpu_simulate(kernel)[cores](**arrays)`` runs it."""

    def __init__(self, kernel: Any, cores: int = 1) -> None:
        self.kernel, self.cores = kernel, cores

    def __getitem__(self, cores: int) -> "Simulated":
        return Simulated(self.kernel, cores)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        chip = core.settings().chip or os.environ.get("NKI_NC_VERSION")
        kernel = jit(self.kernel)[self.cores]
        return core.simulate(kernel, args, kwargs, core.settings(), chip).outputs


def cpu_simulate(kernel: Callable[..., Any]) -> Simulated:
    """Returns the kernel ready to run; the environment's NKI_NC_VERSION says on which core."""
    return Simulated(kernel)


def identity(n: int, dtype: Any = "float32") -> np.ndarray:
    """The n x n identity as an array of the host."""
    return static_cast(np.eye(n, dtype=np.float32), dtype)


def static_cast(value: Any, dtype: Any) -> np.ndarray:
    """An array or a number of the host in another format; four values a packed element.

    Floats round as engines do; integers stay exact where both sides are integers.
    """
    array = _as_array(value)
    if not _known(dtype):
        return array.astype(dtype)
    new = formats.facts(dtype)
    if new.is_integer and array.dtype.kind in "iu":
        return array.astype(new.storage)
    if _known(array.dtype):
        old = formats.facts(array.dtype)
        if old is new:
            return array
        array = formats.widen(array.view(old.storage), old)
    stored = formats.narrow(array, new)
    return stored.view(new.dtype) if new.dtype.names else stored


def _known(dtype: Any) -> bool:
    """Whether engines have a format; hosts also have float64 and int64."""
    try:
        formats.facts(dtype)
    except UnknownName:
        return False
    return True


def _as_array(value: Any) -> np.ndarray:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return from_user(value)
    return np.asarray(value)


def is_float_type(dtype: Any) -> bool:
    """Whether a format is a floating-point one; hosts also have float64."""
    return formats.is_float(dtype) if _known(dtype) else bool(np.issubdtype(dtype, np.floating))


def finfo(dtype: Any) -> Any:
    """The limits of a floating-point format."""
    return ml_dtypes.finfo(formats.storage(dtype))
