"""Calling kernels: what goes in, what comes out, grids, and what a call leaves behind."""

import ml_dtypes
import numpy as np
import pytest

import trnlab
from tests.support import load, nisa, nl, same, simulate, store, value, whole_numbers
from trnlab import NotModelled, Violations
from trnlab.errors import BadArguments, IllegalInstruction, UnknownName
from trnlab.nki import entry, jit
from trnlab.studies.run import run_once


@entry.jit
def double(a):
    tile = load(a)
    nisa.tensor_scalar(tile, tile, nl.multiply, 2.0)
    return store(tile)


@entry.jit
def scaled(a, scale, shift=0.0):
    tile = load(a)
    nisa.tensor_scalar(tile, tile, nl.multiply, scale, op1=nl.add, operand1=shift)
    return store(tile)


A = whole_numbers(128, 16)


# --- the ways to call a kernel


def test_a_kernel_is_called_with_arrays():
    assert same(double(A), A * 2)


def test_every_way_of_calling_gives_the_same():
    for call in (double, entry.simulate(double), trnlab.run(double)):
        out = call(A)
        out = out[0] if isinstance(out, tuple) else out
        assert same(out, A * 2)
    assert same(entry.simulate_kernel(double, A), A * 2)


@pytest.mark.parametrize(
    "decorate",
    [
        entry.jit,
        entry.jit(),
        entry.jit(mode="auto"),
        entry.jit(experimental_flags="x", debug_kernel=True, show_compiler_tb=True),
        lambda f: entry.jit(entry.jit(f)),
    ],
)
def test_decorators_take_what_clients_pass(decorate):
    kernel = decorate(double.function)
    assert same(kernel(A), A * 2)


def test_a_kernel_keeps_its_name_and_its_words():
    assert double.__name__ == "double"
    assert double.function.__module__ == __name__
    assert trnlab.run(double)(A)[1].meta["kernel"] == "double"


def test_a_kernel_shows_the_function_that_was_decorated():
    assert double.func is double.function


@pytest.mark.parametrize("kind", ["generator", "coroutine"])
def test_a_function_that_would_run_later_is_no_kernel(kind):
    def yields(a):
        yield a

    async def waits(a):
        return a

    with pytest.raises(BadArguments, match=f"returns a {kind}: none of its lines has run"):
        entry.jit(yields if kind == "generator" else waits)(A)


def test_a_method_is_no_kernel():
    class Kernels:
        @entry.jit
        def twice(self, a):
            return double(a)

    with pytest.raises(BadArguments) as caught:
        Kernels().twice(A)
    assert caught.value.fix == "a kernel is no method: take it out of its class"


def test_only_functions_are_kernels():
    with pytest.raises(BadArguments, match="not a int"):
        entry.jit(3)


def test_plain_functions_run_too():
    assert same(value(double.function, A), A * 2)


# --- arguments


def test_numbers_pass_through_and_defaults_hold():
    assert same(scaled(A, 3.0), A * 3)
    assert same(scaled(A, 3.0, 1.0), A * 3 + 1)
    assert same(scaled(A, shift=1.0, scale=3.0), A * 3 + 1)
    assert same(scaled(a=A, scale=2.0), A * 2)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int32, np.int64])
def test_numpy_numbers_are_numbers(kind):
    """``1 / np.sqrt(d)`` is a NumPy scalar, and no tensor."""
    seen = []

    def kernel(a, scale):
        seen.append(scale)
        return scaled.function(a, float(scale))

    assert same(value(kernel, A, kind(3)), A * 3)
    assert seen == [3]
    assert np.ndim(seen[0]) == 0


@pytest.mark.parametrize("other", [None, "text", True, (1, 2), [3], {"k": 4}, nl.float32, nl.add])
def test_other_things_pass_through(other):
    seen = []

    def kernel(a, thing):
        seen.append(thing)
        return store(load(a))

    value(kernel, A, other)
    assert seen == [other]


def test_lists_and_tuples_of_arrays():
    def kernel(arrays, pair):
        tile = load(arrays[0])
        for other in (*arrays[1:], *pair):
            nisa.tensor_tensor(tile, tile, load(other), nl.add)
        return store(tile)

    assert same(value(kernel, [A, A, A], (A, A)), A * 5)


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        ((), {}, "missing a required argument: 'a'"),
        ((A, A, A, A), {}, "too many positional arguments"),
        ((A,), {"scale": 1.0, "factor": 2.0}, "unexpected keyword argument 'factor'"),
        ((A,), {}, "missing a required argument: 'scale'"),
    ],
)
def test_wrong_arguments_show_the_signature(args, kwargs, said):
    with pytest.raises(BadArguments, match=said) as caught:
        scaled(*args, **kwargs)
    assert caught.value.given["signature"] == "scaled(a, scale, shift=0.0)"


@pytest.mark.parametrize("dtype", ["float64", "int64", "uint64", "complex64", "complex128"])
def test_formats_that_the_chip_does_not_have(dtype):
    with pytest.raises(BadArguments, match=f"argument a is {dtype}") as caught:
        double(np.ones((4, 4), dtype))
    assert "astype" in caught.value.fix
    assert caught.value.given["shape"] == "[4, 4]"


@pytest.mark.parametrize(
    "array",
    [
        np.array([["a"]]), np.array([[object()]]), np.array([b"x"]),
        np.zeros(2, "M8[s]"), np.zeros(2, [("x", "f4")]),
    ],
    ids=["text", "object", "bytes", "time", "record"],
)  # fmt: skip
def test_arrays_that_are_not_of_numbers(array):
    with pytest.raises(BadArguments, match="argument a is"):
        double(array)


@pytest.mark.parametrize("shape", [(0,), (0, 4), (4, 0)])
def test_arrays_without_elements(shape):
    """They arrive, and what an instruction would do with them is refused."""
    with pytest.raises(IllegalInstruction, match=r"\w+: \w+ has no elements") as caught:
        double(np.zeros(shape, np.float32))
    assert caught.value.limit == "every dimension is at least 1"


@pytest.mark.parametrize(
    "dtype",
    ["float32", "float16", "int8", "int16", "int32", "uint8", "uint16", "uint32", "bool",
     ml_dtypes.bfloat16, ml_dtypes.float8_e4m3, ml_dtypes.float8_e5m2, ml_dtypes.float8_e4m3fn],
)  # fmt: skip
def test_every_format_comes_out_as_it_went_in(dtype):
    a = np.array([[0, 1], [1, 1]]).astype(dtype)
    assert same(value(lambda x: store(load(x)), a), a)


@pytest.mark.parametrize(
    "arrange",
    [lambda a: a.T, lambda a: a[:, ::2], lambda a: a[::-1], lambda a: np.asfortranarray(a)],
    ids=["transposed", "strided", "reversed", "fortran"],
)
def test_arrays_in_any_order_of_memory(arrange):
    a = arrange(whole_numbers(16, 16))
    assert same(double(a), np.ascontiguousarray(a) * 2)


def test_arrays_of_the_other_byte_order():
    a = whole_numbers(4, 4)
    assert same(double(a.astype(">f4")), a * 2)


def test_read_only_arrays_may_be_read():
    a = A.copy()
    a.flags.writeable = False
    assert same(double(a), A * 2)


# --- in-place updates


@entry.jit
def increment(a):
    tile = load(a)
    nisa.tensor_scalar(tile, tile, nl.add, 1.0)
    nisa.dma_copy(a, tile)
    return a


def test_inputs_that_a_kernel_writes_are_updated():
    a = A.copy()
    increment(a)
    increment(a)
    assert same(a, A + 2)


@pytest.mark.parametrize(
    "part", [lambda a: a[::2], lambda a: a.T, lambda a: a[:, 4:8]], ids=["rows", "T", "columns"]
)
def test_views_that_a_kernel_writes_are_updated(part):
    """An array that is not contiguous is written back, as the device's copy would be."""
    a = whole_numbers(16, 16)
    expected = a.copy()
    part(expected)[...] += 1
    increment(part(a))
    assert same(a, expected)


def test_read_only_arrays_may_not_be_written():
    a = A.copy()
    a.flags.writeable = False
    with pytest.raises((BadArguments, ValueError)):
        increment(a)
    assert same(a, A)


def test_one_array_given_twice_is_one_tensor():
    def kernel(a, b):
        tile = load(a)
        nisa.tensor_scalar(tile, tile, nl.add, 1.0)
        nisa.dma_copy(a, tile)
        return store(load(b))

    a = A.copy()
    assert same(value(kernel, a, a), A + 1)


def test_time_only_leaves_inputs_alone():
    a = A.copy()
    trnlab.run(increment, values=False)(a)
    assert same(a, A)


# --- outputs


def test_several_outputs():
    def kernel(a):
        tile = load(a)
        return store(tile), [store(tile), store(tile)], 7, None

    one, (two, three), number, nothing = value(kernel, A)
    assert same(one, A)
    assert same(two, A)
    assert same(three, A)
    assert (number, nothing) == (7, None)


def test_outputs_by_name():
    def kernel(a):
        return {"same": store(load(a))}

    assert same(value(kernel, A)["same"], A)


def test_a_view_of_an_output():
    def kernel(a):
        return store(load(a))[0:4, 2:6]

    assert same(value(kernel, A), np.ascontiguousarray(A[0:4, 2:6]))


def test_outputs_are_the_callers_to_change():
    def kernel(a):
        return a, store(load(a))

    a = A.copy()
    for output in value(kernel, a):
        assert not np.shares_memory(output, a)
        output += 1
    assert same(a, A)


def test_a_tile_on_chip_is_no_output():
    with pytest.raises(Violations, match="which is on chip") as caught:
        value(lambda a: load(a), A)
    assert "shared_hbm" in caught.value.found[0].fix


# --- torch


def test_torch_tensors_in_and_out():
    torch = pytest.importorskip("torch")
    a = torch.arange(128 * 16, dtype=torch.float32).reshape(128, 16)
    out = double(a)
    assert isinstance(out, torch.Tensor)
    assert torch.equal(out, a * 2)


@pytest.mark.parametrize(
    "dtype", ["float32", "float16", "bfloat16", "int32", "int8", "uint8", "bool", "float8_e4m3fn",
              "float8_e5m2"],
)  # fmt: skip
def test_torch_formats_come_out_as_they_went_in(dtype):
    torch = pytest.importorskip("torch")
    a = torch.ones(4, 4).to(getattr(torch, dtype))
    out = value(lambda x: store(load(x)), a)
    assert out.dtype == a.dtype
    assert torch.equal(out.to(torch.float32), a.to(torch.float32))


def test_torch_tensors_are_updated_in_place():
    torch = pytest.importorskip("torch")
    a = torch.zeros(128, 16)
    increment(a)
    assert torch.equal(a, torch.ones(128, 16))
    a = torch.zeros(16, 128, dtype=torch.bfloat16)
    increment(a)
    assert torch.equal(a, torch.ones(16, 128, dtype=torch.bfloat16))


def test_torch_tensors_that_need_gradients_and_views():
    torch = pytest.importorskip("torch")
    a = torch.ones(16, 128, requires_grad=True)
    assert torch.equal(double(a.t()), torch.full((128, 16), 2.0))


def test_torch_double_precision_is_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(BadArguments, match="float64"):
        double(torch.ones(4, 4, dtype=torch.float64))


# --- grids


@entry.jit
def who(a):
    """Each instance writes its number into its row."""
    out = nl.ndarray((nl.num_programs(0), 4), nl.float32, buffer=nl.shared_hbm)
    tile = nl.full((1, 4), float(nl.program_id(0) + 1), nl.float32)
    nisa.dma_copy(out[nl.program_id(0) : nl.program_id(0) + 1], tile)
    return out


@pytest.mark.parametrize("cores", [1, 2])
def test_every_instance_writes_its_part(cores):
    expected = np.repeat(np.arange(1, cores + 1, dtype=np.float32)[:, None], 4, axis=1)
    assert same(who[cores](A), expected)


def test_without_a_grid_there_is_one_instance():
    assert same(who(A), np.ones((1, 4), np.float32))


def test_a_grid_is_for_one_call():
    assert who[2] is not who
    assert who.grid == ()
    assert who[2](A).shape == (2, 4)
    assert who(A).shape == (1, 4)


def test_two_instances_use_two_cores():
    result = run_once(who[2], (A,), {})
    assert result.trace is not None
    assert result.trace.meta["cores"] == 2
    lanes = {lane.split("/")[0] for lane in result.trace.lanes}
    assert lanes == {"nc0", "nc1", "kernel"}


def test_more_instances_than_cores_are_refused():
    with pytest.raises((BadArguments, NotModelled)):
        who[3](A)


# --- kernels that call kernels


def test_a_kernel_that_calls_another_is_one_kernel():
    @entry.jit
    def outer(a):
        return double(a), scaled(a, 3.0)

    before = jit.results()[-1]
    two, three = outer(A)
    assert same(two, A * 2)
    assert same(three, A * 3)
    assert jit.results()[-1].kernel == "outer"
    assert jit.results()[-2] is before


def test_functions_and_closures_are_part_of_the_kernel():
    factors = [2.0, 3.0]

    def step(tile, factor):
        nisa.tensor_scalar(tile, tile, nl.multiply, factor)

    def kernel(a):
        tile = load(a)
        for factor in factors:
            step(tile, factor)
        return store(tile)

    assert same(value(kernel, A), A * 6)


# --- what is left behind


def test_the_last_trace():
    trace = trnlab.run(double)(A)[1]
    assert trnlab.last_trace() is trace
    assert len(trace) == 7  # two transfers of two rows, one instruction, start and end


def test_values_may_be_left_out():
    outputs, trace = trnlab.run(double, values=False)(A)
    with_values = trnlab.run(double)(A)[1]
    assert outputs.shape == A.shape
    assert np.isnan(outputs).all()
    assert trace.meta["time_only"] is True
    np.testing.assert_array_equal(trace.stop, with_values.stop)


def test_time_may_be_left_out():
    out, trace = trnlab.run(double, time=False)(A)
    assert trace is None
    assert same(out, A * 2)


def test_the_permissive_mode_gives_values_time_and_the_list():
    def kernel(a):
        tile = nl.ndarray((128, 16), nl.float32)
        nisa.tensor_tensor(tile, tile, load(a), nl.add)
        return store(tile)

    with pytest.raises(Violations):
        run_once(kernel, (A,), {})
    result = run_once(kernel, (A,), {}, strict=False)
    assert np.isnan(result.outputs).all()
    assert result.trace is not None
    assert [v.what for v in result.violations] == ["t1 is read before all of it is written"]


def test_legality_is_checked_without_values():
    def kernel(a):
        tile = load(a)
        nisa.nc_matmul(nl.ndarray((16, 16), nl.float32), tile, tile)

    with pytest.raises(Violations, match="dst is in PSUM"):
        trnlab.run(kernel, values=False)(A)


def test_all_violations_of_a_run_come_at_once():
    def kernel(a):
        tile = load(a)
        nisa.nc_matmul(nl.ndarray((16, 16), nl.float32), tile, tile)
        nisa.memset(nl.ndarray((129, 2), nl.float32), 0.0)
        nisa.tensor_copy(tile, nl.ndarray((128, 16), nl.float32))

    with pytest.raises(Violations) as caught:
        trnlab.run(kernel)(A)
    assert [type(v).__name__ for v in caught.value.found] == [
        "IllegalInstruction", "OutOfMemory", "UninitialisedRead",
    ]  # fmt: skip
    assert str(caught.value).startswith("3 rules broken")


def test_what_was_found_before_a_dead_end_is_not_lost():
    """An index out of bounds ends the run; the broken rule before it is listed as well."""

    def kernel(a):
        tile = load(a)
        nisa.nc_matmul(nl.ndarray((16, 16), nl.float32), tile, tile)
        nisa.memset(tile[:, 0:99], 0.0)

    with pytest.raises(Violations) as caught:
        trnlab.run(kernel)(A)
    assert [type(v).__name__ for v in caught.value.found] == ["IllegalInstruction", "OutOfBounds"]


def test_an_exception_of_the_kernel_leaves_nothing_behind():
    def kernel(a):
        load(a)
        raise KeyError("mine")

    before = len(jit.results())
    with pytest.raises(KeyError, match="mine"):
        trnlab.run(kernel)(A)
    assert len(jit.results()) == before
    with pytest.raises(BadArguments, match="outside of a kernel"):
        nl.ndarray((4, 4), nl.float32)
    assert same(double(A), A * 2)


def test_results_can_be_listened_to():
    heard = []
    jit.listen(heard.append)
    try:
        double(A)
    finally:
        jit.unlisten(heard.append)
    double(A)
    assert [r.kernel for r in heard] == ["double"]
    assert heard[0].instructions == 3


# --- chips


def test_the_chip_is_chosen_by_argument_then_environment_then_default(monkeypatch):
    monkeypatch.delenv("NEURON_PLATFORM_TARGET_OVERRIDE", raising=False)
    assert trnlab.run(double)(A)[1].meta["chip"] == "trn2"
    monkeypatch.setenv("NEURON_PLATFORM_TARGET_OVERRIDE", "gen4")
    assert trnlab.run(double)(A)[1].meta["chip"] == "trn3"
    assert simulate(double, A, chip="trn1")[1].meta["chip"] == "trn1"


def test_settings_hold_until_they_are_changed():
    before = jit.configure(chip="trn1", values=False)
    try:
        assert np.isnan(double(A)).all()
        trace = trnlab.last_trace()
        assert trace is not None
        assert trace.meta["chip"] == "trn1"
    finally:
        jit.configure(**vars(before))
    assert same(double(A), A * 2)


def test_unknown_chips_suggest_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'trn2'"):
        trnlab.run(double, "tron2")(A)


def test_a_kernel_can_be_traced_again_for_another_chip():
    def kernel(a):
        tile, bound = load(a), nl.full((128, 1), 0.0, nl.float32)
        out = nl.ndarray(tile.shape, tile.dtype)
        nisa.range_select(out, tile, nl.greater, nl.less, bound, bound)
        return store(out)

    result = run_once(kernel, (A,), {}, "trn2")
    assert result.violations == ()
    assert "range_select" in result.rerun("trn1").violations[0].what
    assert jit.results()[-1] is result


def test_arguments_of_a_traced_again_kernel_are_left_alone():
    a = A.copy()
    result = run_once(increment, (a,), {})
    result.rerun("trn1")
    assert same(a, A + 1)


# --- who judges a kernel


@entry.jit
def newest_only(a):
    values, places = nl.ndarray((16, 8), nl.bfloat16), nl.ndarray((16, 8), nl.uint32)
    nisa.topk(values, places, load(a, nl.bfloat16), 64)
    return store(values)


SIXTEEN = whole_numbers(16, 16)


def test_a_kernel_is_judged_by_the_version_asked_for():
    trnlab.run(newest_only, "trn3")(SIXTEEN)
    with pytest.raises(Violations) as broken:
        trnlab.run(newest_only, "trn3", api_version="0.5")(SIXTEEN)
    (found,) = broken.value.found
    assert (found.limit, found.rule) == ("came with nki 0.6", "topk/came-with-nki")


def test_a_version_that_does_not_exist():
    with pytest.raises(UnknownName, match="no API version"):
        trnlab.run(double, api_version="0.9")(A)
    with pytest.raises(BadArguments, match="not judged by the older API"):
        trnlab.run(double, api_version="0.1")(A)
