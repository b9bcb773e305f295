"""The process that judges one candidate, and that only the candidate's own program can cost time.

It starts the candidate in a process of its own, reads programs from it, computes them on inputs
that nobody could know before, and compares with the reference, which the candidate never sees.
Usage, by `score`: ``python -m trnlab.studies.scoring.referee``, with a request on stdin.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from math import ceil
from typing import Any

from trnlab.studies.scoring.confine import (
    adopting,
    end_all,
    end_group,
    environment,
    expendable,
    has_ended,
    hidden,
    limit,
    mortal,
)
from trnlab.studies.scoring.watch import LINUX, size, use

START = 2  # seconds of CPU for what is no computing
EVERY = 0.02  # seconds between looks at what a candidate uses
FILES = 4  # times the limit of one file is that of all together
KEPT, TAIL = 2000, 500  # characters that a candidate printed, first and last


def main() -> None:
    """Answers one request."""
    answer = os.dup(1)
    os.dup2(2, 1)  # what a reference prints is no answer
    expendable()
    hidden()
    mortal()
    adopting()
    asked = json.loads(sys.stdin.buffer.read())
    limit(AS=4 * asked["memory"], CPU=ceil(asked["compute"]) + START)
    candidate = Candidate(asked, asked["folder"])
    try:
        from trnlab.studies.scoring.judge import judge  # meanwhile the candidate runs

        lines = candidate.lines()
        told = judge(asked, lines, candidate.fate) | candidate.told()
    finally:
        candidate.end()
    reply = json.dumps(told).encode() + b"\n"
    while reply:
        reply = reply[os.write(answer, reply) :]


class Candidate:
    """The process of a candidate and what came out of it."""

    def __init__(self, asked: dict[str, Any], folder: str) -> None:
        self.asked, self.wanted = asked, 2 + len(asked["hidden"])  # lines: walls, one a case
        self.programs, self.tail, self.count = bytearray(), bytearray(), 0
        self.printed = self.stopped = self.fate = ""
        self.folder, self.ended, self.sent, self.began = folder, False, 0, time.monotonic()
        self.done = threading.Event()
        limits = [str(asked[name]) for name in ("seconds", "memory", "files")]
        told = environment(folder) | {"PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-Pu", "-m", "trnlab.studies.scoring.candidate", folder, *limits]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=folder, env=told, start_new_session=True,
        )  # fmt: skip
        self.threads = [
            threading.Thread(target=target, daemon=True) for target in (self._read, self._drain)
        ]
        for thread in self.threads:
            thread.start()
        self._ask({name: asked[name] for name in ("kernel", "name", "chip", "grid")})
        self._ask(asked["inputs"])

    def _ask(self, what: Any) -> None:
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(what).encode() + b"\n")  # type: ignore[union-attr]
            self.process.stdin.flush()  # type: ignore[union-attr]

    def lines(self) -> list[bytes]:
        """The whole lines that it wrote in its time: its walls, and programs."""
        while not self._is_over():
            if why := self._excess():
                self._stop(why)
        all_came = self.count >= self.wanted
        code = self.end()
        *whole, _ = bytes(self.programs).split(b"\n")
        if not all_came:
            # Nothing was said of hidden cases yet where not even the first program came.
            self.fate = _fate(code) + (self._last_words() if len(whole) < 2 else "")
        return whole[: self.wanted]

    def _is_over(self) -> bool:
        """Whether nothing more comes of it, after a moment."""
        if not self.done.wait(EVERY):
            return False
        if self.stopped or self.count >= self.wanted or has_ended(self.process):
            return True
        time.sleep(EVERY)  # it has closed everything, and goes on
        return False

    def _excess(self) -> str:
        """Which limit is passed."""
        now = use()
        if why := now.late(self.asked["seconds"], time.monotonic() - self.began):
            return why
        files = FILES * self.asked["files"]
        if LINUX and size(self.folder) > files:
            return f"its files took more than {files:,} bytes together, or are too many or too deep"
        return now.exceeded(self.asked["memory"])

    def _last_words(self) -> str:
        text = bytes(self.tail).decode(errors="replace").replace(self.folder + os.sep, "").strip()
        return f"; it printed at the end:\n{text}" if text else ""

    def end(self) -> int | None:
        """Ends the process and all that came from it; how it ended if that was by itself."""
        if self.ended:  # its number may be somebody else's by now
            return None
        self.ended = True
        code = end_group(self.process)
        end_all()
        for thread in self.threads:
            thread.join(1)
        return code

    def told(self) -> dict[str, Any]:
        """Why it was stopped, and what it printed, which may name what is hidden."""
        secret = bool(self.asked["hidden"])
        return {"stopped": self.stopped, "printed": "" if secret else self.printed[:KEPT]}

    def _stop(self, why: str) -> None:
        self.stopped = self.stopped or why
        self.done.set()

    def _read(self) -> None:
        out = self.process.stdout
        while data := out.read1(1 << 16):  # type: ignore[union-attr]
            self.programs += data
            self.count += data.count(b"\n")
            if self.count >= self.wanted:
                break
            for case in self._next():
                self._ask(case)
            if len(self.programs) > self.asked["output"]:
                self._stop(f"its program is longer than {self.asked['output']:,} bytes")
                break
        self.done.set()

    def _next(self) -> list[Any]:
        """The cases that it has not been asked for, and may be: no sooner than others are done."""
        done, self.sent = self.sent, max(self.sent, self.count - 1)
        return self.asked["hidden"][done : self.sent]

    def _drain(self) -> None:
        total, kept = 0, b""
        while data := self.process.stderr.read1(1 << 16):  # type: ignore[union-attr]
            total += len(data)
            kept += data[: KEPT - len(kept)]
            self.printed = kept.decode(errors="replace")
            self.tail += data
            del self.tail[:-TAIL]
            if total > self.asked["output"]:
                self._stop(f"it printed more than {self.asked['output']:,} bytes")
                break


def _fate(code: int | None) -> str:
    """How a process without a program ended, in words."""
    if code is None:
        return "its process did not end"
    if code < 0:
        named = {number.value: f" ({number.name})" for number in signal.Signals}
        return f"its process ended by signal {-code}{named.get(-code, '')}"
    return f"its process ended with exit code {code}"


if __name__ == "__main__":
    main()
