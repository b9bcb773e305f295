"""A second run at higher precision: what departs from it, and low precision kept as fp32."""

import numpy as np
import pytest

import trnlab
from tests.support import load, same, store, toy, value, whole_numbers
from trnlab.errors import BadArguments
from trnlab.nki import entry, jit
from trnlab.nki import isa as nisa
from trnlab.nki import language as nl
from trnlab.nki.jit import Settings
from trnlab.nki.legacy import entry as old
from trnlab.nki.legacy import isa as old_isa
from trnlab.nki.legacy import language as old_nl

NORMAL = np.random.default_rng(1).standard_normal((128, 64)).astype(np.float32)
WHOLE = whole_numbers(128, 64)


def departures(kernel, *arrays, top=5, bound=None):
    return trnlab.trace_values(entry.jit(kernel), top=top, bound=bound)(*arrays)[1]


def line_of(departure, kernel):
    """How many lines below its ``def`` the line of a departure is."""
    return departure.place.line - kernel.__code__.co_firstlineno


def test_a_sum_that_is_kept_in_bf16():
    def kernel(a):
        total = nl.ndarray((128, 1), nl.bfloat16)
        nisa.memset(total, 0.0)
        ones = load(a)
        for i in range(64):
            nisa.tensor_tensor(total, total, ones[:, i : i + 1], nl.add)
        return store(nl.copy(nl.multiply(total, 8.0), nl.float32))

    (found,) = departures(kernel, np.full((128, 64), 9.0, np.float32))
    assert found.instruction == "tensor_tensor"
    assert line_of(found, kernel) == 5
    assert found.why.startswith("a sum is kept in bfloat16")
    assert found.bound == 2.0**-6 < found.error <= found.worst
    assert found.count > 1
    assert found.ideal % 9 == 0
    assert found.ideal <= 576
    assert found.operands["dst"] == "sbuf bfloat16 [128, 1] t1"


def test_the_same_sum_in_fp32_is_fine():
    def kernel(a):
        total = nl.ndarray((128, 1), nl.float32)
        nisa.memset(total, 0.0)
        tenths = load(a)
        for i in range(64):
            nisa.tensor_tensor(total, total, tenths[:, i : i + 1], nl.add)
        return store(nl.copy(total, nl.bfloat16))

    found = departures(kernel, np.full((128, 64), 0.1, np.float32), top=2)
    assert [d.beyond for d in found] == [False, False]
    assert {d.why for d in found} == {"rounding, as expected"}
    assert found[0].dtype == "bfloat16"


def test_results_that_are_exact_leave_nothing_to_say():
    assert departures(lambda a: store(nl.add(load(a), 1.0)), WHOLE) == ()


def test_integers_through_the_vector_engine():
    def kernel(a):
        return store(nl.add(load(a), 1))

    (found,) = departures(kernel, np.full((128, 8), 2**24, np.int32))
    assert (found.value, found.ideal, found.bound) == (2.0**24, 2.0**24 + 1, 0.0)
    assert "beyond 2**24" in found.why
    assert not departures(kernel, np.full((128, 8), 2**24 - 2, np.int32))


def test_overflow_and_what_follows_from_it():
    def kernel(a):
        raised = nl.exp(nl.multiply(load(a), 60.0))
        return store(nl.multiply(raised, 0.5))

    (found,) = departures(kernel, NORMAL)
    assert found.instruction == "activation"
    assert found.value == np.inf
    assert found.error == np.inf
    assert found.ideal > 3.5e38
    assert found.why.startswith("overflow: ")
    assert "beyond float32 (at most 3.4e+38)" in found.why

    (found,) = departures(lambda a: store(nl.copy(load(a), nl.float8_e4m3)), NORMAL * 100 + 400)
    assert "beyond float8_e4m3 (at most 240)" in found.why


def test_cancellation():
    def kernel(a):
        low = nl.copy(load(a), nl.bfloat16)
        apart = nl.ndarray(a.shape, nl.float32)
        nisa.tensor_scalar(apart, low, nl.subtract, 1000.0)
        return store(apart)

    (found,) = departures(kernel, NORMAL + 1000)
    assert line_of(found, kernel) == 3
    assert found.inputs < 2.0**-8 < found.error
    assert found.why.startswith("inputs nearly cancel")


def test_a_comparison_that_flips():
    def kernel(a):
        low = nl.copy(load(a), nl.bfloat16)
        return store(nl.greater(low, 1.0, dtype=nl.float32))

    (found,) = departures(kernel, np.full((128, 8), 1 + 2.0**-10, np.float32))
    assert (found.value, found.ideal) == (0.0, 1.0)
    assert found.why.startswith("a comparison came out the other way")


def test_matmuls_add_up_in_the_shadow_too():
    def kernel(a):
        x = load(a)
        low = nl.copy(x, nl.bfloat16)
        total = nl.ndarray((64, 64), nl.float32, nl.psum)
        for _ in range(3):
            nisa.nc_matmul(total, low, low)
        return store(nl.copy(total))

    found = departures(kernel, NORMAL)
    assert not any(d.beyond for d in found)
    tight = departures(kernel, NORMAL, bound=1e-5)
    assert [d.instruction for d in tight] == ["tensor_copy"]
    assert tight[0].why == "rounding to bfloat16"


def test_the_bound_can_be_given():
    def kernel(a):
        return store(nl.copy(load(a), nl.bfloat16))

    assert not departures(kernel, NORMAL)[0].beyond
    assert departures(kernel, NORMAL, bound=1e-3)[0].beyond
    with pytest.raises(BadArguments, match="at least 1"):
        departures(kernel, NORMAL, top=0)
    with pytest.raises(BadArguments, match="needs values"):
        jit.simulate(entry.jit(kernel), (NORMAL,), {}, Settings(values=False, trace_values=1))


def test_only_the_first_lines_are_asked_for():
    def kernel(a):
        low = nl.copy(load(a), nl.bfloat16)
        other = nl.copy(load(a), nl.bfloat16)
        return store(nl.subtract(low, 1000.0, dtype=nl.float32)), store(
            nl.subtract(other, 1000.0, dtype=nl.float32)
        )

    both = departures(kernel, NORMAL + 1000)
    assert [line_of(d, kernel) for d in both] == [3, 4]
    assert departures(kernel, NORMAL + 1000, top=1) == both[:1]


def test_the_outputs_are_those_of_a_plain_run():
    def kernel(a):
        x = nl.copy(load(a), nl.bfloat16)
        total = nl.ndarray((128, 1), nl.float32)
        raised = nl.ndarray(a.shape, nl.bfloat16)
        nisa.activation_reduce(raised, nl.exp, x, nl.add, total)
        nisa.reciprocal(total, total)
        return store(nl.multiply(raised, raised)), store(total)

    plain = trnlab.run(entry.jit(kernel))(NORMAL)[0]
    traced = trnlab.trace_values(entry.jit(kernel))(NORMAL)[0]
    assert all(same(a, b) for a, b in zip(plain, traced, strict=True))


def test_the_older_api_with_masks_and_rows_that_data_picks():
    @old.jit
    def kernel(a, rows):
        out = old_nl.ndarray((128, 64), a.dtype, buffer=old_nl.shared_hbm)
        f = old_nl.arange(64)[None, :]
        p = old_nl.arange(128)[:, None]
        picked = old_nl.load(a[old_nl.load(rows), f])
        low = old_nl.copy(picked, dtype=old_nl.bfloat16)
        apart = old_nl.subtract(low, 1000.0, dtype=old_nl.float32)
        old_nl.store(out, picked)
        old_nl.store(out[p, f], apart, mask=p < 64)
        return out

    rows = np.arange(128, dtype=np.int32)[::-1].copy()[:, None]
    out, found = trnlab.trace_values(kernel)(NORMAL + 1000, rows)
    assert same(out[64:], (NORMAL + 1000)[::-1][64:])
    assert [d.instruction for d in found] == ["tensor_scalar"]
    assert found[0].why.startswith("inputs nearly cancel")


def test_two_cores_have_shadows_too():
    @entry.jit
    def kernel(a):
        me = nl.program_id(0)
        rows = slice(me * 64, me * 64 + 64)
        out = nl.ndarray(a.shape, nl.float32, buffer=nl.shared_hbm)
        own = nl.copy(nl.load(a[rows, :]), nl.bfloat16)
        other = nl.ndarray(own.shape, own.dtype)
        nisa.sendrecv(own, other, 1 - me, 1 - me, 0)
        nl.store(out[rows, :], nl.subtract(other, 1000.0, dtype=nl.float32))
        return out

    _, found = trnlab.trace_values(kernel[2])(NORMAL + 1000)
    assert [d.instruction for d in found] == ["tensor_scalar"]
    assert found[0].count == 2


def chain(a):
    """Rounds to bf16 three times, and adds a number that bf16 does not see."""
    x = nl.copy(load(a), nl.bfloat16)
    x = nl.add(x, 2.0**-12)
    x = nl.multiply(x, 3.0)
    return store(x)


@pytest.mark.parametrize("how", ["setting", "environment"])
def test_low_precision_kept_as_fp32(how, monkeypatch):
    if how == "environment":
        monkeypatch.setenv("NKI_PRECISE_FP", "0")
    out = value(entry.jit(chain), NORMAL, **({"precise": False} if how == "setting" else {}))
    assert same(out, (NORMAL + np.float32(2.0**-12)) * np.float32(3))
    assert any("NKI_PRECISE_FP=0" in note for note in jit.results()[-1].notes)


def test_fp16_is_not_among_what_is_kept():
    def kernel(a):
        return store(nl.multiply(nl.add(load(a), 2.0**-12, dtype=nl.float16), 3.0))

    given = NORMAL.astype(np.float16)
    assert same(value(entry.jit(kernel), given, precise=False), value(entry.jit(kernel), given))


def test_low_precision_is_rounded_by_default(monkeypatch):
    plain = value(entry.jit(chain), NORMAL)
    assert plain.dtype == nl.bfloat16
    monkeypatch.setenv("NKI_PRECISE_FP", "1")
    assert same(value(entry.jit(chain), NORMAL), plain)
    monkeypatch.setenv("NKI_PRECISE_FP", "0")
    assert same(value(entry.jit(chain), NORMAL, precise=True), plain)
    assert not any("NKI_PRECISE_FP" in note for note in jit.results()[-1].notes)


def test_fp32_and_integers_are_as_ever_without_rounding():
    def kernel(a):
        x = load(a)
        low = nl.copy(x, nl.int8)
        return store(nl.exp(nl.multiply(x, 0.1))), store(low), store(nl.greater(x, 0.5))

    plain = value(entry.jit(kernel), NORMAL * 100)
    kept = value(entry.jit(kernel), NORMAL * 100, precise=False)
    assert all(same(a, b) for a, b in zip(plain, kept, strict=True))


def test_arguments_that_are_written_keep_their_dtype():
    given = NORMAL.astype(nl.bfloat16)
    before = given.astype(np.float32)

    def kernel(a):
        x = load(a)
        for _ in range(3):
            x = nl.multiply(x, 1.01)
        nl.store(a, x)
        return a

    out = value(entry.jit(kernel), given, precise=False)
    factor = np.float32(1.01)
    assert same(out, before * factor * factor * factor)
    assert same(given, out.astype(nl.bfloat16))


def test_without_values_there_is_nothing_to_keep():
    out = value(entry.jit(chain), NORMAL, values=False, precise=False)
    assert out.dtype == nl.bfloat16
    assert not any("fp32" in note for note in jit.results()[-1].notes)


@pytest.mark.parametrize(
    ("function", "wrong", "limits"),
    [
        (nl.sqrt, [0.0, -1.0], "[1.2e-35, 3.32e+35]"),
        (nl.log, [0.0, 1e30], "[5.42e-20, 1.84e+19]"),
        (nl.sin, [4.0, 9.0], "[-3.14, 3.14]"),
        (nl.reciprocal, [1e13, -1e-13], "±[2.27e-13, 4.4e+12]"),
    ],
)
def test_arguments_that_a_function_does_not_take(function, wrong, limits):
    def kernel(a):
        x = load(a)
        out = nl.ndarray(a.shape, a.dtype)
        for _ in range(2):
            nisa.activation(out, function, x)
        return store(out)

    a = np.ones((128, 4), np.float32)
    a[5, :2] = wrong
    value(entry.jit(kernel), a)
    (note,) = [n for n in jit.results()[-1].notes if "not valid" in n]
    assert f"4 of 1,024 arguments are outside of {limits}" in note
    assert f"test_shadow.py:{kernel.__code__.co_firstlineno + 4}" in note
    value(entry.jit(kernel), np.ones((128, 4), np.float32))
    assert not any("not valid" in n for n in jit.results()[-1].notes)


def test_arguments_after_scale_and_bias():
    def kernel(a):
        x, out = load(a), nl.ndarray(a.shape, a.dtype)
        total, one = nl.ndarray((128, 1), a.dtype), nl.ndarray((128, 1), a.dtype)
        nisa.memset(one, 1.0)
        nisa.activation_reduce(out, nl.sqrt, x, nl.add, total, bias=one, scale=2.0)
        return store(out)

    value(entry.jit(kernel), np.full((128, 4), -0.25, np.float32))
    assert not any("not valid" in n for n in jit.results()[-1].notes)
    value(entry.jit(kernel), np.full((128, 4), -0.75, np.float32))
    assert any("512 of 512" in n for n in jit.results()[-1].notes)


def test_registers_of_the_second_run_are_its_own():
    @old.jit
    def kernel(a):
        out = old_nl.ndarray((128, 1), a.dtype, buffer=old_nl.shared_hbm)
        x = old_nl.load(a)
        total = old_nl.ndarray((old_nl.par_dim(128), 1), a.dtype)
        reset, reduce = old_isa.reduce_cmd.reset_reduce, old_isa.reduce_cmd.reduce
        old_isa.activation(op=np.exp, data=x, reduce_op=np.add, reduce_cmd=reset)
        old_isa.activation(op=np.exp, data=x, reduce_op=np.add, reduce_res=total, reduce_cmd=reduce)
        old_nl.store(out, total)
        return out

    _, found = trnlab.trace_values(kernel)(NORMAL)
    assert found
    assert not any(d.beyond for d in found)


def test_random_numbers_are_the_same_in_both_runs():
    def kernel(a):
        x = load(a)
        out = nl.ndarray(a.shape, a.dtype)
        nisa.dropout(out, x, 0.5)
        return store(out)

    assert departures(kernel, NORMAL) == ()


def test_a_chip_of_round_numbers_runs_it_too():
    out, found = trnlab.trace_values(entry.jit(lambda a: store(nl.add(load(a), 1.0))), toy())(WHOLE)
    assert same(out, WHOLE + 1)
    assert found == ()


def test_rows_that_data_picks_in_the_current_api():
    @entry.jit
    def kernel(a, rows):
        low = nl.copy(load(a), nl.bfloat16)
        spread = nl.ndarray((128, 64), nl.bfloat16, buffer=nl.hbm)
        picked = nl.ndarray((128, 64), nl.bfloat16)
        index = load(rows)
        pattern = [[64, 128], [1, 64]]
        nisa.dma_copy(spread.ap(pattern, vector_offset=index), low)
        nisa.dma_copy(picked, spread.ap(pattern, vector_offset=index))
        return store(nl.subtract(picked, 1000.0, dtype=nl.float32))

    rows = np.random.default_rng(2).permutation(128).astype(np.int32)[:, None]
    out, found = trnlab.trace_values(kernel)(NORMAL + 1000, rows)
    assert same(out, (NORMAL + 1000).astype(nl.bfloat16).astype(np.float32) - 1000)
    assert [d.instruction for d in found] == ["tensor_scalar"]
    kept = value(kernel, NORMAL + 1000, rows, precise=False)
    assert same(kept, NORMAL + np.float32(1000) - np.float32(1000))


def test_bits_of_integers_survive_without_rounding():
    def kernel(a):
        out = nl.ndarray(a.shape, a.dtype)
        nisa.tensor_scalar(out, load(a), nl.bitwise_xor, 0x12345677)
        return store(out)

    a = np.random.default_rng(3).integers(-(2**31), 2**31 - 1, (128, 8)).astype(np.int32)
    assert same(value(entry.jit(kernel), a, precise=False), a ^ 0x12345677)
    assert departures(kernel, a) == ()
