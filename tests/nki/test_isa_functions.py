"""The functions of `nki.isa` as the vendor publishes them (NKI 0.6, SDK 2.32): names and order."""

import inspect

import numpy as np
import pytest

from tests.support import load, nisa, nl, store, value
from trnlab import NotModelled
from trnlab.errors import BadArguments
from trnlab.isa.instruction import ISA

PUBLISHED = {
    "nc_matmul": "dst, stationary, moving, is_stationary_onezero=False, is_moving_onezero=False, "
    "is_transpose=False, accumulate=None, tile_position=(), tile_size=(), perf_mode=none",
    "nc_matmul_mx": "dst, stationary, moving, stationary_scale, moving_scale, tile_position=None, "
    "tile_size=None, accumulate=None",
    "nc_transpose": "dst, data, engine=unknown",
    "dma_transpose": "dst, src, axes=None, priority=None, dge_mode=unknown, oob_mode=error",
    "quantize_mx": "dst, src, dst_scale",
    "sendrecv": "src, dst, send_to_rank, recv_from_rank, pipe_id, dma_engine=dma",
    "core_barrier": "data, cores, engine=gpsimd",
    "activation": "dst, op, data, bias=None, scale=1.0, reduce_op=None, reduce_res=None, "
    "reduce_cmd=idle",
    "activation_reduce": "dst, op, data, reduce_op, reduce_res, bias=None, scale=1.0",
    "activate2": "dst, op, data, imm0, imm1, op0, op1, relu_param=0.0, reverse0=False, "
    "reverse1=False, reduce_op=None, reduce_res=None, reduce_cmd=idle",
    "tensor_copy": "dst, src, engine=unknown",
    "tensor_copy_predicated": "dst, src, predicate, reverse_pred=False",
    "memset": "dst, value, engine=unknown",
    "tensor_tensor": "dst, data1, data2, op, engine=unknown",
    "tensor_scalar": "dst, data, op0, operand0, reverse0=False, op1=None, operand1=None, "
    "reverse1=False, engine=unknown",
    "tensor_reduce": "dst, op, data, axis, negate=False, keepdims=False",
    "tensor_partition_reduce": "dst, op, data",
    "tensor_tensor_scan": "dst, data0, data1, initial, op0, op1, reverse0=False, reverse1=False",
    "tensor_scalar_reduce": "dst, data, op0, operand0, reduce_op, reduce_res=None, reverse0=False, "
    "reduce_cmd=reset_reduce, reduce_init=None, reduce_res_negate=False",
    "tensor_scalar_cumulative": "dst, src, op0, op1, imm0, imm1=None, reduce_cmd=reset_reduce",
    "scalar_tensor_tensor": "dst, data, op0, operand0, op1, operand1, reverse0=False, "
    "reverse1=False",
    "select_reduce": "dst, predicate, on_true, on_false, reduce_res=None, reduce_cmd=idle, "
    "reduce_op=maximum, reverse_pred=False",
    "range_select": "dst, on_true_tile, comp_op0, comp_op1, bound0, bound1, "
    "reduce_cmd=reset_reduce, reduce_res=None, reduce_op=maximum, range_start=0, "
    "on_false_value=-3.4028235e+38",
    "exponential": "dst, src, max_value=0.0, reduce_res=None, reduce_cmd=idle, reduce_init=0.0",
    "reciprocal": "dst, data",
    "bn_stats": "dst, data",
    "bn_aggr": "dst, data",
    "max8": "dst, src",
    "nc_find_index8": "dst, data, vals",
    "nc_match_replace8": "dst, data, vals, imm, dst_idx=None",
    "nc_stream_shuffle": "dst, src, shuffle_mask",
    "dropout": "dst, data, prob",
    "rng": "dst, engine=vector",
    "rand2": "dst, min, max",
    "set_rng_seed": "src_seeds",
    "rand_set_state": "src_seeds, engine=gpsimd",
    "rand_get_state": "dst, engine=gpsimd",
    "iota": "dst, pattern, offset=0, channel_multiplier=0",
    "affine_select": "dst, pattern, channel_multiplier, on_true_tile, on_false_value, "
    "cmp_op=equal, offset=0",
    "local_gather": "dst, src_buffer, index, num_elem_per_idx=1, num_valid_indices=None",
    "nc_n_gather": "dst, data, indices",
    "sequence_bounds": "dst, segment_ids",
    "nonzero_with_count": "dst, src, index_offset=0, padding_val=-1",
    "topk": "val_dst, idx_dst, src, n",
    "dma_copy": "dst, src, priority=None, oob_mode=error, dge_mode=unknown, engine=unknown",
    "dma_compute": "dst, srcs, reduce_op, scales=None, unique_indices=True, oob_mode=error",
}
REGISTERS = ("register_move", "register_load", "register_store")  # these take no name
IMPLEMENTED = sorted(set(ISA) - set(REGISTERS))


def parameters(name):
    found = dict(inspect.signature(getattr(nisa, name)).parameters)
    found.pop("name")
    if name == "tensor_copy":
        found.pop("dtype", None)  # the vendor's own samples still pass it
    return list(found.values())


def default(parameter):
    """A default as the manual spells it."""
    given = parameter.default
    if isinstance(given, float) and abs(given) > 1e38:
        return f"{given:.8g}"
    return str(getattr(given, "name", getattr(given, "__trnlab_op__", given)))


@pytest.mark.parametrize("name", IMPLEMENTED)
def test_parameters_are_the_published_ones_in_order(name):
    published = [part.partition("=")[0] for part in PUBLISHED[name].split(", ")]
    assert [p.name for p in parameters(name)] == published


@pytest.mark.parametrize("name", IMPLEMENTED)
def test_defaults_are_the_published_ones(name):
    published = dict(part.split("=") for part in PUBLISHED[name].split(", ") if "=" in part)
    found = {p.name: default(p) for p in parameters(name) if p.default is not p.empty}
    if found.get("perf_mode") == "None":
        found["perf_mode"] = "none"
    assert found == published


@pytest.mark.parametrize("name", IMPLEMENTED)
def test_every_function_takes_a_name(name):
    assert inspect.signature(getattr(nisa, name)).parameters["name"].default is None


@pytest.mark.parametrize("name", IMPLEMENTED)
def test_every_function_has_a_manual_page(name):
    assert ISA[name].page == f"nki.isa.{name}"
    assert getattr(nisa, name).__doc__ == ISA[name].__doc__


@pytest.mark.parametrize("name", REGISTERS)
def test_registers_are_moved_as_published(name):
    assert list(inspect.signature(getattr(nisa, name)).parameters)[:2] == ["dst", "src"]
    assert getattr(nisa, name).__doc__ == ISA[name].__doc__


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_every_published_instruction_is_there_or_says_that_it_is_not_modelled(name):
    if name not in nisa.NOT_YET:
        assert callable(getattr(nisa, name))


@pytest.mark.parametrize("name", ["rand_get_state", "rand_set_state"])
def test_what_is_not_modelled_says_so(name):
    with pytest.raises(NotModelled, match=f"nki.isa.{name}"):
        getattr(nisa, name)()


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="nc_matmull"):
        _ = nisa.nc_matmull
    assert not hasattr(nisa, "no_such_instruction")


@pytest.mark.parametrize(
    ("enumeration", "members"),
    [
        ("engine", {"tensor", "vector", "scalar", "gpsimd", "sync", "unknown", "dma"}),
        ("dge_mode", {"unknown", "swdge", "hwdge", "none"}),
        ("oob_mode", {"error", "skip"}),
        ("reduce_cmd", {"idle", "reset", "reduce", "reset_reduce", "load_reduce"}),
        ("nc_version", {"gen2", "gen3", "gen4"}),
        ("matmul_perf_mode", {"none", "double_row"}),
        ("dma_engine", {"dma", "gpsimd_dma"}),
    ],
)
def test_enumerations_have_the_published_members(enumeration, members):
    found = getattr(nisa, enumeration)
    assert {member.name for member in found} == members
    assert getattr(nisa.constants, enumeration) is found


def test_published_numbers_of_members():
    assert [nisa.dge_mode[n].value for n in ("unknown", "swdge", "hwdge", "none")] == [0, 1, 2, 3]
    assert [nisa.oob_mode[n].value for n in ("error", "skip")] == [0, 1]
    commands = ("idle", "reset", "reduce", "reset_reduce", "load_reduce")
    assert [nisa.reduce_cmd[n].value for n in commands] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", ["tensor", "vector", "scalar", "gpsimd", "unknown"])
def test_engines_have_their_short_names(name):
    assert getattr(nisa, f"{name}_engine") is nisa.engine[name]


@pytest.mark.parametrize(("name", "version"), [("trn1", 2), ("trn2", 3), ("trn3", 4)])
def test_kernels_see_the_generation_they_run_on(name, version):
    seen = []
    value(lambda a: seen.append(nisa.get_nc_version()), np.zeros(1, np.float32), chip=name)
    assert seen == [version]
    assert seen[0] == nisa.nc_version(version)
    assert nisa.nc_version.gen2 < nisa.nc_version.gen3 < nisa.nc_version.gen4


def test_arguments_may_be_given_by_name_or_position():
    def kernel(a):
        one, two = load(a), load(a)
        nisa.tensor_scalar(one, one, nl.multiply, 2.0, False, nl.add, 1.0)
        nisa.tensor_scalar(
            dst=two, data=two, op0="multiply", operand0=2.0, op1=np.add, operand1=1.0, name="x"
        )
        nisa.tensor_tensor(one, one, two, op=nl.subtract)
        return store(one)

    assert (value(kernel, np.ones((4, 4), np.float32)) == 0).all()


@pytest.mark.parametrize(
    "operator", [nl.add, "add", np.add], ids=["nl function", "name", "NumPy function"]
)
def test_operators_are_spelled_in_three_ways(operator):
    def kernel(a):
        one = load(a)
        nisa.tensor_tensor(one, one, one, operator)
        return store(one)

    assert (value(kernel, np.ones((4, 4), np.float32)) == 2).all()


def test_calls_outside_of_a_kernel_say_so():
    with pytest.raises(BadArguments, match="outside of a kernel"):
        nl.ndarray((4, 4), nl.float32)
    with pytest.raises(BadArguments, match="outside of a kernel"):
        nisa.memset(None, 0.0)


@pytest.mark.parametrize("call", [lambda t: nisa.memset(t), lambda t: nisa.memset(t, value=0, x=1)])
def test_wrong_parameters_are_pythons_own_errors(call):
    with pytest.raises(TypeError, match="memset"):
        value(lambda a: call(load(a)), np.ones((4, 4), np.float32))


def test_a_repeated_instruction_is_checked_with_its_own_operands():
    """What is known of a call is kept by its shapes: another shape must not pass for it."""

    def kernel(a):
        one, two = load(a), nl.ndarray((4, 3), nl.float32)
        nisa.memset(two, 0.0)
        for source in (one, one, two):
            nisa.tensor_copy(nl.ndarray((4, 4), nl.float32), source)

    with pytest.raises(Exception, match="equally long rows"):
        value(kernel, np.ones((4, 4), np.float32))
