"""What changed between the generations of NKI, as data.

Sources: the vendor's migration guide and release notes of SDK 2.27 to 2.32, and the names that the
API references of those releases list. Own wording.
"""

from dataclasses import dataclass

GONE, CHANGED, DEPRECATED, CHECK, NEW = "gone", "changed", "deprecated", "check", "new"


@dataclass(frozen=True)
class Change:
    """One thing that kernels write, the version that changed it, and what to write instead."""

    version: str
    kind: str  # gone, changed, deprecated, new, or check: it may be right as it is
    what: str
    instead: str


CHANGES = {
    # modules and entry points
    "import": Change(
        "0.2", DEPRECATED, "neuronxcc.nki: the older API, an error since 0.4",
        "import nki, nki.language as nl, nki.isa as nisa",
    ),
    "typing": Change(
        "0.3", CHANGED, "neuronxcc.nki.typing, nki.tensor",
        "import nki.typing as nt; annotate with nt.tensor[shape]",
    ),
    "compiler": Change(
        "0.2", GONE, "nki.compiler: allocators and directives",
        "nl.ndarray(..., address=(partition, byte)); nl.no_reorder() since 0.3",
    ),
    "kernels": Change(
        "0.2", GONE, "kernels that came with neuronxcc", "the NKI Library: import nkilib"
    ),
    "simulate_kernel": Change(
        "0.2", GONE, "nki.simulate_kernel(kernel, *args)", "nki.simulate(kernel)(*args), from 0.3"
    ),
    "baremetal": Change(
        "0.2", GONE, "nki.baremetal", "@nki.jit, and call the kernel with NumPy arrays"
    ),
    "benchmark": Change(
        "0.2", GONE, "nki.benchmark and nki.profile", "@nki.jit and the vendor's profiler"
    ),
    "trace": Change("0.2", GONE, "nki.trace", "nothing: kernels call functions"),
    "jit_mode": Change("0.3", CHANGED, "nki.jit(mode=...) is ignored", "@nki.jit"),
    "jit_target": Change(
        "0.3", GONE, "nki.jit(platform_target=...)", "set NEURON_PLATFORM_TARGET_OVERRIDE"
    ),
    "sub_kernel": Change(
        "0.2", CHANGED, "a kernel called by a kernel has @nki.jit",
        "take the decorator off; nki.jit(function) where it is called alone",
    ),
    "grid": Change(
        "0.2", CHANGED, "a launch grid of several dimensions or many instances",
        "loop inside the kernel; kernel[2] runs it on two cores",
    ),
    # tensors and indices
    "arange": Change("0.2", GONE, "nl.arange", "slices: t[0:128, 0:512]; t.ap(...) beyond"),
    "mgrid": Change("0.2", GONE, "nl.mgrid", "slices: t[0:128, 0:512]; t.ap(...) beyond"),
    "mask": Change(
        "0.2", GONE, "mask=", "slices that end with the tensor: t[start : min(size, start + 128)]"
    ),
    "mask_none": Change("0.2", GONE, "mask=None", "leave it out"),
    "block": Change(
        "0.2", GONE, "block dimensions: par_dim is not the first dimension",
        "a list of tensors, blocks in a free dimension, or a tensor made inside the loop",
    ),
    "par_dim": Change("0.2", GONE, "nl.par_dim", "nothing: dimension 0 is the partition one"),
    "lazy": Change(
        "0.2", GONE, "lazy_initialization=", "nl.ndarray in PSUM: the first matmul overwrites"
    ),
    "hint": Change("0.2", GONE, "hints to loops: directives=, precise_schedule=", "leave them out"),
    "buffer_name": Change("0.3", CHANGED, "buffer= as text", "nl.sbuf, nl.psum, nl.shared_hbm"),
    "output": Change(
        "0.3", CHANGED, "an output in nl.hbm", "nl.ndarray(..., buffer=nl.shared_hbm)"
    ),
    "operators": Change(
        "0.2", GONE, "Python operators on tiles", "nl.add, nl.multiply ..., or nisa.tensor_tensor"
    ),
    "accumulate": Change(
        "0.2", GONE, "+= and its like on a tile",
        "nisa.nc_matmul adds in PSUM by itself; nisa.tensor_tensor(acc, acc, t, nl.add)",
    ),
    "broadcast": Change(
        "0.3", CHECK, "a function of tiles with two shapes", "equal shapes, or nisa.tensor_scalar"
    ),
    "numpy_dtype": Change(
        "0.2", CHECK, "dtype= of NumPy: documented for the older API only", "nl.float32 ..."
    ),
    # instructions
    "dtype": Change("0.2", GONE, "dtype= of an instruction", "the dtype of dst"),
    "numpy_op": Change("0.2", CHANGED, "a NumPy function as operator", "nl.add, nl.maximum ..."),
    "shuffle": Change(
        "0.2", CHANGED, "nisa.nc_stream_shuffle(src, dst, mask)",
        "nisa.nc_stream_shuffle(dst, src, shuffle_mask)",
    ),
    "rmw": Change(
        "0.3", GONE, "nisa.dma_copy(dst_rmw_op=..., unique_indices=...)",
        "nisa.dma_compute(dst, [src, dst], reduce_op=nl.add)",
    ),
    "from_psum": Change(
        "0.3", GONE, "nisa.dma_copy from PSUM", "nisa.tensor_copy to SBUF first, then copy that"
    ),
    "compute_order": Change(
        "0.3", CHANGED, "nisa.dma_compute(dst, srcs, scales, reduce_op)",
        "nisa.dma_compute(dst, srcs, reduce_op)",
    ),
    "affine_offset": Change(
        "0.3", CHANGED, "nisa.affine_select with offset in third place", "offset= by name"
    ),
    "gpsimd_dma": Change(
        "0.3", CHANGED, "nisa.sendrecv(use_gpsimd_dma=...)",
        "dma_engine=nisa.dma_engine.gpsimd_dma, or .dma",
    ),
    "register_imm": Change(
        "0.3", CHANGED, "nisa.register_move(imm=...)",
        "nisa.register_move(dst, nisa.register_alloc(number))",
    ),
    "num_channels": Change("0.3", GONE, "num_channels=", "channel_ids=[...] of the collective"),
    "enum_number": Change("0.3", CHANGED, "an enumeration as a number", "its member"),
    "memset_value": Change(
        "0.3", CHANGED, "nisa.memset of an integer tensor with a float", "a whole number, such as 2"
    ),
    "reduce_axis": Change(
        "0.3", CHECK, "nisa.tensor_reduce of 3 or more dimensions with axis=1",
        "0.2 took it for the last dimension; it is the second now",
    ),
    "range_select": Change(
        "0.3", CHECK, "nisa.range_select with reduce_cmd or on_false_value",
        "0.2 ignored both; now they count",
    ),
    # the language
    "star": Change("0.3", GONE, "a * in the signature of a kernel", "defaults, without the star"),
    "list_default": Change("0.3", GONE, "a list as kernel argument", "a tuple"),
    "is": Change("0.3", GONE, "is, is not", "==, !="),
    "while": Change("0.6", DEPRECATED, "while on a register", "nl.while_loop(register, body)"),
    "num_programs": Change(
        "0.3", CHECK, "nl.num_programs() without axes", "it was of all axes; it is of axis 0 now"
    ),
    "flags": Change(
        "0.3", CHECK, "comparisons without dtype=", "they gave bool; now the dtype of their input"
    ),
    "rsqrt": Change("0.5", CHECK, "nl.rsqrt", "on GpSimd now: its input must be in SBUF"),
    "not_on_device": Change(
        "0.3", CHECK, "nl.divide, nl.mod, nl.fmod: not on the device",
        "nl.multiply(x, nl.reciprocal(y))",
    ),
    "power": Change("0.3", CHECK, "nl.power with a number", "both operands are tiles"),
    "matmul": Change(
        "0.3", CHECK, "nl.matmul without transpose_x=True", "nl.matmul(x_transposed, y, True)"
    ),
    "seed": Change("0.3", CHANGED, "nl.random_seed of a number", "a [1, 1] tile in SBUF"),
    "identity": Change(
        "0.2", CHECK, "nl.shared_identity_matrix was in HBM", "it is in SBUF now: nothing to load"
    ),
    "constant_dtype": Change(
        "0.3", GONE, "nl.shared_constant(dtype=...)", "convert the array before"
    ),
    "compute_dtype": Change("0.3", GONE, "nl.softmax(compute_dtype=...)", "leave it out"),
}  # fmt: skip

# Names of the older `nki.language` that `nki` never had.
LANGUAGE_GONE = {
    "all_reduce": "nki.collectives.all_reduce, or nisa.sendrecv between two cores",
    "atomic_rmw": "nisa.dma_compute(dst.ap(..., vector_offset=...), [src], reduce_op=nl.add)",
    "bfp16": "numbers of Python",
    "finfo": "ml_dtypes.finfo, or numbers of Python",
    "fp32": "numbers of Python, such as float(np.finfo(np.float32).min)",
    "gemm_grid": "loops inside the kernel",
    "gemm_stationary_grid": "loops inside the kernel",
    "loop_reduce": "an accumulator outside the loop: nisa.nc_matmul adds in PSUM by itself",
    "nc": "kernel[2], nl.program_id(0)",
    "spmd_dim": "kernel[2], nl.program_id(0)",
    "static_cast": "astype of the array, outside the kernel",
}
ISA_GONE = {
    "builtin_custom_op": ("0.2", "nothing"),
    "fp32": ("0.2", "numbers of Python, such as float(np.finfo(np.float32).min)"),
    "tensor_copy_dynamic_src": ("0.4", "nisa.tensor_copy(dst, src.ap(..., scalar_offset=...))"),
    "tensor_copy_dynamic_dst": ("0.4", "nisa.tensor_copy(dst.ap(..., scalar_offset=...), src)"),
}
# Still there, but not for long.
LANGUAGE_DEPRECATED = {
    "affine_range": ("0.3", "range"),
    "sequential_range": ("0.3", "range"),
    "static_range": ("0.6", "range"),
    "dynamic_range": ("0.6", "nl.fori_loop(lower, upper, body)"),
    "tile_size.psum_fmax": ("0.4", "nl.tile_size.psum_bank_fmax"),
    "tile_size.total_available_sbuf_size": ("0.4", "nl.tile_size.sbuf_fmax_bytes"),
}
# Functions of `nki.language` that 0.2 did not have, by the version that brought them (back).
LANGUAGE_SINCE = {
    name: version
    for version, names in {
        "0.3": """
            all arctan broadcast_to ceil copy cos dropout dynamic_range empty_like erf erf_dx
            exp expand_dims floor fmod full gather_flattened gelu gelu_apprx_tanh gelu_dx is_hbm
            is_on_chip is_psum is_sbuf load load_transpose2d log matmul max mean min mish mod
            negative no_reorder ones prod rand random_seed relu rms_norm sigmoid sign silu
            silu_dx sin softmax softplus sqrt square store sum tan tanh transpose trunc var
            where zeros_like""",
        "0.4": "abs_max abs_min",
        "0.6": "fori_loop while_loop",
    }.items()
    for name in names.split()
}
ISA_SINCE = {"activate2": "0.4", "get_nc_sub_version": "0.5", "topk": "0.6"}
# Methods of tiles in the older API.
METHODS = {
    "assert_shape": "assert t.shape == shape",
    "astype": "nl.copy(t, dtype=...)",
    "broadcast_to": "t.broadcast(dim, size); across partitions a matmul with ones",
    "expand_dims": "t.expand_dim(dim)",
}
FLAGS = ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal", "logical_and",
         "logical_or", "logical_xor", "logical_not")  # fmt: skip
# Instructions of the older API that took their destination as an argument, all by name.
HAD_DST = ("dma_copy", "nc_stream_shuffle", "select_reduce", "tensor_copy_predicated")
ENUMERATIONS = ("dge_mode", "oob_mode", "engine", "reduce_cmd", "perf_mode")
