"""Trainium2 and NeuronCore-v3, the one core of which public profiler traces exist."""

from trnlab.machine.chip import Array, Chip, Core, Dma, Energy, Engine, Memory, OnChip, Port, Timing
from trnlab.machine.facts import assumed, derived, measured, rumoured, vendor
from trnlab.units import GB, TB, TFLOPS, GHz, GiB, KiB, ns, pJ, us

SDK = "aws-neuron-sdk 2.32 at 81ce03ae (2026-08-21)"
guide = vendor(f"NKI architecture guides of all three generations, {SDK}")
page = vendor(f"neuron-hardware device pages, {SDK}")
costs = vendor("nki.isa cost notes, Neuron SDK 2.20 to 2.26")
explorer = vendor(f"Neuron Explorer glossary, dI/dt throttling on trn2 and trn3, {SDK}")
dma_guide = vendor(f"NKI DMA overview and DMA bandwidth guide, {SDK}")
klr = vendor("leanprover/KLR at 7ccd18c, KLR/Trace.lean, usable SBUF of each generation")
isa = vendor(f"nki.isa.nc_version, {SDK}")
traces = measured(
    "eight neuron-profile traces of trn2, allenkchau/trainium-kernel-fusion, medians read as "
    "intercept and slope over the size"
)
spacing = measured(
    "the same eight traces of trn2: from one instruction to the next on a busy engine, less size "
    "over rate"
)
clocked = measured(
    "the same eight traces of trn2: the clock is chosen every 8192 cycles, that is 3.4 us, and "
    "rises 3.6 to 6.6 us after work began"
)
rest = derived("traces: intercept of the latency, less what the engine is busy before an element")
between = measured("eight traces of trn2, less the device latency of the same kernels: fitted")

NEURONCORE_V3 = Core(
    name="NeuronCore-v3",
    lanes=guide(128),
    array=Array(
        rows=guide(128),
        columns=guide(128),
        moving_max=guide(512),
        fp32_passes=guide(4),  # traces show two MATMULs of two passes each
        cold_rate=explorer(0.5),  # 512 columns in traces: 630 ns cold, 379 warm, that is 0.46
        warm_after=clocked(5.1 * us),  # the explorer's glossary says ~3
        weight_load=guide(4.0),  # traces: 97 ns for 128 columns, that is 40 ns + 1 a cycle
        weight_fill=traces(40 * ns),
        weight_wait=spacing(0.0),  # 3 ns at most
    ),
    engines=(
        Engine(
            name="tensor",
            hz=guide(2.4 * GHz),
            floor=costs(64),
            start=spacing(0),  # 110 ns for 128 fp32 columns, that is 107 and 3
            fixed=traces(165 * ns),
        ),
        Engine(
            name="vector",
            hz=guide(0.96 * GHz),
            floor=costs(64),
            start=spacing(58),  # 592 to 598 ns for 512 elements; the guide says ~60
            fixed=rest(98 * ns),  # 158 in all; nkilib's top-k tuner: 144 cycles, 150 ns
        ),
        Engine(
            name="scalar",
            hz=guide(1.2 * GHz),
            floor=costs(64),
            start=spacing(64),  # 477 to 483 ns for 512 elements
            fixed=rest(104 * ns),  # 157 in all
        ),
        Engine(
            name="gpsimd",
            hz=guide(1.2 * GHz),
            floor=costs(0),  # cost notes print 150 + N without a floor
            start=costs(150),
            fixed=assumed("as the vector engine; no trace has a GpSimd instruction")(158 * ns),
        ),
        Engine(
            name="sync",
            hz=assumed("as the scalar engine; no clock is published")(1.2 * GHz),
            floor=assumed("control only")(0),
            start=assumed("control only")(0),
            fixed=assumed("control only; a trigger has its own time in Dma")(0.0),
        ),
    ),
    sbuf=OnChip(
        partitions=guide(128),
        size=guide(224 * KiB),
        usable=klr(212_984),
        banks=guide(1),
    ),
    psum=OnChip(
        partitions=guide(128),
        size=guide(16 * KiB),
        usable=guide(16 * KiB),
        banks=guide(8),  # a kernel gets 7 if NKI_DMA_TRANSPOSE_AS_PE_TRANSPOSE is set
    ),
    dma=Dma(
        engines=guide(16),
        rate=dma_guide(27.2 * GB),  # slope of traces: 27.2; bandwidth guide: 23 sustained
        packet=traces(8 * ns),  # also read as 7; a packet of 4 B takes 9, of 512 B 27
        packet_max=traces(4096),  # the largest packet seen; no limit is published
        latency=dma_guide(1.3 * us),  # traces: about 1; end to end about 2 with the trigger
        trigger=traces(550 * ns),  # Sync queue; 540 on the Scalar queue; the guide says ~600
        trigger_software=traces(37 * ns),
        packet_software=traces(41 * ns),  # 256 B; 4 KiB packets take 158 with either
        transpose=guide(0.9),  # HBM to SBUF; 0.5 from SBUF to SBUF
        compute=guide(0.5),
        interval_software=spacing(576 * ns),
        wake_software=measured(
            "traces of trn2: 1.3 to 1.8 us from the last result to the last trigger; fitted: the "
            "ladders run as with the least"
        )(1.3 * us),
        alone=assumed("no public figure")(0.0),
        merged=traces(
            512 * KiB
        ),  # tiles of 64 to 256 KiB go in transfers of 512, larger ones alone
    ),
    timing=Timing(
        semaphore=assumed("60 to 100 cycles; no public figure")(50 * ns),  # third party: 268 on DVE
        table_load=traces(1283 * ns),
        function=traces(100 * ns),  # exp 253 to 278 against copy 157
        scalar_operand=traces(150 * ns),  # tensor_scalar 306 against copy 158
        dynamic=vendor("NKI API reference 2.21 to 2.26, MIN_II_DYNAMIC")(600),
        reciprocal=measured(  # 8 in the API reference 2.21 to 2.26
            "traces of trn2: 173 and 202 ns for 4 and 8 elements, that is 3 to 7; fitted: "
            "NKIBench on trn1 runs as with 3"
        )(3.0),
        launch=between(7.9 * us),  # first load of a kernel at 14.8 us of a trace
        finish=traces(2.1 * us),  # last packet to the end of a trace: 2.07 to 2.22
        profiler=between(6.9 * us),  # 4.3 to 9.9
    ),
    ports=(
        Port(
            name="bus",
            memory="sbuf",
            at_once=guide(1),  # the fast modes of Vector borrow it, and GpSimd goes on after them
            holds=("vector",),
            waits=("gpsimd",),
            fast=True,
        ),
        Port(
            name="bank",
            memory="psum",
            at_once=guide(1),
            holds=("tensor", "vector", "scalar"),
            waits=("tensor", "vector", "scalar"),
            banked=True,
        ),
    ),
    can=frozenset(
        {
            "column_tiling",
            "core_barrier",
            "dma_transpose",
            "double_row",
            "exact_transpose",
            "fast_modes",
            "fast_transpose",
            "gpsimd_rng",
            "hardware_dge",
            "nonzero_with_count",
            "rand_state",
            "range_select",
            "function_bias",  # recorded on trn1: log with a bias is refused (NCC_IBIR605)
            "scalar_bias_immediate",
            "scalar_tensor_copy",
            "scalar_tensor_scalar",
            "sendrecv",
            "separate_ports",
            "topk",
        }
    ),
)

TRN2 = Chip(
    name="Trainium2",
    key="trn2",
    aliases=("trainium2", "gen3", "neuroncore-v3"),
    generation=isa(3),
    launched="2024-12-03",
    process="TSMC N5 class",
    cores=page(8),
    core=NEURONCORE_V3,
    hbm=Memory(
        size=page(96 * GiB),
        rate=page(2.9 * TB),  # guide: 3; profiler metadata: 0.716 for a pair, 2.86 in all
        stacks=guide(4),
    ),
    dma_claimed=page(3.5 * TB),
    claimed={
        "bf16": page(667 * TFLOPS),  # 8 x 79 in the core page
        "fp16": page(667 * TFLOPS),
        "tf32": page(667 * TFLOPS),
        "fp8": page(1299 * TFLOPS),  # 8 x 158 in the core page
        "fp32": page(181 * TFLOPS),  # 8 x 20 in the guide
        "sparse bf16": page(2563 * TFLOPS),
        "sparse fp8": page(2563 * TFLOPS),
    },
    link=page(1.28 * TB),
    watts=rumoured("SemiAnalysis, Trainium2 architecture (2024-12-03)")(500.0),
    energy=Energy(
        bf16_flop=derived("(500 W x 0.86 - 90 W HBM - 31 W links) / 667 TFLOP/s")(0.463 * pJ),
        fp8_flop=derived("(500 W x 0.86 - 90 W HBM - 31 W links) / 1299 TFLOP/s")(0.238 * pJ),
        fp32_add=derived("TPUv4i table 2 (ISCA 2021), 0.38 pJ at 7 nm, x 0.70 to N5")(0.266 * pJ),
        fp32_multiply=derived("TPUv4i table 2 (ISCA 2021), 1.31 pJ at 7 nm, x 0.70 to N5")(
            0.917 * pJ
        ),
        sram_byte=derived("TPUv4i table 2 (ISCA 2021), 2.0 pJ at 7 nm, x 0.70 to N5")(1.4 * pJ),
        hbm_byte=derived("SK hynix IEDM 2023, 8 x 3.9 pJ/bit between HBM2E and HBM3E")(31.2 * pJ),
        static_share=derived("H200: 80 W idle of 593 W (0.136), rounded")(0.14),  # rule: 0.15
    ),
    dollars_per_hour=derived(  # spot seen at 23.0631 / 16; there is no on-demand price
        "trn2.48xlarge capacity block, all listed regions, 2026-08-01: 35.7608 / 16"
    )(2.23505),
    notes=(
        "The device page claims 6 % (bf16) and 15 % (fp32) more than array x clock gives.",
        "Two cores share one of the four HBM stacks.",
        "Collective cores: 16 in the device page, 20 in the guide; not modelled.",
    ),
)
