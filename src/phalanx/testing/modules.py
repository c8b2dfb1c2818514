"""The contract of a network that is an `nn.Module`. Axes: T trials, B batch, C classes."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from phalanx.core.errors import RequestError
from phalanx.core.result import TrialResult
from phalanx.core.specs import Spec
from phalanx.data import Dataset
from phalanx.nn.models import MODELS
from phalanx.nn.models.base import InputShape
from phalanx.nn.models.module_spec import ModuleSpec
from phalanx.runs.checkpoint import read_checkpoint, write_checkpoint
from phalanx.runs.model_file import load_model, save_model
from phalanx.testing.option import SMALL, OptionContract, Sizes, blobs, trial
from phalanx.training.cohort import Cohort
from phalanx.training.loop import train_trial

SEEDS = [5, 6]
DRAWS = "draws random numbers"  # of a network whose metrics differ from one evaluation to another


def _shape(dataset: Dataset) -> InputShape:
    return InputShape(*dataset.sizes)


class ModuleContract(OptionContract):
    """Checks the spec of a module, `MODELS["name"](…)`: beside what holds for every option its first weights, its
    independence of other samples, and that checkpoint, model file and worker processes give the same network."""

    small: ClassVar[tuple[Sizes, ...]] = SMALL[2:4]  # hidden layers are the module's own

    @pytest.fixture
    def dataset(self, spec: ModuleSpec) -> Dataset:
        """Rows of six features, or images of six by six pixels for a network that asks for these."""
        if not spec.needs_images:
            return blobs(n_train=60, n_val=30)
        return replace(blobs(n_train=60, n_val=30, n_features=36), image_shape=(6, 6))

    def test_the_smallest_sizes_are_the_same_in_a_cohort(self, spec: Spec) -> None:
        """Sizes that the network refuses are left out, such as a batch of one sample for a batch norm."""
        assert isinstance(spec, ModuleSpec)
        if spec.needs_images:
            pytest.skip("images have a size")
        try:
            super().test_the_smallest_sizes_are_the_same_in_a_cohort(spec)
        except RequestError as refused:
            pytest.skip(str(refused))

    def test_first_weights_depend_on_the_seed_alone(self, spec: ModuleSpec, dataset: Dataset) -> None:
        model, before = spec.bound(_shape(dataset)), torch.get_rng_state()
        layout = model.layout(dataset.n_features, dataset.n_classes)
        params_TP = model.initial(layout, SEEDS)
        assert torch.equal(torch.get_rng_state(), before)
        assert params_TP.isfinite().all()
        assert torch.equal(model.initial(layout, SEEDS[1:])[0], params_TP[1])
        assert not torch.equal(params_TP[0], params_TP[1])

    def test_a_sample_depends_on_no_other_when_evaluated(self, spec: ModuleSpec, dataset: Dataset) -> None:
        result = train_trial(trial(spec), dataset)
        assert result.weights is not None
        model, x_BD = spec.bound(_shape(dataset)), dataset.val.x_ND
        layout = model.layout(dataset.n_features, dataset.n_classes)
        views = layout.views(layout.row(result.weights)[None])
        logits_1BC = model.forward(views, x_BD[None])
        other_1BC = model.forward(views, torch.cat([x_BD[:1] + 5.0, x_BD[1:]])[None])
        assert logits_1BC.shape == (1, len(x_BD), dataset.n_classes)
        torch.testing.assert_close(other_1BC[:, 1:], logits_1BC[:, 1:])

    def test_it_goes_on_from_a_checkpoint(self, spec: ModuleSpec, dataset: Dataset, tmp_path: Path) -> None:
        before, after = Cohort(trial(spec), dataset), Cohort(trial(spec), dataset)
        before.join([trial(spec)])
        before.epoch()
        file = tmp_path / "checkpoint.safetensors"
        write_checkpoint(file, {"format": 1, "trial": {}, "data_digest": "", "versions": {}}, [before.snapshot(0)])
        (place,) = after.join([trial(spec)], read_checkpoint(file)[1])
        found: dict[int, TrialResult] = {}
        while after.running:
            found |= after.epoch()
        self._assert_same(found[place], train_trial(trial(spec), dataset))

    def test_its_model_file_predicts_what_training_reports(
        self, spec: ModuleSpec, dataset: Dataset, tmp_path: Path
    ) -> None:
        assert MODELS.get(spec.name) is type(spec), "the network must be an option: mark its class by @phalanx.model"
        result, file = train_trial(trial(spec), dataset), tmp_path / "model.safetensors"
        save_model(file, trial(spec), dataset, result)
        rows, y_N = dataset.val.x_ND.numpy(), dataset.val.y_N.numpy()
        first, again = (load_model(file).predict(rows) for _ in range(2))
        assert np.array_equal(first, again)
        loss = -np.log(first[np.arange(len(y_N)), y_N]).mean()
        rel = 0.3 if DRAWS in (result.way or "") else 1e-4
        assert loss == pytest.approx(result.metrics.val_loss, rel=rel)

    def test_it_travels_to_other_processes(self, spec: ModuleSpec) -> None:
        assert pickle.loads(pickle.dumps(spec)) == spec
