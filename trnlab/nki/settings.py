"""How kernels run."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """How kernels run when nothing else is said."""

    chip: str | None = None
    values: bool = True
    timed: bool = True
    strict: bool = True
    assume: int | None = None  # what a run without values takes for numbers that data decides
    precise: bool | None = None  # False keeps low precision as fp32; None: NKI_PRECISE_FP
    stochastic: int | None = None  # seed; None: NEURON_RT_STOCHASTIC_ROUNDING_EN and _SEED
    trace_values: int = 0  # how many departures from an fp64 shadow to find
    bound: float | None = None  # of relative errors; None: by format
    shuffle: int | None = None  # seed of another order for iterations of parallel loops
    api_version: str | None = None  # of `nki`; the newest unless said
    keep: bool = False  # the program, so that it can be timed again on other chips
    without: frozenset[str] = frozenset()  # mechanisms of time that are left out
    loops: bool = True  # whether iterations may be written instead of run
