"""Breaking rules: a kernel that no device would accept, and everything that is wrong with it.

A run goes on past a broken rule, so that one run finds them all: each says what is wrong, where,
what was given, what the limit is and what to do. Capacity counts, and so does reading what nobody
wrote. After that the same computation, mended.

Wanted: relu(a.T @ b) / 2 for a [128, 128] and b [128, 1024].
"""

import trnlab

trnlab.activate()

import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np


@nki.jit
def broken(a, b):
    out = nl.ndarray((128, 1024), dtype=nl.float32, buffer=nl.shared_hbm)
    left = nl.load(a)
    right = nl.load(b)
    scratch = nl.ndarray((128, 65536), dtype=nl.float32, name="scratch")  # more than SBUF holds

    product = nl.ndarray((128, 1024), dtype=nl.float32, buffer=nl.psum, name="product")
    nisa.nc_matmul(product, left, right)  # 1024 columns at once

    half = nl.ndarray((128, 1), dtype=nl.float32, name="half")
    nisa.memset(half[0:64, :], 0.5)  # the other 64 partitions stay unwritten
    nisa.tensor_scalar(scratch[:, 0:1024], product, nl.maximum, 0.0, op1=nl.multiply, operand1=half)

    nisa.tensor_copy(product, scratch[:, 0:1024], engine=nisa.engine.gpsimd)  # GpSimd and PSUM
    nisa.dma_copy(out, product)  # DMA and PSUM
    return out


@nki.jit
def mended(a, b):
    out = nl.ndarray((128, 1024), dtype=nl.float32, buffer=nl.shared_hbm)
    left = nl.load(a)
    right = nl.load(b)
    result = nl.ndarray((128, 1024), dtype=nl.float32, buffer=nl.sbuf)
    for start in range(0, 1024, 512):
        product = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.psum)
        nisa.nc_matmul(product, left, right[:, start : start + 512])
        nisa.tensor_scalar(
            result[:, start : start + 512], product, nl.maximum, 0.0, op1=nl.multiply, operand1=0.5
        )
    nisa.dma_copy(out, result)
    return out


def main():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((128, 128), dtype=np.float32)
    b = rng.standard_normal((128, 1024), dtype=np.float32)

    try:
        broken(a, b)
    except trnlab.Violations as violations:
        print(f"{violations.what}\n")
        for number, error in enumerate(violations.found, 1):
            print(f"{number}. {error}\n")
    else:
        raise AssertionError("the broken kernel ran")

    out = mended(a, b)
    np.testing.assert_allclose(out, np.maximum(a.T @ b, 0) / 2, rtol=1e-5, atol=1e-5)
    print("mended: no rule broken, and the result agrees with NumPy to 1e-5")


if __name__ == "__main__":
    main()
