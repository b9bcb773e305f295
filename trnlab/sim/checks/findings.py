"""What only the whole program shows: memory too small, shared or raced for, loops out of order."""

from collections.abc import Iterator
from typing import Any

from trnlab.errors import OutOfMemory, Overlap, ProgramError, Race
from trnlab.isa.tile import PSUM_BANK
from trnlab.machine.chip import Core
from trnlab.sim.checks.loops import faults
from trnlab.sim.checks.races import Meeting, Touch, Witness, meetings
from trnlab.sim.checks.sharing import Clash, clashes
from trnlab.sim.program import BufferFacts, Program
from trnlab.sim.timing.capacity import needs

Found = tuple[Any, ProgramError]


def found_in(
    program: Program, core: Core, api: str, witness: Witness | None = None
) -> Iterator[Found]:
    """Every such violation with what tells it from others; notes go to the program."""
    for fault in faults(program):
        yield (type(fault), fault.place, tuple(fault.given.items())), fault
    for clash in clashes(program, core):
        yield clash[:4], _clash(program, clash)
    for meeting in meetings(program, witness):
        if meeting.harmless:
            program.notes.setdefault(_shared_note(program, meeting, witness))
        else:
            yield meeting, _race(program, meeting)
    yield from _capacity(program, core, api)


def _capacity(program: Program, core: Core, api: str) -> Iterator[Found]:
    for need in needs(program, core):
        live = [program.tensor(number) for number in need.live]
        if not need.over or live[0].row_bytes > need.usable:
            continue  # a tensor that fits nowhere was named where it was made
        if api != "nki" and not any(f.placed for f in live):
            program.notes.setdefault(
                f"{need.space} needs {need.peak:,} bytes a partition of {need.usable:,}: the "
                "older compiler would rotate or spill tiles, which is not modelled"
            )
            continue
        largest = ", ".join(
            f"{f.name} {f.row_bytes:,} B ({program.place(f.place)})" for f in live[:4]
        )
        error = OutOfMemory(
            f"{need.space} is over capacity by {need.over:,} bytes a partition",
            {"needed": f"{need.peak:,} bytes a partition", "largest": largest},
            f"{need.usable:,} bytes a partition on {core.name}",
            program.place(live[0].place),
            "free tiles earlier, use smaller or narrower ones, or load them again",
            "nki.language.ndarray",
        )
        yield ("capacity", need.space, need.core), error


def _clash(program: Program, clash: Clash) -> Overlap:
    tensor, other = program.tensor(clash.tensor), program.tensor(clash.by)
    what = (
        f"{tensor.name} is read after {other.name} has overwritten it"
        if clash.overwritten
        else f"{tensor.name} and {other.name} share bytes and are alive at the same time"
    )
    return Overlap(
        what,
        {
            tensor.name: f"{_whereabouts(tensor)}, made at {program.place(tensor.place)}",
            f"also {other.name}": f"{_whereabouts(other)}, made at {program.place(other.place)}",
            "written": f"{other.name} at {program.place(clash.written)}",
        },
        place=program.place(clash.place),
        fix="give them addresses of their own, or read the one before the other is written",
        see="nki.language.ndarray",
    )


def _whereabouts(facts: BufferFacts) -> str:
    start, end = facts.base_byte, facts.base_byte + facts.row_bytes
    rows = f"partitions {facts.base_partition} to {facts.base_partition + facts.rows - 1}"
    first, last = start // PSUM_BANK, (end - 1) // PSUM_BANK
    banks = f"bank {first}" if first == last else f"banks {first} to {last}"
    space = f"{facts.space}, {banks}" if facts.space == "psum" else facts.space
    return f"byte {start:,} to {end - 1:,} of {space}, {rows}"


def _race(program: Program, meeting: Meeting) -> Race:
    name = program.tensor(meeting.buffer).name
    grid = bool(program.instances)
    first, second = meeting.first, meeting.second
    return Race(
        f"{name}: {_did(program, first)} and {_did(program, second)} touch the same bytes, "
        "and nothing orders them",
        {"one": _told(program, first), "other": _told(program, second)},
        place=program.place(second.place),
        fix="let each instance write a part of its own, and read only what no other one writes"
        if grid
        else f"put nisa.core_barrier({name}, (0, 1)) between them, or give each core its own part",
        see="nki.language.program_id" if grid else "nki.isa.core_barrier",
    )


def _did(program: Program, touch: Touch) -> str:
    what = "a write" if touch.writes else "a read"
    return f"{what} of {_who(program, touch)}"


def _who(program: Program, touch: Touch) -> str:
    return f"{'instance' if program.instances else 'core'} {touch.thread}"


def _told(program: Program, touch: Touch) -> str:
    verb = "writes" if touch.writes else "reads"
    return f"{_who(program, touch)} {verb} at {program.place(touch.place)}"


def _shared_note(program: Program, meeting: Meeting, witness: Witness | None) -> str:
    name, first, second = program.tensor(meeting.buffer).name, meeting.first, meeting.second
    told = "with the same values" if witness else "and no values say whether they agree"
    if first.dynamic or second.dynamic:
        told = "if the indices meet"
    return (
        f"{_told(program, first)} and {_told(program, second)} the same bytes of {name}, {told}: "
        "nothing orders them"
    )
