"""Predicted against published, for every figure that the project holds."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import groupby

import numpy as np

from trnlab.machine.catalogue import chip as find_chip
from trnlab.nki.receipt import fitted
from trnlab.studies.validation.measurements import Measurement, published
from trnlab.studies.validation.timed import KERNELS, instruction_time, seconds, traces

KINDS = {
    "instruction time": "trn2, from profiler traces",
    "counter": "bytes read from HBM, and written to it",
    "ladder": "vector additions in steps of one size",
    "NKIBench": "seven kernels on trn1, profiler totals",
    "attention and MLP": "trn2, device latencies and launches",
    "profile": "trn2, profiler totals",
    "Mamba": "tutorial, trn1 assumed: the page does not say",
    "blind": "found when the model was done; no constant has seen them",
    "upper bound": "tests fail above this, the vendor's 5 % above; below is right",
}
QUICK = 30_000  # a kernel with more matmuls and transfers than this is predicted on request only


@dataclass(frozen=True)
class Comparison:
    """A figure and its prediction, in base units."""

    row: Measurement
    kind: str
    predicted: float

    @property
    def error(self) -> float:
        """Signed and relative: 0.1 where the prediction is 10 % too high."""
        return self.predicted / self.row.value - 1


def kind_of(row: Measurement) -> str | None:
    """Which kind of figure a row is; None for one that nothing predicts yet."""
    if row.use in ("upper bound", "blind") and row.kernel in KERNELS:
        return row.use
    if row.use != "fit":
        return None
    if row.kernel.startswith(("MATMUL", "LDWEIGHTS", "ACT", "DVE", "DMA")):
        return "instruction time"
    if row.metric != "seconds":
        return "counter"
    if row.kernel.startswith("add_"):
        return "ladder"
    if row.kernel.startswith(("attention", "mlp")):
        return "profile" if row.clock == "profiler" else "attention and MLP"
    if row.id.startswith("nkib"):
        return "NKIBench"
    return "Mamba" if row.kernel in KERNELS else None


def figures() -> list[Measurement]:
    """The published rows that are predicted; counters last."""
    rows = [row for row in published() if kind_of(row)]
    return sorted(rows, key=lambda row: kind_of(row) == "counter")


def _case(row: Measurement) -> tuple[str, str, str, str]:
    return row.kernel, row.shape, row.dtype, row.chip


def is_quick(row: Measurement) -> bool:
    """Whether a prediction takes a second or so, and not a minute."""
    sizes = row.sizes
    steps = {"matmul": 10**6, "bmm": 10**5, "transpose_matmul": 10**5, "swiglu": 10**5,
             "attention_gradients": 10**6,
             "mamba_v2": 10**5 if sizes.get("length", 0) > 1024 else 0}  # fmt: skip
    work = (
        steps.get(row.kernel, 0) + sizes.get("M", 0) * sizes.get("K", 0) * sizes.get("N", 0) / 2**17
    )
    if row.kernel == "add_rows" and sizes.get("rows") == 1:
        work = 10**5
    return work < QUICK or row.kernel in ("silu", "rmsnorm_matmul", "double_row_matmul")


def predict(rows: Iterable[Measurement]) -> Iterator[Comparison]:
    """Runs what the rows stand for, once for each kernel and shape."""
    ordered = sorted(rows, key=_case)
    for _, group in groupby(ordered, _case):
        same = list(group)
        chip = find_chip(same[0].chip)
        if kind_of(same[0]) == "instruction time":
            for row in same:
                yield Comparison(row, "instruction time", instruction_time(row, chip))
            continue
        made = traces(same[0])
        for row in same:
            if row.metric != "seconds":
                value = sum(trace.totals.get(row.metric, 0.0) for trace in made)
            else:
                value = seconds(row, made, chip)
            yield Comparison(row, kind_of(row) or "counter", value)


def predicted_again(*, quick: bool = False, kind: str = "") -> tuple[Comparison, ...]:
    """Predictions by the model as it is now, of all figures or of one kind, in the usual order."""
    rows = [r for r in figures() if (not kind or kind_of(r) == kind) and (is_quick(r) or not quick)]
    found = {c.row.id: c for c in predict(rows)}
    return tuple(found[row.id] for row in rows)


def written(found: Iterable[Comparison]) -> str:
    """The text of `predicted.csv`."""
    return "".join(["id,predicted\n", *(f"{c.row.id},{c.predicted:.6g}\n" for c in found)])


@cache
def remembered() -> tuple[Comparison, ...]:
    """The predictions of this version, from `predicted.csv`; a test compares some."""
    text = files("trnlab.studies.validation").joinpath("predicted.csv").read_text()
    known = {row["id"]: float(row["predicted"]) for row in csv.DictReader(text.splitlines())}
    return tuple(
        Comparison(row, kind_of(row) or "counter", known[row.id])
        for row in figures()
        if row.id in known
    )


@dataclass(frozen=True)
class Summary:
    """How well one kind of figure is predicted."""

    kind: str
    count: int
    median: float
    mean: float
    worst: float
    band: float  # four of five are within this
    bias: float  # median of the signed error


def summaries(found: Iterable[Comparison]) -> list[Summary]:
    """One for each kind, in the order of `KINDS`."""
    held = list(found)
    made = []
    for kind in KINDS:
        errors = np.array([c.error for c in held if c.kind == kind])
        if len(errors):
            size = np.abs(errors)
            made.append(
                Summary(
                    kind, len(size), float(np.median(size)), float(size.mean()), float(size.max()),
                    float(np.quantile(size, 0.8)), float(np.median(errors)),
                )
            )  # fmt: skip
    return made


def rankings(found: Iterable[Comparison]) -> dict[str, float]:
    """Spearman's correlation among the variants of each family at one shape (three or more)."""
    groups: dict[str, list[Comparison]] = {}
    for c in found:
        if c.row.metric == "seconds" and c.row.kernel in KERNELS and c.kind != "profile":
            family = c.row.kernel.partition("_")[0]
            if family in ("attention", "mlp", "mamba"):
                groups.setdefault(f"{family} {c.row.shape}", []).append(c)
    made = {}
    for name, members in groups.items():
        variants = {(c.row.kernel, c.row.dtype): c for c in members}
        if len(variants) >= 3:
            pairs = [(c.predicted, c.row.value) for c in variants.values()]
            made[name] = spearman(*map(np.array, zip(*pairs, strict=True)))
    return made


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """The correlation of ranks; equal values share their mean rank."""
    ranks = [np.array([np.mean(np.flatnonzero(np.sort(x) == v)) for v in x]) for x in (a, b)]
    centred = [r - r.mean() for r in ranks]
    spread = np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum())
    return float((centred[0] * centred[1]).sum() / spread) if spread else 1.0


def constants() -> dict[str, int]:
    """Fitted constants of each generation."""
    return {key: fitted(find_chip(key)) for key in ("trn1", "trn2", "trn3")}
