"""What a process may not do: limits and walls around code that nobody knows.

Everything is best effort and says what it achieved: limits wherever Python has them, walls on
Linux, through the C library, where the kernel lets a user build them.
"""

import os
import signal
import site
import sys
from collections.abc import Iterable
from contextlib import suppress
from math import ceil
from pathlib import Path
from subprocess import PIPE, Popen, run
from typing import NoReturn

from trnlab.studies.scoring.walls import countable, libc, prctl, within
from trnlab.studies.scoring.watch import TOGETHER, children

LINUX = sys.platform == "linux"
PDEATHSIG, DUMPABLE, SUBREAPER = 1, 4, 36  # of prctl(2)
NEW_IPC, NEW_USER, NEW_PID, NEW_NET = 0x08000000, 0x10000000, 0x20000000, 0x40000000  # unshare(2)
LIMITS = "CPU seconds, memory of each process, sizes of files"
ALONE = "its processes are in a namespace of their own, and end with it"
OFFLINE = "no network"
MAPPED = "no memory beside that of its processes"
FILES = "it writes in its own folder only, and reads that, Python and packages"


def confine(folder: str, seconds: float, memory: int, files: int) -> list[str]:
    """Puts this process behind walls for good; which ones, in words.

    ``seconds`` of CPU, ``memory`` and ``files`` in bytes; ``folder`` is where it may write. Where
    the process moves to a namespace it forks, and only the child returns.
    """
    found = []
    if limit(CPU=ceil(seconds) + 1, FSIZE=files, CORE=0, NOFILE=64, AS=memory):
        found.append(LIMITS)
    if LINUX:
        found.append(TOGETHER)  # by whoever started this process
        prctl(PDEATHSIG, signal.SIGKILL)
        if _alone():
            found += [ALONE, OFFLINE]
        if countable():
            found.append(MAPPED)
        if within(folder):
            found.append(FILES)
    return found


def missing(found: Iterable[str]) -> list[str]:
    """What is not prevented, in words."""
    have = set(found)
    said = {
        LIMITS: "using CPU and memory until the wall-clock limit ends it",
        ALONE: "signals to other processes of this user; processes that outlive it",
        OFFLINE: "use of the network",
        MAPPED: "memory that nobody counts, such as shared segments",
        FILES: "reading and writing every file that this user can",
        TOGETHER: "many processes at once and many files, each within its limit, until it ends",
    }
    return [text for name, text in said.items() if name not in have]


def hidden() -> None:
    """Lets no process of the same user read or change the memory of this one, on Linux."""
    if LINUX:
        prctl(DUMPABLE, 0)


def expendable() -> None:
    """Lets this process and its children be the first to go where memory runs out, on Linux."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def environment(folder: str) -> dict[str, str]:
    """What a process is told of the machine: where packages are, where to write, one thread."""
    kept = ("PATH", "SYSTEMROOT", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG")
    threads = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    return (
        {name: os.environ[name] for name in kept if name in os.environ}
        | dict.fromkeys(threads, "1")  # a process a core, and sums in one order
        | {"PYTHONHASHSEED": "0", "MALLOC_ARENA_MAX": "2"}
        | {"HOME": folder, "TMPDIR": folder, "TEMP": folder, "TMP": folder}
        | {"PYTHONUSERBASE": site.getuserbase()}  # which would follow HOME
    )


def mortal() -> None:
    """Ends this process with the thread that started it, on Linux."""
    if LINUX:
        prctl(PDEATHSIG, signal.SIGKILL)


def adopting() -> None:
    """Lets orphans of this process become its children, on Linux, so that `end_all` finds them."""
    if LINUX:
        prctl(SUBREAPER, 1)


def end_all() -> None:
    """Ends every child of this process, and theirs, on Linux."""
    for _ in range(1000 if LINUX else 0):  # a child's children become ours when it ends
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        left = children()
        if not left:
            return
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(left[0], 0)


def end_group(process: Popen[bytes]) -> int | None:
    """Ends a process that leads its own group, and the group; nobody may have waited for it yet.

    Once somebody has, the number of the group can be that of others. How it ended if that was by
    itself, as `Popen.returncode`, None otherwise.
    """
    alone = has_ended(process)
    if process.returncode is None:
        with suppress(AttributeError, ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    code = process.wait()
    return code if alone else None


def has_ended(process: Popen[bytes]) -> bool:
    """Whether it has, without waiting for it where that would free its number."""
    if not hasattr(os, "killpg"):  # Windows keeps numbers as long as somebody may ask
        return process.poll() is not None
    if hasattr(os, "waitid"):
        how = os.WEXITED | os.WNOWAIT | os.WNOHANG
        with suppress(ChildProcessError):
            return os.waitid(os.P_PID, process.pid, how) is not None
        return True
    # macOS before Python 3.13; where nobody can say it counts as ended
    with suppress(OSError):
        asked = ["ps", "-o", "stat=", "-p", str(process.pid)]
        return run(asked, stdout=PIPE, check=False).stdout[:1] in (b"Z", b"")
    return True


def limit(**most: int) -> bool:
    """Limits this process by names of ``setrlimit``, such as ``AS`` in bytes; whether all hold."""
    try:
        import resource
    except ImportError:  # Windows
        return False
    kept = True
    for name, value in most.items():
        try:
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
        except (ValueError, OSError):  # macOS takes no limit of address space
            kept = False
    return kept


def _alone() -> bool:
    """Moves to namespaces of users, processes and networks; only the child that is in returns."""
    call = libc("unshare")
    if call is None or call(NEW_USER | NEW_PID | NEW_NET | NEW_IPC) != 0:
        return False
    child = os.fork()
    if child:
        for descriptor in range(64):  # so that the pipes close when the child ends
            with suppress(OSError):
                os.close(descriptor)
        _end_as(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    prctl(PDEATHSIG, signal.SIGKILL)
    return True


def _end_as(code: int) -> NoReturn:
    """Ends this process as another one has ended, by a signal if that is how."""
    if code < 0:
        with suppress(OSError):  # there is no other way to take SIGKILL
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code & 0xFF)
