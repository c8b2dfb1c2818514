"""Parameters that exist only where others have a value."""

from __future__ import annotations

import shlex

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution

from phalanx.core.errors import SpecError
from phalanx.study import suggest_from
from phalanx.study.conditions import order, parse

SPACE = {
    "optimizer.momentum": FloatDistribution(0.0, 0.99),
    "optimizer": CategoricalDistribution(["sgd", "adam"]),
    "optimizer.beta1": FloatDistribution(0.5, 0.99),
    "optimizer.nesterov": CategoricalDistribution([True, False]),
    "width_3": CategoricalDistribution([8, 16]),
    "model": CategoricalDistribution(["mlp2", "mlp3", "mlp4"]),
    "deep": CategoricalDistribution(["a", "b"]),
}
WHEN = {
    "optimizer.momentum": "optimizer=sgd",
    "optimizer.beta1": "optimizer=adam",
    "optimizer.nesterov": "optimizer=sgd",
    "width_3": "model=mlp3,mlp4",
    "deep": "model=mlp4 and width_3=16 and optimizer.nesterov=true",
}


def drawn(seed, n=60):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    suggest = suggest_from(SPACE, WHEN)
    for _ in range(n):
        trial = study.ask()
        suggest(trial)
        yield trial.params


def test_each_parameter_is_there_exactly_where_its_condition_holds():
    seen = set()
    for params in drawn(0, 300):
        sgd = params["optimizer"] == "sgd"
        assert ("optimizer.momentum" in params) == ("optimizer.nesterov" in params) == sgd
        assert ("optimizer.beta1" in params) != sgd
        assert ("width_3" in params) == (params["model"] != "mlp2")
        wanted = params["model"] == "mlp4" and params["width_3"] == 16 and params.get("optimizer.nesterov") is True
        assert ("deep" in params) == wanted
        seen |= set(params)
    assert seen == set(SPACE)


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ({"nowhere": "optimizer=sgd"}, "nowhere is not searched; searched: optimizer.momentum"),
        ({"deep": "nowhere=1"}, "nowhere is not searched, so the condition never changes"),
        ({"deep": "optimizer=adma"}, "optimizer is never adma; it is one of sgd, adam"),
        ({"deep": "optimizer.momentum=0.5"}, "is a range"),
        ({"deep": "optimizer"}, "key=value"),
        ({"deep": "=x"}, "key=value"),
        ({"deep": "optimizer="}, "key=value"),
        ({"deep": "width_3=8", "width_3": "deep=a"}, "deep, width_3 wait for each other"),
        ({"deep": "deep=a"}, "deep wait for each other"),
    ],
)
def test_impossible_conditions_are_found_before_the_first_trial(when, message):
    with pytest.raises(SpecError) as caught:
        suggest_from(SPACE, when)
    assert message in str(caught.value)


def test_all_faults_come_at_once():
    with pytest.raises(SpecError, match="2 faults"):
        suggest_from(SPACE, {"nowhere": "optimizer=sgd", "deep": "optimizer=adma"})


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")), max_size=8))
@settings(max_examples=200)
def test_an_order_never_draws_a_parameter_before_what_it_asks_for(edges):
    choices = {name: ["x"] for name in "abcdef"}
    when = {name: f"{needs}=x" for name, needs in edges}
    try:
        conditions = parse(when, choices)
    except SpecError:
        return  # a circle, which has an example of its own above
    names = order(choices, conditions)
    assert sorted(names) == sorted(choices)
    for name, needed in conditions.items():
        assert all(names.index(c.key) < names.index(name) for c in needed)


LISTS = {"model.hidden": ["[8]", "[4,4]"], "trainer.patience": [None, 2], "optimizer.lr": None}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("model.hidden=[4,4]", [{"model.hidden": "[4,4]"}]),
        ("model.hidden=[4, 4],[8]", [{"model.hidden": "[4,4]"}, {"model.hidden": "[8]"}]),
        ("trainer.patience=null", [{"trainer.patience": None}]),
        ("trainer.patience=null,2", [{"trainer.patience": None}, {"trainer.patience": 2}]),
    ],
)
def test_conditions_on_lists_and_null(text, holds):
    (condition,) = parse({"optimizer.lr": text}, LISTS)["optimizer.lr"]
    points = [
        {"model.hidden": hidden, "trainer.patience": patience} for hidden in ("[8]", "[4,4]") for patience in (None, 2)
    ]
    expected = [point for point in points if any(part.items() <= point.items() for part in holds)]
    assert [point for point in points if condition.holds(point)] == expected


@pytest.mark.parametrize("text", ["model.hidden=[3]", "trainer.patience=None"])
def test_what_a_wrong_value_of_a_condition_advises_holds(text):
    with pytest.raises(SpecError, match="is never") as caught:
        parse({"optimizer.lr": text}, LISTS)
    (typed,) = shlex.split(str(caught.value).partition("; try ")[2])
    (name, condition) = typed.partition("={")[2].removesuffix("'}").split(": '")
    assert parse({name: condition}, LISTS)
