"""Every number has a source, and numbers that say the same thing agree."""

import pytest

from trnlab.errors import UnknownName
from trnlab.machine.catalogue import CAPABILITIES, CHIPS, chip
from trnlab.machine.catalogue.trn1 import INF2, TRN1
from trnlab.machine.catalogue.trn2 import TRN2
from trnlab.machine.catalogue.trn3 import TRN3
from trnlab.machine.chip import Chip
from trnlab.machine.facts import Amount, Sourced, numbers
from trnlab.report.datasheet import dma_rate, peaks
from trnlab.units import GB, TB, GiB, KiB, MiB

KINDS = {"measured", "vendor", "derived", "rumoured", "assumed"}
ENGINES = ("tensor", "vector", "scalar", "gpsimd", "sync")
every_chip = pytest.mark.parametrize("entry", CHIPS, ids=lambda entry: entry.key)


@every_chip
def test_every_number_has_a_source(entry: Chip):
    found = dict(numbers(entry))
    assert found.keys() >= {"cores", "core.engines.sync.hz", "hbm.rate", "claimed.bf16", "watts"}
    assert [path for path, value in found.items() if not isinstance(value, Sourced)] == []
    for path, value in found.items():
        assert isinstance(value, Sourced)
        assert value.kind in KINDS, path
        assert len(value.source) > 10, path


@every_chip
def test_only_zeros_that_mean_nothing_happens_are_zero(entry: Chip):
    zero = {path.rpartition(".")[2] for path, value in numbers(entry) if not value}
    assert zero - {"weight_wait", "alone"} == {"floor", "start", "fixed"}
    assert all(value >= 0 for _, value in numbers(entry))


@every_chip
def test_shares_are_shares(entry: Chip):
    core = entry.core
    shares = (core.array.cold_rate, core.dma.transpose, core.dma.compute, entry.energy.static_share)
    assert all(0 < share <= 1 for share in shares)


@pytest.mark.parametrize(
    ("number", "tolerance"),
    [("bf16", 0.07), ("fp8", 0.04), ("fp32", 0.16)],
)
@every_chip
def test_claimed_peaks_follow_from_array_and_clock(entry: Chip, number: str, tolerance: float):
    assert peaks(entry)[number] == pytest.approx(entry.claimed[number], rel=tolerance)
    assert peaks(entry)[number] <= entry.claimed[number]


@pytest.mark.parametrize(
    ("entry", "passes", "teraflops"),
    [
        (TRN1, 1, 92),
        (TRN1, 4, 23),
        (TRN2, 1, 79),
        (TRN2, 0.5, 158),
        (TRN2, 4, 20),
        (TRN3, 1, 79),
        (TRN3, 0.25, 315),
        (TRN3, 4, 20),
    ],
)
def test_core_peaks_are_those_of_the_guide(entry: Chip, passes: float, teraflops: float):
    assert entry.core.peak(passes) == pytest.approx(teraflops * 1e12, rel=0.02)


# The oldest rate is that of a measured stream; the engines' peak gives 870 GB/s of 1000.
@pytest.mark.parametrize(
    ("entry", "tolerance"), [(TRN1, 0.42), (INF2, 0.42), (TRN2, 0.01), (TRN3, 0.01)]
)
def test_claimed_dma_is_engines_times_rate(entry: Chip, tolerance: float):
    assert dma_rate(entry) == pytest.approx(entry.dma_claimed, rel=tolerance)


def test_measured_dma_streams_are_within_the_packet_formula():
    for entry, best in ((TRN1, 295 * GB), (TRN2, 435 * GB)):  # one core
        dma = entry.core.dma
        packet = dma.packet + dma.packet_max / dma.rate
        assert dma.engines * dma.packet_max / packet == pytest.approx(best, rel=0.06)
        assert dma.engines * dma.rate == pytest.approx(best, rel=0.01)


def test_packet_times_of_the_traces_follow_from_the_formula():
    dma = TRN2.core.dma
    for size, nanoseconds in ((256, 17), (512, 27), (2048, 83), (4096, 158)):
        assert dma.packet + size / dma.rate == pytest.approx(nanoseconds * 1e-9, abs=1.5e-9)


@pytest.mark.parametrize(
    ("engine", "size", "passes", "nanoseconds"),
    [
        ("tensor", 128, 1, 219),
        ("tensor", 512, 1, 379),
        ("tensor", 128, 2, 274),
        ("tensor", 512, 2, 591),
        ("scalar", 128, 1, 265),
        ("scalar", 512, 1, 586),
        ("vector", 128, 1, 291),
        ("vector", 512, 1, 689),
    ],
)
def test_instruction_times_of_the_traces_follow_from_the_engines(engine, size, passes, nanoseconds):
    unit = TRN2.core.engine(engine)
    seconds = unit.fixed + max(unit.floor, unit.start + passes * size) / unit.hz
    assert seconds == pytest.approx(nanoseconds * 1e-9, rel=0.02)


@pytest.mark.parametrize(
    ("entry", "sbuf", "chip_sbuf", "chip_psum"),
    [(TRN1, 24, 48, 4), (INF2, 24, 48, 4), (TRN2, 28, 224, 16), (TRN3, 32, 256, 16)],
)
def test_on_chip_memory_adds_up_to_the_device_page(entry, sbuf, chip_sbuf, chip_psum):
    core = entry.core
    assert core.sbuf.partitions * core.sbuf.size == sbuf * MiB
    assert entry.cores * core.sbuf.partitions * core.sbuf.size == chip_sbuf * MiB
    assert entry.cores * core.psum.partitions * core.psum.size == chip_psum * MiB


@every_chip
def test_partitions_lanes_and_rows_are_the_same_thing(entry: Chip):
    core = entry.core
    assert core.lanes == core.array.rows == core.sbuf.partitions == core.psum.partitions


@every_chip
def test_a_matmul_fills_one_psum_bank(entry: Chip):
    assert entry.core.psum.bank == 2 * KiB == 4 * entry.core.array.moving_max


@every_chip
def test_a_kernel_gets_all_but_a_little_of_sbuf(entry: Chip):
    reserved = entry.core.sbuf.size - entry.core.sbuf.usable
    assert 16 * KiB <= reserved <= 16 * KiB + 8
    assert entry.core.psum.usable == entry.core.psum.size


@pytest.mark.parametrize(
    ("entry", "stack", "rate"),
    [
        (TRN1, 16, 820 * GiB),
        (INF2, 16, 820 * GiB),
        (TRN2, 24, 4096 * 5.7e9 / 8),  # pins x their rate
        (TRN3, 36, 4096 * 9.6e9 / 8),
    ],
)
def test_hbm_is_its_stacks_and_pins(entry: Chip, stack: int, rate: float):
    assert entry.hbm.size == entry.hbm.stacks * stack * GiB
    assert entry.hbm.rate == pytest.approx(rate, rel=0.01)


def test_hbm_of_a_pair_agrees_with_the_profiler():
    assert TRN2.hbm.rate / TRN2.hbm.stacks == pytest.approx(716 * GB, rel=0.02)


@pytest.mark.parametrize(
    ("entry", "number", "watts_a_link", "tolerance"),
    [(TRN1, "bf16", 9, 0.25), (TRN2, "bf16", 31, 0.01), (TRN3, "fp8", 51, 0.01)],
)
def test_watts_follow_from_energy_at_full_speed(entry, number, watts_a_link, tolerance):
    energy = entry.energy
    flop = energy.fp8_flop if number == "fp8" else energy.bf16_flop
    dynamic = flop * entry.claimed[number] + energy.hbm_byte * entry.hbm.rate + watts_a_link
    assert dynamic / (1 - energy.static_share) == pytest.approx(entry.watts, rel=tolerance)


def test_ultraservers_add_up():
    assert 64 * TRN2.claimed["fp8"] == pytest.approx(83.2e15, rel=0.01)
    assert 144 * TRN3.claimed["fp8"] == pytest.approx(362.448e15, rel=1e-6)
    assert 144 * TRN3.hbm.rate == pytest.approx(705.6 * TB, rel=1e-6)


def test_later_generations_have_more_of_everything_they_should():
    for older, newer in ((TRN1, TRN2), (TRN2, TRN3)):
        assert older.generation + 1 == newer.generation
        assert older.launched < newer.launched
        assert older.core.can < newer.core.can
        assert older.core.sbuf.usable < newer.core.sbuf.usable
        assert older.hbm.rate < newer.hbm.rate
        assert older.hbm.size < newer.hbm.size
        assert older.link < newer.link
        assert older.energy.bf16_flop > newer.energy.bf16_flop
    assert INF2.core is TRN1.core
    assert [entry.generation for entry in CHIPS] == [2, 2, 3, 4]


@every_chip
def test_engines_come_in_one_order(entry: Chip):
    assert tuple(engine.name for engine in entry.core.engines) == ENGINES


@pytest.mark.parametrize("entry", [TRN1, TRN2, TRN3], ids=lambda entry: entry.key)
def test_only_what_was_measured_on_a_chip_is_called_measured(entry: Chip):
    for path, value in sourced(entry):
        assert value.kind != "measured" or entry.key in value.source, path


def test_what_was_measured_on_one_chip_is_assumed_on_the_next():
    assert isinstance(TRN2.core.timing.table_load, Amount)
    assert isinstance(TRN3.core.timing.table_load, Amount)
    assert TRN2.core.timing.table_load.kind == "measured"
    assert TRN3.core.timing.table_load.kind == "assumed"
    assert TRN3.core.timing.table_load.source.startswith("as on trn2: ")


def sourced(entry: Chip) -> list[tuple[str, Sourced]]:
    return [(path, value) for path, value in numbers(entry) if isinstance(value, Sourced)]


@every_chip
def test_capabilities_are_documented(entry: Chip):
    assert entry.core.can <= CAPABILITIES.keys()


def test_documented_capabilities_exist():
    assert set().union(*(entry.core.can for entry in CHIPS)) == CAPABILITIES.keys()
    assert all(sentence.endswith(".") for sentence in CAPABILITIES.values())


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("trn1", "trn1"),
        ("gen2", "trn1"),
        ("inf2", "inf2"),
        ("TRN2", "trn2"),
        ("gen3", "trn2"),
        ("Trainium2", "trn2"),
        ("NeuronCore-v3", "trn2"),
        ("gen4", "trn3"),
    ],
)
def test_chips_go_by_key_and_alias(name: str, key: str):
    assert chip(name).key == key


def test_no_two_chips_share_a_name():
    names = [name for entry in CHIPS for name in (entry.key, *entry.aliases)]
    assert len(names) == len(set(names))
    assert names == [name.lower() for name in names]


@pytest.mark.parametrize(("wrong", "right"), [("trn4", "trn"), ("trainum2", "trainium2")])
def test_an_unknown_name_comes_with_the_nearest(wrong: str, right: str):
    with pytest.raises(UnknownName, match=rf"no chip is called '{wrong}'; did you mean '{right}"):
        chip(wrong)
