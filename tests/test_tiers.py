"""The tiers of tests: what `make quick` leaves out, and what `make long` adds."""

from pathlib import Path

from support.slow_tests import function_of, listed, long_ones, longer

ROOT = Path(__file__).parents[1]


def test_every_listed_test_exists():
    gone = []
    for name in sorted(listed() | set(map(function_of, long_ones()))):
        file, *classes, function = name.split("::")
        text = (ROOT / file).read_text(encoding="utf-8") if (ROOT / file).is_file() else ""
        # A test method may be inherited from a contract of phalanx.testing.
        wanted = [f"class {part}(" for part in classes] or [f"def {function}("]
        gone += [name for part in wanted if part not in text]
    assert not gone, f"type: make slow-tests  (tests/slow_tests.txt or tests/long_tests.txt names {', '.join(gone)})"


def test_a_test_is_slow_by_the_mean_of_its_cases():
    assert longer({"a": {"a[1]": 0.1, "a[2]": 0.05}, "b": {"b": 0.3}, "c": {"c[1]": 0.05, "c[2]": 0.5}}) == ["b", "c"]
    assert function_of("tests/x/test_y.py::test_z[a::b]") == "tests/x/test_y.py::test_z"
