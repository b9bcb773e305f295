"""Machines as they are sold: which chips are linked to which, and how fast."""

from dataclasses import replace

from trnlab.errors import UnknownName
from trnlab.machine.catalogue.trn1 import INF2, TRN1, price
from trnlab.machine.catalogue.trn2 import SDK, TRN2
from trnlab.machine.catalogue.trn3 import TRN3
from trnlab.machine.facts import assumed, derived, rumoured, vendor
from trnlab.machine.system import Level, System
from trnlab.units import GB, us

arch = vendor(f"EC2 architecture pages of Trn1, Trn2, Trn3 and Inf2, {SDK}")
intra = vendor(f"intra-node collectives: 1 to 2 us a hop, depending on the load of HBM, {SDK}")
inter = vendor(f"inter-node collectives: about 15 us from HBM to HBM of another server, {SDK}")
analyst2 = rumoured("SemiAnalysis, Trainium2 architecture (2024-12-03)")
analyst3 = rumoured("SemiAnalysis, Trainium3 deep dive (2025-12-04)")
elsewhere = assumed("as on trn2, which alone has its collectives described")
blocks = vendor("US East price list, 2026-07-28; capacity blocks, all regions, 2026-08-01")

# The vendor gives where one algorithm overtakes the next on a whole trn2.48xlarge (mesh below 1 MB,
# halving to 56 MB, rings above) and the steps of each; these shares put the crossings there.
MESH = derived("fitted: mesh and halving cross at 1 MB, intra-node collectives page")(0.556)
HALVING = derived("fitted: halving and rings cross at 56 MB, intra-node collectives page")(0.724)

PAIR = Level(
    name="core pair",
    wiring="shared",
    shape=(arch(2),),
    links=derived("cores reach each other through HBM and DMA")(1),
    rate=derived("2.9 TB/s of HBM / 8 cores, read once and written once")(181.25 * GB),
    latency=intra(1.5 * us),
    mesh=assumed("nothing is routed through others")(1.0),
    halving=assumed("nothing is routed through others")(1.0),
)
CHIP = replace(PAIR, name="chip", shape=(arch(4),))
SERVER = Level(
    name="server",
    wiring="torus",
    shape=(arch(4), arch(4)),
    links=arch(4),
    rate=derived(f"1,024 GB/s a chip / 4 links / 2 directions, {SDK}")(128 * GB),  # analyst: 128
    latency=intra(1.5 * us),
    mesh=MESH,
    halving=HALVING,
)
EFA = Level(
    name="network",
    wiring="switch",
    shape=(assumed("as many as asked for")(1),),
    links=derived(f"one adapter a chip, {SDK}")(1),
    rate=derived(f"3,200 Gbit/s a server / 16 chips, {SDK}")(25 * GB),
    latency=inter(15 * us),
    mesh=assumed("as inside a server; the page says low, without a number")(0.556),
    halving=assumed("as inside a server; the page says between mesh and rings")(0.724),
)

TRN2_48XLARGE = System(
    name="Trn2 server",
    key="trn2.48xlarge",
    aliases=("trn2u.48xlarge",),
    chip=TRN2,
    levels=(PAIR, CHIP, SERVER),
    network=EFA,
    dollars_per_hour=blocks(35.7608),  # capacity block; spot seen at 23.0631
)
TRN2_3XLARGE = replace(
    TRN2_48XLARGE,
    name="Trn2 chip",
    key="trn2.3xlarge",
    aliases=(),
    levels=(PAIR, CHIP),
    network=None,
    dollars_per_hour=blocks(2.235),  # capacity block; spot seen at 2.7396
    notes=("Its network is not in the documents.",),
)
TRN2_ULTRASERVER = replace(
    TRN2_48XLARGE,
    name="Trn2 UltraServer",
    key="trn2-ultraserver",
    aliases=(),
    levels=(
        PAIR,
        CHIP,
        SERVER,
        replace(
            SERVER,
            name="ultraserver",
            shape=(arch(4),),
            links=derived(f"a ring through the same chip of four servers, {SDK}")(2),
            rate=derived(f"256 GB/s a chip / 2 links / 2 directions, {SDK}")(64 * GB),
        ),
    ),
    dollars_per_hour=None,
)

TRN1_CHIP = replace(
    PAIR,
    name="chip",
    rate=derived("880 GB/s of HBM / 2 cores, read once and written once")(220.1 * GB),
    latency=elsewhere(1.5 * us),
)
TRN1_SERVER = replace(
    SERVER,
    rate=derived(f"384 GB/s a chip / 4 links / 2 directions, {SDK}")(48 * GB),
    latency=elsewhere(1.5 * us),
    mesh=elsewhere(0.556),
    halving=elsewhere(0.724),
)
TRN1_EFA = replace(
    EFA,
    rate=derived(f"800 Gbit/s a server / 16 chips, {SDK}")(6.25 * GB),
    latency=elsewhere(15 * us),
)
TRN1_32XLARGE = System(
    name="Trn1 server",
    key="trn1.32xlarge",
    aliases=(),
    chip=TRN1,
    levels=(TRN1_CHIP, TRN1_SERVER),
    network=TRN1_EFA,
    dollars_per_hour=blocks(21.5),  # on demand; capacity block 9.532
)
TRN1N_32XLARGE = replace(
    TRN1_32XLARGE,
    name="Trn1n server",
    key="trn1n.32xlarge",
    levels=(
        TRN1_CHIP,
        replace(
            TRN1_SERVER,
            rate=derived(f"768 GB/s a chip / 4 links / 2 directions, {SDK}")(96 * GB),
        ),
    ),
    network=replace(TRN1_EFA, rate=derived(f"1,600 Gbit/s a server / 16 chips, {SDK}")(12.5 * GB)),
    dollars_per_hour=blocks(24.78),
)
TRN1_2XLARGE = replace(
    TRN1_32XLARGE,
    name="Trn1 chip",
    key="trn1.2xlarge",
    levels=(TRN1_CHIP,),
    network=replace(TRN1_EFA, rate=derived(f"up to 25 Gbit/s, {SDK}")(3.125 * GB)),
    dollars_per_hour=price(1.34375),
)
INF2_48XLARGE = replace(
    TRN1_32XLARGE,
    name="Inf2 server",
    key="inf2.48xlarge",
    chip=INF2,
    levels=(
        TRN1_CHIP,
        replace(
            TRN1_SERVER,
            shape=(arch(12),),
            links=derived(f"twelve chips on a ring, {SDK}")(2),
            rate=derived(f"192 GiB/s a chip / 2 links / 2 directions, {SDK}")(51.54 * GB),
        ),
    ),
    network=None,
    dollars_per_hour=price(12.98127),
    notes=("Its network has no adapter for collectives.",),
)

# The newer connectivity text gives half of the first two rates: 256 and 320 GB/s a chip.
TRN3_PAIR = replace(
    PAIR,
    rate=derived("4.9 TB/s of HBM / 8 cores, read once and written once")(306.25 * GB),
    latency=elsewhere(1.5 * us),
)
SLED = Level(
    name="server",
    wiring="switch",
    shape=(arch(4),),
    links=derived("one port into the switches")(1),
    rate=analyst3(512 * GB),  # 64 lanes of 8 GB/s; 256 in the connectivity text
    latency=elsewhere(1.5 * us),  # launch coverage: under 10 us between any two chips
    mesh=assumed("a switch routes nothing through chips, but many send to one")(1.0),
    halving=assumed("a switch routes nothing through chips")(1.0),
)
RACK = replace(
    SLED,
    name="rack",
    shape=(analyst3(18),),
    rate=analyst3(512 * GB),  # 64 active lanes of 80; 320 in the connectivity text
)
RACKS = replace(
    SLED,
    name="ultraserver",
    shape=(analyst3(2),),
    links=derived(f"corresponding chips of two racks are linked, {SDK}")(1),
    rate=arch(128 * GB),
)
TRN3_EFA = replace(
    EFA,
    rate=derived(f"28,800 Gbit/s / 144 chips, {SDK}")(25 * GB),
    latency=elsewhere(15 * us),
)
TRN3_GEN2 = System(
    name="Trn3 Gen2 UltraServer",
    key="trn3-gen2",
    aliases=("trn3-ultraserver",),
    chip=TRN3,
    levels=(TRN3_PAIR, replace(TRN3_PAIR, name="chip", shape=(arch(4),)), SLED, RACK, RACKS),
    network=TRN3_EFA,
    dollars_per_hour=None,
    notes=("Lanes are an analyst's; a newer page of the vendor gives half of them.",),
)
TRN3_GEN1 = replace(
    TRN3_GEN2,
    name="Trn3 Gen1 UltraServer",
    key="trn3-gen1",
    aliases=(),
    levels=(
        *TRN3_GEN2.levels[:2],
        replace(RACK, name="server", shape=(arch(16),)),
        replace(RACK, shape=(derived("four servers of 16 chips in two racks")(2),)),
        RACKS,
    ),
)

SYSTEMS = (
    TRN1_2XLARGE,
    TRN1_32XLARGE,
    TRN1N_32XLARGE,
    INF2_48XLARGE,
    TRN2_3XLARGE,
    TRN2_48XLARGE,
    TRN2_ULTRASERVER,
    TRN3_GEN1,
    TRN3_GEN2,
)

_BY_NAME = {name: entry for entry in SYSTEMS for name in (entry.key, *entry.aliases)}


def system(name: str) -> System:
    """Returns the machine of that name: ``system("trn2.48xlarge")``; ``"2xtrn2.48xlarge"`` is two.

    Raises UnknownName, which names the nearest, for anything else.
    """
    count, times, rest = name.lower().partition("xtrn")
    if times and count.isdecimal() and int(count) > 0:
        return system(f"trn{rest}").times(int(count))
    try:
        return _BY_NAME[name.lower()]
    except KeyError:
        raise UnknownName("system", name, _BY_NAME) from None
