"""`docs/accuracy.md` and what `trnlab validate` prints: the table of predicted and published."""

from collections.abc import Iterable, Sequence

from trnlab.studies.validation.heldout import HeldOut, families
from trnlab.studies.validation.validate import (
    KINDS,
    Comparison,
    constants,
    rankings,
    remembered,
    summaries,
)

HEAD = """\
# Accuracy

Predicted against published, for every figure that the project holds. Written by `make docs` from
`trnlab validate`; a test fails when it is stale. Errors are signed and relative: +10 % is a
prediction that is 10 % too high. The band is what four of five figures of a kind are within. The
one that reports carry is that of all latencies, each by the larger of its error here and its error
when its family was held out.

The kernels are ours, written again with the algorithm, tiling and shapes of those that were timed
(`trnlab/kernels/validation`); the figures and where they come from are in
`trnlab/studies/validation/measured.csv`. A row of the profiler's clock is compared with the device
latency plus what a profiler counts before and after.
"""

GAPS = """\
## Known gaps

- Upper bounds say that a kernel was not slower. Loose ones lie far above: those of `resize_nearest`
  are older than its kernel, which gathers 128 pixels at a time, and that of `conv2d` is 1.2 times a
  kernel that is not public.
- Blind figures moved one rule and no constant: until they were found, programs of the current API
  ran in their own order, and the three products were at -4 %, +34 % and +130 %. Attention in small
  steps, of which they hold none (ucb-bar/autocomp), is at -52 % to +91 %: the device takes
  exponentials of several steps at once.
- A transfer of 128 single numbers costs trn1 twice what `add_rows` predicts.
- `sd_attention_in_pairs` and `rmsnorm_qkv` were timed with tensors placed by hand; ours are not.
- The tests of `flash_fwd` have bounds of an hour to a day, and are left out.
- How quickly Trainium1 transposes while it loads is not published; the bounds of `sd_attention`
  exclude a twentieth of the rate of a copy.
"""


def page(found: Sequence[Comparison] | None = None) -> str:
    """The whole page, in Markdown."""
    held = remembered() if found is None else found
    parts = [_kinds(held), _constants(), _unseen(), _ranks(held), _rows(held), GAPS]
    return "\n".join([HEAD, *parts])


def overview(found: Iterable[Comparison]) -> str:
    """One line for each kind, for a terminal."""
    held = list(found)
    lines = [
        f"{s.kind:<20}{s.count:>5} figures   median {s.median:>5.1%}   mean {s.mean:>5.1%}   "
        f"worst {s.worst:>5.1%}   band +-{s.band:.0%}   bias {s.bias:+.1%}"
        for s in summaries(held)
    ]
    ranks = rankings(held)
    if ranks:
        lines.append(f"variant ranking     {len(ranks):>5} groups    Spearman {_ranked(ranks)}")
    fitted = ", ".join(f"{n} on {key}" for key, n in constants().items())
    lines.append(f"fitted constants: {fitted}")
    return "\n".join(lines)


def rows(found: Iterable[Comparison]) -> str:
    """One line for each figure, for a terminal."""
    return "\n".join(
        f"{c.kind:<18} {c.row.kernel:<20} {c.row.shape:<34} {c.row.dtype:<5}{c.row.chip:<5}"
        f"{_value(c.predicted, c.row.unit):>12} {_value(c.row.value, c.row.unit):>12} "
        f"{c.error:+7.1%}"
        for c in found
    )


def _ranked(ranks: dict[str, float]) -> str:
    return f"mean {sum(ranks.values()) / len(ranks):.2f}, least {min(ranks.values()):.2f}"


def _kinds(held: Sequence[Comparison]) -> str:
    lines = [
        "## By kind\n",
        "| Kind | What | Figures | Median | Mean | Worst | Band | Bias |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {s.kind} | {KINDS[s.kind]} | {s.count} | {s.median:.1%} | {s.mean:.1%} | {s.worst:.1%} "
        f"| ±{s.band:.0%} | {s.bias:+.1%} |"
        for s in summaries(held)
    ]
    return "\n".join([*lines, ""])


def _constants() -> str:
    counts = ", ".join(f"{n} on {key}" for key, n in constants().items())
    return (
        f"Constants that were adjusted to latencies of kernels: {counts}. All others are measured "
        "in traces, published\nby the vendor, derived or assumed; `trnlab chips NAME` prints each "
        "with its source.\n"
    )


UNSEEN = """\
## Held out

How good predictions are of kernels that the constants have not seen: one family at a time is left
out, the constants of its chip are fitted again to all others, and the family is predicted. A
constant that no other family feels is then not known, and is that of trn2: two of those of trn1
are known from its ladder alone. What was read off counters and traces, such as the rules of the
older compiler, stays as it is.
"""


def _unseen() -> str:
    lines = [
        UNSEEN,
        "| Chip | Family | Figures | Mean error, seen | Mean error, held out | Worst, held out |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {f.chip} | {f.name} | {f.count} | {f.seen:.1%} | {f.unseen:.1%} | {f.worst:.1%} |"
        for f in families()
    ]
    return "\n".join([*lines, ""])


def unseen(found: Iterable[HeldOut]) -> str:
    """One line for each family, predicted with constants that never saw it, for a terminal."""
    return "\n".join(
        f"{f.chip:<6}{f.name:<12}{f.count:>5} figures   mean {f.seen:>6.1%} seen {f.unseen:>6.1%} "
        f"held out   worst {f.worst:>6.1%}"
        for f in families(found)
    )


def _ranks(held: Sequence[Comparison]) -> str:
    ranks = rankings(held)
    lines = [
        "## Which variant is quicker\n",
        f"Spearman's correlation among variants of one family at one shape: {_ranked(ranks)}.\n",
        "| Family and shape | Spearman |",
        "|---|---|",
    ]
    return "\n".join([*lines, *(f"| {n} | {v:.2f} |" for n, v in sorted(ranks.items())), ""])


def _rows(held: Sequence[Comparison]) -> str:
    lines = []
    for kind in KINDS:
        mine = [c for c in held if c.kind == kind]
        lines += [
            f"## {kind[0].upper()}{kind[1:]}\n",
            "| What | Shape | Type | Chip | Predicted | Published | Error | Source |",
            "|---|---|---|---|---|---|---|---|",
            *(_line(c) for c in mine),
            "",
        ]
    return "\n".join(lines)


def _line(c: Comparison) -> str:
    row = c.row
    clock = f" ({row.clock})" if row.clock not in ("", "device") else ""
    if row.metric != "seconds":
        clock = f" ({row.metric.split('_')[1]})"
    return (
        f"| {row.kernel}{clock} | {row.shape} | {row.dtype} | {row.chip} "
        f"| {_value(c.predicted, row.unit)} | {_value(row.value, row.unit)} | {c.error:+.1%} "
        f"| {row.source} |"
    )


def _value(value: float, unit: str) -> str:
    if unit == "B":
        return f"{value / 1e6:,.2f} MB"
    for size, name in ((1e-3, "ms"), (1e-6, "us")):
        if value >= size:
            return f"{value / size:,.2f} {name}"
    return f"{value / 1e-9:,.0f} ns"
