"""Scoring a candidate kernel against a reference: correctness, time, counters, violations.

The candidate's process writes its program down; the referee's process checks, computes and times
it. Neither is this one, so that whatever they do costs only themselves.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from trnlab import __version__
from trnlab.errors import BadArguments
from trnlab.machine.catalogue import chip as find_chip
from trnlab.studies.scoring.confine import end_group, environment
from trnlab.studies.scoring.request import Request, request_of
from trnlab.studies.scoring.watch import LOADED

ROOT = str(Path(__file__).parents[3])
PATIENCE = 30.0  # seconds beyond the limits, for starting two processes
SLOW = "computing the program and the reference took longer than {:g} s"
# How a process ends that has used up its CPU: by SIGXCPU, and by SIGKILL where it must.
OVERTIME = tuple(-getattr(signal, n) for n in ("SIGXCPU", "SIGKILL") if hasattr(signal, n))


def score(**asked: Any) -> dict[str, Any]:
    """Scores one candidate; the entries of a `Request` by name, the answer ready for JSON.

    Keys: verdict (correct, wrong, illegal, not modelled, limit, failed), correct, seconds (of all
    cases together, None unless correct), error, cases, printed, receipt. The same request gives the
    same answer. Raises TrnlabError where the request or the reference makes no sense.
    """
    return answer(request_of(asked))


def score_files(kernel: str, reference: str, **asked: Any) -> dict[str, Any]:
    """As `score`, for ``FILE`` or ``FILE:NAME``; raises UnknownName where there is no such file."""
    from trnlab.studies.run import find_file

    texts = {}
    for part, given, name in (
        ("kernel", kernel, "name"), ("reference", reference, "reference_name"),
    ):  # fmt: skip
        path, colon, function = given.rpartition(":")
        named = bool(colon) and function.isidentifier() and len(path) > 1
        file = find_file(path if named else given)
        try:
            texts[part] = file.read_text(encoding="utf-8")
        except (OSError, ValueError):
            raise BadArguments(f"'{file.name}' is not Python source in UTF-8") from None
        if not texts[part].strip():
            raise BadArguments(f"'{file.name}' is empty")
        if named:
            texts[name] = function
    return score(**texts, **asked)


def answer(request: Request) -> dict[str, Any]:
    """The answer to a request, from a process of its own."""
    limit = LOADED * (request.seconds + request.compute) + PATIENCE
    with _folder() as folder:
        return _answer(request, folder, limit)


def _answer(request: Request, folder: str, limit: float) -> dict[str, Any]:
    paths = [ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "trnlab.studies.scoring.referee"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment(folder) | {"PYTHONPATH": os.pathsep.join(paths)}, start_new_session=True,
    )  # fmt: skip
    job = json.dumps(request.as_json() | {"folder": folder}).encode()
    with process:  # which closes its pipes and waits for it
        try:
            out, err = process.communicate(job, timeout=limit)
        except subprocess.TimeoutExpired:
            return _none(request, "limit", SLOW.format(request.compute))
        finally:
            end_group(process)
    if process.returncode in OVERTIME:
        return _none(request, "limit", SLOW.format(request.compute))
    if out.endswith(b"\n"):
        return _settled(json.loads(out))
    *_, last = err.decode(errors="replace").strip().splitlines() or [""]
    why = f"the process that scores ended with {process.returncode}: {last[:500]}"
    return _none(request, "failed", why)


@contextmanager
def _folder() -> Iterator[str]:
    """A folder that a candidate may fill, gone afterwards whatever it has done to it."""
    held = TemporaryDirectory(prefix="trnlab-", ignore_cleanup_errors=True)
    try:
        yield os.path.realpath(held.name)
    finally:
        with suppress(RecursionError):
            held.cleanup()
        if Path(held.name).exists():  # folders in folders, deeper than Python goes
            for words in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
                with suppress(OSError):
                    subprocess.run([*words, held.name], stderr=subprocess.DEVNULL, check=False)


def _settled(told: dict[str, Any]) -> dict[str, Any]:
    """The answer, with the first error of a case in front."""
    if "refused" in told:
        raise BadArguments(f"the reference failed: {told['refused']}")
    stopped = told.pop("stopped")
    told["error"] = next((case["error"] for case in told["cases"] if case.get("error")), None)
    if stopped and told["verdict"] == "failed":
        told |= {"verdict": "limit", "error": stopped}
        for case in told["cases"]:
            if case["verdict"] == "failed":
                case["verdict"] = "limit"
                if "error" in case:
                    case["error"] = stopped
    return told


def _none(request: Request, verdict: str, why: str) -> dict[str, Any]:
    """The answer where the process that scores left none."""
    receipt = {"trnlab": __version__, "chip": find_chip(request.chip).key, "seeds": request.seeds}
    return {
        "verdict": verdict, "correct": False, "seconds": None, "cases": [], "receipt": receipt,
        "printed": "", "error": why,
    }  # fmt: skip


def describe(told: dict[str, Any]) -> str:
    """An answer in a few lines."""
    seconds = told["seconds"]
    lines = [told["verdict"] + (f"  {seconds * 1e6:,.2f} us" if seconds is not None else "")]
    if told["error"]:
        lines += [f"  {line}" for line in str(told["error"]).splitlines()]
    for case in told["cases"]:
        inputs = case["inputs"] if isinstance(case["inputs"], str) else " ".join(case["inputs"])
        inputs = inputs or "(no inputs; give them with --in)"
        time = f"  {case['seconds'] * 1e6:,.2f} us" if case["seconds"] is not None else ""
        lines.append(f"  {inputs}  {case['verdict']}{time}")
        lines += [f"    {line}" for v in case.get("violations", ()) for line in v.splitlines()]
        if case.get("errors") and case["verdict"] == "wrong":
            lines.append(f"    errors {case['errors']}, tolerance {case['tolerance']:g}")
    text = "\n".join(lines)  # some of it a candidate's own, which may not steer a terminal
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
