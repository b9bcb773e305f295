"""What the schedule reads and what it remembers, as flat sequences.

The pass of `schedule` is written once and runs in two ways: as Python, where the sequences are
lists, and compiled by numba, where those that it reads are arrays (`sim.compiled`). So nothing here
is more than numbers in sequences, and lists of tuples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

from trnlab.trace import CAUSES, QUEUES

FIRST, ENGINE, DATA, BUFFER, MEMORY, QUEUE, CLOCK, RANK, PORT = range(len(CAUSES))
WIDTH = len(QUEUES)
COMPUTE, TRANSFER, COLLECTIVE = range(3)

Ints = Any  # a list of numbers, or an array of them
Turn = tuple[float, float, int, int]  # from, until, row, lane
Gap = tuple[float, float, int]  # from, until, row that was busy before
# lane, cost, place, start, busy until, result visible, cause, blocking row
Row = tuple[int, int, int, float, float, float, int, int]
Ready = tuple[float, int, int]  # from when, why not earlier, which row that was
Stay = tuple[int, float, float]  # buffer, from, until


@dataclass(slots=True)
class Price:
    """What a schedule must know of a `Cost`, as numbers; -1 stands for none."""

    work: int  # COMPUTE, TRANSFER or COLLECTIVE
    queue: int
    writes: int
    count: int  # operands
    busy: float
    fixed: float
    is_array: bool
    table: int
    moving: float
    latency: float
    share: float  # of the DMA engines of a core
    wakes: float
    through: float  # seconds in which a stack of HBM moves the bytes, where cores share it
    also: int  # the price on another engine
    caller: int  # of a collective: the first of its callers
    callers: int
    holds: int  # ports, as bits
    waits: int
    banked: bool  # takes turns at banks


class Flat(NamedTuple):
    """A program as its schedule reads it.

    ``x_at`` says where the part of ``x`` begins that belongs to one region, tensor or instruction.
    """

    kinds: Ints  # of each instruction: its price
    places: Ints
    cores: Ints
    touched: Ints  # regions of the operands of every instruction in turn
    overlap_at: Ints
    overlaps: Ints  # of each region those that touch bytes of it, itself first
    bank_at: Ints
    banks: Ints  # of each region: banks at which engines may meet
    owner: Ints  # of each region: its tensor
    region_at: Ints  # of each tensor: its regions, which have numbers in turn
    memory: Ints  # of each tensor: which SBUF or PSUM it takes room in; -1 for HBM
    size: Ints
    takes: Ints  # whether it needs room of its own
    gives: Ints  # whether that room is free after it
    made: Ints  # of each tensor: the line that made it
    room: Ints  # of each memory: bytes that are free at the start
    ending_at: Ints
    ending: Ints  # of each instruction: tensors that nobody uses after it
    edge_at: Ints
    edges: Ints  # of each instruction: who else it waits for


class Rules(NamedTuple):
    """Numbers of the core, and what a compiler may do."""

    cores: int
    members: int  # cores that share a stack of HBM; 0 where that does not matter
    hop: float  # one engine sees that another has finished
    table_load: float
    warm_after: float
    cold_rate: float
    bank: int  # bytes of a bank of PSUM, where a compiler places tiles; else 0
    ports: int  # of a core
    loose: bool  # a compiler chose the order: what is ready overtakes what waits


class State(NamedTuple):
    """The queues, DMA engines, function tables and array clocks of all cores, at one moment."""

    prices: Sequence[Price]
    callers: Ints  # of collectives: core and source line of each
    rules: Rules
    rows: list[Row]
    free_at: list[float]  # of each queue
    last_row: list[int]
    gaps: list[list[Gap]]  # idle times of each queue that may still be filled
    triggered: list[float]  # of each queue: its last trigger of a transfer
    idle: list[list[Gap]]  # of each core: when its DMA engines are
    table: list[int]
    warm_since: list[float]
    exchanged: list[float]  # of each core: until when it is in a collective
    exchange_row: list[int]
    stacks: list[list[Gap]]  # of each stack of HBM: when it is idle
    held: list[list[Turn]]  # of each port of each core, and of each bank: when it is
    banks: list[int]  # which of these the instruction uses that comes next


def started(prices: Sequence[Price], callers: Ints, rules: Rules) -> State:
    """Nothing has happened yet."""
    cores, lanes = rules.cores, rules.cores * WIDTH
    stacks = -(-cores // rules.members) if rules.members else 0
    return State(
        prices,
        callers,
        rules,
        [(0, 0, 0, 0.0, 0.0, 0.0, 0, 0)][:0],  # empty, but numba sees of what
        [0.0] * lanes,
        [-1] * lanes,
        [[(0.0, 0.0, 0)][:0] for _ in range(lanes)],
        [inf] * lanes,
        [[(0.0, inf, -1)] for _ in range(cores)],
        [-1] * cores,
        [0.0] * cores,
        [0.0] * cores,
        [-1] * cores,
        [[(0.0, inf, -1)] for _ in range(stacks)],
        [[(0.0, 0.0, 0, 0)][:0] for _ in range(rules.ports * cores)],
        [0][:0],
    )
