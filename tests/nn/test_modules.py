"""Networks that are `nn.Module`s: against a plain loop of torch, and the same alone, in a cohort and resumed."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from support import reference
from support.modules import (
    ALONE,
    MODULES,
    TOGETHER,
    WRONG,
    BatchNormed,
    Convolutional,
    Counting,
    Noisy,
    OneByOne,
    Perceptron,
)
from torch import nn

from phalanx import MLP, MODELS, TrainerSpec, TrialSpec
from phalanx.core.callbacks import Callback
from phalanx.core.errors import RequestError
from phalanx.core.extensions import ExtensionError
from phalanx.core.seeding import derive
from phalanx.nn.models.base import InputShape
from phalanx.nn.models.module_spec import module_spec
from phalanx.nn.optimizers.sgd import SGD
from phalanx.testing import ModuleContract, OptionContract, blobs
from phalanx.training.cohort import Cohort
from phalanx.training.loop import train_cohort, train_trial

SPECS = {module: module_spec(module) for module in (*MODULES, *WRONG)}
DROPPING = (0.4, 1.0)  # rates of a perceptron
DATA = blobs(n_train=60, n_val=30)


def trials(module, seeds, **options):
    trainer = TrainerSpec(epochs=3, batch_size=25, keep="last")
    return [
        TrialSpec(model=SPECS[module](**options), optimizer=SGD(lr=0.05), trainer=trainer, seed=seed) for seed in seeds
    ]


@pytest.fixture
def registered(monkeypatch):
    """Makes the options known by name, as `phalanx.model` does."""
    for spec in SPECS.values():
        monkeypatch.setitem(MODELS, spec.name, spec)


@pytest.mark.usefixtures("registered")
class TestModules(ModuleContract):
    """The contract; the sizes of a single unit or sample are tested below, by what can train on them."""

    @pytest.fixture(params=[*MODULES, *DROPPING], ids=lambda given: getattr(given, "__name__", str(given)))
    def spec(self, request):
        return SPECS[request.param]() if isinstance(request.param, type) else SPECS[Perceptron](dropout=request.param)

    test_the_smallest_sizes_are_the_same_in_a_cohort = None


class TestSmallModules(OptionContract):
    @pytest.fixture(params=("dropout", "buffers"))
    def spec(self, request):
        return SPECS[Perceptron](dropout=0.4) if request.param == "dropout" else SPECS[Counting]()


@pytest.mark.parametrize("module", [m for m in MODULES if m.__name__ not in ("Noisy", "Convolutional")])
def test_it_trains_as_a_plain_loop_does(module):
    (trial,) = trials(module, [7])
    result = train_trial(trial, DATA)
    rows, net = reference.train(
        (DATA.train.x_ND, DATA.train.y_N), (DATA.val.x_ND, DATA.val.y_N), (), optimizer="sgd",
        optimizer_options={"lr": 0.05, "momentum": 0.9}, epochs=3, batch_size=25, seed=7,
        build=lambda: module(DATA.n_features, DATA.n_classes),
    )  # fmt: skip
    assert [row.train_loss for row in result.history] == pytest.approx([row[0] for row in rows], rel=1e-4)
    assert [row.val_loss for row in result.history] == pytest.approx([row[2] for row in rows], rel=1e-4)
    wanted = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    assert result.weights.keys() == wanted.keys()
    for name, tensor in result.weights.items():
        assert tensor.dtype == wanted[name].dtype
        torch.testing.assert_close(tensor, wanted[name].detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_perceptron_trains_as_the_built_in_one(dropout):
    """Weights, order of samples and dropout masks are the same, so results differ by rounding alone."""
    own = trials(Perceptron, [1, 2], dropout=dropout)
    built_in = [replace(trial, model=MLP(hidden=(16,), dropout=dropout)) for trial in own]
    for one, other in zip(train_cohort(own, DATA), train_cohort(built_in, DATA), strict=True):
        assert one.n_parameters == other.n_parameters
        assert [row.val_loss for row in one.history] == pytest.approx([row.val_loss for row in other.history], rel=1e-4)
        for mine, theirs in zip(one.weights.values(), other.weights.values(), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_first_weights_are_those_of_torch_after_a_seed():
    model = SPECS[BatchNormed]().bound(InputShape(6, 3))
    layout = model.layout(6, 3)
    before = torch.get_rng_state()
    views = layout.views(model.initial(layout, [4, 5]))
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(derive(5, "init"))
    net = BatchNormed(6, 3)
    torch.set_rng_state(before)
    for name, view in zip(layout.names, views, strict=True):
        assert torch.equal(view[1], net.state_dict()[name]), name


@pytest.mark.parametrize("module", TOGETHER)
def test_what_vmap_computes_with_the_same_bits_trains_together(module):
    specs, data = trials(module, range(9)), blobs(n_train=64, n_val=32)
    results = train_cohort(specs, data, test=False)
    assert results[0].way == "together"
    for place in (0, 4, 8):  # more trials than those whose bits were compared before the training
        alone = train_trial(specs[place], data, test=False)
        assert alone.history[-1].train_loss == results[place].history[-1].train_loss
        for name, weight in alone.weights.items():
            assert torch.equal(weight, results[place].weights[name]), name


@pytest.mark.parametrize("module", ALONE)
def test_what_it_does_not_trains_one_after_another(module):
    results = train_cohort(trials(module, [0, 1]), DATA)
    assert results[0].way.startswith(f"one after another: {ALONE[module]}")
    assert results[0].device == "cpu (1 thread)"


def test_the_way_can_be_chosen():
    never, close = (train_cohort(trials(module, [0, 1], together=way), DATA) for module, way in
                    ((Perceptron, "never"), (Convolutional, "close")))  # fmt: skip
    assert never[0].way == "one after another (model.together=never)"
    assert close[0].way == "together, the same to rounding (model.together=close)"
    auto = train_cohort(trials(Convolutional, [0, 1]), DATA)
    for one, other in zip(close, auto, strict=True):
        assert one.config_digest != other.config_digest
        for name, weight in one.weights.items():
            torch.testing.assert_close(weight, other.weights[name], rtol=1e-3, atol=1e-4)


def test_a_neighbour_that_diverges_leaves_the_statistics_of_a_batch_norm_alone():
    good, bad = trials(BatchNormed, [0, 1])
    bad = replace(bad, optimizer=SGD(lr=1e30))
    together, alone = train_cohort([bad, good], DATA), train_trial(good, DATA)
    assert together[0].status == "diverged"
    assert together[1].way == "together"
    assert alone.weights["layers.1.num_batches_tracked"] == 9
    for name, weight in alone.weights.items():
        assert torch.equal(weight, together[1].weights[name]), name


@pytest.mark.parametrize("module", [BatchNormed, Counting])
def test_a_neighbour_that_is_pruned_changes_nothing(module):
    class Pruner(Callback):
        def on_epoch(self, rows):
            return [place for place, row in rows.items() if place == 0 and row.epoch == 1]

    specs = trials(module, [0, 1])
    cohort, found = Cohort(specs[0], DATA, Pruner()), {}
    places = cohort.join(specs)
    while cohort.running:
        found |= cohort.epoch()
    assert [found[place].status for place in places] == ["pruned", "completed"]
    alone = train_trial(specs[1], DATA)
    for name, weight in alone.weights.items():
        assert torch.equal(weight, found[places[1]].weights[name]), name


def test_buffers_keep_their_types_and_are_no_parameters():
    result = train_trial(trials(Counting, [0])[0], DATA)
    weights = result.weights
    assert (weights["n_batches"].dtype, weights["mean"].dtype, weights["used"].dtype) == (
        torch.int64, torch.float64, torch.bool,
    )  # fmt: skip
    assert int(weights["n_batches"]) == 9
    assert result.n_parameters == sum(p.numel() for p in Counting(6, 3).parameters())


def test_the_saved_epoch_has_its_own_buffers():
    trial = trials(Counting, [0])[0]
    trial = replace(trial, trainer=replace(trial.trainer, keep="best", epochs=6), optimizer=SGD(lr=2.0))
    result = train_trial(trial, DATA)
    assert result.best_epoch < 6
    assert int(result.weights["n_batches"]) == 3 * result.best_epoch


@pytest.mark.parametrize("module", WRONG)
def test_a_module_that_cannot_train_is_refused_with_its_file(module):
    data = blobs(n_train=51, n_val=30) if module is OneByOne else blobs(n_train=60, n_val=30)
    with pytest.raises(RequestError, match=WRONG[module]) as caught:
        train_trial(trials(module, [0])[0], data)
    assert re.search(r"modules\.py, digest \w{12}", str(caught.value))


def test_names_that_a_spec_uses_itself_are_refused():
    class Net(nn.Module):
        def __init__(self, n_features, n_classes, *, layout: int = 3, depth: int = 3, hidden: int = 4): ...

    with pytest.raises(ExtensionError, match=r"the argument layout needs another name: Phalanx uses layout itself$"):
        module_spec(Net)


def test_what_a_network_draws_follows_from_seed_and_step():
    model = SPECS[Noisy](size=1.0).bound(InputShape(6, 3))
    layout = model.layout(6, 3)
    params_TP = model.initial(layout, [0]).repeat(2, 1)
    x_TBD = DATA.val.x_ND.expand(2, -1, -1)

    def logits(*steps):
        streams = model.masks([model] * 2, [5, 6], layout, torch.device("cpu"))
        streams.start_at(torch.tensor(steps))
        return model.vjp(layout.views(params_TP), x_TBD, streams)[0]

    first = logits(3, 3)
    assert not torch.equal(first[0], first[1])
    other = logits(3, 4)
    assert torch.equal(first[0], other[0])
    assert not torch.equal(first[1], other[1])


def test_a_saved_network_that_draws_predicts_the_same_each_time():
    model = SPECS[Noisy](size=1.0).bound(InputShape(6, 3))
    layout = model.layout(6, 3)
    params_1P, x_1BD = model.initial(layout, [0]), DATA.val.x_ND[None]
    first, second = (model.forward(layout.views(params_1P), x_1BD) for _ in range(2))
    assert torch.equal(first, second)


def test_products_in_bfloat16_are_computed_or_refused():
    low = [replace(trial, trainer=replace(trial.trainer, precision="bfloat16")) for trial in trials(Perceptron, [0, 1])]
    results = train_cohort(low, DATA)
    assert results[0].way == "one after another: trainer.precision=bfloat16"
    assert results[0].weights["layers.0.weight"].dtype == torch.float32
    (mixed,) = trials(Counting, [0])
    with pytest.raises(RequestError, match=r"model=counting cannot be trained: .*; try trainer\.precision=float32"):
        train_trial(replace(mixed, trainer=low[0].trainer), DATA)


def test_a_module_for_images_refuses_other_data():
    class Images(nn.Module):
        def __init__(self, image_shape, n_classes):
            super().__init__()

    trial = TrialSpec(model=module_spec(Images)())
    with pytest.raises(RequestError, match="model=images asks for image_shape, and these data are no images"):
        train_trial(trial, DATA)
