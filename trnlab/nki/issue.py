"""How a call becomes an instruction.

The functions of `nki.isa` are made from the instruction classes, one for one: same name, same
parameters. A call looks up what is known of an instruction with these operand shapes; only the
first of a kind makes an instruction object.
"""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from trnlab.errors import BadArguments
from trnlab.formats import format_of
from trnlab.isa.instruction import Instruction
from trnlab.isa.tile import Tile, tiles_in
from trnlab.nki.jit import running
from trnlab.sim.core import Run


def function_of(
    kind: type[Instruction], *, extra: str = "", check: str = ""
) -> Callable[..., "NkiInstruction"]:
    """Makes the function of `nki.isa` for an instruction class.

    ``extra`` adds parameters, and ``check`` says in Python what must work for them.
    """
    named = [(f, kind.spelled.get(f.name, f.name)) for f in fields(kind)]
    scope: dict[str, Any] = {
        "KIND": kind, "running": running, "slow": issue_slowly, "Tile": Tile, "exact": exact,
        "handle": handle, "format_of": format_of,
    }  # fmt: skip
    parameters, keys = [], []
    for f, name in named:
        scope[f"default_{name}"] = f.default  # MISSING where one must be given
        parameters.append(f"{name}=default_{name}")
        keys.append(_key(kind, f.name, name))
    names = ", ".join(name for _, name in named)
    text = f"""
def {kind.name}({", ".join(parameters)}, name=None{extra}):
    {check}
    run = running()
    operands = ({names},)
    try:
        entry = run.entries[(KIND, {", ".join(keys)})]
    except (KeyError, AttributeError, TypeError):
        slow(run, KIND, operands)
        return handle(run, name)
    run.issue(entry, operands)
    return handle(run, name)
"""
    exec(compile(text, str(Path(__file__).with_name("isa.py")), "exec"), scope)
    made = scope[kind.name]
    made.__doc__ = kind.__doc__
    made.__module__ = "trnlab.nki.isa"
    made.__signature__ = _published(made)
    return made


def _published(function: Callable[..., None]) -> inspect.Signature:
    """The signature with what must be given, which the function itself finds out late."""
    made = inspect.signature(function)
    return made.replace(
        parameters=[
            p.replace(default=p.empty) if p.default is MISSING else p
            for p in made.parameters.values()
        ]
    )


class NkiInstruction:
    """An instruction that was issued: what others can be made to wait for."""

    __slots__ = ("number", "run")

    def __init__(self, run: Run, number: int) -> None:
        self.run, self.number = run, number

    def depends_on(self, *producers: "NkiInstruction") -> "NkiInstruction":
        """Lets this instruction start only when these, issued before it, have ended."""
        for producer in producers:
            if not isinstance(producer, NkiInstruction) or producer.number >= self.number:
                raise BadArguments(
                    f"an instruction cannot wait for {producer!r}",
                    limit="instructions of this kernel that were issued before it",
                    place=self.run.here(),
                    see="nki.isa.NkiInstruction",
                )
            if self.run.program.crosses_loops(producer.number, self.number):
                raise BadArguments(
                    "an instruction waits for one inside of a loop that the device runs",
                    limit="instructions of the same iteration, or from before the loop",
                    place=self.run.here(),
                    see="nki.isa.NkiInstruction",
                )
            self.run.program.edges.setdefault(self.number, []).append(producer.number)
        return self

    def __repr__(self) -> str:
        return f"<instruction {self.number}>"


def handle(run: Run, name: str | None = None) -> NkiInstruction:
    """The instruction that was issued last."""
    number = run.program.count - 1
    if name is not None:
        run.named[name] = number
    return NkiInstruction(run, number)


def _key(kind: type[Instruction], field_name: str, name: str) -> str:
    if field_name in kind.lists:
        return f"tuple([t.sig for t in {name}])"
    if field_name in kind.scalars:
        return f"(({name}.sig,) if isinstance({name}, Tile) else exact({name}))"
    if field_name in kind.operands:
        return f"{name}.sig"
    return f"exact({name})" if field_name in kind.numbers else name


def exact(value: Any) -> Any:
    """What tells a number from others that compare equal: 1 from 1.0 and True, 0.0 from -0.0."""
    kind = value.__class__
    if kind is float or kind is int or isinstance(value, np.generic):
        return kind, value if value else str(value)
    return value


def issue_slowly(run: Run, kind: type[Instruction], operands: tuple[Any, ...]) -> None:
    """The first call with operands of this shape, or one with unusual operands."""
    if any(value is MISSING for value in operands):
        raise _incomplete(run, kind, operands)
    operands = tuple(
        _settled(value, kind, f.name) for value, f in zip(operands, kind.parameters, strict=True)
    )
    if any(hasattr(type(tile), "address") for tile in tiles_in(operands)):
        from trnlab.nki.indirect import issue_indirect

        issue_indirect(run, kind, operands)
        return
    key = key_of(kind, operands)
    entry = run.entries.get(key) or run.enter(kind, operands, key)
    run.issue(entry, operands)


def _incomplete(run: Run, kind: type[Instruction], operands: tuple[Any, ...]) -> BadArguments:
    names = [kind.spelled.get(f.name, f.name) for f in kind.parameters]
    absent = [name for name, value in zip(names, operands, strict=True) if value is MISSING]
    to_dst = "dst" in names and "dst" not in kind.spelled
    return BadArguments(
        f"{kind.name} needs {' and '.join(absent)}",
        {"signature": f"{kind.page}{inspect.signature(function_of(kind))}"},
        fix="make the destination with nl.ndarray and pass it first: that is where results go"
        if to_dst
        else "",
        place=run.here(),
        see=kind.page,
    )


def key_of(kind: type[Instruction], operands: tuple[Any, ...]) -> tuple[Any, ...]:
    """What distinguishes this call from others, as far as rules and cost go."""
    try:
        return _key_maker(kind)(*operands)
    except (AttributeError, TypeError):  # something that is no operand
        return _any_key(kind, operands)


def _any_key(kind: type[Instruction], operands: tuple[Any, ...]) -> tuple[Any, ...]:
    parts: list[Any] = [kind]
    for f, value in zip(kind.parameters, operands, strict=True):
        if f.name in kind.lists:
            parts.append(tuple(t.sig for t in value))
        elif isinstance(value, Tile):
            parts.append((value.sig,) if f.name in kind.scalars else value.sig)
        else:
            number = f.name in kind.scalars or f.name in kind.numbers
            parts.append(exact(value) if number else value)
    return tuple(parts)


@cache
def _key_maker(kind: type[Instruction]) -> Callable[..., tuple[Any, ...]]:
    names = [kind.spelled.get(f.name, f.name) for f in fields(kind)]
    parts = [_key(kind, f.name, name) for f, name in zip(fields(kind), names, strict=True)]
    text = f"lambda {', '.join(names)}: (KIND, {', '.join(parts)})"
    return eval(text, {"KIND": kind, "Tile": Tile, "exact": exact})


def _settled(value: Any, kind: type[Instruction], name: str) -> Any:
    """Lists become tuples, so that they can be compared; a tensor in a tile's place stays."""
    if isinstance(value, list) and name not in kind.lists:
        return tuple(tuple(v) if isinstance(v, list) else v for v in value)
    if hasattr(value, "shape") and not isinstance(value, Tile) and getattr(value, "ndim", 0) > 0:
        raise BadArguments(
            f"{kind.name}: {name} is a {type(value).__name__}, not a tensor of this kernel",
            fix="pass arrays as kernel arguments, or bake constants in with nl.shared_constant",
            place=running().here(),
            see=kind.page,
        )
    return value
