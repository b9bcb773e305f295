"""What the queues and DMA engines of a core do with one instruction.

A queue starts its instructions in order. The older compiler chooses that order itself: iterations
of loops overlap, and work that it may place on two engines goes where it ends first. Then an
instruction takes the first idle time of its engine after its data is there.
"""

from trnlab.sim.timing.pipe import flowed, forget
from trnlab.sim.timing.ports import hold, turn
from trnlab.sim.timing.state import ENGINE, FIRST, PORT, QUEUE, WIDTH, Price, Ready, State

KEPT = 64  # idle times of an engine that may still be filled; a compiler's window is finite too

AT_ONCE = 0.0, FIRST, -1

Done = tuple[float, float, int]  # until when it reads, when its result is visible, its row


def compute(state: State, kind: int, lane: int, place: int, ready: Ready) -> Done:
    """Runs an instruction on an engine, or the trigger of a transfer on its queue."""
    price = state.prices[kind]
    if state.rules.loose:
        if price.also >= 0:
            other = state.prices[price.also]
            there = lane - lane % WIDTH + other.queue
            here_ends = slot(state, price, lane, ready[0])[0] + price.busy + price.fixed
            there_ends = slot(state, other, there, ready[0])[0] + other.busy + other.fixed
            if there_ends < here_ends:
                price, lane = other, there
        gap = slot(state, price, lane, ready[0])[1]
        if gap >= 0:
            return fill(state, price, kind, lane, place, ready, gap)
        leave(state, lane, ready[0])
    start, why, by = ready
    free = state.free_at[lane]
    if free >= start:
        start, by = free, state.last_row[lane]
        why = ENGINE if by >= 0 else FIRST
    if price.waits > 0 or len(state.banks) > 0:
        begin, other_row = turn(state, price, lane, start)
        if begin > start:
            start, why, by = begin, PORT, other_row
    busy = price.busy
    if price.is_array:
        busy = on_clock(state, lane, start, busy)
    elif price.table >= 0 and price.table != state.table[lane // WIDTH]:
        if state.table[lane // WIDTH] >= 0:  # the first is there at the launch
            start += state.rules.table_load
        state.table[lane // WIDTH] = price.table
    until = start + busy
    done = until + price.fixed
    row = len(state.rows)
    state.rows.append((lane, kind, place, start, until, done, why, by))
    state.free_at[lane] = until
    state.last_row[lane] = row
    if price.holds > 0 or len(state.banks) > 0:
        hold(state, price, lane, start, until, row)
    return until, done, row


def on_clock(state: State, lane: int, start: float, busy: float) -> float:
    """How long the array works, which runs at the cold rate until it has been busy for a while."""
    core = lane // WIDTH
    if start - state.free_at[lane] > state.rules.warm_after:
        state.warm_since[core] = start
    cold_left = state.warm_since[core] + state.rules.warm_after - start
    if cold_left <= 0 or state.rules.cold_rate >= 1:
        return busy
    cold_work = cold_left * state.rules.cold_rate
    return busy / state.rules.cold_rate if busy <= cold_work else cold_left + busy - cold_work


def slot(state: State, price: Price, lane: int, ready: float) -> tuple[float, int]:
    """When an instruction can start on an engine, and in which idle time; -1 for none."""
    shares = price.waits > 0 or len(state.banks) > 0
    for number, (start, until, _) in enumerate(state.gaps[lane]):
        begin = start if start > ready else ready
        if shares and begin + price.busy <= until:
            begin = turn(state, price, lane, begin)[0]
        if begin + price.busy <= until:
            return begin, number
    begin = max(state.free_at[lane], ready)
    return (turn(state, price, lane, begin)[0] if shares else begin), -1


def leave(state: State, lane: int, ready: float) -> None:
    """Remembers the idle time before an instruction that goes behind all others of its queue."""
    if ready > state.free_at[lane]:
        gaps = state.gaps[lane]
        gaps.append((state.free_at[lane], ready, state.last_row[lane]))
        if len(gaps) > KEPT:
            del gaps[: len(gaps) - KEPT]


def fill(
    state: State, price: Price, kind: int, lane: int, place: int, ready: Ready, gap: int
) -> Done:
    """Runs an instruction in an idle time, of which two may be left."""
    gaps = state.gaps[lane]
    first, last, before = gaps.pop(gap)
    start, why, by = ready
    if first >= start:
        start, by = first, before
        why = ENGINE if by >= 0 else FIRST
    if price.waits > 0 or len(state.banks) > 0:
        begin, other_row = turn(state, price, lane, start)
        if begin > start:
            start, why, by = begin, PORT, other_row
    until = start + price.busy
    row = len(state.rows)
    state.rows.append((lane, kind, place, start, until, until + price.fixed, why, by))
    if until < last:
        gaps.insert(gap, (until, last, row))
    if first < start:
        gaps.insert(gap, (first, start, before))
    if price.holds > 0 or len(state.banks) > 0:
        hold(state, price, lane, start, until, row)
    return until, until + price.fixed, row


def transfer(state: State, kind: int, lane: int, place: int, ready: Ready) -> Done:
    """Triggers in order on the queue; moves when data and DMA engines are there.

    Where a compiler chose the order, the trigger comes when the data is there: the queue waits for
    that, or does something else.
    """
    price = state.prices[kind]
    start, why, by = ready
    if not state.rules.loose:
        triggered, _, row = compute(state, kind, lane, place, AT_ONCE)
        state.triggered[lane] = triggered
        if by >= 0:
            start += price.wakes
        if triggered >= start:
            start, why, by = triggered, QUEUE, row
    elif price.busy > 0:
        if by >= 0:
            start += price.wakes
        start, _, by = compute(state, kind, lane, place, (start, why, by))
        why = QUEUE
    else:  # part of a transfer that was triggered before
        state.rows.append((lane, kind, place, start, start, start, why, by))
    return move(state, kind, lane, place, (start, why, by))


def move(state: State, kind: int, lane: int, place: int, ready: Ready) -> Done:
    """The DMA engines do their part, some time after the trigger and the data are there."""
    price, core, row = state.prices[kind], lane // WIDTH, len(state.rows)
    start, why, by = ready
    start += price.latency
    forget(state.idle[core], earliest(state, core) + price.latency)
    pipe = flowed(state.idle[core], start, price.moving * price.share, row)
    done = max(start + price.moving, pipe[1])
    begin = min(pipe[0], done - price.moving)  # on a few of the engines, beside others
    if begin > start:
        start, why, by = begin, ENGINE, pipe[2]
    if price.through > 0:
        stack = state.stacks[core // state.rules.members]
        done = max(done, flowed(stack, start, price.through, row)[1])
    state.rows.append((len(state.free_at) + lane, kind, place, start, done, done, why, by))
    return done, done, row


def earliest(state: State, core: int) -> float:
    """The earliest trigger that any later transfer can have."""
    if state.rules.loose:  # any may go first; of the idle times the last are kept
        idle = state.idle[core]
        if len(idle) > KEPT:
            del idle[: len(idle) - KEPT]
        return 0.0
    soonest = state.triggered[core * WIDTH]
    for lane in range(core * WIDTH + 1, core * WIDTH + WIDTH):
        if state.triggered[lane] < soonest:
            soonest = state.triggered[lane]
    return soonest


def collective(state: State, kind: int, ready: Ready) -> Done:
    """Runs a collective on all its cores at once, when the last of them is ready."""
    price, first = state.prices[kind], len(state.rows)
    start, why, by = ready
    callers = range(2 * price.caller, 2 * (price.caller + price.callers), 2)
    for caller in callers:
        core = state.callers[caller]
        if state.exchange_row[core] >= 0 and state.exchanged[core] >= start:
            start, why, by = state.exchanged[core], ENGINE, state.exchange_row[core]
    done = start + price.busy
    for caller in callers:
        core = state.callers[caller]
        state.exchanged[core], state.exchange_row[core] = done, len(state.rows)
        lane, place = 2 * len(state.free_at) + core, state.callers[caller + 1]
        state.rows.append((lane, kind, place, start, done, done, why, by))
    return done, done, first
