"""Would this kernel be legal on each chip? It is traced again for every one."""

from trnlab.errors import NotModelled, TrnlabError, Violations
from trnlab.machine.catalogue import CHIPS
from trnlab.nki.jit import Result
from trnlab.nki.judging import TARGETS

Verdict = tuple[str, bool, str]  # chip, legal, reason


def legality(result: Result) -> list[Verdict]:
    """For each generation of chip: is the kernel legal there, and if not, the first reason."""
    verdicts = []
    seen = set()
    for chip in CHIPS:
        if chip.generation in seen:
            continue
        seen.add(chip.generation)
        if chip.generation not in TARGETS[result.api]:
            verdicts.append((chip.key, False, f"{result.api} does not target this chip"))
        elif chip.key == result.chip.key:
            verdicts.append(_verdict(chip.key, result.violations))
        else:
            verdicts.append(_traced(result, chip.key))
    return verdicts


def _traced(result: Result, key: str) -> Verdict:
    try:
        return _verdict(key, result.rerun(key).violations)
    except Violations as broken:
        return _verdict(key, broken.found)
    except NotModelled as missing:
        return key, False, str(missing).splitlines()[0]
    except TrnlabError as broken:
        return key, False, str(broken).splitlines()[0]
    except Exception as own:
        return key, False, f"the kernel itself raises {type(own).__name__}: {own}"[:160]


def _verdict(key: str, violations: object) -> Verdict:
    found = list(violations)  # type: ignore[call-overload]
    if not found:
        return key, True, ""
    first = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    where = f" at {first.place}" if first.place else ""
    return key, False, f"{first.limit or first.what}{where}{more}"
