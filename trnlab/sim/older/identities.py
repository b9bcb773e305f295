"""What a transpose on the tensor engine is multiplied with: an identity matrix that is loaded once.

The evidence is in the HBM counters of attention on trn2: 64 KiB more than the tensors where fp32 is
transposed, and 32 KiB more where bf16 is.
"""

from array import array
from dataclasses import replace

import numpy as np

from trnlab.isa.tile import LAYOUTS, Space, layout
from trnlab.machine.chip import Core
from trnlab.sim.program import BufferFacts, Program
from trnlab.sim.timing.cost import whole_tile_cost


def with_identities(program: Program, core: Core) -> Program:
    """The program with a load of the identity in front, for each type that is transposed."""
    turning = [c.name == "nc_transpose" and c.queue == "tensor" for c in program.costs]
    if not any(turning):
        return program
    kinds = program.kinds()
    starts, widths, _ = program.spans()
    costs, buffers = list(program.costs), list(program.buffers)
    heads, operands = array("q"), array("q")
    rows = np.frombuffer(program.operands, np.int64).reshape(-1, 3)
    with_one: dict[int, int] = {}  # cost -> the same with one operand more
    made: dict[tuple[str, int], tuple[int, int]] = {}  # type and core -> tensor and layout
    body, extra = array("q", program.heads), {}
    for number in np.flatnonzero(np.array(turning)[kinds]).tolist():
        kind, place, where = program.heads[3 * number : 3 * number + 3]
        dtype = LAYOUTS[rows[starts[number] + costs[kind].writes, 1]].dtype
        if (dtype.name, where) not in made:
            shape = core.lanes, core.lanes
            size = core.lanes * dtype.itemsize
            here = layout(Space.sbuf, dtype, shape, (core.lanes, 1), core.lanes).index
            made[dtype.name, where] = len(buffers), here
            heads.extend((len(costs), place, where))
            operands.extend((len(buffers), here, 0, len(buffers) + 1, here, 0))
            costs.append(whole_tile_cost("identity_load", core.lanes, size, core))
            buffers.append(BufferFacts("identity", "sbuf", core.lanes, size, where, place))
            buffers.append(BufferFacts("identity", "hbm", core.lanes, size, where, place))
        if kind not in with_one:
            with_one[kind] = len(costs)
            costs.append(replace(costs[kind], reads=costs[kind].reads + 1))
        body[3 * number] = with_one[kind]
        extra[number] = made[dtype.name, where]
    at = np.array([starts[n] + widths[n] for n in extra])
    more = np.array([(*pair, 0) for pair in extra.values()], np.int64)
    return replace(
        program,
        costs=costs,
        buffers=buffers,
        heads=heads + body,
        operands=operands + array("q", np.insert(rows, at, more, axis=0).tobytes()),
        loops=[],
    )
