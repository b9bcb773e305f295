"""Stand-ins for the files that a compiler and a profiler would write, each marked as one.

The first line is JSON and says what the file is. Where the call was timed, its trace follows as a
NumPy archive, so that `neuron-profile` reads counters from it later.
"""

import io
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from trnlab import __version__
from trnlab.errors import BadArguments
from trnlab.trace import Trace

COMPILED = "a compiled program (NEFF)"
PROFILE = "a profile (NTFF)"
_TEXTS = ("lanes", "names", "wheres", "copies", "basis", "totals", "meta")
_COLUMNS = tuple(
    f.name for f in fields(Trace) if f.name not in (*_TEXTS, "counters")
)  # the arrays of a trace


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
            file.write(_packed(trace))
    return path


def read(path: Path) -> tuple[dict[str, Any], Trace | None]:
    """What a stand-in says of itself, and the trace behind it; None where none was made.

    Raises BadArguments where the file is missing, or is not one of ours.
    """
    try:
        with path.open("rb") as file:
            told = json.loads(file.readline(1 << 16))
            if not isinstance(told, dict) or told.get("made_by") != "trnlab":
                raise ValueError
            return told, _unpacked(file.read())
    except OSError as error:
        raise BadArguments(f"cannot read '{path}': {error.strerror}") from None
    except ValueError:
        raise BadArguments(
            f"'{path.name}' was not written by trnlab",
            fix="files of the vendor's compiler and profiler need the vendor's tools",
        ) from None


def _packed(trace: Trace) -> bytes:
    texts = {name: getattr(trace, name) for name in _TEXTS} | {"counters": list(trace.counters)}
    held = {name: getattr(trace, name) for name in _COLUMNS}
    for index, (times, values) in enumerate(trace.counters.values()):
        held |= {f"times{index}": times, f"values{index}": values}
    held["texts"] = np.frombuffer(json.dumps(texts).encode(), np.uint8)
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **held)
    return packed.getvalue()


def _unpacked(packed: bytes) -> Trace | None:
    if not packed:
        return None
    with np.load(io.BytesIO(packed), allow_pickle=False) as held:
        texts = json.loads(held["texts"].tobytes())
        names = texts.pop("counters")
        counters = {name: (held[f"times{i}"], held[f"values{i}"]) for i, name in enumerate(names)}
        texts |= {name: tuple(texts[name]) for name in ("lanes", "names", "wheres")}
        return Trace(**texts, **{name: held[name] for name in _COLUMNS}, counters=counters)
