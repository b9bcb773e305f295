"""Whether programs are right, and how long they take: what a score is made of."""

import builtins
import json
from collections.abc import Sequence
from hashlib import sha256
from itertools import zip_longest
from typing import Any

import numpy as np

from trnlab import __version__, errors
from trnlab.errors import BadArguments, NotModelled, ProgramError, TrnlabError
from trnlab.machine.catalogue import chip as find_chip
from trnlab.machine.chip import Chip
from trnlab.nki.grids import instances_of
from trnlab.nki.judging import TARGETS, compiler_for
from trnlab.nki.receipt import fitted
from trnlab.report.counters import counters
from trnlab.report.summary import summarise
from trnlab.sim.parameters import malformed
from trnlab.sim.portable import Portable, printable
from trnlab.sim.replay import Replayed, replay
from trnlab.sim.timing.tracing import trace_of
from trnlab.studies.inputs import make_inputs
from trnlab.studies.scoring.comparing import compare, tolerance_of
from trnlab.studies.scoring.confine import missing
from trnlab.studies.scoring.wanted import Refused, expected, reference_of

LISTED = 20  # violations of a case
WORST = ("correct", "wrong", "illegal", "not modelled", "limit", "failed")


def judge(asked: dict[str, Any], lines: Sequence[bytes], fate: str) -> dict[str, Any]:
    """The answer to a request whose candidate wrote these lines, and ended so if not all came.

    Where the reference fails there is only ``refused``, with the reason.
    """
    try:
        return _judge(asked, lines, fate)
    except Refused as error:
        return {"refused": str(error)}


def _judge(asked: dict[str, Any], lines: Sequence[bytes], fate: str) -> dict[str, Any]:
    walls, *programs = lines or [b""]
    chip = find_chip(asked["chip"])
    reference = reference_of(asked)
    cases, told = [], {"verdict": "correct"}
    for inputs, line in zip_longest([asked["inputs"], *asked["hidden"]], programs):
        if line is not None or told["verdict"] in ("correct", "wrong"):
            told = _case(asked, chip, reference, inputs, fate if line is None else line)
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
    asked: dict[str, Any], chip: Chip, reference: Any, inputs: Sequence[str], line: bytes | str
) -> dict[str, Any]:
    """The answer to one case, of a line or the reason why there is none."""
    if isinstance(line, str):
        return _bad("failed", f"no program came from the candidate: {line}")
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
    known = getattr(errors, kind, None)
    illegal = isinstance(known, type) and issubclass(known, ProgramError)
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
    off, told, seen, tolerance = [], {}, [], 0.0
    for number in range(asked["seeds"]):
        args, kwargs = make_inputs(list(inputs), _seed(asked["seed"], digest, number))
        arrays = [a for a in (*args, *kwargs.values()) if isinstance(a, np.ndarray)]
        tolerance = tolerance_of(asked, arrays)
        done = replay(program, chip, cores, [a.copy() for a in arrays], compiler)
        if done.run.found or program.confessed(()):
            return _broken(done, program, digest)
        if not told:
            told = _timed(done, chip, cores, len(arrays), program.passes)
        want = expected(reference, args, kwargs)
        off.append(compare(done.outputs, want))
        seen.append(sha256(b"".join(o.tobytes() for o in done.outputs)).hexdigest())
    right = all(isinstance(e, float) and e <= tolerance for e in off)
    if not right and len(set(seen)) == 1 < len(seen):
        told["notes"].append("the outputs are the same whatever the inputs are")
    return {
        "verdict": "correct" if right else "wrong",
        **told,
        "errors": off,
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


def _veiled(told: dict[str, Any]) -> dict[str, Any]:
    """What may be said of a hidden case: how it ended, and how long it takes."""
    kinds = {_known(text.partition(":")[0]) for text in told.get("violations", ())}
    said = {"inputs": "hidden", "verdict": told["verdict"], "seconds": told["seconds"]}
    if "kind" in told:
        said["kind"] = _known(told["kind"])
    for name in ("tolerance", "band"):
        if name in told:
            said[name] = told[name]
    return said | {"violations": sorted(kinds)}


def _known(kind: str) -> str:
    """The name of an error, if it is one that everybody has: a candidate may raise its own."""
    found = getattr(errors, kind, None) or getattr(builtins, kind, None)
    return kind if isinstance(found, type) and issubclass(found, Exception) else "Exception"
