"""Muon against torch's, whose products are in bfloat16, and its bits for any number of trials."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.datasets import blobs

from phalanx import MLP, OPTIMIZERS, DeviceSpec, TrainerSpec, TrialSpec, train_cohort, train_trial
from phalanx.core.device import threads
from phalanx.core.specs import stacked_values
from phalanx.nn.models.layout import Layout
from phalanx.nn.optimizers.muon import orthogonalised
from phalanx.training.cohort import Cohort

MUON = OPTIMIZERS["muon"]


def drawn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


LAYOUT = Layout(("w", "b", "kernel", "u", "last"), ((6, 4), (6,), (2, 3, 3), (5, 9), (3, 5)))


def steps(spec, params_TP, all_grads):
    spec = spec.bound(LAYOUT)
    hyper = stacked_values([spec] * len(params_TP))
    columns = spec.columns(hyper, params_TP)
    state = spec.init(params_TP, columns)
    step_ST = torch.arange(1, len(all_grads) + 1, dtype=torch.float64)[:, None].expand(-1, len(params_TP))
    tables = spec.tables(torch.full_like(step_ST, spec.lr), step_ST, hyper)
    for step, grads_TP in enumerate(all_grads):
        at = {name: table[step].float() for name, table in tables.items()}
        spec.update(params_TP, grads_TP.clone(), state, at, columns)
    return params_TP


@pytest.mark.parametrize("last_layer", ["adamw", "muon"])
@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize(("step_size", "theirs"), [("match_adamw", "match_rms_adamw"), ("original", "original")])
def test_its_steps_are_torchs(step_size, theirs, nesterov, last_layer):
    params_P, *all_grads = drawn(4, LAYOUT.size)
    params = [torch.nn.Parameter(view[0].clone()) for view in LAYOUT.views(params_P[None])]
    places = [0, 3, 4] if last_layer == "muon" else [0, 3]
    lr = 0.01
    muon = torch.optim.Muon([params[i] for i in places], lr=lr, nesterov=nesterov, adjust_lr_fn=theirs)
    adamw = torch.optim.AdamW([p for i, p in enumerate(params) if i not in places], lr=lr, weight_decay=0.1)
    for grads_P in all_grads:
        for param, grad in zip(params, LAYOUT.views(grads_P[None]), strict=True):
            param.grad = grad[0].clone()
        muon.step()
        adamw.step()
    spec = MUON(lr=lr, nesterov=nesterov, step_size=step_size, last_layer=last_layer)
    ours = LAYOUT.views(steps(spec, params_P[None].clone(), [grads_P[None] for grads_P in all_grads]))
    for place, (mine, param) in enumerate(zip(ours, params, strict=True)):
        moved = (param.detach() - LAYOUT.views(params_P[None])[place][0]).norm()
        error = (mine[0] - param.detach()).norm() / moved
        assert error < (0.02 if place in places else 1e-5), place  # bfloat16 has 8 bits


def test_singular_values_become_about_one():
    for shape in ((20, 30), (20, 70), (70, 20), (1, 5), (5, 1)):
        found_THD = orthogonalised(drawn(3, *shape), 5)
        assert found_THD.shape == (3, *shape)
        values = torch.linalg.svdvals(found_THD)
        assert values.min() > 0.6
        assert values.max() < 1.3
    assert torch.equal(orthogonalised(torch.zeros(2, 3, 4), 5), torch.zeros(2, 3, 4))


@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="this torch multiplies by another library than MKL")
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 7), (7, 1), (2, 3), (17, 33), (64, 64), (300, 20), (33, 257), (1, 300), (3, 1000)]
)
def test_a_matrix_rounds_alike_beside_any_number_of_others(shape, n_threads):
    matrix_THD = drawn(4, *shape)
    with threads(n_threads):
        whole_THD = orthogonalised(matrix_THD, 5)
        for n in (1, 2):
            for first in range(0, 4, n):
                assert orthogonalised(matrix_THD[first : first + n].clone(), 5).equal(whole_THD[first : first + n])


@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="this torch multiplies by another library than MKL")
def test_trials_of_several_shapes_are_not_padded_and_have_the_bits_of_one_alone():
    """Also where padding is asked for, which would change the size of the steps."""
    plain = TrialSpec(optimizer=MUON(), trainer=TrainerSpec(epochs=2, batch_size=25), device=DeviceSpec(pad=True))
    specs = [
        replace(plain, seed=seed, model=MLP(hidden=hidden), optimizer=MUON(lr=0.01 * (seed + 1), momentum=momentum))
        for seed, (hidden, momentum) in enumerate([((9, 5), 0.9), ((12, 8), 0.0), ((9, 5), 0.5), ((7,), 0.95)])
    ]
    dataset = blobs()
    cohort = Cohort(specs[0], dataset)
    cohort.join(specs)
    cohort.epoch()
    assert sorted(chunk.stack.model.hidden for chunk in cohort.chunks) == [(7,), (9, 5), (12, 8)]
    for spec, result in zip(specs, train_cohort(specs, dataset), strict=True):
        alone = train_trial(spec, dataset)
        assert alone.metrics == result.metrics
        assert all(alone.weights[name].equal(result.weights[name]) for name in alone.weights)
