"""Norms and residual connections of the built-in networks, against `nn.LayerNorm`, `nn.BatchNorm1d` and a plain loop."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from support import reference
from support.datasets import blobs
from torch import nn

from phalanx import MLP, TrainerSpec, TrialSpec
from phalanx.core.errors import RequestError, SpecError
from phalanx.nn.models.activations import ACTIVATIONS
from phalanx.nn.models.norms import Norm
from phalanx.nn.optimizers.sgd import SGD
from phalanx.runs.checkpoint import read_checkpoint, write_checkpoint
from phalanx.runs.model_file import load_model, save_model
from phalanx.training.cohort import Cohort
from phalanx.training.loop import train_cohort, train_trial
from phalanx.training.spec import config_digest

T, B, D, C = 3, 6, 5, 4
DATA = blobs(n_train=52, n_val=30)  # the last batch of 25 has two samples
KINDS = [("none", True), ("layer", False), ("layer", True), ("batch", False), ("batch", True)]


class Twin(nn.Module):
    """The network as torch has its parts; its tensors have the same names."""

    def __init__(self, widths, *, activation="relu", dropout=0.0, norm="none", residual=False):
        super().__init__()
        self.layers = nn.ModuleList(itertools.starmap(nn.Linear, itertools.pairwise(widths)))
        kind = {"none": nn.Identity, "layer": nn.LayerNorm, "batch": nn.BatchNorm1d}[norm]
        self.norms = nn.ModuleList(kind(width) for width in widths[1:-1])
        self.drops = nn.ModuleList(nn.Dropout(dropout) for _ in widths[1:-1])
        self.activation, self.residual = reference.ACTIVATION[activation](), residual

    def forward(self, x):
        for layer, (linear, norm, drop) in enumerate(zip(self.layers[:-1], self.norms, self.drops, strict=True)):
            y = drop(self.activation(norm(linear(x))))
            x = x + y if self.residual and layer and x.shape == y.shape else y
        return self.layers[-1](x)


def both(data, *, hidden=(9, 9, 7), seed=7, **options):
    """Our result, and the rows and the network of the plain loop."""
    trainer = TrainerSpec(epochs=3, batch_size=25, keep="last")
    spec = TrialSpec(model=MLP(hidden=hidden, **options), optimizer=SGD(lr=0.05), trainer=trainer, seed=seed)
    rows, net = reference.train(
        (data.train.x_ND, data.train.y_N), (data.val.x_ND, data.val.y_N), (), optimizer="sgd",
        optimizer_options={"lr": 0.05, "momentum": 0.9}, epochs=3, batch_size=25, seed=seed,
        build=lambda: Twin((data.n_features, *hidden, data.n_classes), **options),
    )  # fmt: skip
    return train_trial(spec, data), rows, net


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize(("norm", "residual"), KINDS)
def test_outputs_gradients_and_statistics_of_a_step_are_those_of_torch(norm, residual, activation):
    model = MLP(hidden=(7, 6, 6), activation=activation, norm=norm, residual=residual)
    layout, stream = model.layout(D, C), torch.Generator().manual_seed(0)
    params_TP = model.initial(layout, range(T))
    views = layout.views(params_TP)
    for view in views[8:]:  # of the norms, which would be 0 and 1
        view.add_(torch.rand(view.shape, generator=stream))
    x_TBD, grad_TBC = (torch.randn(T, B, size, generator=stream) for size in (D, C))
    twins = []
    for row in range(T):
        twin = Twin((D, 7, 6, 6, C), activation=activation, norm=norm, residual=residual)
        twin.load_state_dict({name: view[row].clone() for name, view in zip(layout.names, views, strict=True)})
        twins.append(twin.double())  # else the bias in front of a batch norm has a gradient of rounding errors
    evaluated_TBC = model.forward(views, x_TBD)
    for twin, found_BC, x_BD in zip(twins, evaluated_TBC, x_TBD, strict=True):
        torch.testing.assert_close(found_BC, twin.eval()(x_BD.double()).float(), rtol=1e-5, atol=1e-5)
    grads_TP = torch.full((T, layout.n_trained), torch.nan)
    logits_TBC, backward = model.vjp(views, x_TBD)
    backward(grad_TBC.clone(), layout.views(grads_TP))
    for row, twin in enumerate(twins):
        exact_BC = twin.train()(x_TBD[row].double())
        exact_BC.backward(grad_TBC[row].double())
        torch.testing.assert_close(logits_TBC[row], exact_BC.float(), rtol=1e-4, atol=1e-5)
        exact = [parameter.grad.float() for parameter in twin.parameters()]
        for one, other in zip(layout.views(grads_TP), exact, strict=True):
            torch.testing.assert_close(one[row], other, rtol=1e-4, atol=1e-5)
        for name, view in zip(layout.names, views, strict=True):
            torch.testing.assert_close(view[row], twin.state_dict()[name].float(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize(("norm", "residual"), KINDS)
def test_it_trains_as_a_plain_loop_does(norm, residual, dropout):
    result, rows, net = both(DATA, norm=norm, residual=residual, dropout=dropout)
    assert [row.train_loss for row in result.history] == pytest.approx([row[0] for row in rows], rel=1e-4)
    assert [row.val_loss for row in result.history] == pytest.approx([row[2] for row in rows], rel=1e-4)
    assert result.n_parameters == sum(parameter.numel() for parameter in net.parameters())
    wanted = {name: tensor for name, tensor in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert result.weights.keys() == wanted.keys()
    for name, tensor in result.weights.items():
        torch.testing.assert_close(tensor, wanted[name], rtol=1e-3, atol=1e-4)


def test_a_model_file_of_a_batch_norm_loads_into_torch_and_predicts_the_same(tmp_path):
    result, _, _ = both(DATA, norm="batch", residual=True)
    spec = TrialSpec(model=MLP(hidden=(9, 9, 7), norm="batch", residual=True))
    save_model(tmp_path / "model.safetensors", spec, DATA, result)
    saved = load_model(tmp_path / "model.safetensors")
    twin = Twin((DATA.n_features, 9, 9, 7, DATA.n_classes), norm="batch", residual=True).eval()
    twin.load_state_dict(saved.weights)
    torch.testing.assert_close(saved.logits(DATA.val.x_ND), twin(DATA.val.x_ND), rtol=1e-4, atol=1e-5)
    assert saved.logits(DATA.val.x_ND[:1]).equal(saved.logits(DATA.val.x_ND)[:1])


def test_statistics_are_those_of_the_saved_epoch_and_go_on_from_a_checkpoint(tmp_path):
    spec = TrialSpec(
        model=MLP(hidden=(9,), norm="batch"), optimizer=SGD(lr=2.0), trainer=TrainerSpec(epochs=4, batch_size=26)
    )
    before, after, file = Cohort(spec, DATA), Cohort(spec, DATA), tmp_path / "checkpoint.safetensors"
    before.join([spec])
    before.epoch()
    write_checkpoint(file, {"format": 1, "trial": {}, "data_digest": "", "versions": {}}, [before.snapshot(0)])
    (place,) = after.join([spec], read_checkpoint(file)[1])
    found = {}
    while after.running:
        found |= after.epoch()
    whole = train_trial(spec, DATA)
    assert all(whole.weights[name].equal(found[place].weights[name]) for name in whole.weights)
    short = replace(spec, trainer=replace(spec.trainer, epochs=whole.best_epoch, keep="last"))
    assert whole.best_epoch < 4
    assert all(whole.weights[name].equal(train_trial(short, DATA).weights[name]) for name in whole.weights)


def test_trials_that_leave_and_diverge_leave_the_statistics_of_the_others_alone():
    model = MLP(hidden=(9, 9), norm="batch", residual=True)
    trials = [
        TrialSpec(model=replace(model, dropout=0.2 * i, init=init), optimizer=SGD(lr=lr), seed=i,
                  trainer=TrainerSpec(epochs=epochs, batch_size=25))
        for i, (lr, epochs, init) in enumerate([(1e30, 3, "torch"), (0.05, 1, "kaiming"), (0.1, 4, "orthogonal")])
    ]  # fmt: skip
    results = train_cohort(trials, DATA)
    assert [result.status for result in results] == ["diverged", "completed", "completed"]
    for spec, result in list(zip(trials, results, strict=True))[1:]:
        alone = train_trial(spec, DATA)
        assert alone.metrics == result.metrics
        assert all(alone.weights[name].equal(result.weights[name]) for name in alone.weights)


def test_norms_of_products_in_bfloat16_are_computed_in_float32():
    z_TBH = (50 + torch.randn(1, 8, 9, generator=torch.Generator().manual_seed(0))).bfloat16()
    for axis in (1, 2):  # numbers near 50 have an error of 0.1 in bfloat16, so that a mean in it shows
        out_TBH, _ = Norm(axis, torch.ones(1, 9).bfloat16(), torch.zeros(1, 9).bfloat16()).train(z_TBH)
        exact_TBH = nn.functional.layer_norm(z_TBH.float().transpose(axis, 2), [z_TBH.shape[axis]]).transpose(axis, 2)
        torch.testing.assert_close(out_TBH.float(), exact_TBH, rtol=0.01, atol=0.01)
    trainer = TrainerSpec(epochs=2, batch_size=26, precision="bfloat16")
    result = train_trial(TrialSpec(model=MLP(hidden=(9,), norm="batch"), trainer=trainer), DATA)
    assert result.status == "completed"
    assert result.weights["norms.0.running_var"].dtype == torch.float32


def test_a_batch_of_one_sample_is_refused_by_a_batch_norm_alone():
    data = blobs(n_train=51, n_val=30)
    spec = TrialSpec(model=MLP(hidden=(4,), norm="batch"), trainer=TrainerSpec(epochs=1, batch_size=25))
    with pytest.raises(RequestError, match=r"the last batch has one; try trainer\.drop_last=true or model\.norm=layer"):
        train_trial(spec, data)
    with pytest.raises(RequestError, match=r"each batch has one; try trainer\.batch_size=32"):
        train_trial(replace(spec, trainer=TrainerSpec(epochs=1, batch_size=1)), data)
    train_trial(replace(spec, trainer=replace(spec.trainer, drop_last=True)), data)
    train_trial(replace(spec, model=MLP(hidden=(4,), norm="layer")), data)


def test_a_residual_needs_two_hidden_layers_of_one_width():
    with pytest.raises(SpecError, match=r"model\.residual must be false where no hidden layer is as wide as the one"):
        MLP(hidden=(8, 4), residual=True)
    assert MLP(hidden=(8, 4, 4), residual=True).residual
    with pytest.raises(SpecError, match=r"model\.norm must be one of none, layer, batch, got 'group'"):
        MLP(norm="group")


def test_each_changes_the_digest_and_neither_is_padded():
    plain, specs = MLP(hidden=(8, 8)), [MLP(hidden=(8, 8), norm=norm, residual=residual) for norm, residual in KINDS]
    assert len({config_digest(TrialSpec(model=model)) for model in (plain, *specs)}) == 1 + len(specs)
    assert plain.padded()
    assert not any(model.padded() for model in specs)
