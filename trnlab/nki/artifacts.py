"""Stand-ins for the files that a compiler and a profiler would write, each marked as one.

The first line is JSON and says what the file is. Where the call was timed, its trace follows as a
NumPy archive, so that `neuron-profile` reads counters from it later.
"""

import json
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from trnlab import __version__
from trnlab.errors import BadArguments
from trnlab.trace import Trace

COMPILED = "a compiled program (NEFF)"
PROFILE = "a profile (NTFF)"
RUN = "a run, for trnlab diff"


def write(path: Path, stands_in_for: str, kernel: str, chip: str, trace: Trace | None) -> Path:
    """Writes a stand-in and returns where; folders on the way are made."""
    told = {
        "made_by": "trnlab",
        "version": __version__,
        "stands_in_for": stands_in_for,
        "kernel": kernel,
        "chip": chip,
        "seconds": trace.seconds if trace else None,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(json.dumps(told).encode() + b"\n")
        if trace is not None:
            file.write(trace.packed())
    return path


def read(path: Path) -> tuple[dict[str, Any], Trace | None]:
    """What a stand-in says of itself, and the trace behind it; None where none was made.

    Raises BadArguments where the file is missing, is not one of ours, or is of another version.
    """
    told = None
    try:
        with path.open("rb") as file:
            told = json.loads(file.readline(1 << 16))
            if not isinstance(told, dict) or told.get("made_by") != "trnlab":
                told = None
                raise ValueError
            packed = file.read()
            return told, Trace.unpacked(packed) if packed else None
    except OSError as error:
        raise BadArguments(f"cannot read '{path}': {error.strerror}") from None
    except (ValueError, KeyError, TypeError, BadZipFile):
        if told is not None:
            raise BadArguments(
                f"the trace in '{path.name}' cannot be read",
                {"written by": f"trnlab {told.get('version')}", "this is": f"trnlab {__version__}"},
                fix="run the kernel again, with this version",
            ) from None
        raise BadArguments(
            f"'{path.name}' was not written by trnlab",
            fix="files of the vendor's compiler and profiler need the vendor's tools",
        ) from None
