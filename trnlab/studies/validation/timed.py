"""Predictions of what was measured: kernels by name and shape, and single instructions."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from typing import Any

import ml_dtypes
import numpy as np

from trnlab.errors import BadArguments
from trnlab.kernels.validation import (
    attention,
    blocked,
    bounds,
    convolution,
    gradients,
    heads,
    ladders,
    layers,
    mamba,
    mlp,
    norms,
    products,
    quantized,
    vision,
)
from trnlab.machine.catalogue import chip as find_chip
from trnlab.machine.chip import Chip
from trnlab.nki import isa as nisa
from trnlab.nki import jit
from trnlab.nki import language as nl
from trnlab.nki.jit import Kernel, Settings
from trnlab.studies.inputs import make_shapes
from trnlab.studies.run import kernel_of
from trnlab.studies.validation.measurements import Measurement
from trnlab.trace import Trace

Sizes = dict[str, int]
Call = tuple[Kernel, list[np.ndarray]]
TYPES = {"fp32": np.dtype(np.float32), "bf16": np.dtype(ml_dtypes.bfloat16),
         "fp16": np.dtype(np.float16)}  # fmt: skip


def _attention(kernel: Kernel, s: Sizes, zeros: Any) -> list[Call]:
    return [(kernel, [zeros(128, s["length"]) for _ in range(3)])]


def _mlp(kernel: Kernel, s: Sizes, zeros: Any) -> list[Call]:
    m, k, n = s["M"], s["K"], s["N"]
    return [(kernel, [zeros(k, m), zeros(k, n), zeros(1, n)])]


def _two_kernels(s: Sizes, zeros: Any) -> list[Call]:
    return [*_mlp(mlp.gemm, s, zeros), (mlp.gelu, [zeros(s["M"], s["N"])])]


def _mamba(kernel: Kernel, s: Sizes, zeros: Any) -> list[Call]:
    channels, length, states = s["channels"], s["length"], s["states"]
    delta, u = zeros(channels, length), zeros(channels, length)
    b, c = zeros(states, length), zeros(states, length)
    return [(kernel, [delta, u, zeros(channels, states), b, c])]


def _ladder(kernel: Kernel, s: Sizes, zeros: Any) -> list[Call]:
    step = {name: s[name] for name in ("rows", "width") if name in s}
    made = replace(kernel, function=partial(kernel.function, **step))
    shape = (s["n"], 1) if "rows" in s else (s["n"],)
    return [(made, [zeros(*shape), zeros(*shape)])]


def _swiglu(s: Sizes, zeros: Any) -> list[Call]:
    m, k, n = s["M"] // 512, s["K"] // 128, s["N"]
    up, gate = zeros(k, 128, n), zeros(k, 128, n)
    return [(layers.swiglu, [zeros(m, 4, 128, k, 128), up, zeros(n // 128, 128, s["K"]), gate])]


def _product(s: Sizes, zeros: Any) -> list[Call]:
    m, k, n = s["M"] // 128, s["K"] // 128, s["N"]
    return [(products.matmul, [zeros(m, 128, k, 128), zeros(k, 128, n)])]


def _normed(s: Sizes, zeros: Any) -> list[Call]:
    m, k, n = s["M"] // 128, s["K"], s["N"]
    return [(layers.rmsnorm_matmul, [zeros(m, 128, k), zeros(k // 128, 128, n)])]


def _transposed(s: Sizes, zeros: Any) -> list[Call]:
    k = s["K"] // 128
    return [(products.transpose_matmul, [zeros(128, k, s["M"]), zeros(128, k, s["N"])])]


def _batched(s: Sizes, zeros: Any) -> list[Call]:
    b, m, k, n = s["B"], s["M"], s["K"], s["N"]
    return [(products.bmm, [zeros(b, m, k), zeros(b, k, n)])]


def _given(kernel: Kernel, **sizes: int) -> Kernel:
    return replace(kernel, function=partial(kernel.function, **sizes))


def _pooled(s: Sizes, zeros: Any) -> list[Call]:
    return [(_given(bounds.pooled, size=s["size"]), [zeros(s["N"], s["C"], s["H"], s["W"])])]


def _resized(s: Sizes, zeros: Any) -> list[Call]:
    kernel = _given(vision.resized, high=s["high"], wide=s["wide"])
    return [(kernel, [zeros(s["N"], s["H"], s["W"], s["C"])])]


def _scattered(s: Sizes, zeros: Any) -> list[Call]:
    n, c, h, w = s["N"], s["C"], s["H"], s["W"]
    return [(vision.select_and_scatter, [zeros(n, c, h, w), zeros(n, c, h // 2, w // 2)])]


def _small(s: Sizes, zeros: Any) -> list[Call]:
    n, d = s["length"], s["depth"]
    return [(heads.one_by_one, [zeros(d, n), zeros(n, d), zeros(n, d)])]


def _pairs(s: Sizes, zeros: Any) -> list[Call]:
    n, d = s["length"], s["depth"]
    return [(heads.in_pairs, [zeros(d, n), zeros(d, n), zeros(n, d)])]


def _gradients(s: Sizes, zeros: Any) -> list[Call]:
    count, n, d = s["heads"], s["length"], s["depth"]
    logs = np.zeros((count, 128, n // 128), np.float32)
    return [(gradients.attention_gradients[count], [*[zeros(count, d, n)] * 5, logs])]


def _double(s: Sizes, zeros: Any) -> list[Call]:
    m, k, n = s["M"], s["K"], s["N"]
    right = np.zeros((k // 2, 2 * n), ml_dtypes.float8_e4m3)
    return [(quantized.double_row, [zeros(m, k), right, zeros(128, n)])]


def _convolved(s: Sizes, zeros: Any) -> list[Call]:
    c, n, size = s["C"], s["N"], s["size"]
    x, w = zeros(1, c, s["H"], s["W"]), zeros(n, c, size, size)
    return [(convolution.conv2d, [x, w, zeros(n)])]


def _windowed(s: Sizes, zeros: Any) -> list[Call]:
    kernel = _given(convolution.windowed, pool=s["pool"])
    x, w = zeros(1, s["C"], s["H"], s["W"]), zeros(s["N"], s["C"], s["size"], s["size"])
    return [(kernel, [x, w, zeros(s["N"])])]


def _blocks(s: Sizes, zeros: Any) -> list[Call]:
    made = _given(blocked.resident, banks=s["banks"]) if "banks" in s else blocked.in_blocks
    return [(made, [zeros(s["K"], s["M"]), zeros(s["K"], s["N"])])]


KERNELS: dict[str, Callable[[Sizes, Any], list[Call]]] = {
    "adaptive_avg_pool2d": _pooled,
    "attention_gradients": _gradients,
    "conv2d": _convolved,
    "double_row_matmul": _double,
    "resize_nearest": _resized,
    "rmsnorm_qkv": lambda s, zeros: [
        (norms.rmsnorm_qkv, [zeros(s["M"], s["K"]), zeros(s["K"], s["N"])])
    ],
    "sd_attention": _small,
    "sd_attention_in_pairs": _pairs,
    "select_and_scatter": _scattered,
    "add_rows": partial(_ladder, ladders.add_rows),
    "add_columns": partial(_ladder, ladders.add_columns),
    "transpose": lambda s, zeros: [(ladders.transposed, [zeros(s["M"], s["N"])])],
    "conv2d_windows": _windowed,
    "product_resident": _blocks,
    "product_in_blocks": _blocks,
    "attention_baseline": partial(_attention, attention.through_hbm),
    "attention_fused": partial(_attention, attention.fused),
    "mlp_baseline": _two_kernels,
    "mlp_fused_pwl": partial(_mlp, mlp.fused_pwl),
    "mlp_fused_taylor": partial(_mlp, mlp.fused_taylor),
    "mamba_v1": partial(_mamba, mamba.states_outside),
    "mamba_v2": partial(_mamba, mamba.channels_outside),
    "mamba_v3": partial(_mamba, mamba.in_tiles),
    "silu": lambda s, zeros: [(layers.silu, [zeros(128, s["M"] // 128, s["N"])])],
    "swiglu": _swiglu,
    "matmul": _product,
    "rmsnorm_matmul": _normed,
    "transpose_matmul": _transposed,
    "bmm": _batched,
}  # fmt: skip


def traces(
    row: Measurement, chip: Chip | None = None, off: frozenset[str] = frozenset()
) -> list[Trace]:
    """The traces of the kernels that a row stands for, on its chip or another; no values."""

    how = Settings(values=False, without=off)
    found = []
    for kernel, args, kwargs in _calls(row):
        trace = jit.simulate(kernel, args, kwargs, how, chip or find_chip(row.chip)).trace
        assert trace is not None
        found.append(trace)
    return found


def _calls(row: Measurement) -> Iterator[tuple[Any, list[Any], dict[str, Any]]]:
    """The kernels that a row stands for, with their arguments."""

    def zeros(*shape: int) -> np.ndarray:
        return np.zeros(shape, TYPES[row.dtype])

    if row.is_own:
        yield (_own(row.kernel), *make_shapes(row.inputs))
        return
    try:
        calls = KERNELS[row.kernel](row.sizes, zeros)
    except KeyError as missing:
        raise BadArguments(
            f"{row.id}: the shape of {row.kernel} lacks {missing}", {"shape": row.shape}
        ) from None
    for kernel, args in calls:
        yield kernel, args, {}


@cache
def _own(text: str) -> Kernel:
    """A user's kernel, from ``FILE:KERNEL``."""
    path, _, name = text.rpartition(":")
    return kernel_of(path, name)


def seconds(row: Measurement, made: list[Trace], chip: Chip) -> float:
    """What a row's clock would show for these traces."""
    profiled = chip.core.timing.profiler if row.clock == "profiler" else 0.0
    return sum(trace.seconds for trace in made) + profiled


def instruction_time(row: Measurement, chip: Chip) -> float:
    """What a profiler prints for one instruction: from its start to its result."""
    core, size = chip.core, int(row.shape) if row.shape.isdigit() else 0
    dma, array = core.dma, core.array
    name, _, more = row.kernel.partition(" ")
    if name == "DMA" and more == "trigger":
        return dma.trigger_software if row.shape == "GpSimd" else dma.trigger
    if name == "DMA":
        packet = dma.packet + size / dma.rate
        return max(packet, dma.packet_software) if "software" in more else packet
    halves = array.fp32_passes / 2 if "fp32" in more else 1
    hz = core.engine("tensor").hz * (array.cold_rate if "cold" in more else 1)
    if name == "LDWEIGHTS":
        return halves * (array.weight_fill + size / hz)
    if name == "MATMUL":  # of the two that make an fp32 one
        return core.engine("tensor").fixed + halves * size / hz
    if "table" in more:
        return core.timing.table_load
    return _single(name, more, size, chip)


def _single(unit: str, name: str, size: int, chip: Chip) -> float:
    def kernel(a: Any) -> None:
        data, out = (nl.ndarray((128, size), nl.float32, buffer=nl.sbuf) for _ in range(2))
        column = nl.ndarray((128, 1), nl.float32, buffer=nl.sbuf)
        match name:
            case "exp":
                nisa.activation(out, nl.exp, data)
            case "tensor_reduce":
                nisa.tensor_reduce(column, nl.maximum, data, axis=1)
            case "tensor_scalar":
                nisa.tensor_scalar(out, data, nl.multiply, column, engine=engine)
            case "reciprocal":
                nisa.reciprocal(out, data)
            case _:
                nisa.tensor_copy(out, data, engine=engine)

    engine = nisa.engine.scalar if unit == "ACT" else nisa.engine.vector
    how = Settings(values=False, strict=False, without=frozenset({"launch"}))
    trace = jit.simulate(Kernel(kernel), [np.zeros(1, np.float32)], {}, how, chip).trace
    assert trace is not None
    return float(trace.stop[-1] - trace.start[-1])
