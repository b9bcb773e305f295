"""Trainium1 and Inferentia2 with NeuronCore-v2, written as what differs from NeuronCore-v3."""

from dataclasses import replace

from trnlab.machine.catalogue.trn2 import NEURONCORE_V3, guide, isa, klr, page
from trnlab.machine.chip import Chip, Energy, Memory, Port
from trnlab.machine.facts import assumed, carried, derived, measured, rumoured, vendor
from trnlab.units import GB, TB, TFLOPS, GHz, GiB, KiB, ns, pJ, us

V3 = carried(NEURONCORE_V3, "trn2")
price = vendor("AWS Price List API, us-east-2, trn1.2xlarge on demand, 2026-09-01")

NEURONCORE_V2 = replace(
    V3,
    name="NeuronCore-v2",
    array=replace(
        V3.array,
        cold_rate=assumed("as trn2, where traces and the vendor agree")(0.5),  # undocumented: 1.0?
        warm_after=assumed("as trn2, from its traces")(5.1 * us),  # as cold_rate
        weight_wait=derived(
            "fitted: transpose_matmul of NKIBench, 9.6 ms less 8.0 ms of streaming, 11,264 matmuls"
        )(135 * ns),
    ),
    engines=(
        replace(V3.engine("tensor"), hz=guide(2.8 * GHz)),  # NKIBench utilisation inverts to 2.79
        replace(V3.engine("vector"), hz=guide(1.12 * GHz)),
        replace(V3.engine("scalar"), hz=guide(1.4 * GHz)),  # guide: 189 ns for dependent tiny ones
        replace(V3.engine("gpsimd"), hz=guide(1.4 * GHz)),
        replace(
            V3.engine("sync"), hz=assumed("as the scalar engine; no clock is published")(1.4 * GHz)
        ),
    ),
    timing=replace(
        V3.timing,
        profiler=derived(
            "totals of NKIBench hold 85 to 100 us of start and end: the middle, less the 10 of "
            "launch and finish"
        )(82.5 * us),
    ),
    sbuf=replace(V3.sbuf, size=guide(192 * KiB), usable=klr(180_224)),
    dma=replace(
        V3.dma,
        rate=measured(  # the engine's peak is 27.2; the bandwidth guide says 17 sustained
            "NKIBench on trn1.32xlarge, zhang677/AccelOpt at 47e29a7: 295 GB/s best stream / 16"
        )(18.4 * GB),
        trigger=derived(  # descriptors lie ready in HBM
            "fitted: vector-add ladder on trn1, robertpare17/asst4-trainium, 53 us / 300 transfers"
        )(140 * ns),
        alone=derived("fitted: the same ladder, one row a transfer, 27.4 ms / 76,800 transfers")(
            357 * ns
        ),
        transpose=assumed(  # 0.9 on v3
            "perf guide, figure 31: 4.81 us for one, of 128 x 128 2-byte elements on one engine?"
        )(0.37),
    ),
    ports=(
        Port(
            name="sbuf",
            memory="sbuf",
            at_once=guide(1),
            holds=("vector", "gpsimd"),
            waits=("vector", "gpsimd"),
        ),
        Port(
            name="psum",
            memory="psum",
            at_once=guide(1),
            holds=("vector", "scalar"),
            waits=("vector", "scalar"),
            hidden=True,  # bounds of the vendor's attention tests: at most 367 us, 406 with turns
        ),
    ),
    can=frozenset(),
)

TRN1 = Chip(
    name="Trainium1",
    key="trn1",
    aliases=("trainium", "trainium1", "gen2", "neuroncore-v2"),
    generation=isa(2),
    launched="2022-10-10",
    process="7 nm class (not published)",
    cores=page(2),
    core=NEURONCORE_V2,
    hbm=Memory(
        size=page(32 * GiB),
        rate=page(820.0 * GiB),  # the guide prints 820 GB/s, 7 % less
        stacks=guide(2),
    ),
    dma_claimed=page(1 * TB),
    claimed={
        "bf16": page(190 * TFLOPS),  # 191 in the Trainium2 comparison table
        "fp16": page(190 * TFLOPS),
        "tf32": page(190 * TFLOPS),
        "fp8": page(190 * TFLOPS),
        "fp32": page(47.5 * TFLOPS),
        "int8": page(380 * TFLOPS),  # 420 in the pages of Neuron 2.9.1
    },
    link=page(384 * GB),
    watts=derived(  # carbon estimators: 175; bf16 peak ratio: 285; energy model: 192
        "AWS 2023-11-28: trn2 does 2x a watt at 4x the speed, so 500 W / 2"
    )(250.0),
    energy=Energy(
        bf16_flop=derived("trn2 0.463 pJ / 0.70 from N5 to 7 nm")(0.661 * pJ),
        fp8_flop=derived("as bf16: the array runs fp8 at the bf16 rate")(0.661 * pJ),
        fp32_add=derived("TPUv4i table 2 (ISCA 2021), 7 nm")(0.38 * pJ),
        fp32_multiply=derived("TPUv4i table 2 (ISCA 2021), 7 nm")(1.31 * pJ),
        sram_byte=derived("TPUv4i table 2 (ISCA 2021), 1 MiB array, 7 nm")(2.0 * pJ),
        hbm_byte=derived("SK hynix IEDM 2023, HBM2E, 8 x 4.3 pJ/bit")(34.4 * pJ),  # TPUv4i HBM2: 39
        static_share=derived("H200: 80 W idle of 593 W (0.136), rounded")(0.14),  # rule: 0.15
    ),
    dollars_per_hour=price(1.34375),  # trn1.32xlarge, us-east-1, 2026-07-28: 21.5 / 16, the same
    notes=(
        "No hardware descriptor generation: transfers have descriptors that lie ready in HBM.",
        "trn1n instances have twice the link rate.",
        "The device page claims 70 % more DMA than the best measured stream.",
    ),
)

INF2 = replace(
    TRN1,
    name="Inferentia2",
    key="inf2",
    aliases=("inferentia2",),
    launched="2023-04-13",
    link=page(192.0 * GiB),
    watts=rumoured("Cloud Carbon Footprint tables; not an AWS figure")(175.0),
    dollars_per_hour=derived(  # inf2.24xlarge, us-east-1, 2025: 6.49 / 6, the same
        "AWS Price List API, us-east-2, inf2.48xlarge on demand, 2026-09-01: 12.98127 / 12"
    )(1.08177),
    notes=(
        "The core of Trainium1 on a ring of up to twelve chips; one core runs a kernel as there.",
    ),
)
