"""A plugin for pytest: kernels of an unmodified test-suite run on simulated NeuronCores.

``pytest -p trnlab`` and ``trnlab pytest`` load it. Import names are there before the first
conftest is read, `neuron-profile` is on PATH, and a summary of the kernel calls ends the session.
"""

import os
import sys
from contextlib import ExitStack
from typing import Any

import pytest

from trnlab.errors import TrnlabError
from trnlab.kernels.shipped.names import activate
from trnlab.nki import jit
from trnlab.studies.profiler import tools_on_path
from trnlab.studies.suite import Calls

VARIABLE = "PYTEST_PLUGINS"  # what processes that this one starts load, before their conftests
ROOMS = ("trnlab.nki.", "trnlab.sim.", "trnlab.isa.")  # whose lines are nobody's kernel


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of a session."""
    group = parser.getgroup("trnlab", "simulated Trainium")
    add = group.addoption
    add("--trnlab-chip", metavar="CHIP", help="trn1, trn2 or trn3")
    add("--as-vendor-sim", action="store_true", help="broken rules are warnings")
    add("--trnlab-no-time", action="store_true", help="compute values only")
    add("--trnlab-shadow", action="store_true", help="stand in for an installed vendor package")


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Starts the session before any conftest can import a kernel."""
    asked = early_config.known_args_namespace
    try:
        session = Session(asked)
    except TrnlabError as error:
        raise pytest.UsageError(str(error)) from None
    early_config.pluginmanager.register(session, "trnlab session")


class Session:
    """One run of pytest: the settings that hold, and what its kernel calls came to."""

    def __init__(self, asked: Any) -> None:
        self.calls, self.closing = Calls(), ExitStack()
        jit.chip_in_use(asked.trnlab_chip)  # an unknown chip is said before anything runs
        activate(shadow=asked.trnlab_shadow)
        self.closing.enter_context(tools_on_path())
        before = jit.configure(
            chip=asked.trnlab_chip, strict=not asked.as_vendor_sim, timed=not asked.trnlab_no_time
        )
        self.closing.callback(lambda: jit.configure(**vars(before)))
        jit.listen(self.calls.add)
        self.closing.callback(jit.unlisten, self.calls.add)
        self._pass_on()

    def _pass_on(self) -> None:
        """Workers of pytest-xdist load plugins of the command line too late, these in time."""
        before = os.environ.get(VARIABLE)
        os.environ[VARIABLE] = ",".join(filter(None, (before, "trnlab")))
        self.closing.callback(
            lambda: os.environ.pop(VARIABLE) if before is None else _set(VARIABLE, before)
        )

    def pytest_pycollect_makeitem(self, obj: Any) -> list[pytest.Item] | None:
        """A kernel is no test, whatever its name begins with."""
        return [] if isinstance(obj, jit.Kernel) else None

    def pytest_runtest_makereport(self, call: pytest.CallInfo) -> None:
        """Counts the tests that an error of ours ended."""
        failed = call.excinfo
        self.calls.stop(failed.value if failed else None)
        if failed:
            _hide_rooms()

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A worker of pytest-xdist hands over what it counted."""
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["trnlab"] = [self.calls.rows, self.calls.stopped]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Takes over what a worker of pytest-xdist counted."""
        self.calls.merge(*getattr(node, "workeroutput", {}).get("trnlab", ({}, {})))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Says which kernels ran, and what became of the rules."""
        if self.calls.rows or self.calls.stopped:
            terminalreporter.section("trnlab")
            for line in self.calls.summary():
                terminalreporter.write_line(line)

    def pytest_unconfigure(self) -> None:
        """Puts everything back as it was."""
        self.closing.close()


def _hide_rooms() -> None:
    """Lets what pytest shows of an error of ours end with the lines of the kernel."""
    for name, module in list(sys.modules.items()):
        if name.startswith(ROOMS):
            vars(module).setdefault("__tracebackhide__", _is_ours)


def _is_ours(info: Any) -> bool:
    return info is not None and isinstance(info.value, TrnlabError)


def _set(name: str, value: str) -> None:
    os.environ[name] = value
