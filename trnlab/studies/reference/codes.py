"""What error codes of the vendor's tools mean: cause, limit and an example, in our words.

A source is a letter of SOURCES, with what there is to add.
"""

from typing import NamedTuple


class Code(NamedTuple):
    """One code: what caused it, the limit behind it, what to write instead, and our source."""

    name: str
    cause: str
    limit: str
    example: str
    source: str


SOURCES = {
    "E": "NKI error page, Neuron SDK 2.26",
    "K": "NKI known issues, Neuron SDK 2.26",
    "D": "compiler error codes, Neuron SDK 2.32",
    "M": "NKI migration guide, Neuron SDK 2.32",
    "R": "recorded on a device or in a public thread",
}

CODES = {
    code.name: code
    for code in (
        # Backend of neuronx-cc: recorded, no page of their own.
        Code(
            "NCC_IBIR605",
            "The scalar engine of trn1 takes no bias from a tile for log and reciprocal.",
            "no bias for log and reciprocal on NeuronCore-v2; v3 and later take one",
            "nisa.tensor_scalar(t, x, nl.add, bias); nisa.activation(t, nl.log, t)",
            "R: trn1, nki 0.3",
        ),
        Code(
            "SCH713",
            "A sum in PSUM is read, or written by others, before it is whole.",
            "one accumulation group at a time in a PSUM region, read when it is complete",
            "copy the PSUM tile after its last nc_matmul; start the next with accumulate=False",
            "R",
        ),
        Code(
            "ISCH714",
            "As SCH713: matmuls of two sums take turns (are interleaved) in one PSUM region.",
            "one accumulation group at a time in a PSUM region; eight may be open, one a bank",
            "give each sum a tile of its own: nl.ndarray((128, 512), nl.float32, buffer=nl.psum)",
            "R",
        ),
        Code(
            "GCA046",
            "The allocator found no place for some tensors: 'Some infinite-cost nodes remain'.",
            "the SBUF bytes of a partition: 180,224 on v2, 212,984 on v3, 245,752 on v4",
            "declare tiles inside the loop that uses them, smaller or in a narrower dtype",
            "K",
        ),
        Code(
            "couldn't be allocated in SB",
            "More SBUF is alive at once than a partition has: not enough SBUF, out of memory.",
            "180,224 bytes a partition on v2, 212,984 on v3, 245,752 on v4",
            "process (128, 2048) at a time instead of (128, 65536)",
            "R: trn1",
        ),
        Code(
            "NKI005",
            "A kernel that places its own tensors declares HBM tensors that it does not return.",
            "with direct allocation, HBM tensors are inputs, outputs or constants",
            "return every tensor with buffer=nl.shared_hbm; declare none with nl.hbm",
            "K",
        ),
        Code(
            "NCC_INLA001",
            "The program needs more tables of activation functions than the engine holds.",
            "8 activation tables",
            "model.to(torch.bfloat16) instead of XLA_USE_BF16=1; fewer different functions",
            "R: aws-neuron-sdk issue 1314",
        ),
        Code(
            "Insufficient rank",
            "A tile on chip has one dimension.",
            "a tile has a partition dimension and at least one free dimension",
            "nl.zeros((128, 1), ...) instead of nl.zeros((128,), ...)",
            "K",
        ),
        # Errors of the older NKI.
        Code(
            "err_1d_arange_not_supported",
            "A tensor is indexed with an nl.arange of one dimension.",
            "tile indices have two dimensions or more",
            "i = nl.arange(64)[:, None]; tile[i, 0]",
            "E",
        ),
        Code(
            "err_activation_bias_invalid_type",
            "The bias of an activation is a number, or a tile of another dtype.",
            "float32, float16 or bfloat16, shape [P, 1]",
            "bias = nisa.memset((128, 1), 1.2, dtype=nl.float32)",
            "E",
        ),
        Code(
            "err_activation_scale_invalid_type",
            "The scale of an activation is a tile that is not float32.",
            "a number, or float32 [P, 1]",
            "nisa.activation(nl.exp, x, scale=1.2)",
            "E",
        ),
        Code(
            "err_activation_scale_scalar_or_vector",
            "The scale of an activation is a tile with more than one element a partition.",
            "a number, or one element a partition",
            "multiply with nisa.tensor_tensor first",
            "E",
        ),
        Code(
            "err_ambiguous_tensor_truth_value",
            "A tile is used where Python wants true or false: if, and, or, not.",
            "values are not known while the kernel is traced",
            "~(tile > 0) instead of not; & and | instead of and, or; if b is not None",
            "E",
        ),
        Code(
            "err_annotation_shape_mismatch",
            "A tensor is annotated with another shape than it has.",
            "nt.tensor[shape] is checked",
            "data: nt.tensor[128, 128] = nl.zeros((128, 128), nl.float32)",
            "E",
        ),
        Code(
            "err_bias_tensor_must_be_specified_in_allocation",
            "An activation without bias in a kernel that places its own tensors.",
            "with direct allocation no tensor is made for you",
            "nisa.activation(nl.exp, x, bias=zeros)",
            "E",
        ),
        Code(
            "err_cannot_assign_to_index",
            "Something is assigned to an index (nl.arange, nl.mgrid) or a mask.",
            "indices are no memory",
            "y = nisa.iota(x, dtype=nl.uint32); y[0, 5] = 1024",
            "E",
        ),
        Code(
            "err_cannot_update_immutable_parameter",
            "The kernel writes to an argument.",
            "arguments are read only unless they are annotated nt.mutable_tensor",
            "def kernel(x: nt.mutable_tensor): ...; return x",
            "E",
        ),
        Code(
            "err_control_flow_condition_depending_on_arange",
            "A branch or loop depends on nl.arange or nl.mgrid.",
            "an index stands for all its values at once",
            "nl.add(x, y, mask=j > 2048)",
            "E",
        ),
        Code(
            "err_copy_dynamic_indirect_indices_not_natively_supported",
            "Data on chip is copied from a place that another tile decides.",
            "one offset a copy, by an instruction of its own",
            "nisa.tensor_copy_dynamic_src(data[0, idx, iz])",
            "E",
        ),
        Code(
            "err_dynamic_control_flow_not_supported",
            "A branch depends on a value in a tensor.",
            "the program is fixed before values exist",
            "compute both and select: nl.where(condition, a, b)",
            "E",
        ),
        Code(
            "err_exceed_max_supported_dimension",
            "A tile has more dimensions than the function takes.",
            "nl.transpose takes 2",
            "x = nl.zeros((64, 64), ...); nl.transpose(x)",
            "E",
        ),
        Code(
            "err_failed_to_infer_tile_from_local_tensor",
            "A tensor with block dimensions is used as a tile.",
            "the first dimension of a tile is its partitions",
            "for i in range(4): c[i] = nl.add(a[i], 32)",
            "E",
        ),
        Code(
            "err_hbm_tensor_with_init_value_not_supported",
            "nl.zeros or nl.full on HBM.",
            "tensors in HBM begin with garbage",
            "t = nl.ndarray(shape, dtype, buffer=nl.shared_hbm); nl.store(t, 0.0)",
            "E",
        ),
        Code(
            "err_indirect_indices_are_not_supported_with_nki_api",
            "A tile indexes an operand of a function that takes no such operands.",
            "nl.load, nl.store and nisa.dma_copy gather and scatter",
            "nl.transpose(nl.load(data[idx]))",
            "E",
        ),
        Code(
            "err_indirect_indices_free_dim",
            "A tile indexes a free dimension, or the index is made with nl.mgrid.",
            "only the partition or a block dimension, with nl.arange",
            "nl.load(data[idx[i_p, 0], i_f])",
            "E",
        ),
        Code(
            "err_leading_dimension_of_tensor_must_be_partition",
            "A tensor on chip has dimensions in front of its partitions.",
            "the partition dimension comes first; block dimensions are gone",
            "nl.ndarray((128, 4, 512), ...) instead of (4, nl.par_dim(128), 512)",
            "E",
        ),
        Code(
            "err_local_variable_used_out_of_scope",
            "A tensor made inside if or for is used outside.",
            "control blocks are scopes",
            "make it outside and fill it inside: tmp[...] = nl.load(a)",
            "E",
        ),
        Code(
            "err_mutable_parameter_not_returned",
            "An argument annotated nt.mutable_tensor is not returned.",
            "what a kernel writes it returns",
            "return out, x",
            "E",
        ),
        Code(
            "err_nested_kernel_with_spmd_grid",
            "A kernel calls another one with a grid.",
            "one grid a launch",
            "kernel0(x) instead of kernel0[4, 4](x)",
            "E",
        ),
        Code(
            "err_nki_api_outside_of_nki_kernel",
            "An NKI function is called by plain Python.",
            "instructions belong to a kernel",
            "put @nki.jit above the function",
            "E",
        ),
        Code(
            "err_num_partition_exceed_arch_limit",
            "A tile spans too many partitions.",
            "128 partitions",
            "nl.zeros((128, 2, 1024), ...) instead of (256, 1024)",
            "E",
        ),
        Code(
            "err_num_partition_mismatch",
            "Operands of one instruction span different numbers of partitions.",
            "instructions do not broadcast over partitions",
            "y.broadcast_to((128, 512)) in the older API; load it to all partitions in today's",
            "E",
        ),
        Code(
            "err_shared_hbm_must_in_kernel_level",
            "A tensor in shared HBM is declared in a loop, a branch or another function.",
            "outputs are declared at the top of the kernel",
            "out = nl.ndarray(shape, dtype, buffer=nl.shared_hbm) before the loop",
            "E",
        ),
        Code(
            "err_size_of_dimension_exceed_arch_limit",
            "A dimension is larger than the function takes.",
            "nl.transpose: [128, 128]",
            "transpose 128 columns at a time",
            "E",
        ),
        Code(
            "err_store_dst_shape_smaller_than_other_shape",
            "More is assigned than there is room for.",
            "a destination may be larger than its source, never smaller",
            "x[...] = y with x (128, 512), y (128, 1)",
            "E",
        ),
        Code(
            "err_tensor_access_out_of_bound",
            "An index leaves its tensor.",
            "0 to size - 1 in every dimension",
            "nl.store(x[p, i * 512 + f], v, mask=i * 512 + f < 4000)",
            "E",
        ),
        Code(
            "err_tensor_creation_on_scratchpad_with_init_value_not_supported",
            "nl.zeros or nl.full in a kernel that places its own tensors.",
            "with direct allocation tensors begin with garbage",
            "t = nl.ndarray(..., buffer=ncc.sbuf.mod_alloc(base_addr=0)); t[...] = 0",
            "E",
        ),
        Code(
            "err_tensor_output_not_written_to",
            "An output was never stored to, often because a loop ran zero times.",
            "every output is written",
            "nl.affine_range(math.ceil(m / n)) instead of m // n",
            "E",
        ),
        Code(
            "err_transpose_on_tensor_engine_not_allowed_in_allocated_kernel",
            "A transpose that needs an identity matrix in a kernel that places its own tensors.",
            "with direct allocation no tensor is made for you",
            "nisa.nc_matmul(x, identity, is_transpose=True)",
            "E",
        ),
        Code(
            "err_unexpected_output_dependencies",
            "Turns of an nl.affine_range, or programs of a grid, write to the same place.",
            "turns of affine_range run in any order",
            "a[i] = 0 instead of a[0] = 0, or nl.sequential_range",
            "E",
        ),
        Code(
            "err_unsupported_expression_in_mask",
            "A mask is not affine in loop indices, or depends on a value.",
            "a x + b y + ... + c compared with a number, joined by &",
            "mask=i < 4 instead of (i % 4) < 2",
            "E",
        ),
        # Graph compiler, with pages of their own.
        Code(
            "NCC_EARG001",
            "This chip cannot join so many physical cores into a logical one.",
            "LNC 1 on v2; 1 or 2 on v3 and v4",
            "neuronx-cc compile --lnc 1",
            "D",
        ),
        Code(
            "NCC_EBVF030",
            "The graph has more instructions than the compiler takes.",
            "a count of instructions that is not public",
            "split the model over more cores, or compile fewer layers at a time",
            "D",
        ),
        Code(
            "NCC_EOOM001",
            "Inputs, outputs, scratch and spills together exceed HBM.",
            "HBM of a core: 16 GiB on trn1, 12 on trn2, 18 on trn3",
            "a smaller batch, or more tensor parallelism",
            "D",
        ),
        Code(
            "NCC_EOOM002",
            "Activations exceed HBM.",
            "HBM of a core: 16 GiB on trn1, 12 on trn2, 18 on trn3",
            "a smaller batch, or more tensor parallelism",
            "D",
        ),
        Code(
            "NCC_ESPP004",
            "A dtype for which there is no code.",
            "the dtypes of the data type page",
            "bfloat16 instead of float4_e2m1fn",
            "D",
        ),
        Code(
            "NCC_EVRF001",
            "The graph has an operator that is not supported.",
            "neuronx-cc list-operators --framework XLA",
            "torch.inverse(a) @ b instead of torch.triangular_solve(b, a)",
            "D",
        ),
        Code(
            "NCC_EVRF051",
            "float8_e4m3fn on trn1 or trn2.",
            "OCP fp8 came with NeuronCore-v4",
            "float8_e4m3 there, float8_e4m3fn on trn3",
            "D",
        ),
        Code(
            "NCC_EVRF065",
            "The kernel was traced by another version of NKI than the compiler takes.",
            "kernel and compiler of one release",
            "upgrade nki and run the model again",
            "D",
        ),
        Code(
            "NCC_EXTP004",
            "As NCC_EBVF030: the graph has more instructions than the compiler takes.",
            "a count of instructions that is not public",
            "split the model over more cores",
            "D",
        ),
        # Today's NKI.
        Code(
            "must inherit from NKIObject",
            "A kernel uses a class, or calls a function with @nki.jit of its own.",
            "classes inherit nl.NKIObject and nothing else; inner kernels have no decorator",
            "class Sizes(nl.NKIObject): ...",
            "M",
        ),
        Code(
            "neuronxcc.nki in a kernel",
            "Names of the older API inside a kernel, from nki 0.4 on.",
            "neuronxcc.nki is taken side by side up to 2.29",
            "import nki.isa as nisa",
            "M",
        ),
    )
}
