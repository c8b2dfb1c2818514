"""The sweep grammar means what hydra-optuna-sweeper means by it, and choices may be lists."""

from __future__ import annotations

import pytest
from hydra_plugins.hydra_optuna_sweeper import _impl as stock
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hydra_plugins.phalanx._grammar import grid, parse

CASES = {
    "x=choice(a,b,c)": CategoricalDistribution(["a", "b", "c"]),
    "x=a,b": CategoricalDistribution(["a", "b"]),
    "x=choice(2,2.5,true)": CategoricalDistribution([2, 2.5, True]),
    "x=range(1,4)": IntDistribution(1, 3),
    "x=range(1,10,3)": IntDistribution(1, 7, step=3),
    "x=range(0.0,1.0,0.25)": FloatDistribution(0, 0.75, step=0.25),
    "x=interval(1,5)": FloatDistribution(1, 5),
    "x=interval(1.0,5)": FloatDistribution(1, 5),
    "x=int(interval(1,5))": IntDistribution(1, 5),
    "x=tag(log,int(interval(1,64)))": IntDistribution(1, 64, log=True),
    "x=tag(log,interval(0.001,1))": FloatDistribution(0.001, 1, log=True),
}


@pytest.mark.parametrize(("text", "distribution"), CASES.items())
def test_each_form_is_read_as_the_stock_plugin_reads_it(text, distribution):
    assert parse([text]).distributions == {"x": distribution}
    theirs, fixed, _ = stock.create_params_from_overrides([text])
    assert theirs == {"x": distribution}
    assert not fixed


def test_choices_may_be_lists():
    space = parse(["model.hidden=choice([64],[128,64])"])
    assert space.distributions == {"model.hidden": CategoricalDistribution(["[64]", "[128,64]"])}
    assert space.overrides({"model.hidden": "[128,64]"}) == ["model.hidden=[128,64]"]


def test_fixed_values_and_deletions_join_every_trial():
    space = parse(["a=choice(1,2)", "b=3", "~c", "d='x y'"])
    assert space.fixed == {"b": "3", "d": "'x y'"}
    assert space.overrides({"a": 2}) == ["a=2", "b=3", "~c", "d='x y'"]


def test_the_last_override_of_a_key_wins():
    assert parse(["a=choice(1,2)", "a=5"]).distributions == {}
    assert parse(["a=5", "a=choice(1,2)"]).fixed == {}


def test_values_become_overrides_that_hydra_reads_back():
    assert parse(["a=1"]).overrides({"x": None, "y": True, "z": 1e-05}) == ["x=null", "y=true", "z=1e-05", "a=1"]


def test_a_grid_has_every_value():
    assert grid(parse(["a=range(1,4)", "b=choice(x,y)"])) == {"a": [1, 2, 3], "b": ["x", "y"]}
    with pytest.raises(ValueError, match="discrete"):
        grid(parse(["a=interval(0.0,1.0)"]))
