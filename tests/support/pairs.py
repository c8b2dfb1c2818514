"""Two runs that were really trained on the embedded digits, for what compares them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from phalanx import DATASETS, LOSSES, MLP, TrainerSpec, TrialSpec, load_dataset, train_trial
from phalanx.runs.layout import RunPaths
from phalanx.runs.run_folder import write_run as write_real_run


def trained(folder: Path, *, hidden=(12,), loss="cross_entropy", epochs=4, test=True, seed=0, **data) -> Path:
    """The folder of a run on the digits; `data` are options of the data set."""
    spec = TrialSpec(
        data=DATASETS["digits"](**{"n_train": 300, **data}), model=MLP(hidden=hidden), loss=LOSSES[loss](),
        trainer=TrainerSpec(epochs=epochs), seed=seed,
    )  # fmt: skip
    spec = replace(spec, optimizer=replace(spec.optimizer, lr=0.01))
    dataset = load_dataset(spec.data)
    write_real_run(RunPaths(folder), spec, dataset, train_trial(spec, dataset, test=test))
    content = {"data": {"name": "digits", "n_train": 300, **data}, "model": {"name": "mlp", "hidden": list(hidden)},
               "loss": {"name": loss}, "optimizer": {"name": "adam", "lr": 0.01}, "schedule": {"name": "constant"},
               "trainer": {"epochs": epochs}, "device": {}, "objective": "val_accuracy", "seed": seed}  # fmt: skip
    (folder / "config.yaml").write_text(json.dumps(content))
    return folder
