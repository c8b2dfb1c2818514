"""The contract of an optimizer. Axes: T trials, P parameters of one trial, S steps."""

from dataclasses import replace

import torch
from torch import Tensor

from phalanx.core.specs import stacked_values
from phalanx.nn.models.layout import Layout
from phalanx.nn.optimizers.base import OptimizerSpec, State, to_rows
from phalanx.testing.option import OptionContract

LAYOUT = Layout(("0.weight", "0.bias", "1.weight", "1.bias"), ((2, 3), (2,), (1, 2), (1,)))
P = LAYOUT.size


class _Run:
    """Trials of one optimizer that minimize (p - 1)² / 2."""

    def __init__(self, specs: list[OptimizerSpec], params_TP: Tensor, n_steps: int) -> None:
        self.spec, self.params_TP, hyper = specs[0].bound(LAYOUT), params_TP.clone(), stacked_values(specs)
        self.columns = self.spec.columns(hyper, self.params_TP)
        self.state: State = self.spec.init(self.params_TP, self.columns)
        step_ST = torch.arange(1, n_steps + 1, dtype=torch.float64)[:, None].expand(-1, len(specs))
        self.tables = self.spec.tables(hyper["lr"].expand(n_steps, -1), step_ST, hyper)
        self.rows = to_rows({name: table.to(self.params_TP) for name, table in self.tables.items()})

    def train(self, *, start: int = 0, stop: int | None = None) -> Tensor:
        for at in self.rows[start:stop]:
            self.spec.update(self.params_TP, self.params_TP - 1, self.state, at, self.columns)
        return self.params_TP


def _specs(spec: OptimizerSpec) -> list[OptimizerSpec]:
    return [replace(spec, lr=spec.lr * factor) for factor in (1.0, 0.5, 0.1)]


def _params(n_trials: int = 3) -> Tensor:
    return torch.randn(n_trials, P, generator=torch.Generator().manual_seed(0))


class OptimizerContract(OptionContract):
    """Checks an `OptimizerSpec`: updates in place, independence of trials, its state, and that it descends."""

    def test_it_descends(self, spec: OptimizerSpec) -> None:
        before_T = (_params() - 1).norm(dim=1)
        after_T = (_Run(_specs(spec), _params(), 50).train() - 1).norm(dim=1)
        assert (after_T < before_T).all()

    def test_a_trial_depends_on_no_other(self, spec: OptimizerSpec) -> None:
        specs, params_TP = _specs(spec), _params()
        together_TP = _Run(specs, params_TP, 4).train()
        params_TP[0] = torch.nan
        beside_nan_TP = _Run(specs, params_TP, 4).train()
        for place in (1, 2):
            alone_1P = _Run([specs[place]], params_TP[place : place + 1], 4).train()
            torch.testing.assert_close(alone_1P[0], together_TP[place], rtol=0, atol=0)
            torch.testing.assert_close(beside_nan_TP[place], together_TP[place], rtol=0, atol=0)

    def test_it_works_in_place_on_a_state_with_a_row_per_trial(self, spec: OptimizerSpec) -> None:
        run = _Run(_specs(spec), _params(), 3)
        assert not run.state.keys() & {"params_TP", "kept_TP", "sum_TP", "average_TP"}, "these names are taken"
        assert all(value.shape[:1] == (3,) for value in run.state.values())
        assert all(table.shape == (3, 3, 1) for table in run.tables.values())
        before = {name: value.data_ptr() for name, value in run.state.items()}
        run.train()
        assert {name: value.data_ptr() for name, value in run.state.items()} == before

    def test_parameters_and_state_are_all_that_is_remembered(self, spec: OptimizerSpec) -> None:
        whole, first, second = (_Run(_specs(spec), _params(), 6) for _ in range(3))
        whole.train()
        first.train(stop=3)
        second.params_TP.copy_(first.params_TP)
        second.state = {name: value.clone() for name, value in first.state.items()}
        torch.testing.assert_close(second.train(start=3), whole.params_TP, rtol=0, atol=0)

    def test_padding_stays_zero(self, spec: OptimizerSpec) -> None:
        run = _Run(_specs(spec), torch.zeros(3, P), 3)
        for at in run.rows:
            run.spec.update(run.params_TP, torch.zeros(3, P), run.state, at, run.columns)
        assert torch.equal(run.params_TP, torch.zeros(3, P))
