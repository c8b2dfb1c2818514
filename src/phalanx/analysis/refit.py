"""A chosen configuration trained again on training and validation rows together.

It trains for as many epochs as validation chose, with the schedule of the training that was validated: planned for
`trainer.epochs`, and left where the best epoch ended. No validation rows are left, so nothing stops it early, the last
weights are saved, and its validation metrics are null. Axes: N rows, C classes.
"""

from __future__ import annotations

import hashlib
import json
import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from phalanx.analysis.ensemble.candidates import Candidate, Network, check_rows, networks_of, read_candidates
from phalanx.analysis.ensemble.lost import Lost, note, told
from phalanx.analysis.ensemble.measured import Measured, measured, test_intervals
from phalanx.analysis.ensemble.networks import Library, Say
from phalanx.analysis.ensemble.points import best_setting, is_seedless, lost_of_setting
from phalanx.analysis.ensemble.write import LOSS_NOTE
from phalanx.analysis.sample_intervals import sample_intervals
from phalanx.core.advice import command
from phalanx.core.baselines import FITTED
from phalanx.core.callbacks import Callback
from phalanx.core.errors import RequestError, RunFolderError
from phalanx.core.files import write_json, write_text
from phalanx.core.metrics import BASIC, METRICS, split_name
from phalanx.core.quantities import counted, number
from phalanx.core.result import EpochMetrics, Metrics, Status, TrialResult
from phalanx.data import Dataset, load_dataset
from phalanx.data.base import Split
from phalanx.runs.config_file import read_values, to_yaml
from phalanx.runs.ensemble_file import save_ensemble, weighted_mean
from phalanx.runs.layout import FINAL, REFIT, RunPaths, relative
from phalanx.runs.manifest import Sweep
from phalanx.runs.model_file import model_entries, rebuild
from phalanx.runs.run_folder import write_example, write_run
from phalanx.runs.stored_run import StoredRun, read_stored_run
from phalanx.runs.sweep_folder import is_sweep, sweep_summary
from phalanx.runs.whole_folder import check_free, whole_folder
from phalanx.training.epochs import with_epochs
from phalanx.training.loop import train_cohort
from phalanx.training.spec import TrialSpec


@dataclass(frozen=True)
class Refit:
    """What was trained again.

    Attributes:
        folder: Its folder.
        spec: What was trained, with the first seed.
        dataset: The joined rows; without validation rows.
        result: The training of the first seed.
        n_epochs: For how many epochs each seed was trained.
        best_epochs: The best epochs that validation found, whose median it is.
        seeds: The seeds.
        stored: The record that was written.
        validated: The test metrics of the training that was validated, by name.
        own: The test metrics of each seed alone, where there are several.
        notes: What has to be said.
    """

    folder: Path
    spec: TrialSpec
    dataset: Dataset
    result: TrialResult
    n_epochs: int
    best_epochs: tuple[int, ...]
    seeds: tuple[int, ...]
    stored: StoredRun
    validated: Mapping[str, float | None]
    own: tuple[Mapping[str, float | None], ...]
    notes: tuple[str, ...]


class _Until(Callback):
    """Ends every trial after an epoch."""

    def __init__(self, n_epochs: int) -> None:
        self.n_epochs = n_epochs

    def on_epoch(self, rows: Mapping[int, EpochMetrics]) -> Collection[int]:
        return [place for place, row in rows.items() if row.epoch >= self.n_epochs]


def refit(run: Path, n_seeds: int, folder: Path, say: Say, *, replace_it: bool = False) -> Refit:
    """Trains a run, a trial, or the best point of a sweep again and writes its folder, which appears whole or not.

    Args:
        run: The folder of the run, the trial or the sweep.
        n_seeds: How many seeds, the first that of the run; several predict by the mean of their probabilities.
        folder: The folder to write.
        say: Prints a line.
        replace_it: Whether what is there is replaced.

    Raises:
        RequestError: There is no best epoch, what was trained cannot be had any more, or every seed diverges.
    """
    if not replace_it:
        check_free(folder, "--into")
    networks = _networks(run, notes := list[str]())
    first, best_epochs = networks[0], _best_epochs(networks)
    n_epochs = round(statistics.median(best_epochs))
    if n_seeds > 1 and is_seedless(first.spec):
        notes.append(f"{first.spec.model.name} is the same at every seed, so it was fitted once")
        n_seeds = 1
    validated = _validated(first, Library(say, notes))
    specs, dataset, results, lost = _train(first, n_seeds, n_epochs)
    seeds = tuple(spec.seed for spec in specs)
    if lost:
        notes.append(note(lost, len(seeds), "seed"))
    about = {
        "of": str(run), "trials": sorted({network.trial.number for network in networks} - {-1}),
        "best_epochs": best_epochs, "epochs": n_epochs, "fitted": results[0].way == FITTED, "seeds": seeds,
        "validated": validated, "best": sweep_summary(run).get("best") if is_sweep(run) else None,
        "notes": notes, "left_out": [one.to_json() for one in lost],
    }  # fmt: skip
    with whole_folder(folder, replace=replace_it) as temporary:
        stored = replace(_write(RunPaths(temporary), first, specs, dataset, results, about), folder=folder)
    own = tuple(result.metrics.flat() for result in results) if len(results) > 1 else ()
    return Refit(
        folder, specs[0], dataset, results[0], n_epochs, tuple(best_epochs), seeds, stored, validated, own, tuple(notes)
    )  # fmt: skip


def _train(
    network: Network, n_seeds: int, n_epochs: int
) -> tuple[list[TrialSpec], Dataset, list[TrialResult], list[Lost]]:  # fmt: skip
    """Trains a configuration with so many seeds on the joined rows; returns these without validation rows, and the
    seeds that diverged. Raises `RequestError` if all did."""
    trainer = replace(network.spec.trainer, **_trainer(network))
    asked = [replace(network.spec, seed=network.spec.seed + i, trainer=trainer) for i in range(n_seeds)]
    dataset = load_dataset(network.spec.data, joined=True)
    pairs = list(zip(asked, train_cohort(asked, dataset, _Until(n_epochs)), strict=True))
    ended = [(spec, result) for spec, result in pairs if _has_ended(result)]
    lost = [Lost(network.trial.number, str(own.status), own.error, spec) for spec, own in pairs if not _has_ended(own)]
    if not ended:
        advice = f"try a lower optimizer.lr, or more seeds: {command('--seeds', n_seeds + 4)}"
        raise RequestError(f"trained again it came to no end: {told(lost)}; {advice}")
    specs, results = [spec for spec, _ in ended], [result for _, result in ended]
    empty = Split(dataset.val.x_ND[:0], dataset.val.y_N[:0])
    numbers = {**dataset.row_numbers, "val": np.empty(0, np.int64)}
    return (
        specs, replace(dataset, val=empty, row_numbers=numbers),
        [_without_validation(result, network, n_epochs) for result in results], lost,
    )  # fmt: skip


def _has_ended(result: TrialResult) -> bool:
    return result.weights is not None and result.status in (Status.COMPLETED, Status.PRUNED)


def _trainer(network: Network) -> dict[str, Any]:
    """What a refit changes of the trainer. The schedule stays as it was planned, also where updates were asked for."""
    planned = with_epochs(network.spec, len(network.dataset.train)).trainer.n_epochs
    return {"keep": "last", "patience": None, "epochs": planned, "min_updates": None}


def _networks(run: Path, notes: list[str]) -> list[Network]:
    """The trainings of a configuration: of a sweep those of its best point, all seeds and folds."""
    if is_sweep(run):
        found = read_candidates(run, notes)
        check_rows(found.candidates, run, f"; or give one of its trials: {command('phalanx', 'refit', f'{run}/0')}")
        point = best_setting(run, found, notes)
        if lost := lost_of_setting(found, point[0].setting):
            notes.append(f"the sweep has lost {told(lost)}; the number of epochs is that of the other trainings")
        return [network for one in point for network in one.networks]
    stored = read_stored_run(RunPaths(run).check().root)
    if stored.status is not Status.COMPLETED:
        raise RunFolderError(f"{run} is {stored.ending}, and only a completed run can be trained again on all rows")
    if stored.data is not None and not stored.data.n_val:
        raise RunFolderError(f"{run} was trained on its validation rows already; give the run that it was made of")
    if RunPaths(run).ensemble.is_file():
        raise RunFolderError(
            f"{run} is an ensemble; give its sweep, and with --seeds 5 the mean of five networks predicts"
        )
    in_sweep = stored.number >= 0 and (is_sweep(run.absolute().parent) or run.absolute().parent.name == FINAL)
    return networks_of(stored, Sweep.of(run.absolute(), stored.number) if in_sweep else None)


def _best_epochs(networks: Sequence[Network]) -> list[int]:
    """The best epoch of each training. Raises `RunFolderError` where one has none."""
    found: list[int] = []
    for network in networks:
        rows = [row for row in network.trial.repeats if row.metrics is network.metrics]
        epoch = rows[0].best_epoch if rows else network.trial.best_epoch
        if epoch is None:
            raise RunFolderError(f"{network.trial.folder} has no best epoch, so how long to train is not known")
        found.append(epoch)
    return found


def _validated(network: Network, library: Library) -> dict[str, float | None]:
    """The test metrics of the training that was validated; a search has not computed them."""
    known = {name: value for name, value in (network.metrics or {}).items() if split_name(name)[0] == "test"}
    if known.get("test_loss") is not None:
        return known
    candidate = Candidate((network,))
    library.obtain([candidate])
    if not library.has(candidate):
        raise RequestError(f"the validated network cannot be had: {told(list(library.lost.values()))}")
    return measured("test", library.tested(candidate), network.dataset.test.y_N.numpy(),
                    tuple(network.spec.own_metrics())).metrics  # fmt: skip


def _without_validation(result: TrialResult, network: Network, n_epochs: int) -> TrialResult:
    """The result without what was measured on rows that it trained on, under the digests of a refit."""
    history = tuple(
        replace(
            row, val_loss=math.nan, val_accuracy=math.nan, val_likelihood=math.nan,
            further={name: value for name, value in row.further.items() if not _of_val(name)},
        )
        for row in result.history
    )  # fmt: skip
    metrics = {name: None if _of_val(name) else value for name, value in result.metrics.flat().items()}
    digest = hashlib.sha256(json.dumps([REFIT, result.config_digest, n_epochs]).encode()).hexdigest()[:16]
    return replace(
        result, status=Status.COMPLETED, objective=replace(result.objective, value=None), history=history,
        metrics=Metrics.from_flat(metrics), notes=tuple(note for note in result.notes if not _of_val(note)),
        config_digest=digest, data_digest=network.dataset.digest, best_epoch=n_epochs,
    )  # fmt: skip


def _of_val(name: str) -> bool:
    return name.startswith("val_")


def _write(
    paths: RunPaths, network: Network, specs: Sequence[TrialSpec], dataset: Dataset, results: Sequence[TrialResult],
    about: Mapping[str, Any],
) -> StoredRun:  # fmt: skip
    """Writes the run of the first seed and, of several seeds, the model and the metrics of their mean over it."""
    spec, result = specs[0], results[0]
    models = [(model_entries(own, dataset, each), each.weights or {}) for own, each in zip(specs, results, strict=True)]
    y_N, test = dataset.test.y_N.numpy(), dataset.test.x_ND
    p_KNC = []
    for entries, weights in models:
        model = rebuild(dict(entries), dict(weights), paths.model)
        p_KNC.append(model.probabilities_of(model.logits(test)).double().numpy())
    intervals = sample_intervals(
        spec, dataset, result, [name for name in METRICS if name not in {info.name for info in BASIC}]
    )
    if len(specs) > 1:
        p_NC = weighted_mean(p_KNC, [1 / len(models)] * len(models))
        result = _together(results, measured("test", p_NC, y_N, tuple(spec.own_metrics())))
        intervals = test_intervals(p_NC, y_N, result.metrics.flat())
    result = replace(result, notes=(*result.notes, *about["notes"]))
    tested = {name: value for name, value in result.metrics.flat().items() if split_name(name)[0] == "test"}
    values = read_values(RunPaths(network.trial.folder).config_resolved)
    trainer = {**values.get("trainer", {}), **_trainer(network)}
    made = {"seed": spec.seed, "trainer": trainer, REFIT: about["epochs"]}
    write_text(paths.config_resolved, to_yaml({**values, **made}))
    write_json(paths.refit, {**about, "test": tested})
    write_example(paths, spec.data)
    typed = (*(network.trial.job_overrides or ()), f"{REFIT}={about['epochs']}")
    stored = write_run(paths, spec, dataset, result, job_overrides=typed, intervals=intervals)
    if len(specs) > 1:
        save_ensemble(paths.model, models, [1.0] * len(models), REFIT)
    return stored


def _together(results: Sequence[TrialResult], found: Measured) -> TrialResult:
    """The result of several seeds that predict together: the first one with the test metrics of their mean."""
    first = results[0]
    own = {name: None if split_name(name)[0] == "train" else value for name, value in first.metrics.flat().items()}
    return replace(
        first, metrics=Metrics.from_flat({**own, **found.metrics}), classes=found.classes, notes=(LOSS_NOTE,),
        train_seconds=sum(each.train_seconds for each in results),
        n_parameters=sum(each.n_parameters for each in results),
    )  # fmt: skip


def lines(found: Refit) -> list[str]:
    """What was trained, and the test metrics beside those of the training that was validated."""
    rows, best, whole = counted(len(found.dataset.train), "row"), found.best_epochs, found.result.way == FITTED
    of = f", the median of the best epochs {', '.join(map(str, best))}" if len(best) > 1 else ""
    done = f"fitted again on {rows}" if whole else f"trained again on {rows} for {counted(found.n_epochs, 'epoch')}{of}"
    seeds = f"seed{'s' if len(found.seeds) > 1 else ''} {', '.join(map(str, found.seeds))}"
    text = [f"{done}, {seeds}", f"test of the validated training  {_metrics(found.validated)}"]
    text += [f"test of seed {seed}  {_metrics(own)}" for seed, own in zip(found.seeds, found.own, strict=False)]
    together = "of the seeds together" if found.own else "of the refit"
    text.append(f"test {together}  {_metrics(found.stored.metrics, found.stored.intervals)}")
    return [*text, f"files: {relative(found.folder)}"]


def _metrics(values: Mapping[str, float | None], intervals: Mapping[str, tuple[float, float]] | None = None) -> str:
    parts = []
    for name in ("accuracy", "likelihood"):
        ends = (intervals or {}).get(f"test_{name}")
        interval = f" [{ends[0]:.3f}, {ends[1]:.3f}]" if ends else ""
        parts.append(f"{name} {number(values.get(f'test_{name}'))}{interval}")
    return "  ".join(parts)
