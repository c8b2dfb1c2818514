"""A space holds the values that Hydra's own parser says a sweep has, and its overrides read back as those values."""

from __future__ import annotations

import math
import re
from typing import Any

import optuna
import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from support.places import ROOT

from hydra_plugins.phalanx._grammar import grid, parse

PARSER = OverridesParser.create()
MANY = settings(max_examples=60, deadline=None)
FEW = settings(max_examples=25, deadline=None)

# --- what is compared


def read(override: str) -> str:
    """The value of an override, told apart by type: 1, 1.0, True and '1' are four values."""
    parsed = PARSER.parse_override(override)
    assert not parsed.is_sweep_override(), f"{override} is a sweep again"
    return repr(parsed.value())


def hydras(text: str) -> list[str]:
    """The values that Hydra's own grid gives its jobs, in its order."""
    return [read(f"x={value}") for value in PARSER.parse_override(text).sweep_string_iterator()]


def ours(text: str) -> list[str]:
    """The values that our grid gives its jobs."""
    space = parse([text])
    return [given for value in grid(space)["x"] for given in map(read, space.overrides({"x": value}))]


def drawn(text: str, n: int = 60) -> set[str]:
    """Values that a search gives its jobs."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    space = parse([text])
    params = (study.ask(dict(space.distributions)).params for _ in range(n))
    return {given for p in params for given in map(read, space.overrides(p))}


# --- values as people type them

words = st.from_regex(r"[a-z_][a-z0-9_./-]{0,6}", fullmatch=True)
integers = st.integers(-(10**9), 10**9).map(str)
floats = st.floats(allow_nan=False, allow_infinity=False).map(repr)
booleans = st.sampled_from(["true", "false", "True", "FALSE"])
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=8)
quoted = st.builds(lambda text, quote: QuotedString(text, quote).with_quotes(), texts, st.sampled_from(Quote))
plain = words | integers | floats | booleans
scalars = plain | quoted | st.just("null")


def _containers(inner):
    keyed = st.dictionaries(words, inner, max_size=2).map(
        lambda d: "{" + ",".join(f"{k}:{v}" for k, v in d.items()) + "}"
    )
    return st.lists(inner, max_size=3).map(lambda values: f"[{','.join(values)}]") | keyed


containers = _containers(scalars | _containers(scalars))


def several(elements, min_size=1):
    return st.lists(elements, min_size=min_size, max_size=5).map(",".join)


# --- choices


@MANY
@given(several(plain))
def test_choices_of_plain_values(values):
    assert ours(f"x=choice({values})") == hydras(f"x=choice({values})")


@MANY
@given(several(scalars | containers, min_size=2))
def test_comma_lists(values):
    assert ours(f"x={values}") == hydras(f"x={values}")


@MANY
@given(st.lists(plain | containers, max_size=4), containers)
def test_choices_with_lists_and_dicts(values, container):
    text = f"x=choice({','.join([*values, container])})"
    assert ours(text) == hydras(text)


@MANY
@given(st.lists(st.tuples(texts, st.sampled_from(Quote)), min_size=2, max_size=5))
def test_quoted_strings_come_back_as_they_were_typed(strings):
    """Spaces, commas, quotes, backslashes, unicode."""
    typed = ",".join(QuotedString(text, quote).with_quotes() for text, quote in strings)
    assert ours(f"x={typed}") == [repr(text) for text, _ in strings]


@FEW
@given(several(integers | floats, min_size=2), st.sampled_from(["int", "float", "str", "bool"]))
def test_casts_of_choices(values, cast):
    for text in (f"x={cast}({values})", f"x={cast}(choice({values}))", f"x=choice({cast}({values}))"):
        try:
            expected = hydras(text)
        except HydraException:
            continue
        assert ours(text) == expected


@FEW
@given(st.lists(st.integers(-99, 99), min_size=2, max_size=6), st.booleans())
def test_sort_and_shuffle_of_choices(numbers, reverse):
    values = ",".join(map(str, numbers))
    for inner in (values, f"choice({values})"):
        text = f"x=sort({inner},reverse={str(reverse).lower()})"
        assert ours(text) == hydras(text) == [repr(n) for n in sorted(numbers, reverse=reverse)]
        assert sorted(ours(f"x=shuffle({inner})")) == sorted(map(repr, numbers))


@FEW
@given(several(words | integers, min_size=2), st.sampled_from(["", "+", "++"]))
def test_a_plus_sign_is_passed_on_and_no_part_of_the_name(values, sign):
    space = parse([f"{sign}new.key={values}", f"{sign}other=1"])
    assert list(space.distributions) == ["new.key"]
    assert space.overrides({"new.key": 1}) == [f"{sign}new.key=1", f"{sign}other=1"]


@pytest.mark.parametrize("first", ["", "+", "++"])
@pytest.mark.parametrize("second", ["", "+", "++"])
def test_a_key_is_the_same_with_and_without_plus_signs(first, second):
    assert parse([f"{first}x=choice(1,2)", f"{second}x=3"]).overrides({}) == [f"{second}x=3"]
    space = parse([f"{first}x=3", f"{second}x=choice(1,2)"])
    assert space.fixed == {}
    assert space.overrides({"x": 2}) == [f"{second}x=2"]


# --- ranges

decimals = st.builds(
    lambda digits, places: f"{digits / 10**places:.{places}f}", st.integers(-300, 300), st.integers(1, 3)
)
steps = st.integers(-12, 12).filter(bool)


def same_range(text: str) -> None:
    expected = hydras(text)
    if not expected:
        with pytest.raises(ValueError, match="at least one value"):
            parse([text])
        return
    assert set(ours(text)) == set(expected)


@MANY
@given(st.integers(-40, 40), st.integers(-40, 40), steps)
def test_ranges_of_integers(start, stop, step):
    text = f"x=range({start},{stop},{step})"
    same_range(text)
    if expected := hydras(text):
        assert repr(stop) not in expected
        assert drawn(text, 10) <= set(expected)
        assert isinstance(parse([text]).distributions["x"], IntDistribution)


@FEW
@given(st.integers(-40, 40), st.integers(-5, 40))
def test_ranges_with_a_step_of_one(start, length):
    same_range(f"x=range({start},{start + length})")
    same_range(f"x=range({length})")


@MANY
@given(decimals, decimals, decimals.filter(lambda step: abs(float(step)) >= 0.05))
def test_ranges_of_floats(start, stop, step):
    text = f"x=range({start},{stop},{step})"
    assume(abs(float(stop) - float(start)) / abs(float(step)) < 200)
    same_range(text)
    if expected := {float(value) for value in hydras(text)}:
        assert float(stop) not in expected
        assert isinstance(parse([text]).distributions["x"], FloatDistribution)
        for value in map(float, drawn(text, 20)):
            assert any(math.isclose(value, e, rel_tol=1e-9, abs_tol=1e-9) for e in expected), value


@FEW
@given(st.integers(-9, 9), st.integers(1, 9), steps, st.booleans())
def test_sort_shuffle_and_casts_of_ranges(start, length, step, reverse):
    inner = f"range({start},{start + length * (1 if step > 0 else -1)},{step})"
    expected = set(hydras(f"x={inner}"))
    for text in (f"x=sort({inner},reverse={str(reverse).lower()})", f"x=shuffle({inner})", f"x=tag(a,{inner})"):
        assert set(ours(text)) == set(hydras(text)) == expected
    for text in (f"x=float({inner})", f"x=int({inner})"):
        assert set(ours(text)) == set(hydras(text))


# --- intervals

bounds = st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)).map(sorted).filter(lambda b: b[0] < b[1])
positive = st.tuples(st.floats(1e-8, 1e6), st.floats(1e-8, 1e6)).map(sorted).filter(lambda b: b[0] < b[1])


def interval_of(text: str) -> tuple[Any, Any, set[str]]:
    """Start, end and tags of an interval as Hydra reads it."""
    sweep = PARSER.parse_override(text).value()
    return sweep.start, sweep.end, sweep.tags


@MANY
@given(bounds, st.sampled_from(["{}", "float({})", "tag(a,{})", "tag(int,{})", "float(int({}))"]))
def test_intervals(ends, form):
    text = "x=" + form.format(f"interval({ends[0]!r},{ends[1]!r})")
    start, end, tags = interval_of(text)
    distribution = parse([text]).distributions["x"]
    assert distribution == FloatDistribution(start, end)
    assert isinstance(distribution.low, float)
    assert not distribution.log
    assert "log" not in tags


@MANY
@given(positive, st.booleans())
def test_log_intervals(ends, more_tags):
    text = f"x=tag({'a,log' if more_tags else 'log'},interval({ends[0]!r},{ends[1]!r}))"
    start, end, tags = interval_of(text)
    assert parse([text]).distributions["x"] == FloatDistribution(start, end, log="log" in tags)
    assert "log" in tags


@MANY
@given(st.integers(1, 999), st.integers(1, 999), st.booleans(), st.sampled_from([0.0, 0.25, 0.75]))
def test_intervals_of_integers(low, length, log, part):
    inner = f"int(interval({low + part},{low + length + part}))"
    text = f"x=tag(log,{inner})" if log else f"x={inner}"
    start, end, _ = interval_of(text)
    assert (type(start), type(end)) == (int, int)
    assert parse([text]).distributions["x"] == IntDistribution(start, end, log=log)


@FEW
@given(positive, st.booleans())
def test_what_is_drawn_from_an_interval_reads_back(ends, log):
    text = f"x=tag(log,interval({ends[0]!r},{ends[1]!r}))" if log else f"x=interval({ends[0]!r},{ends[1]!r})"
    assert all(ends[0] <= float(value) <= ends[1] for value in drawn(text, 5))


# --- overrides


@MANY
@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.booleans() | st.none())
def test_numbers_booleans_and_null_read_back(value):
    (override,) = parse([]).overrides({"x": value})
    assert read(override) == repr(value)


@MANY
@given(scalars | containers)
def test_fixed_values_read_back(value):
    (override,) = parse([f"x={value}"]).overrides({})
    assert read(override) == read(f"x={value}")


# --- what is easily got wrong


@pytest.mark.parametrize(
    "values",
    ["'a,b',c", "a\\,b,c", "'a, b',c", "'[1,2]',c", "'{a:1}',c", "'f(x)',c", "' padded ',c", "a\\\\\\\\,c"],
)
def test_special_characters_in_choices(values):
    assert ours(f"x=choice({values})") == hydras(f"x=choice({values})")


@pytest.mark.parametrize("text", ["größe", "it's", 'a "b"', "x;y"])
def test_quoted_strings_in_choices(text):
    assert repr(text) in ours(f"x=choice({QuotedString(text, Quote.single).with_quotes()},c)")


def test_drawn_floats_are_those_of_the_range():
    assert drawn("x=range(0.0,1.0,0.1)") <= set(hydras("x=range(0.0,1.0,0.1)"))


@pytest.mark.parametrize("values", ["1,true", "false,0", "1,1.0"])
def test_equal_choices_of_different_types_are_told_apart(values):
    distribution = parse([f"x=choice({values})"]).distributions["x"]
    assert isinstance(distribution, CategoricalDistribution)
    recorded = [distribution.to_external_repr(distribution.to_internal_repr(c)) for c in distribution.choices]
    assert list(map(repr, recorded)) == list(map(repr, distribution.choices))


def test_a_glob_is_a_choice_of_what_there_is():
    with initialize_config_dir(str(ROOT / "conf")):
        loader = GlobalHydra.instance().config_loader()
        found = parse(["schedule=glob(*)"], loader).distributions
    assert found == {"schedule": CategoricalDistribution(["constant", "cosine", "one_cycle", "step"])}


@pytest.mark.parametrize("text", ["x=shuffle(range(0,50))", f"x=shuffle({','.join(map(str, range(50)))})"])
def test_a_shuffled_space_is_the_same_at_every_start(text):
    assert parse([text]) == parse([text])


@pytest.mark.parametrize(
    ("arguments", "params"),
    [
        (["loss={output: softmax}", "loss.output=choice(logits,softmax)"], {"loss.output": "logits"}),
        (["~trainer.clip_norm", "+trainer.clip_norm=2"], {}),
    ],
    ids=["a dict, then a key of it", "deleted and added again"],
)
def test_overrides_keep_the_order_of_the_command_line(arguments, params):
    keys = [re.split("=", override)[0] for override in parse(arguments).overrides(params)]
    assert keys == [re.split("=", argument)[0] for argument in arguments]
