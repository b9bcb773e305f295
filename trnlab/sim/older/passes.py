"""What the older compiler makes of a program before it runs: its middle end, as passes.

The compiler of `neuronxcc.nki` sees loops where a program here has instructions, so what it is
known to do is said of instructions.
"""

from trnlab.machine.chip import Core
from trnlab.sim.older.banking import banked
from trnlab.sim.older.batching import batched
from trnlab.sim.older.fusing import fused
from trnlab.sim.older.identities import with_identities
from trnlab.sim.older.instances import once
from trnlab.sim.older.joining import joined
from trnlab.sim.older.merging import merged
from trnlab.sim.older.phases import in_phases
from trnlab.sim.older.rotating import rotated
from trnlab.sim.older.spilling import fitted_in
from trnlab.sim.program import Program


def with_its_loads(program: Program, core: Core, without: frozenset[str]) -> Program:
    """The program with the loops, loads and spills of the older compiler."""
    if not program.count:
        return program
    if "hoisting" not in without:
        program = once(program)
    if "loop_fusion" not in without:
        program = fused(program)
    if "batching" not in without:
        program = batched(program, core)
    if "tile_rotation" not in without:
        program = rotated(program)
    program = merged(program, core, without)
    if "operator_joining" not in without:
        program = joined(program, core)
    if "bank_sharing" not in without:
        program = banked(program, core)
    if "identities" not in without:
        program = with_identities(program, core)
    if "spills" not in without:
        program = fitted_in(program, core)
    return program if "phases" in without else in_phases(program)
