"""Stand-ins for the files that a compiler and a profiler would write, each marked as one.

The first line is JSON and says what the file is. Where the call was timed, its trace follows as a
NumPy archive, so that `neuron-profile` reads counters from it later.
"""

import json
import struct
import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from trnlab import __version__
from trnlab.errors import BadArguments
from trnlab.trace import Trace

COMPILED = "a compiled program (NEFF)"
PROFILE = "a profile (NTFF)"
RUN = "a run, for trnlab diff"
# What reading an archive raises that is not one, or no longer.
DAMAGE = (
    ValueError, KeyError, TypeError, AttributeError, IndexError, EOFError, NotImplementedError,
    RuntimeError, BadZipFile, zlib.error, struct.error,
)  # fmt: skip


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
            if not _is_ours(told):
                told = None
                raise ValueError
            packed = file.read()
            return told, Trace.unpacked(packed) if packed else None
    except OSError as error:
        raise BadArguments(f"cannot read '{path}': {error.strerror or error}") from None
    except DAMAGE:
        if told is not None and told.get("version") == __version__:
            raise BadArguments(
                f"the trace in '{path.name}' is damaged", fix="run the kernel again"
            ) from None
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


def _is_ours(told: Any) -> bool:
    """Whether the first line of a file is one that `write` wrote."""
    named = isinstance(told, dict) and told.get("made_by") == "trnlab"
    return named and all(isinstance(told.get(name), str) for name in ("kernel", "chip"))
