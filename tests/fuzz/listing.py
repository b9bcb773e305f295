"""What random kernels call besides NKI."""

from typing import Any

from trnlab.nki import isa as nisa
from trnlab.nki import language as nl


def numbers(first: int, step: int, count: int) -> Any:
    """A tile [count, 1] of the numbers first, first + step, ..."""
    made = nl.ndarray((count, 1), nl.int32, buffer=nl.sbuf)
    nisa.iota(made, [[0, 1]], offset=first, channel_multiplier=step)
    return made
