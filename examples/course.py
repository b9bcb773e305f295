"""What examples 05 to 13 share: a check against NumPy, bars, and a comparison of two runs."""

import runpy
import textwrap
from pathlib import Path

import numpy as np

import trnlab
from trnlab.report.roofline import roofline
from trnlab.report.summary import summarise
from trnlab.units import si

WIDTH = 40


def kernel(file, name):
    """A kernel of another example."""
    return runpy.run_path(str(Path(__file__).with_name(file)))[name]


def check(out, want, tolerance):
    """Raises AssertionError unless every element is right within a share of the largest."""
    got, want = np.asarray(out, np.float32), np.asarray(want, np.float32)
    assert got.shape == want.shape, f"shape {got.shape}, not {want.shape}"
    error = np.abs(got - want).max() / np.abs(want).max()
    assert error <= tolerance, f"off by {error:.2g} of the largest element, allowed {tolerance:.2g}"
    print(f"agrees with NumPy: largest error {error:.1e} of the largest element")


def bar(share):
    """A share of 1 as a bar."""
    return ("#" * round(share * WIDTH)).ljust(WIDTH, ".")


def peak_share(trace):
    """FLOP/s reached, as a share of what the tensor engine can do."""
    roof = roofline(trace, chip_of(trace))
    return roof["attained"] / roof["peak"]


def chip_of(trace):
    """The chip that a trace was made on."""
    return trnlab.chip(trace.meta["chip"])


def limit(trace):
    """One sentence: which engine limits this run, and what it waits for."""
    return summarise(trace, chip_of(trace))["limit"]["sentence"]


def say(label, text):
    """Prints a sentence beside its label."""
    print(textwrap.fill(text, 96, initial_indent=f"{label:<8}", subsequent_indent=" " * 8))


def table(*rows):
    """Prints (label, trace) pairs: time, and share of the tensor engine's peak as a bar."""
    print(f"\n  {'':<20}     time   share of the tensor engine's peak")
    for label, trace in rows:
        share = peak_share(trace)
        print(f"  {label:<20}{si(trace.seconds, 's'):>9}  {share:6.1%}  {bar(share)}")


def engines(trace):
    """Prints how busy each engine was, as bars, and which one limits the run."""
    for entry in summarise(trace, chip_of(trace))["engines"]:
        print(f"  {entry['lane']:<8}{entry['busy']:7.1%}  {bar(entry['busy'])}")
    say("limit", limit(trace))


def compare(label, trace, before_label, before):
    """Prints two runs, what limited each, and what became of the limit of the first."""
    table((before_label, before), (label, trace))
    print()
    say("before", limit(before))
    say("now", limit(trace))
    say("why", _why(before, trace))


def _why(before, trace):
    engine = summarise(before, chip_of(before))["limit"]["lane"]
    was, now = _busy(before, engine), _busy(trace, engine)
    text = f"{engine} was busy {si(was, 's')}, now {si(now, 's')}"
    if now > 0.95 * was:
        idle, less = before.seconds - was, trace.seconds - now
        text = f"{engine} has the same work; it was idle {si(idle, 's')}, now {si(less, 's')}"
    transfers = f"{before.totals['dma_transfers']:,.0f} transfers became "
    transfers += f"{trace.totals['dma_transfers']:,.0f}"
    return f"{text}; {transfers}, {si(_hbm(before), 'B')} of HBM traffic {si(_hbm(trace), 'B')}"


def _busy(trace, engine):
    entries = summarise(trace, chip_of(trace))["engines"]
    return trace.seconds * next((e["busy"] for e in entries if e["lane"] == engine), 0.0)


def _hbm(trace):
    return trace.totals["hbm_read_bytes"] + trace.totals["hbm_write_bytes"]
