"""What a chip is: engines, memories, DMA, cores. Data only; the numbers live in `catalogue`."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Engine:
    """One in-order instruction queue and the lanes behind it.

    An instruction occupies the engine for ``max(floor, start + passes x elements) / hz`` seconds,
    and its result is visible ``fixed`` seconds after that.
    """

    name: str
    hz: float
    floor: int = 0  # cycles; no instruction issues faster than this
    start: int = 0  # cycles before the first element
    fixed: float = 0.0  # seconds from the last element in to the result visible


@dataclass(frozen=True, kw_only=True)
class Port:
    """A way into a memory that engines share: ``waits`` start nothing while another ``holds`` it.

    Memory of several banks has such a way into each bank where ``banked``.
    """

    name: str
    memory: str
    at_once: int  # engines
    holds: tuple[str, ...]
    waits: tuple[str, ...]
    fast: bool = False  # held by instructions that do more than an element a cycle
    banked: bool = False
    hidden: bool = False  # by the order of a compiler that chooses one


@dataclass(frozen=True, kw_only=True)
class Array:
    """The systolic array of the tensor engine."""

    rows: int
    columns: int
    moving_max: int  # fp32 columns one instruction may stream
    fp32_passes: int  # how often fp32 data goes through
    cold_rate: float  # share of the clock before it is warm
    warm_after: float  # seconds of work until the clock is raised; idling as long lowers it
    weight_load: float  # columns loaded per cycle, behind the previous multiplication
    weight_fill: float = 0.0  # seconds from the first weight of a load in to the last there
    weight_wait: float = 0.0  # seconds an fp32 multiplication waits for weights not loaded behind


@dataclass(frozen=True, kw_only=True)
class OnChip:
    """SBUF or PSUM: ``partitions`` rows of ``size`` bytes."""

    partitions: int
    size: int  # bytes a partition
    usable: int  # bytes a partition that a kernel may allocate
    banks: int = 1

    @property
    def bank(self) -> int:
        """Bytes of one bank in one partition."""
        return self.size // self.banks


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Off-chip memory; ``rate`` in bytes a second."""

    size: int
    rate: float
    stacks: int


@dataclass(frozen=True, kw_only=True)
class Dma:
    """The DMA engines that belong to one core.

    A transfer is triggered on an instruction queue (``trigger`` seconds of it), starts ``latency``
    later, and is cut into packets that its engines move at ``packet + bytes / rate`` seconds each.
    """

    engines: int
    rate: float  # bytes a second of one engine
    packet: float  # seconds a packet costs before its bytes
    packet_max: int  # bytes
    latency: float  # seconds from trigger to first byte, completion included
    trigger: float  # seconds on the issuing queue, hardware descriptors
    trigger_software: float  # seconds on the GpSimd queue, software descriptors
    packet_software: float  # seconds a packet costs at least with software descriptors
    transpose: float  # share of the copy rate that a transposing transfer reaches
    compute: float  # share of the copy rate that an accumulating transfer reaches
    interval_software: float = 0.0  # seconds between triggers on the GpSimd queue
    wake_software: float = 0.0  # seconds until software notices that data is there
    alone: float = 0.0  # seconds a transfer takes at least on a single engine
    merged: int = 0  # bytes up to which the older compiler makes one transfer of neighbours


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Per-instruction times that a whole engine does not share, in seconds unless said."""

    semaphore: float  # one engine sees that another has finished
    table_load: float  # scalar engine switches its function table
    function: float  # what a table function takes longer than a copy
    scalar_operand: float  # what an instruction with per-partition operands takes longer
    dynamic: int  # cycles; the least for an instruction whose address a register holds
    reciprocal: float = 8.0  # passes of a reciprocal on the vector engine
    launch: float = 0.0  # from the start of the device latency to the first instruction
    finish: float = 0.0  # from the last result to the end of the device latency
    profiler: float = 0.0  # what a profiler's total is longer than the device latency


@dataclass(frozen=True, kw_only=True)
class Core:
    """One NeuronCore; ``can`` names what other generations lack."""

    name: str
    lanes: int
    array: Array
    engines: tuple[Engine, ...]
    sbuf: OnChip
    psum: OnChip
    dma: Dma
    timing: Timing
    ports: tuple[Port, ...] = ()
    can: frozenset[str]

    def engine(self, name: str) -> Engine:
        """Returns the engine of that name; raises KeyError for an unknown one."""
        for engine in self.engines:
            if engine.name == name:
                return engine
        raise KeyError(name)

    def peak(self, passes: float = 1) -> float:
        """FLOP/s of the array for data that goes through ``passes`` times."""
        return 2 * self.array.rows * self.array.columns * self.engine("tensor").hz / passes


@dataclass(frozen=True, kw_only=True)
class Energy:
    """Joules per unit of work, for the process the chip is made in."""

    bf16_flop: float
    fp8_flop: float
    fp32_add: float
    fp32_multiply: float
    sram_byte: float
    hbm_byte: float
    static_share: float  # of chip power, drawn whether or not anything runs


@dataclass(frozen=True, kw_only=True)
class Chip:
    """One accelerator as it is sold: cores, HBM, power and what a maker claims for it."""

    name: str
    key: str  # what users type
    aliases: tuple[str, ...]
    generation: int  # nki.isa.nc_version
    launched: str
    process: str
    cores: int
    core: Core
    hbm: Memory
    dma_claimed: float  # bytes a second
    claimed: dict[str, float]  # datasheet FLOP/s by number format
    link: float  # bytes a second, both directions, chip to chip
    watts: float
    energy: Energy
    dollars_per_hour: float | None  # None: no public price
    notes: tuple[str, ...] = ()

    @property
    def stack(self) -> tuple[int, float]:
        """How many cores share one stack of HBM, and its bytes a second."""
        return self.cores // self.hbm.stacks, self.hbm.rate / self.hbm.stacks
