"""Ensembles of really trained sweeps, against averages by hand and scikit-learn's metrics."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import shutil
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score
from support.phalanx_command import refusal
from support.train_command import temporaries
from support.trained_sweeps import write_sweep

import phalanx.analysis.ensemble.build as building
import phalanx.analysis.ensemble.write as writing
from phalanx import MLP, MODELS, TrainerSpec, TrialSpec, load_dataset, train_trial
from phalanx.analysis.ensemble.build import make_ensemble
from phalanx.analysis.ensemble.points import is_seedless
from phalanx.analysis.ensemble.selection import Choice, Measure, choose
from phalanx.analysis.refit import lines, refit
from phalanx.cli.main import main
from phalanx.core.errors import RequestError
from phalanx.data.wine import Wine
from phalanx.nn.optimizers.adam import Adam
from phalanx.runs.model_file import load_model
from phalanx.runs.stored_run import read_stored_run
from phalanx.runs.tensor_file import read_tensors, write_tensors
from phalanx.tracking.served_model import Classifier

BASE = TrialSpec(data=Wine(), model=MLP(hidden=(16,)), optimizer=Adam(lr=0.01), trainer=TrainerSpec(epochs=12))
SPECS = [replace(BASE, model=MLP(hidden=(width,)), seed=seed) for width in (2, 16) for seed in range(3)]
CLASSES = [f"class_{c}" for c in range(3)]


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search over two widths with three seeds each, of which the first trial alone has kept its weights."""
    return write_sweep(tmp_path_factory.mktemp("search") / "wines", SPECS, kept=[0])


@pytest.fixture(scope="module")
def networks() -> list[np.ndarray]:
    """The class probabilities (N, C) of the test rows by each trial's network, trained here once more, alone."""
    data = load_dataset(Wine())
    return [probabilities(spec, data, data.test.x_ND) for spec in SPECS]


def probabilities(spec: TrialSpec, data, x_ND) -> np.ndarray:
    weights = train_trial(spec, data, test=False).weights
    hidden = (x_ND @ weights["layers.0.weight"].T + weights["layers.0.bias"]).relu()
    return (hidden @ weights["layers.1.weight"].T + weights["layers.1.bias"]).double().softmax(1).numpy()


def quietly(sweep: Path, how: str, n_members: int | None, folder: Path):
    return make_ensemble(sweep, how, n_members, folder, lambda text: None)


def test_seeds_of_the_best_point_predict_by_their_plain_mean(search, networks, tmp_path) -> None:
    found = quietly(search, "seeds", None, tmp_path / "e")
    stored = [read_stored_run(search / str(number)).value for number in range(6)]
    assert np.mean(stored[3:]) > np.mean(stored[:3])  # so the wider network is the best point
    assert sorted(number for member in found.members for number in member.candidate.numbers) == [3, 4, 5]
    raw, data = Wine().read(), load_dataset(Wine())
    p_NC = load_model(tmp_path / "e").predict(raw.x[data.row_numbers["test"]])
    np.testing.assert_allclose(p_NC, np.mean(networks[3:], axis=0), rtol=1e-5, atol=1e-7)
    y_N = data.test.y_N.numpy()
    result = read_stored_run(tmp_path / "e")
    assert result.metrics["test_accuracy"] == pytest.approx(accuracy_score(y_N, p_NC.argmax(1)))
    assert result.metrics["test_loss"] == pytest.approx(-np.log(p_NC[np.arange(len(y_N)), y_N]).mean(), rel=1e-5)
    assert (
        result.intervals["test_accuracy"][0] < result.metrics["test_accuracy"] <= result.intervals["test_accuracy"][1]
    )
    assert result.classes.hit == tuple(int(((p_NC.argmax(1) == c) & (y_N == c)).sum()) for c in range(3))


def test_greedy_trains_what_lost_its_weights_again_and_weighs_as_its_draws(search, tmp_path) -> None:
    data = load_dataset(Wine())
    y_N = data.val.y_N.numpy()
    p_KNC = np.stack([probabilities(spec, data, data.val.x_ND) for spec in SPECS])
    bag = choose("greedy", p_KNC, y_N, Measure("accuracy"), 20).path
    found = quietly(search, "greedy", None, tmp_path / "e")
    weights = {member.candidate.numbers[0]: member.weight for member in found.members}
    assert weights == {k: bag.count(k) / len(bag) for k in set(bag)}
    assert found.notes == ()  # all that were trained again have the metrics that they had
    assert found.value >= found.best == max(accuracy_score(y_N, p_NC.argmax(1)) for p_NC in p_KNC)
    about, _ = read_tensors(tmp_path / "e" / "model.safetensors")
    assert about["weights"] == [member.weight for member in found.members]
    record = json.loads((tmp_path / "e" / "ensemble.json").read_text())
    assert [member["weight"] for member in record["members"]] == about["weights"]
    assert record["cross_fitted"] <= record["value"]


def test_seeds_that_are_worse_than_their_best_one_say_so(search, grid, tmp_path, monkeypatch) -> None:
    assert not any("worse than" in note for note in quietly(search, "seeds", None, tmp_path / "plain").notes)

    def badly(how: str, p_KNC: np.ndarray, y_N: np.ndarray, *rest: object) -> Choice:
        """All the weight on the worst one."""
        right = [(p_NC.argmax(1) == y_N).mean() for p_NC in p_KNC]
        return Choice(np.eye(len(right))[int(np.argmin(right))])

    monkeypatch.setattr(building, "choose", badly)
    found = quietly(grid, "seeds", None, tmp_path / "e")
    assert found.value < found.best
    (note,) = found.notes
    assert note.startswith(f"val_accuracy {found.value:.6g} of the seeds together is worse than {found.best:.6g} of")
    assert note in json.loads((tmp_path / "e" / "ensemble.json").read_text())["notes"]
    assert note in read_stored_run(tmp_path / "e").notes
    assert main(["report", str(tmp_path / "e")]) == 0
    assert "of the seeds together is worse than" in (tmp_path / "e" / "report.html").read_text()


def test_a_baseline_that_is_the_same_at_every_seed_is_taken_once(tmp_path) -> None:
    specs = [TrialSpec(data=Wine(), model=MODELS["majority"](), seed=seed) for seed in range(2)]
    sweep = write_sweep(tmp_path / "s", specs, search=False, kept=[0, 1])
    for asked in (None, 4):
        found = quietly(sweep, "seeds", asked, tmp_path / f"e{asked}")
        assert [member.candidate.seed for member in found.members] == [0]
        assert found.notes[0].startswith("majority is the same at every seed, so one is taken")
    again = refit(sweep / "1", 3, tmp_path / "r", lambda text: None)
    assert (again.seeds, again.notes[0]) == ((1,), "majority is the same at every seed, so it was fitted once")
    assert lines(again)[0] == "fitted again on 142 rows, seed 1"
    assert not is_seedless(replace(specs[0], model=MODELS["random_forest"]()))
    assert not is_seedless(BASE)


def test_more_seeds_than_the_sweep_has_are_trained(search, tmp_path) -> None:
    found = quietly(search, "seeds", 5, tmp_path / "e")
    assert sorted(member.candidate.seed for member in found.members) == [0, 1, 2, 3, 4]


def test_networks_of_all_folds_are_judged_out_of_fold(tmp_path) -> None:
    folds = [replace(BASE, data=Wine(resampling="kfold", folds=3, fold=fold)) for fold in range(3)]
    sweep = write_sweep(tmp_path / "folds", folds, search=False, kept=[0, 1, 2])
    found = quietly(sweep, "seeds", 1, tmp_path / "e")
    (member,) = found.members
    assert member.candidate.numbers == (0, 1, 2)
    data = [load_dataset(spec.data) for spec in folds]
    right = [probabilities(spec, own, own.val.x_ND).argmax(1) == own.val.y_N.numpy()
             for spec, own in zip(folds, data, strict=True)]  # fmt: skip
    assert read_stored_run(tmp_path / "e").metrics["val_accuracy"] == pytest.approx(np.concatenate(right).mean())
    rows = Wine().read().x[data[0].row_numbers["test"]]  # each fold's network has an encoder of its own
    p_NC = load_model(tmp_path / "e").predict(rows)
    alone = [load_model(sweep / str(number)).predict(rows) for number in range(3)]
    np.testing.assert_allclose(p_NC, np.mean(alone, axis=0), rtol=1e-6)
    header, *lines = csv.reader((tmp_path / "e" / "oof.csv").open(newline=""))
    assert header == ["row", "fold", "class", *(f"p_{name}" for name in data[0].classes)]
    assert len({line[0] for line in lines}) == len(lines) == sum(len(own.val) for own in data)
    for spec, own in zip(folds, data, strict=True):
        held = {int(row) + 1: place for place, row in enumerate(own.row_numbers["val"])}
        of_fold = [line for line in lines if int(line[1]) == spec.data.fold]
        assert [int(line[0]) for line in of_fold] == sorted(held)
        places = [held[int(line[0])] for line in of_fold]
        assert [line[2] for line in of_fold] == [own.classes[label] for label in own.val.y_N[places].tolist()]
        shown = np.array([line[3:] for line in of_fold], float)
        np.testing.assert_allclose(shown, probabilities(spec, own, own.val.x_ND)[places], rtol=1e-5, atol=1e-8)


def test_it_is_a_run_like_any_other(search, tmp_path, capsys) -> None:
    folder = tmp_path / "outputs" / "e"
    assert main(["ensemble", str(search), "--into", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "training 3 networks again, whose weights were not kept: trials 3, 4, 5" in printed
    assert "ensemble of 3 networks (seeds): val_accuracy" in printed
    assert "test  accuracy" in printed
    np.save(tmp_path / "rows.npy", Wine().read().x[:4])
    for command in (["predict", folder, tmp_path / "rows.npy"], ["inspect", folder], ["report", folder],
                    ["compare", folder, search, "--by", "ensemble"], ["diff", folder, search / "0"]):  # fmt: skip
        assert main([*map(str, command)]) == 0, command
    page = (folder / "report.html").read_text()
    assert "Ensemble of 3 members (seeds): val_accuracy" in page
    assert "<th>adds</th>" in page
    assert "epoch None" not in page
    capsys.readouterr()
    assert main(["calibrate", str(folder)]) == 2
    assert "is an ensemble of 3 networks, and this needs a single one" in capsys.readouterr().err
    served = Classifier(load_model(folder)).predict(Wine().read().x[:4])
    assert list(served.columns) == ["predicted", *(f"p_{name}" for name in CLASSES)]
    shutil.copytree(folder, search / "ensemble")
    try:  # in the sweep's folder it is none of its trials
        assert main(["compare", str(search), "--by", "width"]) in (0, 2)
        assert "ensemble" not in capsys.readouterr().out
    finally:
        shutil.rmtree(search / "ensemble")


def test_what_cannot_be_is_said(search, tmp_path, capsys) -> None:
    refused = partial(refusal, capsys, "ensemble")
    assert "is not the folder of a sweep" in refused(search / "0")
    assert "is there already" in refused(search, "--into", search / "0")
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "sweep.json").write_text('{"search": false}')
    assert "has no completed trial among 0 trials" in refused(empty)
    other = write_sweep(tmp_path / "o", [BASE, replace(BASE, data=Wine(split_seed=1))], kept=[0, 1])
    for how in ("seeds", "greedy", "best"):  # of several splits none is the best point
        assert "have other data or other splits" in refused(other, "--how", how)
    assert f"or give one of its trials: phalanx refit {other}/0" in refusal(capsys, "refit", other)
    changed = tmp_path / "changed"
    shutil.copytree(search, changed)
    for number, (group, key, value) in enumerate(
        [("trainer", "epochs", 9), ("model", "source", "mine.py, 1234567890ab")]
    ):
        file = changed / str(number) / "config.yaml"
        values = json.loads(file.read_text())
        values[group][key] = value
        values["model"]["name"] = "mine" if group == "model" else "mlp"
        file.write_text(json.dumps(values))
    said = refused(changed)
    assert "trial 0: " in said
    assert "is another configuration than was trained" in said
    assert "trial 1: " in said
    assert "mine.py" in said
    assert not (changed / "ensemble").exists()


def test_another_result_of_a_member_that_trains_again_is_noted(search, tmp_path) -> None:
    sweep = tmp_path / "sweep"
    shutil.copytree(search, sweep)
    file = sweep / "4" / "result.json"
    content = json.loads(file.read_text())
    content["metrics"]["val_loss"] += 1e-6
    file.write_text(json.dumps(content))
    (note,) = quietly(sweep, "seeds", None, tmp_path / "e").notes
    assert note.startswith("trial 4 with seed 1 is not to the bit what it was: val_loss")


@pytest.mark.parametrize("last", ["write_json", "write_stored_run"])
def test_a_kill_leaves_nothing_half_written(search, tmp_path, last) -> None:
    def die(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def child() -> None:
        setattr(writing, last, die)
        quietly(search, "seeds", 1, tmp_path / "e")

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert not (tmp_path / "e").exists()
    assert temporaries(tmp_path)
    quietly(search, "seeds", 1, tmp_path / "e")
    assert [path.name for path in tmp_path.iterdir()] == ["e"]
    assert len(load_model(tmp_path / "e").members) == 1


def test_a_damaged_file_is_refused(search, tmp_path) -> None:
    quietly(search, "seeds", 1, tmp_path / "e")
    file = tmp_path / "e" / "model.safetensors"
    about, tensors = read_tensors(file)
    for broken in ({"weights": [0.5]}, {"weights": []}, {"members": 3}, {"weights": ["a"]}):
        write_tensors(file, tensors, {**about, **broken})
        with pytest.raises(RequestError, match="is damaged"):
            load_model(file)
    write_tensors(file, {**tensors, "7.layers.0.weight": tensors["0.layers.0.weight"].clone()}, about)
    with pytest.raises(RequestError, match="belongs to none of its 1 members"):
        load_model(file)


@pytest.fixture
def grid(tmp_path) -> Path:
    """A grid of two widths with three seeds, with a refit of the wider one and a copy of it for each seed."""
    specs = [replace(spec, trainer=TrainerSpec(epochs=2)) for spec in SPECS]
    sweep = write_sweep(tmp_path / "grid", specs, search=False, kept=range(6))
    refit(sweep / "3", 1, sweep / "refit", lambda text: None)
    return sweep


def test_what_was_made_of_trials_is_none_of_them(grid, capsys) -> None:
    def compared(*arguments: object) -> str:
        assert main(["compare", *map(str, arguments)]) == 0
        printed = capsys.readouterr()
        return " ".join((printed.out + printed.err).split())

    plain = compared(grid, "--by", "hidden")
    shutil.copytree(grid / "refit", grid / "mine")  # as --into makes it
    with_two = compared(grid, "--by", "hidden")
    assert "left out: mine, refit, made of other runs" in with_two
    assert with_two.split("note: left out")[0] == plain.split("note: left out")[0]
    # Given beside the trials it is a group of its own that no test sets against them.
    together = compared(grid, grid / "refit", "--by", "hidden")
    assert "note: shown and not tested against the others, being made of such runs: hidden=[16]/refit=2" in together
    assert together.count("no difference shown between") + together.count(" beats ") == 1
    assert "left out: mine, made of other runs" in together
    # Refits alone are compared with each other.
    shutil.copytree(grid / "refit", grid.parent / "refits" / "a")
    alone = compared(grid.parent / "refits")
    assert "made of" not in alone
