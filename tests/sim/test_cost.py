"""What one instruction costs on each generation, by the published formulas.

Occupancy is cycles over the clock; a result is visible a fixed time later. Sizes are whole, so that
every formula can be read beside its number.
"""

import numpy as np
import pytest

from tests.support import NS, nisa, nl, simulate
from trnlab.machine.catalogue import chip as find_chip

CLOCK = {  # hertz: NKI architecture guides
    "trn1": {"tensor": 2.8e9, "vector": 1.12e9, "scalar": 1.4e9, "gpsimd": 1.4e9},
    "trn2": {"tensor": 2.4e9, "vector": 0.96e9, "scalar": 1.2e9, "gpsimd": 1.2e9},
    "trn3": {"tensor": 2.4e9, "vector": 1.2e9, "scalar": 1.2e9, "gpsimd": 1.2e9},
}
FIXED = {"tensor": 165, "vector": 98, "scalar": 104, "gpsimd": 158}  # ns, trn2 traces
START = {"vector": 58, "scalar": 64}  # cycles, trn2 traces
CHIPS = ("trn1", "trn2", "trn3")


def tile(*shape, dtype="float32", buffer=nl.sbuf):
    return nl.ndarray(shape, dtype, buffer=buffer)


def spent(kernel, name="trn2"):
    """Cycles that the last instruction of a kernel occupied its lane, and ns until visible."""
    trace = simulate(
        lambda a: kernel(), np.zeros(1, np.float32), chip=name, values=False, strict=False
    )[1]
    row = last(trace)
    lane = trace.lanes[trace.lane[row]]
    seconds = float(trace.busy_until[row] - trace.start[row])
    after = float(trace.stop[row] - trace.busy_until[row])
    return lane, seconds * CLOCK[name].get(lane, 0.0), after / NS


def last(trace):
    """The last instruction; behind it stand the start and the end of the kernel."""
    return len(trace) - 3


def cycles(kernel, name="trn2"):
    """Cycles of the last instruction, from its first element on."""
    lane, used, _ = spent(kernel, name)
    return pytest.approx(used - START.get(lane, 0), rel=1e-9)


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize(("n", "expected"), [(1, 6), (6, 6), (7, 7), (64, 64), (512, 512)])
def test_a_copy_does_an_element_a_cycle_but_no_less_than_64(name, n, expected):
    def kernel():
        nisa.tensor_copy(tile(128, n), tile(128, n), engine=nisa.engine.vector)

    assert cycles(kernel, name) == expected


@pytest.mark.parametrize("rows", [1, 32, 128])
def test_partitions_are_free(rows):
    def kernel():
        nisa.tensor_copy(tile(rows, 300), tile(rows, 300), engine=nisa.engine.vector)

    assert cycles(kernel) == 300


@pytest.mark.parametrize(
    ("name", "dtype", "space", "expected"),
    [
        ("trn1", "bfloat16", nl.sbuf, 512),  # no fast modes
        ("trn2", "bfloat16", nl.sbuf, 128),
        ("trn2", "float16", nl.sbuf, 128),
        ("trn2", "bfloat16", nl.psum, 256),
        ("trn2", "float32", nl.sbuf, 512),
        ("trn2", "float8_e4m3", nl.sbuf, 512),
        ("trn3", "float8_e4m3", nl.sbuf, 128),  # counts as 16 bits there
        ("trn3", "bfloat16", nl.sbuf, 128),
    ],
)
def test_copies_of_16_bits_run_in_fast_modes(name, dtype, space, expected):
    def kernel():
        source = tile(128, 512, dtype=dtype, buffer=space)
        nisa.tensor_copy(tile(128, 512, dtype=dtype), source, engine=nisa.engine.vector)

    assert cycles(kernel, name) == expected


def test_a_strided_copy_of_16_bits_is_half_as_fast():
    def kernel():
        source = tile(128, 1024, dtype="bfloat16")[:, 0:1024:2]
        nisa.tensor_copy(tile(128, 512, dtype="bfloat16"), source, engine=nisa.engine.vector)

    assert cycles(kernel) == 256


@pytest.mark.parametrize(
    ("one", "other", "dtype", "expected"),
    [
        (nl.sbuf, nl.sbuf, "float32", 1024),  # two inputs through one port
        (nl.psum, nl.sbuf, "float32", 512),
        (nl.sbuf, nl.psum, "float32", 512),
        (nl.sbuf, nl.sbuf, "bfloat16", 512),
    ],
)
@pytest.mark.parametrize("name", ["trn1", "trn2"])
def test_two_inputs(name, one, other, dtype, expected):
    def kernel():
        first, second = (
            tile(128, 512, dtype=dtype, buffer=one),
            tile(128, 512, dtype=dtype, buffer=other),
        )
        nisa.tensor_tensor(tile(128, 512, dtype=dtype), first, second, nl.add)

    assert cycles(kernel, name) == expected


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize("n", [1, 8, 64])
def test_reciprocal_takes_three_cycles_an_element(name, n):
    def kernel():
        nisa.reciprocal(tile(128, n), tile(128, n))

    assert cycles(kernel, name) == max(6, 3 * n)


@pytest.mark.parametrize("name", CHIPS)
def test_gpsimd_starts_late(name):
    def kernel():
        nisa.memset(tile(128, 512), 1.0, engine=nisa.engine.gpsimd)

    assert cycles(kernel, name) == 150 + 512


@pytest.mark.parametrize(
    ("dtype", "fill", "expected"),
    [("bfloat16", 0.0, 256), ("bfloat16", 1.0, 512), ("float32", 0.0, 512)],
)
def test_zeros_of_16_bits_go_in_pairs(dtype, fill, expected):
    def kernel():
        nisa.memset(tile(128, 512, dtype=dtype), fill, engine=nisa.engine.vector)

    assert cycles(kernel, "trn1") == expected


def matmul(k, m, n, dtype, **how):
    def kernel():
        nisa.nc_matmul(
            tile(m, n, buffer=nl.psum), tile(k, m, dtype=dtype), tile(k, n, dtype=dtype), **how
        )

    return kernel


def warm(k, m, n, dtype, name, **how):
    """Cycles of the last of enough matmuls to raise the clock."""
    one = matmul(k, m, n, dtype, **how)

    def kernel():
        for _ in range(120):
            one()

    return cycles(kernel, name)


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize(
    ("m", "n", "columns"),
    [(128, 512, 512), (128, 128, 128), (128, 1, 64), (32, 100, 100), (64, 48, 64), (1, 512, 512)],
)
@pytest.mark.parametrize(("dtype", "passes"), [("bfloat16", 1), ("float32", 4)])
def test_a_matmul_streams_columns(name, m, n, columns, dtype, passes):
    weights = 135e-9 * 2.8e9 if (name, passes) == ("trn1", 4) else 0  # those of fp32 are waited for
    assert warm(128, m, n, dtype, name) == passes * columns + weights


@pytest.mark.parametrize("dtype", ["float16", "float8_e4m3", "float8_e5m2", "tfloat32"])
def test_other_formats_take_one_pass(dtype):
    assert warm(128, 128, 512, dtype, "trn2") == 512


@pytest.mark.parametrize("hint", ["is_stationary_onezero", "is_moving_onezero"])
def test_zeros_and_ones_halve_the_passes_of_fp32(hint):
    assert warm(128, 128, 512, "float32", "trn2", **{hint: True}) == 2 * 512
    assert warm(128, 128, 512, "bfloat16", "trn2", **{hint: True}) == 512


def test_a_cold_array_runs_at_half_the_clock():
    assert cycles(matmul(128, 128, 512, "bfloat16"), "trn2") == 2 * 512


@pytest.mark.parametrize("engine", ["vector", "gpsimd"])
def test_results_show_a_fixed_time_later(engine):
    def kernel():
        nisa.memset(tile(128, 512), 1.0, engine=nisa.engine[engine])

    assert spent(kernel)[2] == pytest.approx(FIXED[engine])


@pytest.mark.parametrize(("function", "more"), [(nl.copy, 0), (nl.relu, 0), (nl.exp, 100)])
def test_table_functions_take_longer(function, more):
    """trn2 traces: 480 ns apart for a copy of 512, 570 to 614 for exp."""

    def kernel():
        one = tile(128, 512)
        nisa.activation(one, function, one)

    lane, used, after = spent(kernel)
    assert (lane, used) == ("scalar", pytest.approx(64 + 512 + 1.2 * more))
    assert after == pytest.approx(104)


def test_a_table_load_takes_what_traces_show():
    def kernel(a):
        one = tile(128, 64)
        nisa.activation(tile(128, 64), nl.exp, one)
        nisa.activation(tile(128, 64), nl.tanh, one)

    trace = simulate(kernel, np.zeros(1, np.float32), values=False, strict=False)[1]
    assert float(trace.start[0]) == float(trace.stop[-2])  # the first is loaded at the launch
    assert float(trace.start[1] - trace.busy_until[0]) == pytest.approx(1283 * NS)


@pytest.mark.parametrize(
    ("name", "nbytes", "nanoseconds"),
    [
        ("trn2", 256, 17), ("trn2", 512, 27), ("trn2", 2048, 83), ("trn2", 4096, 158),
    ],
)  # fmt: skip
def test_packets_take_what_traces_show(name, nbytes, nanoseconds):
    """Hardware descriptors, one packet a partition; medians are printed to the nanosecond."""

    def kernel():
        rows = nl.ndarray((16, nbytes // 4), nl.float32, buffer=nl.hbm)
        nisa.dma_copy(tile(16, nbytes // 4), rows)

    def moved(a):
        kernel()

    trace = simulate(moved, np.zeros(1, np.float32), chip=name, values=False, strict=False)[1]
    a_packet = (
        float(trace.busy_until[last(trace)] - trace.start[last(trace)]) / 8 / NS
    )  # 16 rows on 2 engines
    assert a_packet == pytest.approx(nanoseconds, rel=0.05)


@pytest.mark.parametrize(("name", "rate"), [("trn1", 18.4e9), ("trn2", 27.2e9), ("trn3", 38.4e9)])
def test_large_transfers_approach_the_rate_of_sixteen_engines(name, rate):
    chip = find_chip(name)

    def kernel(a):
        rows = nl.ndarray((128, 8192), nl.float32, buffer=nl.hbm)
        nisa.dma_copy(tile(128, 8192), rows)

    trace = simulate(kernel, np.zeros(1, np.float32), chip=name, values=False, strict=False)[1]
    reached = 128 * 8192 * 4 / float(trace.busy_until[last(trace)] - trace.start[last(trace)])
    limit = min(16 * rate, chip.hbm.rate)
    assert 0.9 * limit < reached <= limit


def totals(kernel, **how):
    trace = simulate(kernel, np.zeros((128, 128), np.float32), values=False, strict=False, **how)[1]
    return trace.totals


def test_totals_count_flops_bytes_and_instructions():
    def kernel(a):
        one = tile(128, 128)
        nisa.dma_copy(one, a)
        psum = tile(128, 128, buffer=nl.psum)
        nisa.nc_matmul(psum, one, one)
        nisa.tensor_copy(tile(128, 128, dtype="bfloat16"), psum)

    found = totals(kernel)
    words = 128 * 128
    assert found["instructions"] == 3
    assert found["dma_transfers"] == 1
    assert found["flops.fp32"] == 2 * 128 * 128 * 128
    assert found["hbm_read_bytes"] == 4 * words
    assert found.get("hbm_write_bytes", 0) == 0
    assert found["sbuf_write_bytes"] == 4 * words + 2 * words
    assert found["sbuf_read_bytes"] == 2 * 4 * words
    assert found["psum_write_bytes"] == 4 * words
    assert found["psum_read_bytes"] == 4 * words
    assert found["sbuf_peak_bytes"] == 512  # the copy comes after the matmul's last use of it
    assert found["psum_peak_bytes"] == 2048


@pytest.mark.parametrize(
    ("dtype", "short"),
    [("bfloat16", "bf16"), ("float16", "fp16"), ("float32", "fp32"), ("tfloat32", "tf32"),
     ("float8_e4m3", "fp8"), ("float8_e5m2", "fp8")],
)  # fmt: skip
def test_flops_are_counted_by_format(dtype, short):
    found = totals(lambda a: matmul(64, 32, 16, dtype)())
    assert found[f"flops.{short}"] == 2 * 64 * 32 * 16
    assert [key for key in found if key.startswith("flops.")] == [f"flops.{short}"]


def test_transposes_are_not_counted_as_flops():
    def kernel(a):
        nisa.nc_transpose(tile(64, 128, buffer=nl.psum), tile(128, 64))

    found = totals(kernel)
    assert found["transpose_flops"] == 2 * 128 * 64 * 128
    assert not [key for key in found if key.startswith("flops.")]


def test_arithmetic_of_the_other_engines_is_counted():
    def kernel(a):
        one = tile(128, 64)
        nisa.tensor_tensor(one, one, one, nl.add)

    assert totals(kernel)["alu_ops"] == 128 * 64


def test_what_is_read_again_counts_again():
    def kernel(a):
        for _ in range(3):
            nisa.dma_copy(tile(128, 128), a)

    assert totals(kernel)["hbm_read_bytes"] == 3 * 128 * 128 * 4
