"""Loops whose iterations are written instead of run; what they compute waits for their end.

The first and the last iteration run in Python, with the loop variable `Unread`. If nobody looked at
it, if the source shows that an iteration leaves Python as it found it, and if what was recorded can
only have grown evenly, NumPy writes the rows in between. Where a bound or a mask may have bent them
the first three and the last two run, and must agree. Anything else runs iteration by iteration.
"""

import builtins
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType, FunctionType
from typing import Any

from trnlab.isa.tile import Buffer
from trnlab.nki.jit import Launch, in_kernel, launch
from trnlab.nki.loops.harmless import harmless_here, is_tensor
from trnlab.nki.loops.steady import Body, body_at
from trnlab.nki.loops.unread import Unread, Watch, plain
from trnlab.nki.subset import called_by, plain_function
from trnlab.sim.core import PACKAGE
from trnlab.sim.program import Loop
from trnlab.sim.progression import LEAST, Mark, Progression, Unclear, undo

SAMPLES = 3  # iterations in which two that follow each other are alike, or all are run


class _Ranges(type):
    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, builtins.range)


class looped(metaclass=_Ranges):
    """`range` as kernels find it: the same values, for some of which the body need not run."""

    def __new__(cls, *bounds: Any) -> Any:
        return ranged(sys._getframe(1), *bounds)


def ranged(frame: FrameType, *bounds: Any) -> Any:
    """The values of a range that code in this frame asks for."""
    values = builtins.range(*map(plain, bounds))
    if len(values) < LEAST or not in_kernel() or not launch().follows:
        return values
    body = body_at(frame)
    return values if body is None else followed(values, frame, body)


def followed(
    values: range,
    frame: FrameType,
    body: Body,
    loop: Loop | None = None,
    index: Callable[[int, int], Any] = lambda _, value: value,
) -> Iterator[Any]:
    """The values of a loop that may be followed; ``loop`` counts its iterations.

    ``index`` makes a loop variable of the number of an iteration and its value.
    """
    here = launch()
    following = _Following(here, values, frame, body, loop, index)
    if not here.watches:
        here.run.follow()
    here.watches.append(following.watch)
    try:
        yield from following.run()
        following.leave()
    finally:
        if following.watch in here.watches:  # left before its end
            here.watches.remove(following.watch)
            if not here.watches:
                here.run.leave()


def look() -> None:
    """What happens now may depend on the loop variables in ways that nobody follows."""
    for watch in launch().watches if in_kernel() else ():
        watch.looked = True


def bend() -> None:
    """What happens now may grow with the loop variables, but not evenly."""
    for watch in launch().watches if in_kernel() else ():
        watch.bends = True


@contextmanager
def following(function: Callable[..., Any]) -> Iterator[None]:
    """Lets a kernel, and the functions that it calls, find `looped` where they say `range`."""
    spaces = [g for g in _globals(function) if g.get("range", builtins.range) is builtins.range]
    own = ["range" in names for names in spaces]
    for names in spaces:
        names["range"] = looped
    try:
        yield
    finally:
        for names, kept in zip(spaces, own, strict=True):
            if kept:
                names["range"] = builtins.range
            else:
                del names["range"]


def _globals(function: Callable[..., Any]) -> list[dict[str, Any]]:
    """The modules of a kernel and of the users' functions that it calls."""
    found: dict[int, dict[str, Any]] = {}
    todo, seen = [plain_function(function)], set()
    while todo:
        here = todo.pop()
        if not isinstance(here, FunctionType) or here in seen:
            continue
        seen.add(here)
        if here.__code__.co_filename.startswith(PACKAGE):
            continue
        found[id(here.__globals__)] = here.__globals__
        todo += [plain_function(value) for _, value in called_by(here)]
    return list(found.values())


def _renumber(tensors: list[Buffer], first: int, ahead: int) -> None:
    """Tensors from this number on were made too early: so many others come before them."""
    for made in reversed(tensors):
        if made.index < first:
            break
        if made.name == f"t{made.index}":
            made.name = f"t{made.index + ahead}"
        made.index += ahead


@dataclass(eq=False)
class _Following:
    """One run of a loop that may be followed."""

    here: Launch
    values: range
    frame: FrameType
    body: Body
    loop: Loop | None
    index: Callable[[int, int], Any]
    watch: Watch = field(default_factory=Watch)

    def run(self) -> Iterator[Any]:
        """The values; some of the iterations between the first and the last are written."""
        self.settle()
        needs = harmless_here(self.body, self.frame)
        if needs is None:
            yield from self.rest(0)
            return
        self.tensors = needs
        self.here.followed = True
        self.before = self._carried()
        program, last = self.here.run.program, len(self.values) - 1
        begin, before = Mark.of(program), self._state()
        yield self.turn(0)
        first, state = self.mark(), self._state()
        self.watch.first = False
        if not self.steady() or (self.here.run.values and state != before):
            yield from self.rest(1)
            return
        with self.early():
            yield self.turn(last)
            marks = [begin, first, self.mark()]
            good = self.unchanged(state) and self.steady()
        even = good and not (self.watch.bends or self.watch.begins)
        found = Progression.found(program, marks, last) if even else None
        if found is not None:
            yield from self.between(found, marks)
            return
        self.undo(first)
        if good and last > SAMPLES:
            yield from self.sampled([begin, first])
        else:
            yield from self.rest(1)

    def between(self, found: Progression, marks: list[Mark]) -> Iterator[Any]:
        """Writes what lies between the first and the last iteration, which have run."""
        run, last = self.here.run, len(self.values) - 1
        self.undo(marks[1], wholly=self.loop is None)
        if self.loop is None:  # handles of instructions know where those are
            found.write(run.program, last - 1, None)
            yield from self.rest(last)
            return
        found.write(run.program, last, self.loop)
        _renumber(run.tensors or [], marks[1].buffers, len(run.program.buffers) - marks[2].buffers)

    def sampled(self, marks: list[Mark]) -> Iterator[Any]:
        """The values from the second on, where rows may have bends."""
        program, last = self.here.run.program, len(self.values) - 1
        state, found = self._state(), None
        while found is None:
            number = len(marks) - 1
            if number == SAMPLES:
                yield from self.rest(number)
                return
            yield self.turn(number)
            marks.append(self.mark())
            if not self.steady() or self._state() != state:
                yield from self.rest(number + 1)
                return
            if number > self.watch.begins:
                found = Progression.found(program, marks)
        done = len(marks) - 1
        with self.early():
            yield self.turn(last - 1)
            end = self.mark()
            good = self.unchanged(state) and self.steady()
        good = good and found.predicts(program, marks[-1], end, last - done)
        self.undo(marks[-1])
        if good:
            found.write(program, last - done, self.loop)
        yield from self.rest(last if good else done)

    def turn(self, number: int) -> Any:
        self.count()
        return Unread(self.values[number], {self.watch: self.values.step})

    def rest(self, number: int) -> Iterator[int]:
        self.leave()
        for turn in range(number, len(self.values)):
            self.count()
            yield self.index(turn, self.values[turn])

    def leave(self) -> None:
        """No iteration is written from here on; the outermost such loop computes its values."""
        here = self.here
        if self.watch in here.watches:
            here.watches.remove(self.watch)
            if not here.watches:
                self.settle()
                here.run.end()

    def settle(self) -> None:
        """Issues the instruction that is held back, if there is one."""
        if self.here.settle is not None:
            self.here.settle()

    def count(self) -> None:
        """An iteration begins."""
        self.settle()
        if self.loop is not None:
            program = self.here.run.program
            self.loop.starts.append(program.count)
            self.loop.tensors.append(len(program.buffers))

    def mark(self) -> Mark:
        self.settle()
        return Mark.of(self.here.run.program)

    @contextmanager
    def early(self) -> Iterator[None]:
        """An iteration is run before its turn."""
        later = self.here.run.later
        if later is not None:
            later.early += 1
        yield  # an error does not end it: nobody goes on from there
        if later is not None:
            later.early -= 1

    def undo(self, mark: Mark, *, wholly: bool = True) -> None:
        """Takes back an iteration that was run early; Python goes on in it unless ``wholly``."""
        run = self.here.run
        known = len(run.program.costs) == mark.costs and len(run.program.places) == mark.places
        undo(run.program, mark)
        if not known:
            run.forget(mark.costs)
        if wholly and run.later is not None:
            run.later.undo(mark.buffers)
        if self.loop is not None:
            del self.loop.starts[-1], self.loop.tensors[-1]

    def steady(self) -> bool:
        """Whether an iteration left Python as it was, and nobody has looked at the variable."""
        names, later = self.frame.f_locals, self.here.run.later
        kept = all(names.get(name, self) is value for name, value in self.before.items())
        return (
            kept
            and not self.watch.looked
            and not (later is not None and later.asked)
            and all(is_tensor(names.get(name)) for name in self.tensors)
        )

    def _carried(self) -> dict[str, Any]:
        names = self.frame.f_locals
        return {name: names.get(name, self) for name in self.body.carried}

    def unchanged(self, state: tuple[int, ...]) -> bool:
        """Whether an iteration that was run too early added nothing to what a launch counts.

        With values what it found is taken back, and found again when its turn comes.
        """
        run = self.here.run
        same = self._state() == state
        if run.values:
            for kept, count in ((run.found, state[0]), (run.warned, state[1])):
                while len(kept) > count:
                    kept.popitem()
        if self._state() != state:
            raise Unclear  # that is not taken back
        return same

    def _state(self) -> tuple[int, ...]:
        """What else a launch counts, and no iteration after the first may add to."""
        here, run = self.here, self.here.run
        return (
            len(run.found), len(run.warned), len(here.shared), here.next_shared,
            len(here.declared), len(here.turns), len(here.exchanged), run.core_index,
        )  # fmt: skip
