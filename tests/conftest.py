"""What every test shares: limits of time, markers that mean something, roots of one's own, and the leak check.

Two things here fail a run that looks green otherwise. A test that hangs is ended by a signal and fails. And each
module of ``tests/integration`` is followed by a look at the machine (``tests/support/leaks.py``): what was not there before
the module and is there after it is named, and the module fails.
"""

from __future__ import annotations

import faulthandler
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from support import fuzzing, leaks, surroundings

HERE = Path(__file__).parent
UNIT_LIMIT = 60.0
INTEGRATION_LIMIT = 180.0
STRICT = os.environ.get("LADING_TEST_STRICT") == "1"
"""Set by ``make test``: a missing peer or privilege is then a failure and not a skip."""


# -- property tests --------------------------------------------------------------------------------------------------

# How long an example takes is a matter of who else uses the machine, and fails nothing. Tests have limits of their own, below.
settings.register_profile(
    "lading",
    deadline=None,
    max_examples=fuzzing.EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("lading")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever Hypothesis runs is what ``make fuzz`` runs, for longer."""
    for item in items:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker(pytest.mark.fuzz)
            if fuzzing.LONGER > 1:
                item.add_marker(pytest.mark.timeout(fuzzing.PATIENCE), append=False)


# -- limits of time ------------------------------------------------------------------------------------------------


class TestTimeout(BaseException):
    """Outside :class:`Exception`, so that no ``except Exception`` of the code under test swallows it."""

    __test__ = False


def _limit(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    if marker is not None:
        return float(marker.args[0])
    return INTEGRATION_LIMIT if _is_integration(item) else UNIT_LIMIT


def _is_integration(item: pytest.Item) -> bool:
    return HERE / "integration" in item.path.parents


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """End a hanging test: first by an exception, and where C code never returns to Python, with the process."""
    seconds = _limit(item)

    def expire(_signal: int, _frame: object) -> None:
        raise TestTimeout(f"{item.nodeid} ran longer than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(seconds + 30, exit=True)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# -- markers -------------------------------------------------------------------------------------------------------


def _missing(item: pytest.Item) -> str:
    """Why this machine cannot run ``item``; empty when it can."""
    if item.get_closest_marker("root") is not None and os.geteuid() != 0:
        return "needs root"
    for marker in item.iter_markers("peer"):
        for name in marker.args:
            if shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
                return f"needs the foreign tool {name}"
    return ""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip by marker on a developer's machine; fail where ``make test`` promised that everything runs."""
    reason = _missing(item)
    if reason and STRICT:
        pytest.fail(f"{reason}, which `make setup` should have provided", pytrace=False)
    if reason:
        pytest.skip(reason)


# -- the leak check ------------------------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    """The same surroundings on every machine; orphans of a test become our children, so that a leaked process is named."""
    surroundings.settle()
    leaks.become_subreaper()


@pytest.fixture(scope="module", autouse=True)
def _nothing_left_behind(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Fail an integration module that leaves something of ours on the machine, and clean up after it."""
    if HERE / "integration" not in request.path.parents:
        yield
        return
    base = str(tmp_path_factory.getbasetemp())
    before = leaks.snapshot()
    yield
    leaks.remove_idle_roots(base)
    left = leaks.left_behind(before, base)
    if left:
        leaks.sweep(left, base)
        lines = "\n  ".join(str(leak) for leak in left)
        pytest.fail(f"{request.path.name} left behind:\n  {lines}", pytrace=False)


_SESSION_START = pytest.StashKey[object]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Remember the machine as it was before the first test; only the controlling process does."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        session.stash[_SESSION_START] = leaks.snapshot()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """What no module could be blamed for while others ran beside it is caught here."""
    before = session.stash.get(_SESSION_START, None)
    if before is None or not _ran_integration(session):
        return
    factory: pytest.TempPathFactory = session.config._tmp_path_factory  # type: ignore[attr-defined]
    base = str(factory.getbasetemp())
    leaks.remove_idle_roots(base)
    left = leaks.left_behind(before, base)
    if left:
        print("\nthe run as a whole left behind:", file=sys.stderr)
        for leak in left:
            print(f"  {leak}", file=sys.stderr)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _ran_integration(session: pytest.Session) -> bool:
    return any("integration" in str(argument) for argument in session.config.args) or not session.config.args


# -- roots ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def lading_env(tmp_path: Path) -> dict[str, str]:
    """An environment whose Lading shares nothing with any other: three roots below ``tmp_path``."""
    env = dict(os.environ)
    env.update(
        LADING_ROOT=str(tmp_path / "data"),
        LADING_RUN=str(tmp_path / "run"),
        LADING_CONFIG=str(tmp_path / "config"),
    )
    source = str(HERE.parent / "src")
    env["PYTHONPATH"] = source + (":" + env["PYTHONPATH"] if env.get("PYTHONPATH") else "")
    return env
