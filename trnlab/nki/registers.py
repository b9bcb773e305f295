"""Registers of the sequencers, and the loops that they steer while the kernel runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from trnlab import formats
from trnlab.errors import BadArguments, NotModelled, UnsupportedPython
from trnlab.isa.register import RegisterCompute, RegisterLoad, RegisterMove, RegisterStore
from trnlab.isa.rules import since
from trnlab.isa.tile import Space, Tile, whole
from trnlab.nki.issue import issue_slowly
from trnlab.nki.jit import launch, running
from trnlab.sim.program import Loop

INT32, UINT32, FLOAT32 = (formats.format_of(name) for name in ("int32", "uint32", "float32"))
LOOPS = "loop control on the device is charged no time: what a branch costs is not published"


class VirtualRegister:
    """A value in a register of the sequencers: known while the kernel runs, not before.

    Frozen ones count a loop and cannot be written.
    """

    __slots__ = ("frozen", "known", "tile")

    def __init__(self, state: int | None = None, frozen: bool = False) -> None:
        run = running()
        self.tile: Tile = whole(run.buffer(Space.register, INT32, (1,), "register"))
        self.known: int | None = None  # as far as a run without values can tell
        if state is not None:
            self._take(state)
        self.frozen = frozen

    def _take(self, source: "int | np.integer | VirtualRegister") -> None:
        held = isinstance(source, VirtualRegister)
        self.known = source.known if held else int(source)
        if held:
            self.tile = _as(self.tile, source.tile.dtype)
        issue_slowly(running(), RegisterMove, (self.tile, source.tile if held else int(source)))

    def value(self) -> float:
        """What is in the register; raises NotModelled where no values are computed."""
        run = running()
        if run.values:
            return run.executor.show(self.tile).item()
        if self.known is not None:
            return self.known
        if launch().assume is None:
            raise NotModelled(
                "a loop whose length is in a register, without values",
                "the values (leave out --time-only), or an assumed length (--assume N)",
                run.here(),
            )
        run.note(f"what a register held was not known and taken to be {launch().assume}")
        return launch().assume or 0

    def address(self) -> int:
        """As `value`, for an address: 0 where it is not known, as time hardly depends on it."""
        run = running()
        if run.values or self.known is not None:
            return int(self.value())
        run.note("addresses that data decides were not known and taken to be 0")
        return 0

    def __bool__(self) -> bool:
        run = running()
        if run.values or self.known is not None or launch().assume is None:
            return self.value() != 0
        turns, here = launch().turns, run.here()  # a loop goes round as often as was assumed
        turns[here] = turns.get(here, 0) + 1
        if turns[here] > (launch().assume or 0):
            del turns[here]
            return False
        return True

    def __eq__(self, other: object) -> bool:
        return bool(self.__index__())

    __hash__ = None  # type: ignore[assignment]

    def __index__(self) -> int:
        raise BadArguments(
            "a register is used where Python needs a number",
            limit="its value exists on the device only, while the kernel runs",
            fix="loop with nl.dynamic_range or nl.fori_loop; index tensors with it, not lists",
            place=running().here(),
            see="nki.isa.register_alloc",
        )

    def _with(self, op: str, other: Any, *, turned: bool = False) -> "VirtualRegister":
        if not isinstance(other, (int, np.integer, VirtualRegister)):
            return NotImplemented
        made = VirtualRegister()
        pair = (other, self) if turned else (self, other)
        left, right = (p.tile if isinstance(p, VirtualRegister) else int(p) for p in pair)
        issue_slowly(running(), RegisterCompute, (made.tile, left, op, right))
        known = [p.known if isinstance(p, VirtualRegister) else int(p) for p in pair]
        if None not in known:
            made.known = int(RegisterCompute(made.tile, known[0], op, known[1]).value()[()])  # type: ignore[arg-type]
        return made

    def __add__(self, other: Any) -> "VirtualRegister":
        return self._with("add", other)

    def __sub__(self, other: Any) -> "VirtualRegister":
        return self._with("subtract", other)

    def __rsub__(self, other: Any) -> "VirtualRegister":
        return self._with("subtract", other, turned=True)

    def __mul__(self, other: Any) -> "VirtualRegister":
        return self._with("multiply", other)

    __radd__, __rmul__ = __add__, __mul__

    def __lt__(self, other: Any) -> "VirtualRegister":
        return self._with("less", other)

    def __le__(self, other: Any) -> "VirtualRegister":
        return self._with("less_equal", other)

    def __gt__(self, other: Any) -> "VirtualRegister":
        return self._with("greater", other)

    def __ge__(self, other: Any) -> "VirtualRegister":
        return self._with("greater_equal", other)

    def __repr__(self) -> str:
        return "<register>"


def _as(tile: Tile, dtype: Any) -> Tile:
    """A register's bits as another dtype of 32 bits."""
    return tile if tile.dtype == dtype else tile.with_dtype(dtype)


def _writable(register: Any, name: str) -> VirtualRegister:
    if not isinstance(register, VirtualRegister):
        raise BadArguments(
            f"{name}: dst is a {type(register).__name__}, not a register",
            fix="allocate one with nisa.register_alloc()",
            place=running().here(),
            see=f"nki.isa.{name}",
        )
    if register.frozen:
        raise BadArguments(
            f"{name} writes the register that counts a loop",
            fix="copy it to one of your own: nisa.register_alloc(), nisa.register_move",
            place=running().here(),
            see="nki.language.dynamic_range",
        )
    return register


def register_alloc(x: int | None = None) -> VirtualRegister:
    """A new register, which holds ``x`` if given."""
    return VirtualRegister(x)


def register_move(dst: VirtualRegister, src: Any = None, *, imm: Any = None) -> None:
    source = imm if src is None else src
    run = running()
    if imm is not None and since("0.3").covers(run.compiler):
        run.report(
            BadArguments,
            "register_move has no parameter imm",
            {},
            "dst, src since nki 0.3",
            "write register_move(dst, 42)",
            "nki.isa.register_move",
            rule="register_move/has-no-imm",
        )
    if not isinstance(source, (int, np.integer, VirtualRegister)):
        raise BadArguments(
            f"register_move: src is {source!r}",
            limit="an integer that is known before the kernel runs, or a register",
            place=running().here(),
            see="nki.isa.register_move",
        )
    _writable(dst, "register_move")._take(source)


def register_load(dst: VirtualRegister, src: Tile) -> None:
    register = _writable(dst, "register_load")
    if not isinstance(src, Tile):
        raise BadArguments(
            f"register_load: src is a {type(src).__name__}, not a tensor",
            place=running().here(),
            see="nki.isa.register_load",
        )
    kinds = {"uint32": UINT32}
    kind = FLOAT32 if formats.is_float(src.dtype) else kinds.get(formats.name(src.dtype), INT32)
    register.known, register.tile = None, _as(register.tile, kind)
    issue_slowly(running(), RegisterLoad, (register.tile, src))


def register_store(dst: Tile, src: VirtualRegister) -> None:
    held = src.tile if isinstance(src, VirtualRegister) else src
    issue_slowly(running(), RegisterStore, (dst, held))


for _function, _kind in (
    (register_move, RegisterMove), (register_load, RegisterLoad), (register_store, RegisterStore),
):  # fmt: skip
    _function.__doc__ = _kind.__doc__


def counted(start: Any, stop: Any = None, step: int = 1) -> Iterator[VirtualRegister]:
    """The values of a loop that the device runs; the bounds may be registers."""
    if stop is None:
        start, stop = 0, start
    if not isinstance(step, (int, np.integer)) or step < 1:
        raise BadArguments(
            f"the step of a loop on the device is {step!r}",
            limit="a positive number that is known before the kernel runs",
            place=running().here(),
            see="nki.language.dynamic_range",
        )
    low, high = (
        int(bound.value()) if isinstance(bound, VirtualRegister) else int(bound)
        for bound in (start, stop)
    )
    with _loop() as turns:
        for turn in range(low, high, int(step)):
            turns()
            yield VirtualRegister(turn, frozen=True)


@contextmanager
def _loop() -> Iterator[Callable[[], None]]:
    """A loop that the device runs; what it gives is called at the start of every iteration."""
    run = running()
    program = run.program
    run.note(LOOPS)
    if run.core_index in run.in_order:
        run.report(
            UnsupportedPython,
            "a loop of the device stands inside of nl.no_reorder()",
            {},
            "affine_range, sequential_range and static_range inside of nl.no_reorder()",
            "put nl.no_reorder() inside of the loop",
            "nki.language.no_reorder",
            rule="no_reorder/holds-no-loop-of-the-device",
        )
    loop = Loop(run.place(), parallel=False)
    program.loops.append(loop)

    def turn() -> None:
        loop.starts.append(program.count)
        loop.tensors.append(len(program.buffers))

    try:
        yield turn
    finally:
        turn()


def fori_loop(lower: Any, upper: Any, body_fun: Callable[[Any], Any], step: int = 1) -> None:
    """Calls ``body_fun`` with every value from ``lower`` to below ``upper``, in a register."""
    for turn in counted(lower, upper, step):
        returned = body_fun(turn)
        if returned is not None:
            raise BadArguments(
                f"the body of a fori_loop returned {returned!r}",
                limit="None: results are left in tensors that were made outside",
                place=running().here(),
                see="nki.language.fori_loop",
            )


def while_loop(init: VirtualRegister, body_fun: Callable[[Any], Any]) -> None:
    """Calls ``body_fun`` with the register that it returned last, until that holds 0."""
    condition = init
    with _loop() as turns:
        while condition:
            turns()
            mine = VirtualRegister()
            mine._take(condition)
            condition = body_fun(mine)
            if not isinstance(condition, VirtualRegister):
                raise BadArguments(
                    f"the body of a while_loop returned {condition!r}",
                    limit="the register with the next condition",
                    place=running().here(),
                    see="nki.language.while_loop",
                )
