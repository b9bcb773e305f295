"""The names and signatures that the vendor publishes, as data.

Current API: NKI 0.6 (Neuron SDK 2.32). Older API: `neuronxcc.nki` of Neuron SDK 2.26, its last.
Enumerations and functions that stand as defaults are given by their last name.
"""

ISA = """
activate2(dst, op, data, imm0, imm1, op0, op1, relu_param=0.0, reverse0=False, reverse1=False,
    reduce_op=None, reduce_res=None, reduce_cmd=idle, name=None)
activation(dst, op, data, bias=None, scale=1.0, reduce_op=None, reduce_res=None,
    reduce_cmd=idle, name=None)
activation_reduce(dst, op, data, reduce_op, reduce_res, bias=None, scale=1.0, name=None)
affine_select(dst, pattern, channel_multiplier, on_true_tile, on_false_value, cmp_op=equal,
    offset=0, name=None)
bn_aggr(dst, data, name=None)
bn_stats(dst, data, name=None)
core_barrier(data, cores, engine=gpsimd, name=None)
dma_compute(dst, srcs, reduce_op, scales=None, unique_indices=True, oob_mode=error, name=None)
dma_copy(dst, src, priority=None, oob_mode=error, dge_mode=unknown, engine=unknown, name=None)
dma_transpose(dst, src, axes=None, priority=None, dge_mode=unknown, oob_mode=error, name=None)
dropout(dst, data, prob, name=None)
exponential(dst, src, max_value=0.0, reduce_res=None, reduce_cmd=idle, reduce_init=0.0,
    name=None)
get_nc_sub_version()
get_nc_version()
iota(dst, pattern, offset=0, channel_multiplier=0, name=None)
local_gather(dst, src_buffer, index, num_elem_per_idx=1, num_valid_indices=None, name=None)
max8(dst, src, name=None)
memset(dst, value, engine=unknown, name=None)
nc_find_index8(dst, data, vals, name=None)
nc_match_replace8(dst, data, vals, imm, dst_idx=None, name=None)
nc_matmul(dst, stationary, moving, is_stationary_onezero=False, is_moving_onezero=False,
    is_transpose=False, accumulate=None, tile_position=(), tile_size=(), perf_mode=none,
    name=None)
nc_matmul_mx(dst, stationary, moving, stationary_scale, moving_scale, tile_position=None,
    tile_size=None, accumulate=None, name=None)
nc_n_gather(dst, data, indices, name=None)
nc_stream_shuffle(dst, src, shuffle_mask, name=None)
nc_transpose(dst, data, engine=unknown, name=None)
nonzero_with_count(dst, src, index_offset=0, padding_val=-1, name=None)
quantize_mx(dst, src, dst_scale, name=None)
rand2(dst, min, max, name=None)
rand_get_state(dst, engine=gpsimd, name=None)
rand_set_state(src_seeds, engine=gpsimd, name=None)
range_select(dst, on_true_tile, comp_op0, comp_op1, bound0, bound1, reduce_cmd=reset_reduce,
    reduce_res=None, reduce_op=maximum, range_start=0, on_false_value=-3.4028235e+38, name=None)
reciprocal(dst, data, name=None)
register_alloc(x=None)
register_load(dst, src)
register_move(dst, src)
register_store(dst, src)
rng(dst, engine=vector, name=None)
scalar_tensor_tensor(dst, data, op0, operand0, op1, operand1, reverse0=False, reverse1=False,
    name=None)
select_reduce(dst, predicate, on_true, on_false, reduce_res=None, reduce_cmd=idle,
    reduce_op=maximum, reverse_pred=False, name=None)
sendrecv(src, dst, send_to_rank, recv_from_rank, pipe_id, dma_engine=dma, name=None)
sequence_bounds(dst, segment_ids, name=None)
set_rng_seed(src_seeds, name=None)
tensor_copy(dst, src, engine=unknown, name=None)
tensor_copy_predicated(dst, src, predicate, reverse_pred=False, name=None)
tensor_partition_reduce(dst, op, data, name=None)
tensor_reduce(dst, op, data, axis, negate=False, keepdims=False, name=None)
tensor_scalar(dst, data, op0, operand0, reverse0=False, op1=None, operand1=None, reverse1=False,
    engine=unknown, name=None)
tensor_scalar_cumulative(dst, src, op0, op1, imm0, imm1=None, reduce_cmd=reset_reduce,
    name=None)
tensor_scalar_reduce(dst, data, op0, operand0, reduce_op, reduce_res=None, reverse0=False,
    reduce_cmd=reset_reduce, reduce_init=None, reduce_res_negate=False, name=None)
tensor_tensor(dst, data1, data2, op, engine=unknown, name=None)
tensor_tensor_scan(dst, data0, data1, initial, op0, op1, reverse0=False, reverse1=False,
    name=None)
topk(val_dst, idx_dst, src, n, name=None)
"""

LANGUAGE = """
abs(x, dtype=None)
abs_max(x, y, dtype=None)
abs_min(x, y, dtype=None)
add(x, y, dtype=None)
affine_range(start, stop=None, step=1)
all(x, axis, dtype=None)
arctan(x, dtype=None)
bitwise_and(x, y, dtype=None)
bitwise_or(x, y, dtype=None)
bitwise_xor(x, y, dtype=None)
broadcast_to(x, shape, dtype=None)
ceil(x, dtype=None)
copy(x, dtype=None)
cos(x, dtype=None)
device_print(print_prefix, tensor)
divide(x, y, dtype=None)
dropout(x, rate, dtype=None)
ds(start, size)
dynamic_range(start, stop=None, step=1)
empty_like(x, dtype=None, buffer=None, name='')
equal(x, y, dtype=None)
erf(x, dtype=None)
erf_dx(x, dtype=None)
exp(x, dtype=None)
expand_dims(x, axis)
floor(x, dtype=None)
fmod(x, y, dtype=None)
fori_loop(lower, upper, body_fun, step=1)
full(shape, fill_value, dtype, buffer=sbuf, name='')
gather_flattened(data, indices, axis=0, dtype=None)
gelu(x, dtype=None)
gelu_apprx_sigmoid(x, dtype=None)
gelu_apprx_sigmoid_dx(x, dtype=None)
gelu_apprx_tanh(x, dtype=None)
gelu_dx(x, dtype=None)
greater(x, y, dtype=None)
greater_equal(x, y, dtype=None)
invert(x, dtype=None)
is_hbm(buffer)
is_on_chip(buffer)
is_psum(buffer)
is_sbuf(buffer)
left_shift(x, y, dtype=None)
less(x, y, dtype=None)
less_equal(x, y, dtype=None)
load(src, dtype=None)
load_transpose2d(src, dtype=None)
log(x, dtype=None)
logical_and(x, y, dtype=None)
logical_not(x, dtype=None)
logical_or(x, y, dtype=None)
logical_xor(x, y, dtype=None)
matmul(x, y, transpose_x=False)
max(x, axis, dtype=None, keepdims=False)
maximum(x, y, dtype=None)
mean(x, axis, dtype=None, keepdims=False)
min(x, axis, dtype=None, keepdims=False)
minimum(x, y, dtype=None)
mish(x, dtype=None)
mod(x, y, dtype=None)
multiply(x, y, dtype=None)
ndarray(shape, dtype, buffer=sbuf, name='', address=None)
negative(x, dtype=None)
no_reorder()
not_equal(x, y, dtype=None)
num_programs(axes=0)
ones(shape, dtype, buffer=sbuf, name='')
power(x, y, dtype=None)
prod(x, axis, dtype=None, keepdims=False)
program_id(axis=0)
program_ndim()
rand(shape, dtype, buffer=sbuf, name='')
random_seed(seed)
reciprocal(x, dtype=None)
relu(x, dtype=None)
right_shift(x, y, dtype=None)
rms_norm(x, w, axis, n, epsilon=1e-06, dtype=None, compute_dtype=None)
rsqrt(x, dtype=None)
sequential_range(start, stop=None, step=1)
shared_constant(constant)
shared_identity_matrix(n, dtype=uint8, dst=None)
sigmoid(x, dtype=None)
sign(x, dtype=None)
silu(x, dtype=None)
silu_dx(x, dtype=None)
sin(x, dtype=None)
softmax(x, axis=-1, dtype=None)
softplus(x, dtype=None)
sqrt(x, dtype=None)
square(x, dtype=None)
static_range(start, stop=None, step=1)
store(dst, value)
subtract(x, y, dtype=None)
sum(x, axis, dtype=None, keepdims=False)
tan(x, dtype=None)
tanh(x, dtype=None)
transpose(x, dtype=None)
trunc(x, dtype=None)
var(x, axis, dtype=None, keepdims=False)
where(condition, x, y, dtype=None)
while_loop(init, body_fun)
zeros(shape, dtype, buffer=sbuf, name='')
zeros_like(x, dtype=None, buffer=None, name='')
"""

COLLECTIVES = """
all_gather(srcs, dsts, replica_group, collective_dim, priority=None, name=None)
all_gather_v(srcs, dsts, replica_group, metadata_tensor, recv_counts_known=False,
    has_rdispls=False, priority=None, name=None)
all_reduce(srcs, dsts, replica_group, op, priority=None, name=None)
all_to_all(srcs, dsts, replica_group, collective_dim, priority=None, name=None)
all_to_all_v(srcs, dsts, replica_group, metadata_tensor, recv_counts_known=False,
    has_rdispls=False, priority=None, name=None)
collective_permute(srcs, dsts, source_target_pairs, priority=None, name=None)
collective_permute_implicit(srcs_by_channel, dsts_by_channel, replica_group, channel_ids=[0],
    priority=None, name=None)
collective_permute_implicit_current_processing_rank_id(iteration_id, replica_group,
    channel_id=0, name=None)
collective_permute_implicit_reduce(srcs0_by_channel, srcs1_by_channel, dsts_by_channel,
    replica_group, op, channel_ids=[0], priority=None, name=None)
rank_id(name=None)
reduce_scatter(srcs, dsts, replica_group, collective_dim, op, priority=None, name=None)
"""

OLDER_ISA = """
activation(op, data, *, bias=None, scale=1.0, reduce_op=None, reduce_res=None, reduce_cmd=idle,
    mask=None, dtype=None, **kwargs)
activation_reduce(op, data, *, reduce_op, reduce_res, bias=None, scale=1.0, mask=None,
    dtype=None, **kwargs)
affine_select(pred, on_true_tile, on_false_value, *, mask=None, dtype=None, **kwargs)
bn_aggr(data, *, mask=None, dtype=None, **kwargs)
bn_stats(data, *, mask=None, dtype=None, **kwargs)
builtin_custom_op(function_name, lib_file_name, ulib_to_ucode_version, ulib_to_isa_version,
    srcs, dsts, **kwargs)
dma_copy(*, dst, src, mask=None, dst_rmw_op=None, oob_mode=error, dge_mode=unknown)
dma_transpose(src, *, axes=None, mask=None, dtype=None, **kwargs)
dropout(data, prob, *, mask=None, dtype=None, **kwargs)
get_nc_version()
iota(expr, dtype, *, mask=None, **kwargs)
local_gather(src_buffer, index, num_elem_per_idx=1, num_valid_indices=None, *, mask=None)
max8(*, src, mask=None, dtype=None, **kwargs)
memset(shape, value, dtype, *, mask=None, engine=unknown, **kwargs)
nc_find_index8(*, data, vals, mask=None, dtype=None, **kwargs)
nc_match_replace8(*, data, vals, imm, dst_idx=None, mask=None, dtype=None, **kwargs)
nc_matmul(stationary, moving, *, is_stationary_onezero=False, is_moving_onezero=False,
    is_transpose=False, tile_position=(), tile_size=(), mask=None, **kwargs)
nc_stream_shuffle(src, dst, shuffle_mask, *, dtype=None, mask=None, **kwargs)
nc_transpose(data, *, mask=None, dtype=None, engine=unknown, **kwargs)
range_select(*, on_true_tile, comp_op0, comp_op1, bound0, bound1, reduce_cmd=idle,
    reduce_res=None, reduce_op=amax, range_start=0, on_false_value=-3.4028235e+38, mask=None,
    dtype=None, **kwargs)
reciprocal(data, *, dtype=None, mask=None, **kwargs)
scalar_tensor_tensor(*, data, op0, operand0, op1, operand1, reverse0=False, reverse1=False,
    dtype=None, mask=None, **kwargs)
select_reduce(*, dst, predicate, on_true, on_false, reduce_res=None, reduce_cmd=idle,
    reduce_op=amax, reverse_pred=False, mask=None, dtype=None, **kwargs)
sequence_bounds(*, segment_ids, dtype=None)
tensor_copy(src, *, mask=None, dtype=None, engine=unknown, **kwargs)
tensor_copy_dynamic_dst(*, dst, src, mask=None, dtype=None, engine=unknown, **kwargs)
tensor_copy_dynamic_src(src, *, mask=None, dtype=None, engine=unknown, **kwargs)
tensor_copy_predicated(*, src, dst, predicate, reverse_pred=False, mask=None, dtype=None,
    **kwargs)
tensor_partition_reduce(op, data, *, mask=None, dtype=None, **kwargs)
tensor_reduce(op, data, axis, *, mask=None, dtype=None, negate=False, keepdims=False, **kwargs)
tensor_scalar(data, op0, operand0, reverse0=False, op1=None, operand1=None, reverse1=False, *,
    dtype=None, mask=None, engine=unknown, **kwargs)
tensor_scalar_reduce(*, data, op0, operand0, reduce_op, reduce_res, reverse0=False, dtype=None,
    mask=None, **kwargs)
tensor_tensor(data1, data2, op, *, dtype=None, mask=None, engine=unknown, **kwargs)
tensor_tensor_scan(data0, data1, initial, op0, op1, reverse0=False, reverse1=False, *,
    dtype=None, mask=None, **kwargs)
"""

OLDER_LANGUAGE = """
abs(x, *, dtype=None, mask=None, **kwargs)
add(x, y, *, dtype=None, mask=None, **kwargs)
affine_range(*args, **kwargs)
all(x, axis, *, dtype=bool, mask=None, **kwargs)
all_reduce(x, op, program_axes, *, dtype=None, mask=None, parallel_reduce=True,
    asynchronous=False, **kwargs)
arange(*args)
arctan(x, *, dtype=None, mask=None, **kwargs)
atomic_rmw(dst, value, op, *, mask=None, **kwargs)
bitwise_and(x, y, *, dtype=None, mask=None, **kwargs)
bitwise_or(x, y, *, dtype=None, mask=None, **kwargs)
bitwise_xor(x, y, *, dtype=None, mask=None, **kwargs)
broadcast_to(src, *, shape, **kwargs)
ceil(x, *, dtype=None, mask=None, **kwargs)
copy(src, *, mask=None, dtype=None, **kwargs)
cos(x, *, dtype=None, mask=None, **kwargs)
device_print(prefix, x, *, mask=None, **kwargs)
divide(x, y, *, dtype=None, mask=None, **kwargs)
dropout(x, rate, *, dtype=None, mask=None, **kwargs)
ds(start, size)
empty_like(a, dtype=None, *, buffer=None, name='', **kwargs)
equal(x, y, *, dtype=bool, mask=None, **kwargs)
erf(x, *, dtype=None, mask=None, **kwargs)
erf_dx(x, *, dtype=None, mask=None, **kwargs)
exp(x, *, dtype=None, mask=None, **kwargs)
expand_dims(data, axis)
finfo(dtype)
floor(x, *, dtype=None, mask=None, **kwargs)
fmod(x, y, dtype=None, mask=None, **kwargs)
full(shape, fill_value, dtype, *, buffer=None, name='', **kwargs)
gather_flattened(data, indices, *, mask=None, dtype=None, **kwargs)
gelu(x, *, dtype=None, mask=None, **kwargs)
gelu_apprx_sigmoid(x, *, dtype=None, mask=None, **kwargs)
gelu_apprx_tanh(x, *, dtype=None, mask=None, **kwargs)
gelu_dx(x, *, dtype=None, mask=None, **kwargs)
gemm_grid()
gemm_stationary_grid()
greater(x, y, *, dtype=bool, mask=None, **kwargs)
greater_equal(x, y, *, dtype=bool, mask=None, **kwargs)
invert(x, *, dtype=None, mask=None, **kwargs)
left_shift(x, y, *, dtype=None, mask=None, **kwargs)
less(x, y, *, dtype=bool, mask=None, **kwargs)
less_equal(x, y, *, dtype=bool, mask=None, **kwargs)
load(src, *, mask=None, dtype=None, **kwargs)
load_transpose2d(src, *, mask=None, dtype=None, **kwargs)
log(x, *, dtype=None, mask=None, **kwargs)
logical_and(x, y, *, dtype=bool, mask=None, **kwargs)
logical_not(x, *, dtype=bool, mask=None, **kwargs)
logical_or(x, y, *, dtype=bool, mask=None, **kwargs)
logical_xor(x, y, *, dtype=bool, mask=None, **kwargs)
loop_reduce(x, op, loop_indices, *, dtype=None, mask=None, **kwargs)
matmul(x, y, *, transpose_x=False, mask=None, **kwargs)
max(x, axis, *, dtype=None, mask=None, keepdims=False, **kwargs)
maximum(x, y, *, dtype=None, mask=None, **kwargs)
mean(x, axis, *, dtype=None, mask=None, keepdims=False, **kwargs)
min(x, axis, *, dtype=None, mask=None, keepdims=False, **kwargs)
minimum(x, y, *, dtype=None, mask=None, **kwargs)
mish(x, *, dtype=None, mask=None, **kwargs)
mod(x, y, dtype=None, mask=None, **kwargs)
multiply(x, y, *, dtype=None, mask=None, **kwargs)
ndarray(shape, dtype, *, buffer=None, name='', **kwargs)
negative(x, *, dtype=None, mask=None, **kwargs)
not_equal(x, y, *, dtype=bool, mask=None, **kwargs)
num_programs(axes=None)
ones(shape, dtype, *, buffer=None, name='', **kwargs)
power(x, y, *, dtype=None, mask=None, **kwargs)
prod(x, axis, *, dtype=None, mask=None, keepdims=False, **kwargs)
program_id(axis)
program_ndim()
rand(shape, dtype=float32, **kwargs)
random_seed(seed, *, mask=None, **kwargs)
reciprocal(x, *, dtype=None, mask=None, **kwargs)
relu(x, *, dtype=None, mask=None, **kwargs)
right_shift(x, y, *, dtype=None, mask=None, **kwargs)
rms_norm(x, w, axis, n, epsilon=1e-06, *, dtype=None, compute_dtype=None, mask=None, **kwargs)
rsqrt(x, *, dtype=None, mask=None, **kwargs)
sequential_range(*args, **kwargs)
shared_constant(constant, dtype=None, **kwargs)
shared_identity_matrix(n, dtype=uint8, **kwargs)
sigmoid(x, *, dtype=None, mask=None, **kwargs)
sign(x, *, dtype=None, mask=None, **kwargs)
silu(x, *, dtype=None, mask=None, **kwargs)
silu_dx(x, *, dtype=None, mask=None, **kwargs)
sin(x, *, dtype=None, mask=None, **kwargs)
softmax(x, axis, *, dtype=None, compute_dtype=None, mask=None, **kwargs)
softplus(x, *, dtype=None, mask=None, **kwargs)
sqrt(x, *, dtype=None, mask=None, **kwargs)
square(x, *, dtype=None, mask=None, **kwargs)
static_cast(input_data, dtype)
static_range(*args)
store(dst, value, *, mask=None, **kwargs)
subtract(x, y, *, dtype=None, mask=None, **kwargs)
sum(x, axis, *, dtype=None, mask=None, keepdims=False, **kwargs)
tan(x, *, dtype=None, mask=None, **kwargs)
tanh(x, *, dtype=None, mask=None, **kwargs)
transpose(x, *, dtype=None, mask=None, **kwargs)
trunc(x, *, dtype=None, mask=None, **kwargs)
var(x, axis, *, dtype=None, mask=None, **kwargs)
where(condition, x, y, *, dtype=None, mask=None, **kwargs)
zeros(shape, dtype, *, buffer=None, name='', **kwargs)
zeros_like(a, dtype=None, *, buffer=None, name='', **kwargs)
"""

ISA_OTHERS = """
NkiInstruction NkiValidationError VirtualRegister dge_mode dma_engine engine gpsimd_engine
matmul_perf_mode nc_version oob_mode reduce_cmd scalar_engine tensor_engine unknown_engine
vector_engine
"""

LANGUAGE_OTHERS = """
DType MemoryRegion NKIObject NkiTensor average bfloat16 bool_ bypass float16 float32
float4_e2m1fn_x4 float8_e4m3 float8_e4m3fn float8_e4m3fn_x4 float8_e5m2 float8_e5m2_x4
float8_e8m0fnu hbm int16 int32 int8 prelu private_hbm psum sbuf shared_hbm tfloat32 tile_size
uint16 uint32 uint8
"""

COLLECTIVES_OTHERS = """
ReplicaGroup
"""

OLDER_ISA_OTHERS = """
dge_mode dma_engine engine fp32 gpsimd_engine nc_version oob_mode reduce_cmd scalar_engine
tensor_engine unknown_engine vector_engine
"""

OLDER_LANGUAGE_OTHERS = """
bfloat16 bfp16 bool_ float16 float32 float8_e4m3 float8_e5m2 fp32 hbm int16 int32 int8 mgrid nc
par_dim private_hbm psum sbuf shared_hbm spmd_dim tfloat32 tile_size uint16 uint32 uint8
"""

TENSOR = """
ap broadcast buffer dtype expand_dim flatten_dims get_pattern indirect is_contiguous is_indirect
name ndim offset permute rearrange reinterpret_cast reshape reshape_dim select shape size slice
squeeze_dim strides vector_select view
"""

TILE_SIZE = """
bn_stats_fmax gemm_moving_fmax gemm_stationary_fmax pmax psum_bank_fmax psum_bank_fmax_bytes
psum_fmax psum_min_align psum_num_banks sbuf_fmax sbuf_fmax_bytes sbuf_min_align sbuf_size_bytes
total_available_sbuf_size
"""
