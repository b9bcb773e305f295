"""What a device latency counts besides the instructions of a kernel: its start and its end."""

import numpy as np

from trnlab.machine.chip import Core
from trnlab.trace import Trace

LANE, START, END = "kernel", "start of the kernel", "end of the kernel"


def launched(trace: Trace, core: Core) -> Trace:
    """The trace of a kernel as a device runs it: engines are started before, and stopped after."""
    before, after = core.timing.launch, core.timing.finish
    if not len(trace) or not before + after:
        return trace
    last = int(np.argmax(trace.stop))
    ended = float(trace.stop[last]) + before
    rows = len(trace)
    trace.lanes, trace.names = (*trace.lanes, LANE), (*trace.names, START, END)
    trace.wheres = (*trace.wheres, "")
    for column in ("start", "busy_until", "stop"):
        shifted = getattr(trace, column) + before
        ends = (0.0 if column == "start" else before, ended + (column != "start") * after)
        setattr(trace, column, np.append(shifted, ends))
    first = (trace.blocker < 0) & (trace.cause == 0)
    trace.blocker = np.append(np.where(first, rows, trace.blocker), (-1, last)).astype(np.int32)
    trace.cause = np.append(trace.cause, (0, 2)).astype(np.int8)
    lane, where = len(trace.lanes) - 1, len(trace.wheres) - 1
    trace.lane = np.append(trace.lane, (lane, lane)).astype(np.int32)
    trace.where = np.append(trace.where, (where, where)).astype(np.int32)
    name = len(trace.names)
    trace.name = np.append(trace.name, (name - 2, name - 1)).astype(np.int32)
    for moment in ("since", "until"):
        trace.held[moment] += before
    trace.counters = {key: (t + before, v) for key, (t, v) in trace.counters.items()}
    return trace
