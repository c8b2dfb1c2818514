"""Ensembles and refits of trainings of which some diverged: these are left out, and it is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.trained_sweeps import write_run_of, write_sweep

import phalanx.analysis.ensemble.networks as networks
import phalanx.analysis.refit as refitting
from phalanx import MLP, TrainerSpec, TrialSpec
from phalanx.analysis.ensemble.build import Ensemble, make_ensemble
from phalanx.core.errors import RequestError
from phalanx.core.result import Status, TrialResult
from phalanx.data.wine import Wine
from phalanx.nn.optimizers.adam import Adam
from phalanx.runs.model_file import load_model
from phalanx.runs.stored_run import read_stored_run

WHY = "the loss became NaN in epoch 2"
BASE = TrialSpec(data=Wine(), model=MLP(hidden=(4,)), optimizer=Adam(lr=0.01), trainer=TrainerSpec(epochs=3))
WIDE = replace(BASE, model=MLP(hidden=(16,)))
SPECS = [replace(spec, seed=seed) for spec in (BASE, WIDE) for seed in range(3)]
FOLDS = [replace(BASE, data=Wine(resampling="kfold", folds=3, fold=fold), seed=seed)
         for seed in range(2) for fold in range(3)]  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid of two widths with three seeds each; the wider network is the better one."""
    return write_sweep(tmp_path_factory.mktemp("grid") / "grid", SPECS, search=False, kept=range(6))


@pytest.fixture(scope="module")
def over_folds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid of two seeds on three folds."""
    return write_sweep(tmp_path_factory.mktemp("folds") / "folds", FOLDS, search=False, kept=range(6))


def changed(run: Path, **entries: Any) -> None:
    file = run / "result.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **entries}))


def diverged(sweep: Path, folder: Path, *numbers: int) -> Path:
    """A copy of a sweep in which these trials have diverged."""
    shutil.copytree(sweep, folder)
    for number in numbers:
        objective = {"name": "val_accuracy", "value": None, "direction": "maximize"}
        changed(folder / str(number), status="diverged", error=WHY, objective=objective, objectives=[objective])
        (folder / str(number) / "model.safetensors").unlink()
    return folder


def diverging(train: Callable[..., list[TrialResult]], *seeds: int) -> Callable[..., list[TrialResult]]:
    """Training in which these seeds diverge."""

    def trained(specs: list[TrialSpec], *args: Any, **keys: Any) -> list[TrialResult]:
        results = train(specs, *args, **keys)
        lost = {"status": Status.DIVERGED, "error": WHY, "weights": None}
        return [replace(r, **lost) if spec.seed in seeds else r for spec, r in zip(specs, results, strict=True)]

    return trained


def made(sweep: Path, folder: Path, how: str = "seeds", members: int | None = None) -> Ensemble:
    return make_ensemble(sweep, how, members, folder, lambda text: None)


def record(folder: Path, name: str = "ensemble.json") -> Mapping[str, Any]:
    return json.loads((folder / name).read_text())


def test_a_seed_that_diverged_is_left_out_and_said(whole, tmp_path) -> None:
    sweep = diverged(whole, tmp_path / "s", 0, 4)
    found = made(sweep, tmp_path / "e")
    assert sorted(number for member in found.members for number in member.candidate.numbers) == [3, 5]
    rows = Wine().read().x[:9]
    by_hand = np.mean([load_model(whole / number).predict(rows) for number in ("3", "5")], axis=0)
    np.testing.assert_allclose(load_model(tmp_path / "e").predict(rows), by_hand, rtol=1e-6)
    note = found.notes[0]
    assert note.startswith(
        f"left out: trial 4 with seed 1 (diverged: {WHY}); 2 seeds are left, chosen by success alone"
    )
    assert record(tmp_path / "e")["left_out"] == [{"trial": 4, "seed": 1, "fold": None, "why": f"diverged: {WHY}"}]
    assert note in read_stored_run(tmp_path / "e").notes  # which the page of the folder shows


def test_a_choice_says_what_it_could_not_choose(whole, tmp_path) -> None:
    found = made(diverged(whole, tmp_path / "s", 0, 1, 4, 5), tmp_path / "e", "greedy")
    assert {number for member in found.members for number in member.candidate.numbers} <= {2, 3}
    assert found.notes[0].startswith("left out: 4 trainings (4 diverged: trials 0, 1, 4, 5); 2 candidates are left")


def test_a_point_without_a_lost_seed_comes_first(whole, tmp_path) -> None:
    sweep = diverged(whole, tmp_path / "s", 4)
    found = made(sweep, tmp_path / "e")
    assert sorted(member.candidate.numbers[0] for member in found.members) == [0, 1, 2]
    assert found.notes[0].startswith("passed over, though better in the mean, since a seed of it diverged")
    assert "trials 3, 5" in found.notes[0]


def test_a_further_seed_that_diverges_is_left_out(whole, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(networks, "train_cohort", diverging(networks.train_cohort, 3))
    found = made(whole, tmp_path / "e", members=5)
    assert sorted(member.candidate.seed for member in found.members) == [0, 1, 2, 4]
    assert "trial 3 with seed 3 (diverged" in found.notes[0]
    assert "4 seeds are left" in found.notes[0]


def test_a_lost_seed_is_not_replaced_by_another_one(whole, tmp_path) -> None:
    sweep = diverged(whole, tmp_path / "s", 1, 5)
    assert len(made(sweep, tmp_path / "three", members=3).members) == 2
    found = made(sweep, tmp_path / "four", members=4)
    assert sorted(member.candidate.seed for member in found.members) == [0, 1, 3]


def test_what_diverges_when_it_is_trained_again_is_chosen_no_more(whole, tmp_path, monkeypatch) -> None:
    sweep = tmp_path / "s"
    shutil.copytree(whole, sweep)
    for number in range(6):
        (sweep / str(number) / "model.safetensors").unlink()
    monkeypatch.setattr(networks, "train_cohort", diverging(networks.train_cohort, 0, 2))
    found = made(sweep, tmp_path / "e", "best")
    assert {member.candidate.seed for member in found.members} == {1}
    monkeypatch.setattr(networks, "train_cohort", diverging(networks.train_cohort, 1))
    with pytest.raises(RequestError, match=r"no network was left for the ensemble: 6 trainings \(6 diverged"):
        made(sweep, tmp_path / "none", "best")
    assert not (tmp_path / "none").exists()


def test_a_network_without_finite_probabilities_is_left_out(whole, tmp_path, monkeypatch) -> None:
    trained = networks.train_cohort

    def odd(specs: list[TrialSpec], *args: Any, **keys: Any) -> list[TrialResult]:
        return [replace(r, weights={name: torch.full_like(w, torch.inf) for name, w in (r.weights or {}).items()})
                for r in trained(specs, *args, **keys)]  # fmt: skip

    monkeypatch.setattr(networks, "train_cohort", odd)
    found = made(whole, tmp_path / "e", members=4)
    assert len(found.members) == 3
    assert "seed 3 (failed: it gives no finite probabilities)" in found.notes[0]


def test_a_seed_that_lacks_a_fold_is_left_out(over_folds, tmp_path) -> None:
    found = made(diverged(over_folds, tmp_path / "s", 4), tmp_path / "e")
    assert [member.candidate.numbers for member in found.members] == [(0, 1, 2)]
    assert found.notes[0] == "left out, since not all 3 folds were completed: trials 3, 5"
    assert "trial 4 with seed 1 on fold 1 (diverged" in found.notes[1]


def test_a_fold_that_every_seed_lacks_is_refused(over_folds, tmp_path) -> None:
    sweep = diverged(over_folds, tmp_path / "s", 1, 4)
    with pytest.raises(RequestError, match=r"no seed of .* was completed on all 3 folds") as error:
        made(sweep, tmp_path / "e")
    assert "trial 1 with seed 0 on fold 1 (diverged" in str(error.value)
    assert not (tmp_path / "e").exists()


def test_a_sweep_over_some_of_the_folds_says_so(tmp_path) -> None:
    sweep = write_sweep(tmp_path / "s", FOLDS[:2], search=False, kept=[0, 1])
    found = made(sweep, tmp_path / "e", members=1)
    assert found.notes[0] == "the sweep has 2 of the 3 folds, so validation metrics are of their rows alone"


def test_of_a_trial_with_several_seeds_those_are_members_that_came_to_an_end(whole, tmp_path) -> None:
    sweep = diverged(whole, tmp_path / "s", 3)
    metrics = json.loads((whole / "3" / "result.json").read_text())["metrics"]
    row = {"seed": 0, "status": "completed", "value": 0.5, "metrics": metrics, "best_epoch": 3, "epochs": 3}
    lost = {
        "seed": 1,
        "status": "diverged",
        "error": WHY,
        "value": None,
        "metrics": {},
        "best_epoch": None,
        "epochs": 2,
    }
    changed(sweep / "3", repeats=[row, lost])
    for number in (0, 1, 2, 4, 5):
        shutil.rmtree(sweep / str(number))
    (sweep / "sweep.json").write_text('{"search": true, "repeats": 2}')
    found = made(sweep, tmp_path / "e")
    assert [member.candidate.seed for member in found.members] == [0]
    assert "trial 3 with seed 1 (diverged" in found.notes[0]


def test_a_sweep_in_which_all_diverged_is_refused_with_the_reason(whole, tmp_path) -> None:
    sweep = diverged(whole, tmp_path / "s", *range(6))
    with pytest.raises(RequestError, match=r"no completed trial among 6 trials: 6 trainings \(6 diverged"):
        made(sweep, tmp_path / "e")


def test_a_refit_leaves_a_seed_out_that_diverges(tmp_path, monkeypatch) -> None:
    run, trained = write_run_of(tmp_path / "run", BASE), refitting.train_cohort
    monkeypatch.setattr(refitting, "train_cohort", diverging(trained, 0, 2))
    found = refitting.refit(run, 4, tmp_path / "r", lambda text: None)
    assert found.seeds == (1, 3)
    assert found.notes[0].startswith(f"left out: seed 0 (diverged: {WHY}); seed 2 (diverged: {WHY}); 2 seeds are left")
    assert record(tmp_path / "r", "refit.json")["left_out"][1]["seed"] == 2
    assert found.notes[0] in read_stored_run(tmp_path / "r").notes
    assert len(load_model(tmp_path / "r").members) == 2
    monkeypatch.setattr(refitting, "train_cohort", diverging(trained, 0))
    with pytest.raises(RequestError, match=r"it came to no end: seed 0 \(diverged.* or more seeds: --seeds 5"):
        refitting.refit(run, 1, tmp_path / "none", lambda text: None)
    assert not (tmp_path / "none").exists()


def test_a_refit_of_a_sweep_says_which_seed_its_epochs_do_not_have(whole, tmp_path) -> None:
    sweep = diverged(whole, tmp_path / "s", 0, 4)
    found = refitting.refit(sweep, 1, tmp_path / "r", lambda text: None)
    assert found.notes[0].startswith("the sweep has lost trial 4 with seed 1 (diverged")
