"""How results are rounded, as settings or the environment variables of the vendor's tools say.

And how often Python looks for garbage meanwhile.
"""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from trnlab.errors import BadArguments
from trnlab.sim.core import Run
from trnlab.sim.values.departures import Departures
from trnlab.sim.values.rounding import Stochastic

KEPT = (
    "low precision is kept as fp32 (NKI_PRECISE_FP=0), which no device does: bf16, tf32 and fp8 "
    "are not rounded, and come back as float32"
)


def set_rounding(
    run: Run, precise: bool | None, stochastic: int | None, compare: bool, bound: float | None
) -> Departures | None:
    """Sets a run up before it starts; where it is compared with a shadow, what departs.

    ``precise`` and ``stochastic`` None are as ``NKI_PRECISE_FP`` (NKI simulator guide, 2.32) and
    ``NEURON_RT_STOCHASTIC_ROUNDING_EN`` and ``_SEED`` (runtime environment variables) say. Raises
    BadArguments where a run without values is to be compared.
    """
    if not run.values:
        if compare:
            raise BadArguments("tracing values needs values", fix="run without time only")
        return None
    seed = _seed() if stochastic is None else stochastic
    if seed is not None:
        run.round_by(Stochastic(seed))
        run.note(f"stochastic rounding with seed {seed}: the device's random numbers differ")
    if compare:
        return run.shadow(np.float64, bound)
    if precise is None:
        precise = os.environ.get("NKI_PRECISE_FP", "1") != "0"
    if not precise:
        run.shadow(np.float32)
        run.note(KEPT)
    return None


def _seed() -> int | None:
    """The seed of the environment, None where it asks for rounding to nearest."""
    if os.environ.get("NEURON_RT_STOCHASTIC_ROUNDING_EN") != "1":
        return None
    given = os.environ.get("NEURON_RT_STOCHASTIC_ROUNDING_SEED") or "0"
    try:
        seed = int(given)
    except ValueError:
        seed = -1
    if seed < 0:
        raise BadArguments(
            f"NEURON_RT_STOCHASTIC_ROUNDING_SEED is '{given}'",
            limit="a whole number, 0 or more",
        )
    return seed


@contextmanager
def few_collections() -> Iterator[None]:
    """Recording makes many small objects and no cycles: the collector would only search."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
