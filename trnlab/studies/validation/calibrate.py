"""Fitting the few constants again: to what the project holds, or to a user's own timings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from trnlab.errors import BadArguments, TrnlabError, UnknownName, Violations
from trnlab.machine.catalogue import chip as find_chip
from trnlab.machine.chip import Chip
from trnlab.machine.facts import numbers
from trnlab.report.datasheet import write
from trnlab.studies.validation.measurements import Measurement
from trnlab.studies.validation.timed import seconds, traces
from trnlab.studies.validation.validate import figures, is_quick, kind_of

STEP = 0.25  # relative change of a constant that its effect is told by
ROUNDS = 3
FELT = 0.01  # of the time of some kernel: a constant that changes less when doubled is not known
FAR = 1000  # times longer or shorter than predicted is another unit, not another constant


@dataclass(frozen=True)
class Fit:
    """Constants before and after, by path in the chip, and the signed error of every row."""

    chip: Chip
    before: dict[str, float]
    after: dict[str, float]
    residuals: tuple[tuple[Measurement, float, float], ...]  # row, error before, error after


def fitted_paths(chip: Chip) -> list[str]:
    """Where a chip's fitted constants stand, such as ``core.dma.trigger``."""
    return [
        path
        for path, value in numbers(chip)
        if "fitted" in getattr(value, "source", "") and not value.source.startswith("as on ")  # type: ignore[attr-defined]
        and path.startswith("core.")
    ]  # fmt: skip


def with_constants(chip: Chip, values: dict[str, float]) -> Chip:
    """The chip with other numbers at these paths."""
    for path, value in values.items():
        chip = _replaced(chip, path.split("."), value)
    return chip


def _replaced(thing: Any, path: list[str], value: float) -> Any:
    if not path:
        return type(value)(value)
    if is_dataclass(thing) and path[0] in {f.name for f in fields(thing)}:
        part = _replaced(getattr(thing, path[0]), path[1:], value)
        return replace(thing, **{path[0]: part})  # type: ignore[type-var]
    raise UnknownName("constant", path[0], [f.name for f in fields(thing)])


def calibrate(
    rows: Sequence[Measurement] | None = None,
    chip: str = "trn2",
    only: Sequence[str] = (),
    say: Callable[[str], None] = lambda text: None,
) -> Fit:
    """Fits constants of a chip to timings, by least squares of the logarithm of the error.

    ``rows`` are a user's own, else what the project holds and can be predicted quickly; ``only``
    are paths of constants, else those that are fitted. Raises BadArguments where there are no rows
    for the chip, or fewer than constants.
    """
    machine = find_chip(chip)
    paths = list(only) or fitted_paths(machine)
    every = rows if rows is not None else _own()
    mine = [r for r in every if r.chip == machine.key]
    if not paths:
        raise BadArguments(
            f"{machine.key} has no fitted constants: its times follow from documents",
            fix="name one with --constant, or fit those of another chip",
        )
    if every and not mine:
        others = sorted({row.chip for row in every})
        raise BadArguments(
            f"no timing is on {machine.key}, all are on {' and '.join(others)}",
            fix=f"--chip {others[0]}",
        )
    if len(mine) < len(paths):
        raise BadArguments(
            f"{len(mine)} timing{'s' * (len(mine) > 1)} on {machine.key} cannot fix "
            f"{len(paths)} constants",
            limit="at least one timing a constant",
            fix="time more kernels, or name fewer constants",
        )
    values = {path: _at(machine, path) for path in paths}
    before, first = dict(values), logs(mine, machine, values)
    _check_units(mine, first)
    errors = first
    for number in range(ROUNDS):
        slopes = np.stack([_slope(mine, machine, values, path, errors) for path in paths], axis=1)
        tried = moved(values, moves_of(slopes, errors))
        now = logs(mine, machine, tried)
        say(f"round {number + 1}: {_size(errors):.2%} -> {_size(now):.2%}")
        if _size(now) >= _size(errors) * 0.999:
            break
        values, errors = tried, now
    pairs = zip(mine, np.expm1(first).tolist(), np.expm1(errors).tolist(), strict=True)
    return Fit(with_constants(machine, values), before, values, tuple(pairs))


def moves_of(slopes: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """How much constants change, relatively; those that no row feels stay as they are."""
    felt = np.abs(slopes).max(axis=0) >= FELT
    moves = np.zeros(slopes.shape[1])
    moves[felt] = np.linalg.lstsq(slopes[:, felt], -errors, rcond=None)[0]
    return moves


def _own() -> list[Measurement]:
    return [
        row
        for row in figures()
        if row.metric == "seconds" and kind_of(row) in ("ladder", "attention and MLP", "NKIBench")
        and is_quick(row) and row.sizes.get("M", 0) <= 4096 and _is_sample(row)
    ]  # fmt: skip


def _is_sample(row: Measurement) -> bool:
    """Of the dense sweeps, powers of two."""
    m = row.sizes.get("M", 1)
    return m & (m - 1) == 0 and not (row.kernel.startswith("mlp") and m > 512)


def _at(chip: Chip, path: str) -> float:
    known = dict(numbers(chip))
    if path not in known:
        raise UnknownName("constant", path, known)
    return float(known[path])


def logs(rows: Sequence[Measurement], chip: Chip, values: dict[str, float]) -> np.ndarray:
    """The logarithm of predicted over measured, for each row."""
    machine = with_constants(chip, values)
    return np.array([np.log(_predicted(row, machine) / row.value) for row in rows])


def _predicted(row: Measurement, machine: Chip) -> float:
    try:
        return seconds(row, traces(row, machine), machine)
    except (TrnlabError, ValueError, MemoryError) as error:
        said = f"shape of {row.kernel}" in str(error)  # which size is missing
        if said or isinstance(error, UnknownName):
            raise
        first = error.found[0] if isinstance(error, Violations) else error
        dtype = f" in {row.dtype}" if row.dtype else ""
        source = "" if row.is_own else "; see trnlab/kernels/validation"
        raise BadArguments(
            f"{row.id}: {row.kernel} cannot run with {row.shape}{dtype} on {row.chip}",
            {"because": str(first).partition("\n")[0]},
            fix=f"give a shape that the kernel takes{source}",
        ) from None
    except Exception as error:
        error.add_note(f"{row.id}: with {row.shape}")
        raise


def _check_units(rows: Sequence[Measurement], errors: np.ndarray) -> None:
    """Raises BadArguments for a time that no constant can explain, such as one in microseconds."""
    for row, error in zip(rows, errors.tolist(), strict=True):
        if abs(error) > np.log(FAR):
            raise BadArguments(
                f"{row.id}: {row.kernel} took {row.value:.3g} s, and the model says "
                f"{row.value * np.exp(error):.3g} s",
                limit=f"a factor of {FAR:,}",
                fix="give seconds, of one run of the kernel",
            )


def _slope(
    rows: Sequence[Measurement], chip: Chip, values: dict[str, float], path: str, at: np.ndarray
) -> np.ndarray:
    changed = values | {path: values[path] * (1 + STEP)}
    return (logs(rows, chip, changed) - at) / STEP


def moved(values: dict[str, float], moves: np.ndarray) -> dict[str, float]:
    """Constants after a step, none of them less than half or more than twice what it was."""
    factors = np.clip(1 + moves, 0.5, 2.0).tolist()
    return {path: values[path] * f for path, f in zip(values, factors, strict=True)}


def _size(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(errors**2)))


def report(fit: Fit) -> str:
    """The constants before and after, and every residual."""
    lines = [f"{'constant':<36}{'before':>16}{'after':>16}"]
    lines += [
        f"{path:<36}{write(path, fit.before[path]):>16}{write(path, value):>16}"
        for path, value in fit.after.items()
    ]
    lines += ["", f"{'timing':<60}{'before':>9}{'after':>9}"]
    lines += [
        f"{f'{row.kernel} {row.shape} {row.dtype}'.rstrip() + f' ({row.clock})':<60}"
        f"{old:>+9.1%}{new:>+9.1%}"
        for row, old, new in fit.residuals
    ]
    return "\n".join(lines)
