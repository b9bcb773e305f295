"""The chips that trnlab knows, and what sets their generations apart."""

from trnlab.errors import UnknownName
from trnlab.machine.catalogue.trn1 import INF2, TRN1
from trnlab.machine.catalogue.trn2 import TRN2
from trnlab.machine.catalogue.trn3 import TRN3
from trnlab.machine.chip import Chip

CHIPS = (TRN1, INF2, TRN2, TRN3)

# One instruction goes by its own name, a family of them or a mode by what it gives.
CAPABILITIES = {
    # since NeuronCore-v3
    "column_tiling": "Matmul tiles may split the array by columns, and by rows of 32.",
    "core_barrier": "The two cores of a logical core wait for each other.",
    "dma_transpose": "DMA engines transpose in flight, at nearly the rate of a copy.",
    "double_row": "fp8 matmuls contract over 256 rows in the time of 128.",
    "exact_transpose": "The tensor engine transposes bit by bit; without it NaN and Inf spread.",
    "fast_modes": "The vector engine does 2 or 4 elements of 16 bits a cycle.",
    "fast_transpose": "fp32 transposes on the tensor engine take half the passes of a matmul.",
    "gpsimd_rng": "rng runs on GpSimd too.",
    "hardware_dge": "Sync and Scalar queues have hardware that writes DMA descriptors.",
    "nonzero_with_count": "GpSimd lists the indices of non-zeros.",
    "rand_state": "rand_set_state and rand_get_state, on GpSimd.",
    "range_select": "The vector engine keeps elements whose index lies between two bounds.",
    "function_bias": "Logarithm and reciprocal of the scalar engine take a bias of their own.",
    "scalar_bias_immediate": "The bias of an activation may be a constant.",
    "scalar_tensor_copy": "The scalar engine runs tensor_copy, bit by bit if types agree.",
    "scalar_tensor_scalar": "The scalar engine runs tensor_scalar: multiply, add, or both.",
    "sendrecv": "The two cores of a logical core swap tiles.",
    "separate_ports": "Vector and GpSimd share SBUF, Vector and Scalar share PSUM, at once.",
    "topk": "GpSimd finds the K largest.",
    # since NeuronCore-v4
    "abs_max": "Operators abs_max and abs_min, and square and relu as the first operator.",
    "activate2": "The scalar engine applies two operators before its function.",
    "background_transpose": "A transpose overlaps with another matmul or transpose.",
    "dma_priority": "DMA queues have four classes of service.",
    "exponential": "The vector engine computes exp, four times as fast as the scalar engine.",
    "fp8_fast_modes": "fp8 counts as 16 bits in the fast modes of the vector engine.",
    "indirect_views": "Destination and main input may be gathered through a tensor of indices.",
    "mx": "quantize_mx and nc_matmul_mx: block-scaled fp8 and fp4, contracting over 512 rows.",
    "ocp_fp8": "float8_e4m3fn matmul inputs.",
    "psum_bf16": "Matmuls may write and accumulate bf16 in PSUM.",
    "psum_preload": "Matmuls may accumulate onto what another instruction wrote to PSUM.",
    "rand2": "The vector engine draws uniform numbers between two bounds.",
    "scalar_alu": "The scalar engine runs tensor_scalar with every operator.",
    "scalar_fast_modes": "The scalar engine copies and scales 2 elements of 16 bits a cycle.",
    "vector_rand_state": "rand_set_state and rand_get_state, on the vector engine too.",
    "wide_psum": "One matmul may fill all PSUM banks: 8 x moving_max fp32, 16 x bf16 columns.",
}

_BY_NAME = {name: entry for entry in CHIPS for name in (entry.key, *entry.aliases)}


def chip(name: str) -> Chip:
    """Returns the chip of that key or alias, in upper or lower case: ``chip("gen3").key`` is trn2.

    Raises UnknownName, which names the nearest, for anything else.
    """
    try:
        return _BY_NAME[name.lower()]
    except KeyError:
        raise UnknownName("chip", name, _BY_NAME) from None
