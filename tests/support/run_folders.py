"""Run folders as training leaves them, with made-up numbers, for what reads them."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from phalanx.runs.stored_run import StoredRun

CONFIG = {
    "data": {"name": "digits", "n_val": 288},
    "model": {"name": "mlp", "width": 64, "hidden": [64, 64], "dropout": 0.0},
    "loss": {"name": "cross_entropy", "output": "logits", "default_lr": {"sgd": 0.05}},
    "optimizer": {"name": "adam", "lr": 0.01},
    "trainer": {"epochs": 3},
    "device": {"kind": "auto"},
    "tracking": {"kind": "none"},
    "objective": "val_accuracy",
}


def config(seed=0, **changes):
    """The usual configuration with other values, named by dotted keys with __ for the dot."""
    found = json.loads(json.dumps(CONFIG))
    for key, value in changes.items():
        group, _, name = key.partition("__")
        if name:
            found[group][name] = value
        else:
            found[group]["name"] = value
    return {**found, "seed": seed}


def result(value=0.9, seed=0, status="completed", data="d1", test=None, **more):
    """What `result.json` holds."""
    metrics = {f"{s}_{m}": None for s in ("train", "val", "test") for m in ("loss", "accuracy", "likelihood")}
    good = status in ("completed", "pruned")
    if good:
        metrics |= {"val_accuracy": value, "val_loss": 1 - value, "test_accuracy": test}
    objective = {"name": "val_accuracy", "value": value if good else None, "direction": "maximize"}
    return {
        "status": status, "objective": objective, "objectives": [objective], "metrics": metrics, "best_epoch": 2,
        "epochs": 3, "train_seconds": 0.5, "samples_per_second": 1000.0, "device": "cpu", "seed": seed,
        "config_digest": "c", "data_digest": data, "n_parameters": 1234, "error": None, "failure": None,
        "mlflow_run_id": None, "timing": None, **more,
    }  # fmt: skip


def stored(value=0.9, seed=0, status="completed", number=0, overrides=(), **more):
    """A run as `read_stored_run` reads it."""
    return StoredRun.from_json(result(value, seed, status, **more), number=number, overrides=dict(overrides))


def complete(text: str) -> str:
    """The config of a run with everything that it must have and, beside that, the values in a YAML text."""
    empty = ("data", "model", "loss", "optimizer", "schedule", "trainer", "device")
    return json.dumps(
        {**{group: {} for group in empty}, "seed": 0, "objective": "val_accuracy", **yaml.safe_load(text)}
    )


def write_run(folder: Path, content, cfg=None, overrides=(), curve=()) -> Path:
    """One run folder, its YAML written as JSON; `curve` holds val_accuracy by epoch."""
    (folder / ".hydra").mkdir(parents=True, exist_ok=True)
    content = {**content, "epochs": len(curve)} if curve else content
    (folder / "result.json").write_text(json.dumps(content))
    (folder / "config.yaml").write_text(json.dumps(config(content["seed"]) if cfg is None else cfg))
    (folder / ".hydra" / "overrides.yaml").write_text(json.dumps(list(overrides)))
    if curve:
        head = "epoch,train_loss,train_accuracy,train_likelihood,val_loss,val_accuracy,val_likelihood,lr,seconds"
        rows = [f"{e},0.5,0.8,0.6,{1 - v},{v},{v},0.1,0.1" for e, v in enumerate(curve, start=1)]
        (folder / "metrics.csv").write_text("\n".join([head, *rows]) + "\n")
    return folder


def write_grid(root: Path, values, key="loss", data="d1", test=True) -> Path:
    """A sweep folder: `values` has the accuracy by value of `key` and by seed."""
    number = 0
    for option, seeds in values.items():
        for seed, value in seeds.items():
            cfg = config(seed, **{key.replace(".", "__"): option})
            content = result(value, seed, data=data, test=value if test else None)
            write_run(root / str(number), content, cfg, [f"{key}={option}", f"seed={seed}"], [value - 0.1, value])
            number += 1
    return root
