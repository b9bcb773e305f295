"""How often each kind of random step is taken, and programs made of them."""

from tests.fuzz.computing import (
    activation,
    activation_reduce,
    affine_select,
    again,
    curve,
    iota,
    max8,
    nc_matmul,
    reciprocal,
    scalar_tensor_tensor,
    select_reduce,
    tensor_copy_predicated,
    tensor_partition_reduce,
    tensor_reduce,
    tensor_scalar,
    tensor_tensor,
    tensor_tensor_scan,
)
from tests.fuzz.making import Maker
from tests.fuzz.moving import (
    core_barrier,
    dma_compute,
    dma_transpose,
    load,
    memset,
    nc_stream_shuffle,
    nc_transpose,
    output,
    restore,
    sendrecv,
    sum_copy,
    tensor_copy,
)
from tests.fuzz.programs import Program

PORTABLE = (
    (load, 3), (output, 3), (memset, 1), (tensor_copy, 2), (tensor_tensor, 3), (tensor_scalar, 3),
    (scalar_tensor_tensor, 2), (activation, 2), (curve, 0.5), (tensor_reduce, 1),
    (tensor_tensor_scan, 1), (nc_matmul, 2), (again, 3), (nc_transpose, 1), (reciprocal, 0.5),
)  # fmt: skip
CURRENT = (
    *PORTABLE, (activation_reduce, 1), (dma_transpose, 1), (nc_stream_shuffle, 1), (iota, 1),
    (affine_select, 1), (tensor_copy_predicated, 1), (select_reduce, 1), (max8, 0.5),
    (tensor_partition_reduce, 0.5), (dma_compute, 1), (sendrecv, 4), (core_barrier, 5),
    (nc_matmul, 2), (again, 3),
)  # fmt: skip
SUMS = (
    (load, 2), (nc_matmul, 4), (again, 6), (sum_copy, 6), (output, 4), (restore, 3), (memset, 1),
    (tensor_copy, 1), (tensor_scalar, 2), (core_barrier, 2),
)  # fmt: skip


def program(seed: int, steps: int = 12) -> Program:
    """A random program, the same for the same seed."""
    m = Maker(seed)
    kinds = SUMS if m.sums else PORTABLE if m.portable else CURRENT
    total = sum(weight for _, weight in kinds)
    odds = [weight / total for _, weight in kinds]
    for _ in range(20 * steps):
        m.attempt(kinds[m.rng.choice(len(kinds), p=odds)][0])
        if len(m.program.steps) >= steps:
            break
    for name in [n for n, f in m.spaces.items() if f.space in ("sbuf", "psum")]:
        if m.chance(0.7):
            m.attempt(lambda maker, name=name: output(maker, name))
    return m.program
