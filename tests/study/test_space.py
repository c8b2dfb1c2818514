"""Spaces in which some parameters exist only under conditions."""

from __future__ import annotations

import optuna
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution
from support.studies import (
    study,
)

from phalanx.study import (
    suggest_from,
)


@st.composite
def conditional_spaces(draw):
    """Choices and ranges, some of them under conditions on choices that come anywhere in the mapping."""
    names = draw(st.permutations("abcdef"))
    choices = {
        n: CategoricalDistribution(draw(st.sampled_from([("x", "y"), (1, 2, 3), (True, False, None)])))
        for n in names[:3]
    }
    space = {**choices, **{n: FloatDistribution(0, 1) for n in names[3:]}}
    when = {}
    for place, name in enumerate(names):
        above = names[: min(place, 3)]
        if above and draw(st.booleans()):
            on = draw(st.lists(st.sampled_from(above), min_size=1, max_size=2, unique=True))
            parts = []
            for key in on:
                wanted = draw(st.lists(st.sampled_from(choices[key].choices), min_size=1, max_size=2, unique=True))
                parts.append(f"{key}={','.join(map(written, wanted))}")
            when[name] = " and ".join(parts)
    order = draw(st.permutations(sorted(space)))
    return {name: space[name] for name in order}, when


def written(value):
    """A value as YAML writes it, and as conditions name it."""
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)


def holds(text, params):
    for part in text.split(" and "):
        key, _, values = part.partition("=")
        if key not in params:
            return False
        if written(params[key]) not in values.split(","):
            return False
    return True


@given(conditional_spaces(), st.integers(0, 2**16))
@settings(max_examples=60, deadline=None)
def test_a_parameter_exists_exactly_where_its_condition_holds(space_and_when, seed):
    space, when = space_and_when
    found = study(sampler=optuna.samplers.RandomSampler(seed=seed))
    suggest = suggest_from(space, when)
    for _ in range(6):
        trial = found.ask()
        suggest(trial)
        for name in space:
            assert (name in trial.params) == (name not in when or holds(when[name], trial.params))
