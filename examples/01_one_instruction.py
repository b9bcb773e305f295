"""One instruction, alone: what it computes, and where its time comes from.

A NeuronCore has five instruction queues: tensor, vector, scalar, gpsimd and sync. Each works
through its instructions in order. An instruction first occupies its engine, for longer the more
elements each of the 128 partitions holds, and some fixed time later its result is visible to
others.

Here the vector engine computes `2 * x + 1` on tiles of growing width. What to see: no instruction
takes less than 64 cycles, so that a narrow tile costs as much as a wider one; beyond that the time
grows with the width; and bf16 goes faster than fp32. `trnlab isa tensor_scalar` prints the manual
page.
"""

import trnlab

trnlab.activate()  # from here on, `import nki` finds the simulated NKI

import ml_dtypes
import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np

WIDTHS = (16, 64, 256, 1024, 4096)


@nki.jit
def double_and_one(x):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    tile = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    result = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(tile, x)
    nisa.tensor_scalar(result, tile, nl.multiply, 2.0, op1=nl.add, operand1=1.0)
    nisa.dma_copy(out, result)
    return out


def measure(width, dtype):
    """Nanoseconds that one instruction occupies its engine, and until its result is visible."""
    x = (np.arange(128 * width) % 256).reshape(128, width).astype(dtype)
    out, trace = trnlab.run(double_and_one)(x)
    # Small whole numbers: exact even where bf16 rounds them, because NumPy rounds the same way.
    np.testing.assert_array_equal(out, (2 * x.astype(np.float32) + 1).astype(dtype))
    row = [span.name for span in trace].index("tensor_scalar")
    busy = trace.busy_until[row] - trace.start[row]
    return busy * 1e9, (trace.stop[row] - trace.start[row]) * 1e9


def main():
    hertz = float(trnlab.chip("trn2").core.engine("vector").hz)
    print(f"tensor_scalar on the vector engine of trn2, {hertz / 1e9:.2f} GHz\n")
    print("  dtype  elements     busy  cycles  a cycle  visible after")
    for dtype in (np.float32, ml_dtypes.bfloat16):
        name = "fp32" if dtype is np.float32 else "bf16"
        for width in WIDTHS:
            busy, visible = measure(width, dtype)
            cycles = busy * hertz / 1e9
            print(
                f"  {name:5} {width:9,} {busy:5.0f} ns {cycles:7.0f} {width / cycles:8.2f}"
                f"  {visible:10.0f} ns  {'#' * max(1, round(busy / 60))}"
            )
    print("\n128 partitions work side by side: each row above handles 128 times as many elements.")


if __name__ == "__main__":
    main()
