"""`neuron-profile`: what tools read from a profile, from the stand-ins that kernel calls leave."""

import argparse
import json
import os
import shlex
import shutil
import stat
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trnlab.errors import BadArguments, NotModelled
from trnlab.machine.catalogue import chip as find_chip
from trnlab.machine.chip import Chip
from trnlab.nki.clients import artifacts
from trnlab.report.counters import counters
from trnlab.report.parquet import save_profile
from trnlab.report.profile_facts import SCHEMA_VERSION
from trnlab.trace import Trace

TOOLS = ("neuron-profile", "neuron-explorer")  # the older and the newer name of one tool
LAUNCHER = """import sys
sys.path.insert(0, {root!r})
from trnlab.cli import main
sys.argv[1:1] = ["neuron-profile"]
main()
"""


def neuron_profile(arguments: Sequence[str]) -> str:
    """Runs one command line of `neuron-profile`; returns what it prints.

    ``capture`` writes the profile of a stand-in for a compiled program, ``view`` prints counters.
    Raises BadArguments for files that are not stand-ins, NotModelled for other forms of output.
    """
    asked = _parser().parse_args(arguments)
    return _capture(asked) if asked.verb == "capture" else _view(asked)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="neuron-profile",
        description="trnlab's stand-in for the vendor's tool: reads what simulated calls left.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    capture = verbs.add_parser("capture", help="write the profile of a program")
    capture.add_argument("-n", "--neff", "--neff-path", required=True)
    capture.add_argument("-s", "--session-file", default="profile.ntff")
    capture.add_argument("--ignore-exec-errors", action="store_true")
    capture.add_argument("--profile-nth-exec", type=int, default=1)
    capture.add_argument("--enable-dge-notifs", action="store_true")
    capture.add_argument("--single-io", action="store_true")
    capture.add_argument("inputs", nargs="*", help="ignored: the call has run already")
    view = verbs.add_parser("view", help="print the counters of a profile")
    view.add_argument("-n", "--neff-path", "--neff")
    view.add_argument("-s", "--session-file")
    view.add_argument("-d", "--session-dir")
    view.add_argument("--output-format", default="db")
    view.add_argument("--output-file")
    view.add_argument("--force", action="store_true")
    return parser


def _capture(asked: argparse.Namespace) -> str:
    told, trace = artifacts.read(Path(asked.neff))
    path = Path(asked.session_file)
    if asked.profile_nth_exec > 1:
        path = path.with_name(f"{path.stem}_exec_{asked.profile_nth_exec}{path.suffix}")
    artifacts.write(path, artifacts.PROFILE, told["kernel"], told["chip"], trace)
    return f"wrote {path}: the simulated run of {told['kernel']} on {told['chip']}\n"


def _view(asked: argparse.Namespace) -> str:
    if asked.output_format == "parquet":
        return _tables(asked)
    summaries = {}
    for number, path in enumerate(_sessions(asked)):
        summaries[f"nc{number}"] = _counters(path)
    if asked.output_format == "summary-json":
        text = json.dumps(summaries, indent=2) + "\n"
    elif asked.output_format == "summary-text":
        text = "\n".join(_table(summary) for summary in summaries.values())
    else:
        raise NotModelled(
            f"neuron-profile view --output-format {asked.output_format}",
            "summary-json, summary-text or parquet; for ui.perfetto.dev use trnlab run --trace",
        )
    if not asked.output_file:
        return text
    Path(asked.output_file).write_text(text, encoding="utf-8")
    return f"wrote {asked.output_file}\n"


def _sessions(asked: argparse.Namespace) -> list[Path]:
    if asked.session_dir:
        found = sorted(Path(asked.session_dir).glob("*.ntff"))
        if not found:
            raise BadArguments(f"there is no .ntff file in '{asked.session_dir}'")
        return found
    if not (asked.session_file or asked.neff_path):
        raise BadArguments("neuron-profile view needs a profile", fix="-s FILE.ntff, or -d FOLDER")
    return [Path(asked.session_file or asked.neff_path)]


def _tables(asked: argparse.Namespace) -> str:
    """Writes a profile as Parquet tables to the folder that ``--output-file`` names."""
    sessions = _sessions(asked)
    if not asked.output_file:
        raise BadArguments("--output-format parquet needs a folder", fix="--output-file FOLDER")
    told = []
    for number, path in enumerate(sessions):
        folder = Path(asked.output_file)
        folder = folder / f"nc{number}" if len(sessions) > 1 else folder
        save_profile(*_traced(path), folder)
        told.append(f"wrote {folder}: the tables of schema {SCHEMA_VERSION}\n")
    return "".join(told)


def _counters(path: Path) -> dict[str, Any]:
    return counters(*_traced(path))


def _traced(path: Path) -> tuple[Trace, Chip]:
    told, trace = artifacts.read(path)
    if trace is None:
        raise BadArguments(
            f"'{path.name}' holds no times: {told['kernel']} ran without them",
            fix="run it again without --no-time",
        )
    return trace, find_chip(told["chip"])


def _table(summary: dict[str, Any]) -> str:
    rows = {k: v for k, v in summary.items() if k != "receipt"} | {
        f"receipt.{k}": v for k, v in summary["receipt"].items()
    }
    width = max(len(name) for name in rows)
    return "".join(f"{name:<{width}}  {value}\n" for name, value in rows.items())


@contextmanager
def tools_on_path() -> Iterator[None]:
    """Puts `neuron-profile` in front of PATH for programs that a script starts.

    A tool of that name that is installed is passed over, and that is said in a warning.
    """
    before = os.environ.get("PATH", "")
    for tool in TOOLS:
        if (other := shutil.which(tool)) and not Path(other).parent.name.startswith("trnlab-"):
            warnings.warn(f"trnlab stands in for the installed '{other}'", stacklevel=3)
    with tempfile.TemporaryDirectory(prefix="trnlab-", ignore_cleanup_errors=True) as folder:
        for tool in TOOLS:
            _install(Path(folder), tool)
        os.environ["PATH"] = os.pathsep.join(filter(None, (folder, before)))
        try:
            yield
        finally:
            os.environ["PATH"] = before


def _install(folder: Path, tool: str) -> None:
    launcher = folder / "launch.py"
    launcher.write_text(LAUNCHER.format(root=str(Path(__file__).parents[2])), encoding="utf-8")
    if os.name == "nt":
        text = f'@"{sys.executable}" "{launcher}" %*\n'
        (folder / f"{tool}.cmd").write_text(text, encoding="utf-8")
        return
    script = folder / tool
    run = f"exec {shlex.quote(sys.executable)} {shlex.quote(str(launcher))}"
    script.write_text(f'#!/bin/sh\n{run} "$@"\n', encoding="utf-8")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
