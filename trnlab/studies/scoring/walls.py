"""Walls that Linux lets a process build around itself, for good: by calls of the C library."""

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from errno import ENOSYS
from pathlib import Path

NO_NEW_PRIVS, SECCOMP, FILTER = 38, 22, 2  # of prctl(2)
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446  # the same on every machine
EXECUTE, WRITE, READ, LIST = 1, 2, 4, 8  # rights of Landlock; the rest make and remove things
EVERYTHING = {1: (1 << 13) - 1, 2: (1 << 14) - 1}  # by version; since 3 also truncating
OF_FILES = EXECUTE | WRITE | READ | 1 << 14
# Calls for memory that belongs to no process: shmget, msgget, memfd_create, memfd_secret. By
# machine, after the number that seccomp has for it.
UNCOUNTED = {
    "x86_64": (0xC000003E, 29, 68, 319, 447),
    "aarch64": (0xC00000B7, 194, 186, 279, 447),
}
OTHER_CALLS = 1 << 30  # those of another width on x86_64
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06  # of BPF
ALLOW, FAIL = 0x7FFF0000, 0x00050000 | ENOSYS


def prctl(option: int, value: int) -> bool:
    """One call of prctl(2); whether it worked."""
    with suppress(OSError, AttributeError):
        return ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0
    return False


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("rows", ctypes.c_void_p))


def countable() -> bool:
    """Lets calls for memory that belongs to no process fail, by seccomp."""
    known, call = UNCOUNTED.get(platform.machine()), libc("prctl")
    if known is None or call is None or not prctl(NO_NEW_PRIVS, 1):
        return False
    machine, *calls = known
    tests = [(AT_LEAST, OTHER_CALLS), *((EQUAL, number) for number in calls)]
    rows = [(LOAD, 0, 0, 4), (EQUAL, 0, len(tests) + 2, machine), (LOAD, 0, 0, 0)]
    rows += [(code, len(tests) - n, 0, value) for n, (code, value) in enumerate(tests)]
    rows += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, FAIL)]
    held = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *row) for row in rows))
    wall = _Filter(len(rows), ctypes.addressof(held))
    return call(SECCOMP, FILTER, ctypes.byref(wall), 0, 0) == 0


def within(folder: str) -> bool:
    """Lets Landlock allow reading what Python needs, and writing in a folder."""
    call = libc("syscall")
    if call is None:
        return False
    version = call(LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    rights = EVERYTHING.get(version, (1 << 15) - 1)
    rules = call(LANDLOCK_CREATE, struct.pack("=Q", rights), ctypes.c_size_t(8), 0)
    if rules < 0:
        return False
    allowed = [(path, EXECUTE | READ | LIST) for path in _needed()]
    allowed += [(folder, rights), ("/dev/null", READ | WRITE)]
    for path, allowing in allowed:
        with suppress(OSError):
            _allow(call, rules, path, allowing & rights)
    kept = prctl(NO_NEW_PRIVS, 1) and call(LANDLOCK_RESTRICT, rules, 0) == 0
    os.close(rules)
    return kept


def _allow(call: Callable[..., int], rules: int, path: str, rights: int) -> None:
    there = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rights &= ~0 if Path(path).is_dir() else OF_FILES
        call(LANDLOCK_ADD, rules, 1, struct.pack("=Qi", rights, there), 0)
    finally:
        os.close(there)


def _needed() -> set[str]:
    """Where Python, its packages and their libraries are."""
    packages = (p for p in sys.path if Path(p).name in ("site-packages", "dist-packages"))
    system = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/urandom", "/proc/self")
    ours = str(Path(__file__).parents[2])
    return {sys.prefix, sys.base_prefix, *packages, *system, ours}


def libc(name: str) -> Callable[..., int] | None:
    """A function of the C library, None where there is none."""
    try:
        return getattr(ctypes.CDLL(None, use_errno=True), name)
    except (OSError, AttributeError):
        return None
