"""Trainium3 and NeuronCore-v4, written as what differs from NeuronCore-v3."""

from dataclasses import replace

from trnlab.machine.catalogue.trn2 import NEURONCORE_V3, dma_guide, guide, isa, klr, page
from trnlab.machine.chip import Chip, Energy, Memory
from trnlab.machine.facts import carried, derived, rumoured
from trnlab.units import GB, TB, TFLOPS, GHz, GiB, KiB, pJ

V3 = carried(NEURONCORE_V3, "trn2")

NEURONCORE_V4 = replace(
    V3,
    name="NeuronCore-v4",
    engines=(
        V3.engine("tensor"),
        replace(V3.engine("vector"), hz=guide(1.2 * GHz)),
        V3.engine("scalar"),
        V3.engine("gpsimd"),
        V3.engine("sync"),
    ),
    sbuf=replace(V3.sbuf, size=guide(256 * KiB), usable=klr(245_752)),
    dma=replace(
        V3.dma,
        rate=dma_guide(38.4 * GB),  # bandwidth guide: 33 sustained
        compute=guide(1.0),  # into SBUF, fp32 and bf16
    ),
    can=V3.can
    | {
        "abs_max",
        "activate2",
        "background_transpose",
        "dma_priority",
        "exponential",
        "fp8_fast_modes",
        "indirect_views",
        "mx",
        "ocp_fp8",
        "psum_bf16",
        "psum_preload",
        "rand2",
        "scalar_alu",
        "scalar_fast_modes",
        "vector_rand_state",
        "wide_psum",
    },
)

TRN3 = Chip(
    name="Trainium3",
    key="trn3",
    aliases=("trainium3", "gen4", "neuroncore-v4"),
    generation=isa(4),
    launched="2025-12-02",
    process="TSMC N3P (AWS says 3 nm)",
    cores=page(8),
    core=NEURONCORE_V4,
    hbm=Memory(
        size=page(144 * GiB),
        rate=page(4.9 * TB),  # guide: 4.7; 4096 pins at 9.6 Gbit/s: 4.915
        stacks=guide(4),
    ),
    dma_claimed=page(4.9 * TB),
    claimed={
        "bf16": page(671 * TFLOPS),  # 8 x 79 in the core page
        "fp16": page(671 * TFLOPS),
        "tf32": page(671 * TFLOPS),
        "fp8": page(2517 * TFLOPS),  # MXFP8; the guide gives other fp8 the bf16 rate
        "fp4": page(2517 * TFLOPS),  # MXFP4 is widened to MXFP8
        "fp32": page(183 * TFLOPS),  # 8 x 20 in the core page
        "sparse bf16": page(2517 * TFLOPS),
    },
    link=page(2.56 * TB),  # 2.048 of it inside the rack
    watts=rumoured(  # the article's prose: 1000; 40 % better efficiency than trn2 solves to 692
        "Epoch AI ml_hardware.csv (2026-01-14), reading SemiAnalysis of 2025-12-04"
    )(700.0),
    energy=Energy(
        bf16_flop=derived("trn2 0.463 pJ x 0.70 to N3P, fitted to the 40 % claim")(  # x 0.61: 0.282
            0.324 * pJ
        ),
        fp8_flop=derived("trn2 0.238 pJ x 0.70 to N3P; MXFP8, other fp8 costs as bf16")(0.166 * pJ),
        fp32_add=derived("TPUv4i table 2 (ISCA 2021), 0.38 pJ at 7 nm, x 0.70 x 0.70")(0.186 * pJ),
        fp32_multiply=derived("TPUv4i table 2 (ISCA 2021), 1.31 pJ at 7 nm, x 0.70 x 0.70")(
            0.642 * pJ
        ),
        sram_byte=derived("TPUv4i table 2 (ISCA 2021), 2.0 pJ at 7 nm, x 0.70 x 0.70")(0.98 * pJ),
        hbm_byte=derived("SK hynix IEDM 2023, HBM3E, 8 x 3.44 pJ/bit")(27.5 * pJ),
        static_share=derived("H200: 80 W idle of 593 W (0.136), rounded")(0.14),  # rule: 0.15
    ),
    dollars_per_hour=None,
    notes=(
        "No public price and no instance type; no public trace: times are those of trn2.",
        "The device page claims 7 % (bf16) and 16 % (fp32) more than array x clock gives.",
        "Collective cores: 16 in the device page, 20 in the guide; not modelled.",
    ),
)
