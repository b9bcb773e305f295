"""Whether programs are right, and how long they take: what a score is made of."""

import json
import sys
from collections.abc import Sequence
from hashlib import sha256
from itertools import zip_longest
from traceback import extract_tb
from typing import Any

import numpy as np

from trnlab import __version__, formats
from trnlab.errors import BadArguments, NotModelled, TrnlabError, UnknownName
from trnlab.machine.catalogue import chip as find_chip
from trnlab.machine.chip import Chip
from trnlab.nki.grids import instances_of
from trnlab.nki.jit import Kernel, Settings, simulate
from trnlab.nki.judging import TARGETS, compiler_for
from trnlab.nki.names import activate
from trnlab.nki.receipt import fitted
from trnlab.report.counters import counters
from trnlab.report.summary import summarise
from trnlab.sim.parameters import malformed
from trnlab.sim.portable import Portable, printable
from trnlab.sim.replay import Replayed, replay
from trnlab.sim.timing.tracing import trace_of
from trnlab.studies.inputs import make_inputs
from trnlab.studies.scoring.confine import missing

LISTED = 20  # violations of a case
# Relative to a value and to all of its tensor, by bits of the coarsest input that is a float.
TOLERANCES = {32: 1e-3, 16: 2e-2, 8: 1.5e-1}
WORST = ("correct", "wrong", "illegal", "not modelled", "limit", "failed")


class Refused(Exception):
    """The reference itself fails, which is no matter of the candidate."""


def judge(asked: dict[str, Any], lines: Sequence[bytes]) -> dict[str, Any]:
    """The answer to a request whose candidate wrote these lines."""
    walls, *programs = lines or [b""]
    chip = find_chip(asked["chip"])
    reference = _reference(asked)
    cases, told = [], {"verdict": "correct"}
    for inputs, line in zip_longest([asked["inputs"], *asked["hidden"]], programs):
        if line is not None or told["verdict"] in ("correct", "wrong"):
            told = _case(asked, chip, reference, inputs, line)
        cases.append(_veiled(told) if cases else {"inputs": list(inputs)} | told)
    verdict = max((case["verdict"] for case in cases), key=WORST.index)
    right = verdict == "correct"
    confined = _walls(walls)
    return {
        "verdict": verdict,
        "correct": right,
        "seconds": sum(case["seconds"] for case in cases) if right else None,
        "cases": cases,
        "receipt": {
            "trnlab": __version__,
            "chip": chip.key,
            "clock": "device latency",
            "constants": fitted(chip),
            "seeds": asked["seeds"],
            "confined": confined,
            "not_prevented": missing(confined),
        },
    }


def _walls(line: bytes) -> list[str]:
    """What the candidate's process is kept from, which it says before any code of its own runs."""
    try:
        return list(json.loads(line)["confined"])
    except (ValueError, KeyError, TypeError):
        return []


def _case(
    asked: dict[str, Any], chip: Chip, reference: Any, inputs: Sequence[str], line: bytes | None
) -> dict[str, Any]:
    if line is None:
        return _bad("failed", "no program came from the candidate")
    try:
        data = json.loads(line)
        if isinstance(data, dict) and "error" in data:
            kind = printable(data["error"])
            text = str(data.get("text", ""))[:4000]
            return _bad(_verdict_of(kind), text, kind)
        return _judged(asked, chip, reference, inputs, Portable(data), sha256(line).hexdigest())
    except NotModelled as error:
        return _bad("not modelled", str(error), "NotModelled")
    except MemoryError:
        return _bad("limit", "the program needs more memory than there is", "MemoryError")
    except TrnlabError as error:
        return _bad("illegal", str(error), type(error).__name__)
    except Refused:
        raise
    except Exception as error:  # nobody knows what a program that nobody vouches for can raise
        text = f"malformed program: {type(error).__name__}: {error}"
        return _bad("failed", text[:4000], "BadArguments")


def _verdict_of(kind: str) -> str:
    if kind in ("NotModelled", "MemoryError"):
        return "not modelled" if kind == "NotModelled" else "limit"
    from trnlab import errors

    known = getattr(errors, kind, None)
    illegal = isinstance(known, type) and issubclass(known, errors.ProgramError)
    return "illegal" if illegal else "failed"


def _bad(verdict: str, text: str, kind: str = "") -> dict[str, Any]:
    return {"verdict": verdict, "seconds": None, "error": text, "kind": kind}


def _judged(
    asked: dict[str, Any],
    chip: Chip,
    reference: Any,
    inputs: Sequence[str],
    program: Portable,
    digest: str,
) -> dict[str, Any]:
    if chip.generation not in TARGETS[program.api]:
        raise BadArguments(f"{program.api} does not target {chip.key}")
    cores, instances = instances_of(tuple(asked["grid"]), program.api)
    at_once = program.api == "nki" and cores > 1
    if len(program.data["instances"]) != (0 if at_once else len(instances)):
        raise malformed(f"it is not launched as {asked['grid']}")
    compiler = compiler_for(program.api)
    errors, told, seen, tolerance = [], {}, [], 0.0
    for number in range(asked["seeds"]):
        args, kwargs = make_inputs(list(inputs), _seed(asked["seed"], digest, number))
        arrays = [a for a in (*args, *kwargs.values()) if isinstance(a, np.ndarray)]
        tolerance = _tolerance(asked, arrays)
        done = replay(program, chip, cores, [a.copy() for a in arrays], compiler)
        if done.run.found or program.confessed(()):
            return _broken(done, program, digest)
        if not told:
            told = _timed(done, chip, cores, len(arrays), program.passes)
        want = _expected(reference, args, kwargs)
        errors.append(compare(done.outputs, want))
        seen.append(sha256(b"".join(o.tobytes() for o in done.outputs)).hexdigest())
    right = all(isinstance(e, float) and e <= tolerance for e in errors)
    if not right and len(set(seen)) == 1 < len(seen):
        told["notes"].append("the outputs are the same whatever the inputs are")
    return {
        "verdict": "correct" if right else "wrong",
        **told,
        "errors": errors,
        "tolerance": tolerance,
        "violations": [],
        "program": _receipt(program, digest),
    }


def _receipt(program: Portable, digest: str) -> dict[str, Any]:
    return {"api": program.api, "instructions": program.count, "sha256": digest}


def _broken(done: Replayed, program: Portable, digest: str) -> dict[str, Any]:
    shown = done.run.found.values()
    found = [f"{type(e).__name__}: {e}" for e in shown] + program.confessed(shown)
    told = _bad("illegal", f"{len(found)} rules broken" if len(found) > 1 else "1 rule broken")
    return told | {"violations": found[:LISTED], "program": _receipt(program, digest)}


def _seed(secret: int, digest: str, number: int) -> int:
    """Where values start: known only once the program is, so that it cannot have been told."""
    return int(sha256(f"{secret} {digest} {number}".encode()).hexdigest()[:16], 16)


def _timed(done: Replayed, chip: Chip, cores: int, inputs: int, passes: str) -> dict[str, Any]:
    run = done.run
    trace = trace_of(run.program, chip, cores, passes)
    trace.meta = {
        "chip": chip.key, "core": chip.core.name, "api": run.api, "cores": cores,
        "time_only": False, "notes": tuple(run.program.notes), "constants": fitted(chip),
        "kernel": "candidate", "version": __version__,
    }  # fmt: skip
    summary = summarise(trace, chip)
    notes = list(run.program.notes)
    notes += [
        f"argument {run.program.tensor(i).name} is never read"
        for i in range(inputs)
        if i not in done.read
    ]
    return {
        "seconds": trace.seconds,
        "band": summary["band"],
        "limit": summary["limit"]["sentence"],
        "counters": counters(trace, chip),
        "memory": summary["memory"],
        "notes": notes,
    }


def _tolerance(asked: dict[str, Any], arrays: Sequence[np.ndarray]) -> float:
    if asked["tolerance"] is not None:
        return asked["tolerance"]
    floats = [formats.bits(a.dtype) for a in arrays if formats.is_float(a.dtype)]
    return TOLERANCES[max(8, min(floats, default=32))]


def _reference(asked: dict[str, Any]) -> Any:
    activate(shadow=True)
    made = type(sys)("reference")
    sys.modules[made.__name__] = made
    try:
        exec(compile(asked["reference"], "reference.py", "exec"), vars(made))
    except Exception as error:
        raise Refused(_said(error)) from error
    name = asked["reference_name"]
    known = {n: v for n, v in vars(made).items() if callable(v) and not n.startswith("_")}
    if name not in known:
        raise Refused(str(UnknownName("function of the reference", name, known)))
    return known[name]


def _expected(reference: Any, args: list[Any], kwargs: dict[str, Any]) -> list[np.ndarray]:
    """What the reference gives; a function of NumPy sees float32 instead of narrower formats."""
    try:
        return _results(reference, args, kwargs)
    except Exception as error:
        raise Refused(_said(error)) from error


def _said(error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return f"reference.py:{error.lineno}: SyntaxError: {error.msg}"
    lines = [f.lineno for f in extract_tb(error.__traceback__) if f.filename == "reference.py"]
    where = f"reference.py:{lines[-1]}: " if lines else ""
    return f"{where}{type(error).__name__}: {error}"


def _results(reference: Any, args: list[Any], kwargs: dict[str, Any]) -> list[np.ndarray]:
    if isinstance(reference, Kernel):
        out = simulate(reference, args, kwargs, Settings(timed=False)).outputs
    else:
        out = reference(*map(_wide, args), **{name: _wide(v) for name, v in kwargs.items()})
    parts = list(out.values()) if isinstance(out, dict) else out
    return [np.asarray(p) for p in (parts if isinstance(parts, (list, tuple)) else [parts])]


def _wide(value: Any) -> Any:
    narrow = isinstance(value, np.ndarray) and formats.is_float(value.dtype)
    return formats.widen(value) if narrow else value


def compare(outputs: Sequence[np.ndarray], want: Sequence[np.ndarray]) -> float | str:
    """The largest error, relative to a value and to the root mean square of its tensor.

    Integers are compared exactly. Text where results cannot be compared at all.
    """
    if len(outputs) != len(want):
        return f"{len(outputs)} outputs, and the reference has {len(want)}"
    worst = 0.0
    for number, (given, wanted) in enumerate(zip(outputs, want, strict=True)):
        if given.shape != wanted.shape:
            return f"output {number} is {list(given.shape)}, not {list(wanted.shape)}"
        is_float = formats.is_float(given.dtype) or wanted.dtype.kind not in "iub"
        if not is_float:
            if not np.array_equal(given, wanted):
                return f"output {number} differs, and integers are compared exactly"
            continue
        wide = formats.widen(given) if formats.is_float(given.dtype) else given
        error = _relative(wide.astype(np.float64), np.asarray(wanted, np.float64))
        if error is None:
            return f"output {number} is infinite or NaN where the reference is not, or other"
        worst = max(worst, error)
    return worst


def _relative(given: np.ndarray, wanted: np.ndarray) -> float | None:
    finite = np.isfinite(wanted)
    if not np.array_equal(given[~finite], wanted[~finite], equal_nan=True):
        return None
    given, wanted = given[finite], wanted[finite]
    if not np.isfinite(given).all():
        return None
    if not wanted.size:
        return 0.0
    scale = np.abs(wanted) + np.sqrt(np.mean(wanted**2))
    off = np.abs(given - wanted)
    return float(np.max(off / np.where(scale > 0, scale, 1.0)))


def _veiled(told: dict[str, Any]) -> dict[str, Any]:
    """What may be said of a hidden case: how it ended, and how long it takes."""
    kinds = sorted({text.partition(":")[0] for text in told.get("violations", ())})
    said = {"inputs": "hidden", "verdict": told["verdict"], "seconds": told["seconds"]}
    for name in ("kind", "tolerance", "band"):
        if name in told:
            said[name] = told[name]
    return said | {"violations": kinds}
