"""A number that remembers where it came from."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from functools import partial
from typing import Literal, Protocol, TypeVar, cast

Kind = Literal["measured", "vendor", "derived", "rumoured", "assumed"]
N = TypeVar("N", int, float)
T = TypeVar("T")


class Sourced:
    """Mixed into numbers; ``kind`` says how it is known, ``source`` where to look it up."""

    kind: Kind
    source: str


class Count(Sourced, int):
    """A whole number with a source."""


class Amount(Sourced, float):
    """A real number with a source."""


class From(Protocol):
    """Puts a source on a number and changes nothing else about it."""

    def __call__(self, value: N, /) -> N: ...


def fact(kind: Kind, source: str) -> From:
    """Returns a tagger: ``vendor("guide")(128)`` is 128 and knows the guide."""

    def tag(value: N, /) -> N:
        number = Count(value) if isinstance(value, int) else Amount(value)
        number.kind, number.source = kind, source
        return cast(N, number)

    return tag


measured = partial(fact, "measured")
vendor = partial(fact, "vendor")
derived = partial(fact, "derived")
rumoured = partial(fact, "rumoured")
assumed = partial(fact, "assumed")


def numbers(thing: object, path: str = "") -> Iterator[tuple[str, float]]:
    """Yields every number in ``thing`` with its dotted path: ``("core.engines.tensor.hz", 2.4e9)``.

    Goes through dataclasses, dictionaries and tuples; an item of a tuple goes by its ``name``.
    """
    if isinstance(thing, int | float) and not isinstance(thing, bool):
        yield path, thing
    for name, part in _parts(thing):
        yield from numbers(part, f"{path}.{name}" if path else name)


def carried(thing: T, where: str) -> T:
    """Returns the same data for another machine: what was measured ``where`` is assumed here."""
    if is_dataclass(thing) and not isinstance(thing, type):
        return replace(thing, **{name: carried(part, where) for name, part in _parts(thing)})
    if isinstance(thing, tuple):
        return cast(T, tuple(carried(part, where) for part in thing))
    if isinstance(thing, Count | Amount) and thing.kind == "measured":
        return cast(T, assumed(f"as on {where}: {thing.source}")(thing))
    return thing


def _parts(thing: object) -> list[tuple[str, object]]:
    if is_dataclass(thing):
        return [(field.name, getattr(thing, field.name)) for field in fields(thing)]
    if isinstance(thing, dict):
        return [(str(name), part) for name, part in thing.items()]
    if isinstance(thing, tuple):
        return [(str(getattr(part, "name", index)), part) for index, part in enumerate(thing)]
    return []
