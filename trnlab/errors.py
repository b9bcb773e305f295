"""Every way to fail, and the one form in which it is said.

TrnlabError
  ProgramError              your program is wrong
    IllegalInstruction      a rule of an instruction is broken
    OutOfMemory             tensors do not fit
    OutOfBounds             an index leaves its tensor
    UninitialisedRead       bytes are read that nobody wrote
    Overlap                 tensors share bytes while both are needed
    Race                    who comes first is left to chance
    OutOfScope              a tensor is used outside of the loop that made it
    OrderDependence         iterations of a parallel loop depend on each other
    Deadlock                cores wait for each other for ever
    BadArguments            a kernel was called with the wrong things
    UnsupportedPython       a kernel is written in Python that the compiler does not take
  UnknownName               no such chip, instruction, kernel, file
  MissingExtra              an optional part is not installed
  NotModelled               trnlab does not do this yet; says what it would need
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from sys import executable

LISTED = 30  # names that an error lists


@dataclass(frozen=True)
class Place:
    """A line of the user's source."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class TrnlabError(Exception):
    """Base of all errors that are meant for users."""


@dataclass
class ProgramError(TrnlabError):
    """What is wrong, what was given, the limit, where, what to do, where to read, which rule."""

    what: str
    given: dict[str, str] = field(default_factory=dict)
    limit: str = ""
    place: Place | None = None
    fix: str = ""
    see: str = ""
    rule: str = ""  # its short name, which `trnlab explain` takes

    def __str__(self) -> str:
        rows = [("at", str(self.place))] if self.place else []
        rows += [("limit", self.limit)] if self.limit and self.limit not in self.what else []
        rows += list(self.given.items())
        rows += [("fix", self.fix)] if self.fix else []
        rows += [("rule", self.rule)] if self.rule else []
        rows += [("see", self.see)] if self.see else []
        width = max((len(name) for name, _ in rows), default=0)
        return "\n".join([self.what, *(f"  {name:<{width}}  {text}" for name, text in rows)])

    def __hash__(self) -> int:
        return hash((type(self), self.what, self.limit, self.place))


class IllegalInstruction(ProgramError):
    """A rule of an instruction is broken."""


class OutOfMemory(ProgramError):
    """Tensors do not fit where they are placed."""


class OutOfBounds(ProgramError):
    """An index leaves its tensor."""


class UninitialisedRead(ProgramError):
    """Bytes are read that nobody wrote."""


class Overlap(ProgramError):
    """Tensors that a kernel placed share bytes while both are needed."""


class Race(ProgramError):
    """Two accesses to the same bytes, one of them a write, that nothing orders."""


class OutOfScope(ProgramError):
    """A tensor is used outside of the iteration that made it."""


class OrderDependence(ProgramError):
    """Iterations of a parallel loop depend on each other."""


class Deadlock(ProgramError):
    """Two cores wait for something that will never happen."""


class BadArguments(ProgramError):
    """A kernel was called with the wrong things."""


class UnsupportedPython(ProgramError):
    """A kernel is written in Python that the compiler does not take."""


class Violations(ProgramError):
    """All broken rules of one run."""

    def __init__(self, found: Iterable[ProgramError]) -> None:
        self.found = tuple(found)
        count = len(self.found)
        title = f"{count} rule{'s' if count > 1 else ''} broken"
        super().__init__(title)

    def __str__(self) -> str:
        return "\n\n".join([f"{self.what}", *(str(error) for error in self.found)])


class UnknownName(TrnlabError):
    """A name that does not exist, with the nearest that does."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        near = get_close_matches(name.lower(), self.known, n=1, cutoff=0.55)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        listed = f" (known: {', '.join(self.known)})" if self.known else ""
        if len(self.known) > LISTED:
            listed = "" if near else f" ({len(self.known)} are known)"
        super().__init__(f"no {kind} is called '{name}'{hint}{listed}")


class MissingExtra(TrnlabError):
    """An optional part is not installed."""

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs an extra: {executable} -m pip install 'trnlab[{extra}]'")


class NotModelled(TrnlabError):
    """trnlab does not do this yet.

    ``what`` names the thing, ``needs`` what modelling it would take.
    """

    def __init__(self, what: str, needs: str = "", place: Place | None = None) -> None:
        self.what, self.needs, self.place = what, needs, place
        where = f"\n  at     {place}" if place else ""
        super().__init__(f"not modelled: {what}{where}" + (f"\n  needs  {needs}" if needs else ""))
