"""The same kernel in both generations of NKI: a softmax of 200 rows.

Until NKI 0.2 kernels were written against `neuronxcc.nki`: instructions return tiles, tiles are
indexed with `nl.arange`, and a `mask` says which elements of the last tile exist. Since then it is
`nki`: tiles are made first and named as destinations, and a loop ends with a smaller tile. Both are
here at once, chosen by import name, and run on the same simulated core, so that times can be
compared: subtracting and dividing tiles, as one writes it in the older API, takes more instructions
than the current kernel needs.
"""

import trnlab

trnlab.activate()

import course
import neuronxcc.nki as old_nki
import neuronxcc.nki.language as old_nl
import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np

ROWS, COLUMNS, P = 200, 1024, 128


@old_nki.jit
def softmax_then(x):
    out = old_nl.ndarray(x.shape, dtype=x.dtype, buffer=old_nl.shared_hbm)
    rows, columns = x.shape
    i, j = old_nl.arange(P)[:, None], old_nl.arange(columns)[None, :]
    for tile in old_nl.affine_range((rows + P - 1) // P):
        row = tile * P + i
        values = old_nl.load(x[row, j], mask=row < rows)
        top = old_nl.max(values, axis=[1], mask=row < rows)
        raised = old_nl.exp(values - top, mask=row < rows)
        total = old_nl.sum(raised, axis=[1], mask=row < rows)
        old_nl.store(out[row, j], raised / total, mask=row < rows)
    return out


@nki.jit
def softmax_now(x):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    rows, columns = x.shape
    for row in range(0, rows, P):
        height = min(P, rows - row)
        values = nl.ndarray((height, columns), dtype=x.dtype)
        nisa.dma_copy(values, x[row : row + height, :])
        minus_top = nl.ndarray((height, 1), dtype=nl.float32)
        nisa.tensor_reduce(minus_top, nl.maximum, values, axis=1, negate=True)
        total = nl.ndarray((height, 1), dtype=nl.float32)
        nisa.activation_reduce(values, nl.exp, values, nl.add, total, bias=minus_top)
        nisa.reciprocal(total, total)
        nisa.tensor_scalar(values, values, nl.multiply, total)
        nisa.dma_copy(out[row : row + height, :], values)
    return out


def main():
    x = np.random.default_rng(0).standard_normal((ROWS, COLUMNS), dtype=np.float32)
    want = np.exp(x - x.max(axis=1, keepdims=True))
    want /= want.sum(axis=1, keepdims=True)
    for api, kernel in (("neuronxcc.nki", softmax_then), ("nki", softmax_now)):
        out, trace = trnlab.run(kernel)(x)
        count = trace.totals["instructions"]
        print(f"\n{api}: {trace.seconds * 1e6:.1f} us, {count:.0f} instructions")
        course.check(out, want, tolerance=1e-5)  # sums and exp round differently
        course.engines(trace)


if __name__ == "__main__":
    main()
