"""Ports of memories and banks of PSUM at which engines take turns.

Who comes later in the program may go first, so that each has a calendar, and not a time from which
on it is free.
"""

from bisect import insort

from trnlab.sim.timing.state import WIDTH, Price, State, Turn

KEPT = 64  # turns of each port or bank that are remembered


def turn(state: State, price: Price, lane: int, ready: float) -> tuple[float, int]:
    """From when on no other engine holds what an instruction needs, and the row that last did."""
    start, row, ports = ready, -1, state.rules.ports
    first, settled = lane // WIDTH * ports, False
    while not settled:
        settled = True
        for port in range(ports):
            if price.waits >> port & 1:
                begin, other = after(state.held[first + port], lane, start, price.busy)
                if begin > start:
                    start, row, settled = begin, other, False
        for bank in state.banks:
            begin, other = after(state.held[bank], lane, start, price.busy)
            if begin > start:
                start, row, settled = begin, other, False
    return start, row


def after(held: list[Turn], lane: int, ready: float, busy: float) -> tuple[float, int]:
    """The first time that lies between the turns of other engines, and the row before it."""
    start, row, index = ready, -1, len(held)
    while index > 0 and held[index - 1][1] > ready:
        index -= 1
    for begin, until, other, who in held[index:]:
        if who != lane and start < until and begin < start + busy:
            start, row = until, other
    return start, row


def hold(state: State, price: Price, lane: int, start: float, until: float, row: int) -> None:
    """Notes that an instruction has its turn."""
    ports = state.rules.ports
    for port in range(ports):
        if price.holds >> port & 1:
            keep(state.held[lane // WIDTH * ports + port], (start, until, row, lane))
    for bank in state.banks:
        keep(state.held[bank], (start, until, row, lane))


def keep(held: list[Turn], mine: Turn) -> None:
    """Puts a turn in its place."""
    insort(held, mine)
    if len(held) > KEPT:
        del held[0]
