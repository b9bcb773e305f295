"""gelu(x @ w + bias): in two kernels, and fused in two ways (trainium-kernel-fusion)."""

from collections.abc import Callable
from typing import Any

from trnlab.nki.legacy import entry as nki
from trnlab.nki.legacy import isa as nisa
from trnlab.nki.legacy import language as nl

ROWS, COLUMNS = 128, 512


@nki.jit
def gemm(x: Any, w: Any, bias: Any) -> Any:
    """x.T @ w + bias for x [K, M], w [K, N], bias [1, N]."""
    return _gemm(x, w, bias, lambda tile: tile)


@nki.jit
def gelu(y: Any) -> Any:
    """gelu(y), tile by tile."""
    out = nl.ndarray(y.shape, dtype=y.dtype, buffer=nl.shared_hbm)
    for m in nl.affine_range(y.shape[0] // ROWS):
        for n in nl.affine_range(y.shape[1] // COLUMNS):
            rows, columns = nl.ds(m * ROWS, ROWS), nl.ds(n * COLUMNS, COLUMNS)
            nl.store(out[rows, columns], nl.gelu(nl.load(y[rows, columns])))
    return out


@nki.jit
def fused_pwl(x: Any, w: Any, bias: Any) -> Any:
    """As `gemm`, and gelu from its table before the store."""
    return _gemm(x, w, bias, nl.gelu)


@nki.jit
def fused_taylor(x: Any, w: Any, bias: Any) -> Any:
    """As `gemm`, and gelu by its approximation with tanh before the store."""
    return _gemm(x, w, bias, _approximate)


def _gemm(x: Any, w: Any, bias: Any, finish: Callable[[Any], Any]) -> Any:
    depth, height, width = *x.shape, w.shape[1]
    out = nl.ndarray((height, width), dtype=x.dtype, buffer=nl.shared_hbm)
    for m in nl.affine_range(height // ROWS):
        for n in nl.affine_range(width // COLUMNS):
            rows, columns = nl.ds(m * ROWS, ROWS), nl.ds(n * COLUMNS, COLUMNS)
            total = nl.zeros((ROWS, COLUMNS), nl.float32, buffer=nl.psum)
            for k in nl.affine_range(depth // ROWS):
                inner = nl.ds(k * ROWS, ROWS)
                left, right = nl.load(x[inner, rows]), nl.load(w[inner, columns])
                total += nl.matmul(left, right, transpose_x=True)
            tile = nl.copy(total, dtype=out.dtype)
            row = nl.load(bias[0:1, columns])
            nl.store(out[rows, columns], finish(tile + row.broadcast_to((ROWS, COLUMNS))))
    return out


def _approximate(x: Any) -> Any:
    """x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))), tanh by way of the sigmoid."""
    cube = x * x * x
    inner = nl.multiply(x + 0.044715 * cube, 0.7978845608028654)
    tanh = nisa.activation(op=nl.sigmoid, data=inner, scale=2.0) * 2.0 - 1.0
    return 0.5 * x * (1.0 + tanh)
