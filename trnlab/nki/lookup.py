"""Names that NKI lacks: the nearest that it has, or the generation of the API that has them."""

import inspect
from collections.abc import Callable, Iterable
from difflib import SequenceMatcher
from importlib import import_module
from typing import Any

LIKE = 0.6  # share of letters that two names have in common, from which on they are alike


def nearest(word: str, names: Iterable[str]) -> str:
    """The name that is most like a word, the first of several; empty where none is like it."""
    shares = {name: SequenceMatcher(None, name, word).ratio() for name in names}
    best = max(shares, key=lambda name: shares[name], default="")
    return best if shares.get(best, 0.0) >= LIKE else ""


def absent(module: str, name: str, known: Iterable[str]) -> AttributeError:
    """The error of a name that ``nki.language`` or ``nki.isa`` does not have."""
    if name.startswith("__"):  # Python asks every module for such names
        return AttributeError(f"{module} has no '{name}'")
    if _older(module.rpartition(".")[2], name) is not None:
        hint = f"; neuronxcc.{module} has it: trnlab migrate FILE says what replaces it"
    else:
        near = nearest(name, (n for n in known if not n.startswith("_")))
        hint = f"; did you mean '{near}'?" if near else ""
    return AttributeError(f"{module} has no '{name}'{hint}")


def parameter(function: Callable[..., Any], word: str) -> str:
    """What to write instead of a parameter that a function does not have."""
    near = nearest(word, inspect.signature(function).parameters)
    if near:
        return f"did you mean '{near}'?"
    for module in ("language", "isa"):
        older = _older(module, function.__name__)
        if callable(older) and word in inspect.signature(older).parameters:
            return f"neuronxcc.nki has '{word}': trnlab migrate FILE says what replaces it"
    return ""


def spelled(function: Callable[..., Any]) -> str:
    """A function's name and parameters, without their types."""
    made = inspect.signature(function)
    plain = [p.replace(annotation=p.empty) for p in made.parameters.values()]
    shown = made.replace(parameters=plain, return_annotation=made.empty)
    return f"{function.__name__}{shown}"


def _older(module: str, name: str) -> Any:
    """What the older API has under a name, or None."""
    return vars(import_module(f"trnlab.nki.legacy.{module}")).get(name)
