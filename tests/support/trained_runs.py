"""The folder of a run that was really trained."""

from __future__ import annotations

import json

from phalanx import MLP, TrainerSpec, TrialSpec, load_dataset, train_trial
from phalanx.data.thresholds import Thresholds
from phalanx.runs.layout import RunPaths
from phalanx.runs.run_folder import write_run as write_real_run


def train(folder, hidden=(8, 6), activation="relu"):
    """A real run of two epochs on data of one feature, with the configuration that it needs."""
    spec = TrialSpec(data=Thresholds(), model=MLP(hidden=hidden, activation=activation), trainer=TrainerSpec(epochs=2))
    dataset = load_dataset(spec.data)
    write_real_run(RunPaths(folder), spec, dataset, train_trial(spec, dataset))
    content = {"data": {"name": "thresholds"}, "model": {"name": "mlp", "hidden": list(hidden)},
               "loss": {"name": "cross_entropy"}, "optimizer": {"name": "adam"}, "schedule": {"name": "constant"},
               "trainer": {}, "device": {}, "objective": "val_accuracy", "seed": 0}  # fmt: skip
    (folder / "config.yaml").write_text(json.dumps(content))
    return folder
