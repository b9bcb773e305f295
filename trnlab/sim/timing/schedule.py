"""When everything happens: a program on the engines, queues and memories of its cores.

One pass in program order. Every queue starts its instructions in order; an instruction waits for
the bytes it reads (written by others), for the bytes it overwrites (read or written by others), and
for room when its tensor is new. A transfer is triggered in order on its queue and then moves when
its data is there and DMA engines are free.

The pass runs once for every instruction of programs that have millions, so its state is flat lists
indexed by region, and what happens rarely (a new tensor, a full memory) is kept out of the way.
"""

from typing import NamedTuple

from trnlab.sim.timing.engines import collective, compute, slot, transfer
from trnlab.sim.timing.rooms import Rooms, give, in_banks, opened, take, take_banks
from trnlab.sim.timing.state import (
    BUFFER,
    COLLECTIVE,
    COMPUTE,
    DATA,
    FIRST,
    MEMORY,
    WIDTH,
    Flat,
    Ints,
    Ready,
    Row,
    State,
    Stay,
)


class Regions(NamedTuple):
    """Who wrote each region last, and who has read it since then."""

    written_at: list[float]
    written_by: list[int]  # row
    writer: list[int]  # lane
    reader: list[int]  # the first of its readers, one for each lane; -1 for none
    readers: list[tuple[float, int, int]]  # of all regions: until when, row, lane
    following: list[int]  # the next reader of the same region


def untouched(count: int) -> Regions:
    """Regions that nobody has written or read."""
    return Regions(
        [0.0] * count, [-1] * count, [-1] * count, [-1] * count, [(0.0, 0, 0)][:0], [0][:0]
    )


def scheduled(flat: Flat, state: State) -> tuple[list[Row], list[Stay]]:
    """The rows of a trace, and how long tensors were held."""
    regions, rooms = untouched(len(flat.owner)), opened(flat, state.rules.bank)
    written_at, written_by, writer, reader, readers, following = regions
    overlap_at, overlaps, owner, prices = flat.overlap_at, flat.overlaps, flat.owner, state.prices
    new, hop, loose = rooms.new, state.rules.hop, state.rules.loose
    for bank in flat.banks:
        while len(state.held) <= bank:
            state.held.append([(0.0, 0.0, 0, 0)][:0])
    stays = [(0, 0.0, 0.0)][:0]
    fresh = [0][:0]  # tensors that this instruction writes first
    awaited, shared = len(flat.edges) > 0, len(flat.banks) > 0
    ends = [(0.0, 0)][:0]
    at = 0
    for number in range(len(flat.kinds)):
        kind = flat.kinds[number]
        price = prices[kind]
        lane = price.queue + flat.cores[number] * WIDTH
        middle = at + price.writes
        written, read = flat.touched[at:middle], flat.touched[middle : at + price.count]
        at += price.count
        ready, why, by = 0.0, FIRST, -1
        for region in read:
            for other in overlaps[overlap_at[region] : overlap_at[region + 1]]:
                row = written_by[other]
                if row >= 0:
                    when = written_at[other]
                    if writer[other] != lane:
                        when += hop
                    if when > ready:
                        ready, why, by = when, DATA, row
        for region in written:
            for other in overlaps[overlap_at[region] : overlap_at[region + 1]]:
                row = written_by[other]
                if row >= 0 and writer[other] != lane and written_at[other] + hop > ready:
                    ready, why, by = written_at[other] + hop, BUFFER, row
                elif loose and row >= 0 and state.rows[row][4] > ready:
                    ready, why, by = state.rows[row][4], BUFFER, row
                here = reader[other]
                while here >= 0:
                    when, row, who = readers[here]
                    if (loose or who != lane) and when + hop > ready:
                        ready, why, by = when + hop, BUFFER, row
                    here = following[here]
            if new[owner[region]]:
                if in_banks(rooms, flat, owner[region]):
                    soonest = slot(state, price, lane, ready)[0]
                    when, row = take_banks(rooms, flat, owner[region], soonest)
                else:
                    when, row = take(rooms, flat, owner[region])
                fresh.append(owner[region])
                if when > ready:
                    ready, why, by = when, MEMORY, row
        if awaited:
            for producer in flat.edges[flat.edge_at[number] : flat.edge_at[number + 1]]:
                when, row = ends[producer]
                if when + hop > ready:
                    ready, why, by = when + hop, DATA, row
        if shared and price.banked:
            gather(state.banks, flat, written)
            gather(state.banks, flat, read)
        until, done, row = run(state, kind, lane, flat.places[number], (ready, why, by))
        if shared:
            state.banks.clear()
        if awaited:
            ends.append((done, row))
        lane, _, _, start, _, _, _, _ = state.rows[row]
        while len(fresh) > 0:
            rooms.arrived[fresh.pop()] = start
        for region in written:
            written_at[region], written_by[region], writer[region] = done, row, lane
            reader[region] = -1  # whoever overwrites this waits for the write
        for region in read:
            if reader[region] < 0:
                reader[region] = len(readers)
                readers.append((until, row, lane))
                following.append(-1)
            else:
                reads_too(regions, region, until, row, lane)
        for buffer in flat.ending[flat.ending_at[number] : flat.ending_at[number + 1]]:
            end = released(regions, rooms, flat, buffer)
            stays.append((buffer, rooms.arrived[buffer], end))
    return state.rows, stays


def run(state: State, kind: int, lane: int, place: int, ready: Ready) -> tuple[float, float, int]:
    """Runs an instruction: until when it reads, when its result is visible, its row."""
    work = state.prices[kind].work
    if work == COMPUTE:
        return compute(state, kind, lane, place, ready)
    if work == COLLECTIVE:
        return collective(state, kind, ready)
    return transfer(state, kind, lane, place, ready)


def gather(banks: list[int], flat: Flat, touched: Ints) -> None:
    """Adds the banks in which operands lie."""
    for region in touched:
        banks.extend(flat.banks[flat.bank_at[region] : flat.bank_at[region + 1]])


def reads_too(regions: Regions, region: int, until: float, row: int, lane: int) -> None:
    """A region was read that others have read since it was written."""
    readers, following = regions.readers, regions.following
    here = regions.reader[region]
    while readers[here][2] != lane and following[here] >= 0:
        here = following[here]
    if readers[here][2] != lane:
        following[here] = len(readers)
        readers.append((until, row, lane))
        following.append(-1)
    elif until > readers[here][0]:  # transfers may overtake
        readers[here] = until, row, lane


def released(regions: Regions, rooms: Rooms, flat: Flat, buffer: int) -> float:
    """When a tensor was used for the last time, after which its room is free."""
    end, last = 0.0, -1
    for region in range(flat.region_at[buffer], flat.region_at[buffer + 1]):
        when, row = regions.written_at[region], regions.written_by[region]
        if when > end or (when == end and row > last):
            end, last = when, row
        here = regions.reader[region]
        while here >= 0:
            when, row, _ = regions.readers[here]
            if when > end or (when == end and row > last):
                end, last = when, row
            here = regions.following[here]
    give(rooms, flat, buffer, end, last)
    return end
