"""The process of a candidate: it runs code that nobody knows and writes down the program.

Nothing that it writes is believed, and it is told shapes and formats only. Usage, by `referee`:
``python -m trnlab.studies.scoring.candidate FOLDER SECONDS MEMORY FILES``, with the job as JSON on
stdin and a line for each case, of which the next comes when this one is answered; the answer is a
line for the walls around it and one for each case.
"""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from trnlab.studies.scoring.confine import confine

NICE = 5  # so that whoever watches a candidate runs before what it has forked
TEXT = 4000  # characters of an error


def main() -> None:
    """Answers one job."""
    answers = os.dup(1)
    os.dup2(2, 1)  # what the candidate prints is no answer
    asked = os.fdopen(os.dup(0), "rb")
    job = json.loads(asked.readline())
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    with suppress(AttributeError, OSError):
        os.nice(NICE)
    folder, seconds, *sizes = sys.argv[1:5]
    Path("kernel.py").write_text(job["kernel"], encoding="utf-8")
    _say(answers, {"confined": confine(folder, float(seconds), *map(int, sizes))})
    first = os.getpid()
    try:
        kernel = _only(first, _load(job))
        while case := asked.readline():
            _say(answers, _only(first, _program(kernel, json.loads(case), job)))
    except BaseException as error:
        _say(answers, _only(first, _told(error)))
    os._exit(0)


def _only(first: int, made: Any) -> Any:
    """What was made; ends a process that a candidate has forked, whose answers nobody wants."""
    if os.getpid() != first:
        os._exit(0)
    return made


def _load(job: dict[str, Any]) -> Any:
    import random

    import numpy as np

    from trnlab.nki.jit import Kernel
    from trnlab.nki.names import activate
    from trnlab.studies.run import api_of
    from trnlab.studies.scoring.wanted import meant

    activate(shadow=True)
    random.seed(0)
    np.random.seed(0)
    made = type(sys)("candidate")
    made.__file__ = str(Path("kernel.py").resolve())
    sys.modules[made.__name__] = made
    exec(compile(job["kernel"], made.__file__, "exec"), vars(made))
    kernel = meant(vars(made), "kernel of the candidate", job["name"], "kernel")
    return kernel if isinstance(kernel, Kernel) else Kernel(kernel, api_of(kernel))


def _program(kernel: Any, case: list[str], job: dict[str, Any]) -> dict[str, Any]:
    from trnlab.nki.emit import emit
    from trnlab.studies.inputs import make_shapes

    args, kwargs = make_shapes(case)
    return emit(kernel, args, kwargs, job["chip"], tuple(job["grid"]))


def _told(error: BaseException) -> dict[str, str]:
    import traceback

    from trnlab.errors import TrnlabError

    text = str(error)
    if not isinstance(error, TrnlabError):
        lines = traceback.extract_tb(error.__traceback__)
        line = next((f.lineno for f in reversed(lines) if f.filename.endswith("kernel.py")), 0)
        what = error
        if isinstance(error, SyntaxError):
            line, what = error.lineno, error.msg
        text = f"kernel.py:{line}: {type(error).__name__}: {what}".removesuffix(": ")
    text = text.replace(os.getcwd() + os.sep, "")  # the same in every folder
    return {"error": type(error).__name__, "text": text[:TEXT]}


def _say(descriptor: int, what: dict[str, Any]) -> None:
    data = json.dumps(what, separators=(",", ":")).encode() + b"\n"
    while data:
        data = data[os.write(descriptor, data) :]


if __name__ == "__main__":
    main()
