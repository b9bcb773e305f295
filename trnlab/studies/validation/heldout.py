"""Kernels that the model has not seen: each family predicted with constants fitted without it.

A family is all kernels of one algorithm. A constant that no other family feels is not known then:
it is what the generation that was measured best has in its place.
"""

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from trnlab.machine.catalogue import chip as find_chip
from trnlab.machine.facts import numbers
from trnlab.studies.validation.calibrate import (
    FELT,
    STEP,
    fitted_paths,
    logs,
    moved,
    moves_of,
    with_constants,
)
from trnlab.studies.validation.measurements import Measurement
from trnlab.studies.validation.timed import seconds, traces
from trnlab.studies.validation.validate import Comparison, figures, kind_of, remembered

CHIPS = "trn1", "trn2"
WITHOUT = "trn2"  # whose number stands in for a constant that is not known
KINDS = "ladder", "NKIBench", "attention and MLP", "Mamba"


@dataclass(frozen=True)
class HeldOut:
    """A figure and its prediction by constants, by path in the chip, that never saw its family."""

    row: Measurement
    predicted: float
    constants: dict[str, float]

    @property
    def error(self) -> float:
        """Signed and relative."""
        return self.predicted / self.row.value - 1


def family(row: Measurement) -> str:
    """The algorithm of a kernel: ``mlp`` of ``mlp_fused_pwl``."""
    return row.kernel.partition("_")[0]


def held_out_again(say: Callable[[str], None] = lambda text: None) -> tuple[HeldOut, ...]:
    """Fits the constants without each family in turn and predicts it; takes some minutes."""
    found: dict[str, HeldOut] = {}
    for key in CHIPS:
        rows = [row for row in figures() if row.chip == key and kind_of(row) in KINDS]
        for name, constants in _refitted(key, rows).items():
            say(f"{key} without {name}: {_written(constants)}")
            for row in rows:
                if family(row) == name:
                    found[row.id] = predict(row, constants)
    return tuple(found[row.id] for row in figures() if row.id in found)


def predict(row: Measurement, constants: dict[str, float]) -> HeldOut:
    """The prediction of a row with other constants."""
    machine = with_constants(find_chip(row.chip), constants)
    return HeldOut(row, seconds(row, traces(row, machine), machine), constants)


def _refitted(key: str, rows: list[Measurement]) -> dict[str, dict[str, float]]:
    """The constants of a chip without each family of its rows: one step of least squares."""
    machine = find_chip(key)
    known = dict(numbers(machine))
    now = {path: float(known[path]) for path in fitted_paths(machine)}
    rows = [row for row in rows if _is_fitted_to(row)]
    errors = logs(rows, machine, now)
    slopes = np.stack(
        [
            (logs(rows, machine, now | {path: value * (1 + STEP)}) - errors) / STEP
            for path, value in now.items()
        ],
        axis=1,
    )
    elsewhere = dict(numbers(find_chip(WITHOUT)))
    names = np.array([family(row) for row in rows])
    found = {}
    for name in np.unique(names).tolist():
        kept = names != name
        values = moved(now, moves_of(slopes[kept], errors[kept]))
        most = np.abs(slopes[kept]).max(axis=0).tolist()
        unknown = [path for path, felt in zip(now, most, strict=True) if felt < FELT]
        found[name] = values | {path: float(elsewhere[path]) for path in unknown}
    return found


def _is_fitted_to(row: Measurement) -> bool:
    """Of the dense sweeps powers of two; nothing that may have run on another chip."""
    m = row.sizes.get("M", 1)
    dense = m & (m - 1) or (family(row) == "mlp" and m > 1024)
    return kind_of(row) != "Mamba" and not dense


# --- on file


def written(found: Iterable[HeldOut]) -> str:
    """The text of `heldout.csv`."""
    lines = (f"{h.row.id},{h.predicted:.6g},{_written(h.constants)}\n" for h in found)
    return "".join(["id,predicted,constants\n", *lines])


def _written(constants: dict[str, float]) -> str:
    return " ".join(f"{path}={value:.6g}" for path, value in constants.items())


@cache
def held_out() -> tuple[HeldOut, ...]:
    """The predictions of this version, from `heldout.csv`; a test compares some."""
    text = files("trnlab.studies.validation").joinpath("heldout.csv").read_text()
    rows = {row.id: row for row in figures()}
    return tuple(
        HeldOut(
            rows[line["id"]],
            float(line["predicted"]),
            {p.partition("=")[0]: float(p.partition("=")[2]) for p in line["constants"].split()},
        )
        for line in csv.DictReader(text.splitlines())
        if line["id"] in rows
    )


@dataclass(frozen=True)
class Family:
    """Mean absolute errors of a family on a chip: seen by the fit, and not."""

    chip: str
    name: str
    count: int
    seen: float
    unseen: float
    worst: float  # unseen


def families(found: Iterable[HeldOut] | None = None) -> list[Family]:
    """One for each family and chip, in the order of the rows; those on file if none are given."""
    seen = {c.row.id: abs(c.error) for c in remembered()}
    groups: dict[tuple[str, str], list[HeldOut]] = {}
    for h in held_out() if found is None else found:
        groups.setdefault((h.row.chip, family(h.row)), []).append(h)
    return [
        Family(
            chip, name, len(mine), float(np.mean([seen[h.row.id] for h in mine])),
            float(np.mean([abs(h.error) for h in mine])), max(abs(h.error) for h in mine),
        )
        for (chip, name), mine in groups.items()
    ]  # fmt: skip


def widened(found: Iterable[Comparison]) -> list[float]:
    """The error that each latency's band rests on: the larger of seen and unseen, unsigned."""
    unseen = {h.row.id: abs(h.error) for h in held_out()}
    return [max(abs(c.error), unseen.get(c.row.id, 0.0)) for c in found]
