"""`phalanx compare mlflow:…`: runs of an experiment in a real MLflow store."""

from __future__ import annotations

import json

import pytest
from support.tracking_records import METRICS, run_folder, sweep_folder, synced

from phalanx.analysis.compare import compare_runs, read_sources
from phalanx.cli.main import main
from phalanx.core.errors import RequestError

pytest_plugins = ("support.tracking_store",)


def log(client, experiment, loss, seed, value, parent=None, objective="val_accuracy", **tags):
    """A finished run with the params, metrics and tags that ours have."""
    from mlflow.entities import Metric, Param, RunTag

    own = {"phalanx.seed": str(seed), "phalanx.status": "completed", "phalanx.data_digest": "d1", **tags}
    own |= {"mlflow.parentRunId": parent} if parent else {}
    run_id = client.create_run(experiment, run_name=f"{loss} {seed}").info.run_id
    params = {"data.name": "digits", "loss.name": loss, "model.hidden": "[64,64]", "optimizer.lr": "0.1",
              "seed": str(seed), "objective": objective}  # fmt: skip
    metrics = {"val_accuracy": value, "test_accuracy": value - 0.01, "epoch/val_accuracy": 0.5}
    client.log_batch(
        run_id, [Metric(k, v, 0, 0) for k, v in metrics.items()], [Param(k, v) for k, v in params.items()],
        [RunTag(k, v) for k, v in own.items()],
    )  # fmt: skip
    client.set_terminated(run_id)
    return run_id


def test_runs_of_an_experiment_are_compared_like_folders(store, capsys):
    experiment = store.create_experiment("odd / näme")
    sweep = store.create_run(experiment, tags={"phalanx.study": "s"}, run_name="s").info.run_id
    for seed in range(4):
        log(
            store,
            experiment,
            "nll",
            seed,
            0.9 + 0.01 * seed,
            sweep,
            **{"phalanx.study": "s", "phalanx.trial": str(seed)},
        )
        log(store, experiment, "mse", seed, 0.8 + 0.011 * seed, sweep)
    log(store, experiment, "mse", 9, 0.0, sweep, **{"phalanx.status": "diverged"})
    trial = log(store, experiment, "huber", 0, 0.7)  # a parent of seeds is no run of its own
    for seed in (0, 1):
        log(store, experiment, "huber", seed, 0.7 + 0.01 * seed, trial)
    read = read_sources(["mlflow:odd / näme"])
    assert len(read.runs) == 11
    (part,) = compare_runs(read.runs, ["loss"]).parts
    assert [(g.label, sorted(g.seeds)) for g in part.groups] == [
        ("nll", [0, 1, 2, 3]), ("huber", [0, 1]), ("mse", [0, 1, 2, 3]),
    ]  # fmt: skip  # the one that diverged comes last
    assert part.groups[0].seeds[0] == pytest.approx(89.0)
    assert "mse: of 5 runs 1 diverged, left out of its mean" in part.notes
    assert main(["compare", "--mlflow", "odd / näme", "--by", "loss", "--where", "sweep=s"]) == 0
    assert "one group only" in capsys.readouterr().out


def test_an_experiment_that_is_not_there_is_named(store, capsys):
    store.create_experiment("empty")
    assert main(["compare", "mlflow:absent", "nowhere", "--mlflow", "empty"]) == 2
    error = capsys.readouterr().err
    for text in ("no experiment 'absent'; there are", "nowhere is not a folder", "'empty' holds no run of Phalanx"):
        assert text in error
    assert "Traceback" not in error
    assert main(["compare", "mlflow:phalanx", "--uri", "sqlite:///gone.db"]) == 2
    assert "no database gone.db" in capsys.readouterr().err


def test_of_several_objectives_the_first_one_is_compared(store):
    experiment = store.create_experiment("several")
    for loss in ("nll", "mse"):
        log(store, experiment, loss, 0, 0.9, objective="['val_accuracy', 'n_parameters']")
    runs = read_sources(["mlflow:several"]).runs
    assert {run.objective for run in runs} == {"val_accuracy"}


@pytest.fixture
def typed_sweep(store, folder):
    """Networks of two and three layers at two widths, three seeds each, as a folder and in MLflow."""
    root, number = sweep_folder(folder / "s", n_trials=1), 0
    for model, n_layers in (("mlp2", 2), ("mlp3", 3)):
        for width in (8, 16):
            for seed in range(3):
                value = 0.8 + 0.05 * n_layers + 0.001 * width + 0.002 * seed
                run = run_folder(root / str(number), seed=seed, metrics={**METRICS, "val_accuracy": value})
                config = (run / "config.yaml").read_text().replace("seed: 7", f"seed: {seed}")
                (run / "config.yaml").write_text(config.replace("[50, 20]", str([width] * n_layers)))
                typed = [f"model={model}", f"model.width={width}", f"seed={seed}", "tracking.live=1"]
                (run / ".hydra" / "overrides.yaml").write_text(json.dumps(typed))
                number += 1
    synced(root)
    return root


@pytest.mark.parametrize("source", ["s", "mlflow:phalanx"])
def test_what_was_typed_makes_groups_where_no_key_of_the_configuration_does(typed_sweep, source):
    read = read_sources([source])
    (part,) = compare_runs(read.runs, ["model"]).parts
    assert [(g.label, g.n_runs, sorted(g.seeds)) for g in part.groups] == [
        ("model=mlp3", 6, [0, 1, 2]), ("model=mlp2", 6, [0, 1, 2]),
    ]  # fmt: skip
    assert "model=mlp3 beats model=mlp2 by 5.00 points" in part.sentences[0]
    assert not any("share no setting" in note for note in part.notes)
    (part,) = compare_runs(read.runs, ["model.width"], where=["model=mlp2"]).parts
    assert [g.label for g in part.groups] == ["width=16", "width=8"]
    assert not any(key.startswith("override") for run in read.runs for key in run.config)
    (part,) = compare_runs(read.runs).parts  # without being asked for, one key says it all
    assert part.groups[0].label == "hidden=[16,16,16]"
    with pytest.raises(RequestError, match="width2 is not a key"):
        compare_runs(read.runs, ["width2"])
