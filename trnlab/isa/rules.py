"""What a rule is: a sentence, whether it holds, and which compilers insist on it.

An instruction yields ``sentence, truth`` for what every compiler enforces, and
``sentence, truth, since("0.3")`` for what some do. Which chips enforce a rule follows from the core
that `rules` is given; which API versions and modes do is said here.
"""

import re
from dataclasses import dataclass, replace
from typing import NamedTuple

from trnlab.errors import UnknownName

# API versions with the releases of the Neuron SDK that they came in. The first is `neuronxcc.nki`,
# which goes on side by side up to 2.29; the others are `nki`.
RELEASES = {
    "0.1": "2.20 to 2.29",
    "0.2": "2.27, 2.28",
    "0.3": "2.29",
    "0.4": "2.30",
    "0.5": "2.31",
    "0.6": "2.32",
}
WORDS = 9  # of a sentence in its code
ALLOCATED = "direct allocation"  # mode of the older compiler: kernels place their tensors

Version = tuple[int, ...]


def version_of(name: str) -> Version:
    """The version that a name such as ``0.3`` or ``0.3.0`` means; raises UnknownName."""
    short = ".".join(name.split(".")[:2])
    if short not in RELEASES:
        raise UnknownName("API version", name, RELEASES)
    return tuple(int(part) for part in short.split("."))


OLDER, CURRENT, *_, NEWEST = (version_of(name) for name in RELEASES)


@dataclass(frozen=True)
class Compiler:
    """Who judges a kernel: the version of the API that it imports, and the modes in use."""

    version: Version = NEWEST
    modes: frozenset[str] = frozenset()


LATEST = Compiler()


@dataclass(frozen=True)
class When:
    """The compilers that enforce a rule: from one version to before another, but one, in a mode."""

    first: Version = OLDER
    end: Version | None = None
    mode: str = ""
    but: Version | None = None

    def covers(self, compiler: Compiler) -> bool:
        """Whether this compiler enforces the rule."""
        late = self.end is not None and compiler.version >= self.end
        inside = compiler.version >= self.first and not late and compiler.version != self.but
        return inside and self.mode in ("", *compiler.modes)

    def __str__(self) -> str:
        always = replace(self, mode="")
        names = [name for name in RELEASES if always.covers(_plain(name))]
        parts = ["neuronxcc.nki"] if "0.1" in names else []
        current = [name for name in names if name != "0.1"]
        if len(current) == len(RELEASES) - 1:
            parts.append("nki")
        elif current:
            until = "" if len(current) == 1 else f" to {current[-1]}"
            until = " and later" if self.end is None else until
            parts.append(f"nki {current[0]}{until}")
        return " and ".join(parts) + (f" with {self.mode}" if self.mode else "")


ALWAYS = When()
Rule = tuple[str, bool] | tuple[str, bool, When]


def since(version: str, mode: str = "") -> When:
    """Enforced from this version on; ``since("0.2")`` is all of `nki` and none of the older API."""
    return When(version_of(version), None, mode)


def before(version: str, mode: str = "") -> When:
    """Enforced by earlier versions only; ``before("0.2")`` is the older API."""
    return When(OLDER, version_of(version), mode)


def only(first: str, end: str) -> When:
    """Enforced from one version to before another; ``only("0.2", "0.4")`` is 0.2 and 0.3."""
    return When(version_of(first), version_of(end))


def all_but(version: str) -> When:
    """Enforced by every version but this one."""
    return When(but=version_of(version))


class Verdict(NamedTuple):
    """What a rule says of one instruction."""

    sentence: str
    holds: bool
    when: When = ALWAYS


def code_of(subject: str, sentence: str) -> str:
    """A rule's short name: of what, and the words of its sentence that never change.

    >>> code_of("nc_matmul", "moving streams at most 512 columns")
    'nc_matmul/moving-streams-at-most-columns'
    """
    fixed = re.sub(r" (is|are) (one of|either) .*", r" \1 \2", sentence.partition(":")[0])
    fixed = re.sub(r"\([^)]*\)|\[[^]]*\]|'[^']*'", " ", fixed)
    words = [w for w in re.findall(r"[a-z0-9_*.-]+", fixed.lower()) if not re.search(r"^-?\d", w)]
    return f"{subject}/{'-'.join(words[:WORDS])}"


def _plain(name: str) -> Compiler:
    return Compiler(version_of(name))
