"""What the timing model knows of, by name, and chips that lack some of it."""

from dataclasses import replace

from trnlab.errors import UnknownName
from trnlab.machine.chip import Chip, Core

# Each can be left out of a run, so that what it costs a kernel shows.
MECHANISMS = {
    # of every program
    "cold_clock": "The tensor engine runs at half its clock until it has worked for a while.",
    "dma_latency": "A transfer starts some time after its trigger.",
    "dma_packets": "Every packet costs time besides its bytes.",
    "dma_triggers": "A transfer occupies the queue that triggers it.",
    "engine_choice": "Copies go to the engine that the compiler prefers.",
    "engine_start": "An instruction occupies its engine before its first element.",
    "hbm_sharing": "The cores at one stack of HBM share what it can move.",
    "launch": "A kernel is started and stopped.",
    "pipeline_fill": "A result is visible some time after its last element went in.",
    "psum_banks": "Engines take turns at one bank of PSUM.",
    "semaphores": "An engine sees that another has finished some time later.",
    "shared_ports": "Engines that share a port of SBUF or PSUM take turns.",
    "software_pipelining": "Instructions that are ready overtake those that wait.",
    "table_loads": "The scalar engine loads another table when its functions change.",
    "weight_loads": "fp32 multiplications wait for weights, where loading does not hide.",
    # of programs that the older compiler makes
    "dma_merging": "Neighbouring transfers share a trigger.",
    "bank_sharing": "Transposes share banks of PSUM and leave them in one copy.",
    "batching": "Small instructions of several iterations are done at once.",
    "loop_fusion": "A loop that uses what the one before it made is joined with it.",
    "hoisting": "What a line of a loop would compute again unchanged is computed once.",
    "identities": "Transposes on the tensor engine wait for the matrix they multiply with.",
    "load_reuse": "Loads of what SBUF holds already are left out.",
    "phases": "A loop that loads what another has stored waits for all of it.",
    "operator_joining": "Arithmetic with a number is left to the instruction that uses its result.",
    "queue_choice": "Transfers are triggered on several queues.",
    "spills": "What does not fit in SBUF is stored or loaded again.",
    "tile_rotation": "A tile that is filled again lies in two places in turn.",
}


def known(names: object) -> frozenset[str]:
    """The names of mechanisms, from a text such as ``"launch,spills"`` or several of them.

    Raises UnknownName, with the nearest, for a name that is not in `MECHANISMS`.
    """
    parts = names.split(",") if isinstance(names, str) else list(names or ())  # type: ignore[call-overload]
    found = frozenset(part.strip() for part in parts if part.strip())
    for name in sorted(found):
        if name not in MECHANISMS:
            raise UnknownName("mechanism", name, MECHANISMS)
    return found


def without(chip: Chip, names: frozenset[str]) -> Chip:
    """The chip on which the named mechanisms cost nothing."""
    if "hbm_sharing" in names:
        chip = replace(chip, hbm=replace(chip.hbm, stacks=chip.cores))
    return replace(chip, core=_without(chip.core, names)) if names else chip


def _without(core: Core, names: frozenset[str]) -> Core:
    array, dma, timing, engines = core.array, core.dma, core.timing, core.engines
    if "cold_clock" in names:
        array = replace(array, cold_rate=1.0)
    if "weight_loads" in names:
        array = replace(array, weight_wait=0.0)
    if "dma_latency" in names:
        dma = replace(dma, latency=0.0, wake_software=0.0, alone=0.0)
    if "dma_packets" in names:
        dma = replace(dma, packet=0.0, packet_software=0.0)
    if "dma_triggers" in names:
        dma = replace(dma, trigger=0.0, trigger_software=0.0, interval_software=0.0)
    if "semaphores" in names:
        timing = replace(timing, semaphore=0.0)
    if "table_loads" in names:
        timing = replace(timing, table_load=0.0)
    if "launch" in names:
        timing = replace(timing, launch=0.0, finish=0.0)
    if "engine_start" in names:
        engines = tuple(replace(e, start=0, floor=0) for e in engines)
    if "pipeline_fill" in names:
        engines = tuple(replace(e, fixed=0.0) for e in engines)
    off = {True: "psum_banks" in names, False: "shared_ports" in names}
    ports = tuple(port for port in core.ports if not off[port.banked])
    return replace(core, array=array, dma=dma, timing=timing, engines=engines, ports=ports)
