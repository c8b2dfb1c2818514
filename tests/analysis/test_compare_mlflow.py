"""`phalanx compare mlflow:…`: runs of an experiment in a real MLflow store."""

from __future__ import annotations

import pytest

from phalanx.analysis.compare import compare_runs, read_sources
from phalanx.cli.main import main

pytest_plugins = ("support.tracking_store",)


def log(client, experiment, loss, seed, value, parent=None, **tags):
    """A finished run with the params, metrics and tags that ours have."""
    from mlflow.entities import Metric, Param, RunTag

    own = {"phalanx.seed": str(seed), "phalanx.status": "completed", "phalanx.data_digest": "d1", **tags}
    own |= {"mlflow.parentRunId": parent} if parent else {}
    run_id = client.create_run(experiment, run_name=f"{loss} {seed}").info.run_id
    params = {"data.name": "digits", "loss.name": loss, "model.hidden": "[64,64]", "optimizer.lr": "0.1",
              "seed": str(seed), "objective": "val_accuracy"}  # fmt: skip
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
