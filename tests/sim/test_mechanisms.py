"""Each mechanism can be left out, and then costs nothing."""

import numpy as np
import pytest

from tests.support import simulate
from trnlab.errors import UnknownName
from trnlab.kernels.validation import attention, mlp, products
from trnlab.machine.catalogue import chip as find_chip
from trnlab.sim.timing.mechanisms import MECHANISMS, known, without

SHAPE = (128, 512)


def zeros(*shape):
    return np.zeros(shape, np.float32)


def seconds(kernel, *arrays, chip="trn2", off=()):
    return simulate(kernel, *arrays, chip=chip, values=False, without=off)[1].seconds


@pytest.mark.parametrize(
    "name",
    ["cold_clock", "dma_latency", "dma_packets", "dma_triggers", "engine_start", "launch",
     "pipeline_fill", "semaphores", "dma_merging", "engine_choice", "software_pipelining"],
)  # fmt: skip
def test_a_mechanism_has_a_share_in_attention(name):
    arrays = [zeros(*SHAPE) for _ in range(3)]
    whole, less = (seconds(attention.through_hbm, *arrays, off=off) for off in ((), (name,)))
    helps = {"dma_merging", "engine_choice", "software_pipelining"}
    assert (less > whole) if name in helps else (less < whole)


def test_weights_are_waited_for_on_one_generation_only():
    arrays = zeros(2, 128, 8, 128), zeros(8, 128, 1024)
    old, new = (
        [seconds(products.matmul, *arrays, chip=chip, off=off) for off in ((), ("weight_loads",))]
        for chip in ("trn1", "trn2")
    )
    assert old[0] > old[1]
    assert new[0] == new[1]


def test_loads_of_what_is_there_are_left_out():
    arrays = zeros(256, 512), zeros(256, 512), zeros(1, 512)
    kept, again = (
        simulate(mlp.gemm, *arrays, values=False, without=off)[1].totals["hbm_read_bytes"]
        for off in ((), ("load_reuse",))
    )
    assert kept == 4 * (256 * 512 * 2 + 4 * 512)  # the row is spread again for each use
    assert again == 4 * (256 * 512 + 4 * (256 * 512 + 512))


def test_loads_are_repeated_where_tiles_do_not_fit():
    """40 tiles of 4 KiB a partition, and what works on them, are more than SBUF holds."""
    arrays = zeros(2, 128, 40, 128), zeros(40, 128, 1024)
    kept, again = (
        simulate(products.matmul, *arrays, chip="trn1", values=False, without=off)[1].totals
        for off in (("spills",), ())
    )
    right = 4 * 40 * 128 * 1024
    assert again["hbm_read_bytes"] - kept["hbm_read_bytes"] == right


def test_names_of_mechanisms():
    assert known("launch, cold_clock") == {"launch", "cold_clock"}
    assert known(()) == frozenset()
    with pytest.raises(UnknownName, match="cold_clock"):
        known("cold_clok")


def test_a_chip_without_nothing_is_the_same():
    chip = find_chip("trn2")
    assert without(chip, frozenset()) is chip
    assert without(chip, frozenset(MECHANISMS)).core.timing.launch == 0


def test_values_do_not_depend_on_the_compiler():
    generator = np.random.default_rng(0)
    arrays = [generator.standard_normal(SHAPE, dtype=np.float32) for _ in range(3)]
    q, k, v = arrays
    scores = np.exp(q.T @ k)
    wanted = scores / scores.sum(axis=1, keepdims=True) @ v.T
    for kernel in (attention.through_hbm, attention.fused):
        np.testing.assert_allclose(simulate(kernel, *arrays)[0], wanted, rtol=2e-3, atol=1e-4)
