"""What a kernel's file must change to move to another version of NKI."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trnlab.errors import UnknownName
from trnlab.isa.rules import RELEASES
from trnlab.studies.migration.drift import CHANGED, CHECK, DEPRECATED, GONE, NEW
from trnlab.studies.migration.finders import FINDERS
from trnlab.studies.migration.source import NoKernels, read

LINES = 6  # places of one change that are listed


@dataclass(frozen=True)
class Finding:
    """One place of one change: ``kind`` is gone, changed, deprecated, new or check."""

    file: str
    line: int
    what: str
    kind: str
    version: str
    instead: str


def migrate(path: str, to: str = "0.6") -> list[Finding]:
    """What in a file differs in NKI version ``to``, in order of lines.

    Only what can be told from the text is found: not what depends on shapes, on dtypes or on other
    files. Raises UnknownName for a version or a file that does not exist and BadArguments for a
    file that is not Python or imports no NKI.
    """
    target = _version(to)
    source = read(path)
    found = set()
    for finder in FINDERS:
        for node, change in finder(source):
            missing = change.kind == NEW and _version(change.version) > target
            if missing or (change.kind != NEW and _version(change.version) <= target):
                line = getattr(node, "lineno", 1)
                said = (change.what, change.kind, change.version, change.instead)
                found.add(Finding(path, line, *said))
    return sorted(found, key=lambda f: (f.line, f.what))


def migrate_all(paths: Sequence[str], to: str = "0.6") -> dict[str, list[Finding]]:
    """What `migrate` finds in each file; of several, those that import no NKI are left out."""
    found: dict[str, list[Finding]] = {}
    for path in paths:
        try:
            found[path] = migrate(path, to)
        except NoKernels:
            if len(paths) == 1:
                raise
    if not found:
        raise NoKernels(f"none of the {len(paths)} files imports NKI")
    return found


def _version(name: str) -> tuple[int, ...]:
    short = ".".join(name.split(".")[:2])
    if short not in RELEASES:
        raise UnknownName("version of NKI", name, RELEASES)
    return tuple(int(part) for part in short.split("."))


def report(path: str, found: Sequence[Finding], to: str) -> str:
    """What was found in a file, as text: one entry a change, with its places."""
    if not found:
        return f"{path}: nothing that NKI {to} does not take, as far as the text shows\n"
    groups: dict[tuple[str, ...], list[int]] = {}
    for f in found:
        groups.setdefault((f.what, said(f), f.instead), []).append(f.line)
    count = f"{len(groups)} change{'s' if len(groups) > 1 else ''}"
    places = f"{len(found)} place{'s' if len(found) > 1 else ''}"
    lines = [f"{path}: {count} in {places} to reach NKI {to}", ""]
    for (what, when, instead), where in groups.items():
        lines.append(f"{path}:{where[0]}  {what}  ({when})")
        lines.append(f"    now: {instead}")
        if others := where[1:]:
            more = f" and {len(others) - LINES} more" if len(others) > LINES else ""
            lines.append(f"    also: {', '.join(map(str, others[:LINES]))}{more}")
    return "\n".join(lines) + "\n"


def said(finding: Finding) -> str:
    """When something changed, in words."""
    words = {
        GONE: f"gone in {finding.version}",
        CHANGED: f"changed in {finding.version}",
        DEPRECATED: f"deprecated since {finding.version}",
        NEW: f"since {finding.version} only",
        CHECK: f"to check: changed in {finding.version}",
    }
    return words[finding.kind]


def record(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Findings for programs."""
    return [asdict(finding) for finding in findings]
