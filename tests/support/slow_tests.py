"""Writes `tests/slow_tests.txt`, what `make quick` leaves out beside the tests marked `slow`: `make slow-tests`.

A pytest plugin. A test is in the list if its cases take longer than `LONGEST_S` on average.
"""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest

LIST = Path(__file__).parents[1] / "slow_tests.txt"
LONG = Path(__file__).parents[1] / "long_tests.txt"  # further cases of what the default run shows; `make long`
LONGEST_S = 0.1

_seconds: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))


def function_of(node_id: str) -> str:
    """The test without its case: `tests/x/test_y.py::test_z[1]` gives `tests/x/test_y.py::test_z`."""
    return node_id.partition("[")[0]


def listed() -> frozenset[str]:
    return frozenset(LIST.read_text(encoding="utf-8").split())


def long_ones() -> frozenset[str]:
    """The ids of the tests and cases that the default run leaves out."""
    return frozenset(LONG.read_text(encoding="utf-8").splitlines())


def longer(seconds: dict[str, dict[str, float]]) -> list[str]:
    """The tests whose cases take too long on average; of each test the seconds of each case."""
    return sorted(name for name, cases in seconds.items() if sum(cases.values()) / len(cases) > LONGEST_S)


def write(names: Iterable[str]) -> None:
    LIST.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _seconds[function_of(report.nodeid)][report.nodeid] += report.duration


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):  # pytest-xdist's workers report to the main process
        write(longer(_seconds))
