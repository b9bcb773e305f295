"""A failing program made smaller: steps are left out as long as it still fails."""

from collections.abc import Callable

from tests.fuzz.arrays import Inexact
from tests.fuzz.programs import Program
from tests.fuzz.steps import Step


def without(program: Program, number: int) -> Program | None:
    """The program less one step, and less the tensors that nobody touches then; None if broken."""
    steps = [step for i, step in enumerate(program.steps) if i != number]
    used: set[str] = set()
    for step in steps:
        used |= step.names()
    made = Program(program.seed, program.chip, program.instances, program.portable)
    made.loose = set(program.loose)
    for given in program.inputs:
        if given.name in used:
            made.add_input(given)
    try:
        for step in steps:
            made.add(step)
            if not _all_read(made, step):
                return None
    except (KeyError, ValueError, Inexact):
        return None
    return made


def _all_read(program: Program, step: Step) -> bool:
    refs = step.srcs if step.args.get("accumulate") is not True else (*step.srcs, *step.dsts)
    return all(ref.of(s.written[ref.name]).all() for s in program.states for ref in refs)


def shrunk(program: Program, fails: Callable[[Program], bool]) -> Program:
    """The smallest program that still fails, leaving out one step at a time."""
    number = len(program.steps)
    while number > 0:
        number -= 1
        smaller = without(program, number)
        if smaller is not None and smaller.steps and fails(smaller):
            program, number = smaller, min(number, len(smaller.steps))
    return program
