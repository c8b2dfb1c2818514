"""The networks that a sweep has trained, as candidates for an ensemble."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from phalanx.analysis.ensemble.lost import Lost, told
from phalanx.core.advice import command
from phalanx.core.errors import RequestError, RunFolderError, listed, numbered_trials
from phalanx.core.quantities import counted
from phalanx.core.result import Status
from phalanx.data import Dataset
from phalanx.data.base import PLACES
from phalanx.data.cache import dataset_of
from phalanx.runs.config import trial_spec
from phalanx.runs.config_file import read_values
from phalanx.runs.layout import RunPaths, SweepPaths
from phalanx.runs.manifest import Manifest, Sweep
from phalanx.runs.stored_run import StoredRun
from phalanx.runs.sweep_folder import collect, is_sweep
from phalanx.runs.trained_on import with_places
from phalanx.training.spec import TrialSpec, config_digest

SHOWN = 8  # numbers of trials in a message


@dataclass(frozen=True, eq=False)
class Network:
    """One training of a sweep: a trial's only one, or that of one of its seeds and folds.

    Attributes:
        spec: What is trained.
        trial: The trial.
        metrics: What it reached in the sweep; None for a seed that the sweep has not trained.
        data_digest: Of the data that it was trained on; None where that is not known.
        kept: The model file that has its weights; None where they were not kept.
        place: Its place among the trainings of the trial.
    """

    spec: TrialSpec
    trial: StoredRun
    metrics: Mapping[str, float | None] | None
    data_digest: str | None
    kept: Path | None
    place: int = 0

    @property
    def dataset(self) -> Dataset:
        """Its data."""
        return dataset_of(self.spec.data)


@dataclass(frozen=True, eq=False)
class Candidate:
    """What predicts each validation row once: a network, or the networks of all folds with one seed."""

    networks: tuple[Network, ...]

    @property
    def first(self) -> Network:
        """The network of the first fold."""
        return self.networks[0]

    @property
    def seed(self) -> int:
        """The seed."""
        return self.first.spec.seed

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the trials that its networks come from."""
        return tuple(dict.fromkeys(network.trial.number for network in self.networks))

    @property
    def setting(self) -> str:
        """What was trained besides seed and fold, as a digest."""
        return setting_of(self.first.spec)

    @property
    def value(self) -> float | None:
        """The mean of the objective over the folds; None if one has none."""
        values = [(network.metrics or {}).get(network.spec.objective) for network in self.networks]
        known = [value for value in values if value is not None]
        return statistics.fmean(known) if len(known) == len(values) else None

    @property
    def rows(self) -> tuple[object, ...]:
        """What all members of an ensemble must share: the source and the rows that validate and test, fold by fold."""
        return tuple(_rows(network) for network in self.networks)


@dataclass(frozen=True)
class Found:
    """The candidates of a sweep, and the trainings that diverged or failed."""

    candidates: tuple[Candidate, ...]
    lost: tuple[Lost, ...] = ()


def setting_of(spec: TrialSpec) -> str:
    """What is trained besides seed and fold, as a digest."""
    return config_digest(spec if not spec.data.fold else replace(spec, data=replace(spec.data, fold=0)))


def _training(spec: TrialSpec) -> tuple[str, int, int]:
    return setting_of(spec), spec.seed, spec.data.fold


def _rows(network: Network) -> tuple[object, ...]:
    dataset, data = network.dataset, network.spec.data
    splits = [
        (dataset.row_numbers.get(name, split.y_N.numpy()).tobytes(), split.y_N.numpy().tobytes())
        for name, split in (("val", dataset.val), ("test", dataset.test))
    ]
    places = tuple(str(getattr(data, key, None)) for key in (*PLACES, "target"))
    return data.name, data.fold, places, dataset.classes, tuple(splits)


def numbered(candidates: Iterable[Candidate]) -> str:
    """The trials of candidates in words."""
    numbers = sorted({number for candidate in candidates for number in candidate.numbers})
    return numbered_trials(numbers)


def read_candidates(sweep: Path, notes: list[str]) -> Found:
    """The candidates of a sweep's completed trainings, and what diverged or failed.

    Args:
        sweep: The folder of the sweep.
        notes: Takes what is odd about the folds.

    Raises:
        RunFolderError: It is no folder of a sweep, or nothing was completed.
        RequestError: What trials trained, or their data, cannot be had any more, which names all of them; or of no
            seed all folds were completed.
    """
    if not is_sweep(sweep):
        raise RunFolderError(
            f"{sweep} is not the folder of a sweep: it has no {SweepPaths(sweep).manifest.name}; sweeps are listed by: "
            "ls outputs/sweeps"
        )
    paths = SweepPaths(sweep)
    manifest, trials = Manifest.read(paths), [trial for trial in collect(paths) if trial.same_as is None]
    faults: dict[str, list[str]] = {}
    networks: list[Network] = []
    lost: list[Lost] = []
    for trial in trials:
        place = Sweep("", trial.number, manifest)
        try:
            if trial.status is Status.COMPLETED or trial.repeats:
                networks += networks_of(trial, place)
        except RequestError as error:
            if trial.status is Status.COMPLETED:
                faults.setdefault(str(error), []).append(str(trial.number))
        if trial.status in (Status.DIVERGED, Status.FAILED):
            lost += _lost_of(trial, place)
    if faults:
        lines = [f"  - trial {listed(numbers, SHOWN)}: {text}" for text, numbers in faults.items()]
        raise RequestError("\n".join([f"no ensemble of {sweep} can be made:", *lines]))
    known = {_training(own.spec) for own in networks}
    lost = [one for one in lost if one.spec is None or _training(one.spec) not in known]
    if not networks:
        again = "type the sweep's command again" if trials else f"train one: {command('python', 'train.py', '-m')} …"
        why = f": {told(lost)}" if lost else ""
        raise RunFolderError(f"{sweep} has no completed trial among {counted(len(trials), 'trial')}{why}; {again}")
    return Found(tuple(_by_fold(networks, lost, sweep, notes)), tuple(lost))


def _lost_of(trial: StoredRun, sweep: Sweep) -> list[Lost]:
    """The trainings of a trial that diverged or failed."""
    run = RunPaths(trial.folder)
    try:
        specs = sweep.specs(trial_spec(with_places(read_values(run.config_resolved), run.root)))
    except (RequestError, OSError):  # it failed since its configuration is wrong, or has gone with an extension
        return [Lost(trial.number, trial.ending, trial.error, None)]
    if len(specs) != len(trial.repeats):
        return [Lost(trial.number, trial.ending, trial.error, spec) for spec in specs]
    rows = zip(specs, trial.repeats, strict=True)
    return [Lost(trial.number, str(row.status), row.error, spec) for spec, row in rows
            if row.status in (Status.DIVERGED, Status.FAILED)]  # fmt: skip


def networks_of(trial: StoredRun, sweep: Sweep | None) -> list[Network]:
    """The trainings of one trial, or of a run of its own.

    Args:
        trial: The result.
        sweep: Its place in a sweep; None for a run of its own.

    Raises:
        RequestError: They are not those of its configuration and data now.
    """
    run = RunPaths(trial.folder)
    spec = trial_spec(with_places(read_values(run.config_resolved), run.root))
    if trial.config_digest not in (None, digest := config_digest(spec)):
        raise RequestError(f"{run.config_resolved} is another configuration than was trained: the digest was "
                           f"{trial.config_digest} and is {digest} now; put the file back")  # fmt: skip
    specs = [spec] if sweep is None else sweep.specs(spec)
    kept = run.model if run.model.is_file() else None
    if len(specs) == 1:
        found = [Network(spec, trial, trial.metrics, trial.data_digest, kept)]
    else:
        if len(specs) != len(trial.repeats):
            raise RequestError(f"{run.result} has {counted(len(trial.repeats), 'repeat')}, its sweep asks for "
                               f"{len(specs)}; train the sweep in a new folder")  # fmt: skip
        rows = zip(specs, trial.repeats, strict=True)
        digests = [row.data_digest or trial.data_digest for row in trial.repeats]
        found = [Network(own, trial, row.metrics, digests[i], None, i) for i, (own, row) in enumerate(rows)]
        found[0] = replace(found[0], kept=kept)  # a trial keeps the weights of its first training
        found = [own for own in found if trial.repeats[own.place].status is Status.COMPLETED]
    for network in found:
        now = network.dataset.digest
        if network.data_digest not in (None, now):
            raise RequestError(f"the data have changed since it was trained: their digest was {network.data_digest} "
                               f"and is {now} now; put the data back")  # fmt: skip
    return found


def _by_fold(networks: Sequence[Network], lost: Sequence[Lost], sweep: Path, notes: list[str]) -> list[Candidate]:
    """Puts the folds of one setting and seed together; those that lack a fold are left out, since rows of it would have
    no out-of-fold prediction. Raises `RequestError` if all lack one."""
    groups: dict[tuple[str, int], dict[int, Network]] = {}
    for network in networks:
        key = setting_of(network.spec), network.spec.seed
        groups.setdefault(key, {}).setdefault(network.spec.data.fold, network)
    wanted = {network.spec.data.fold for network in networks}
    wanted |= {one.spec.data.fold for one in lost if one.spec is not None}
    found = [Candidate(tuple(folds[fold] for fold in sorted(folds))) for folds in groups.values()]
    short = [candidate for candidate in found if len(candidate.networks) < len(wanted)]
    if len(short) == len(found):
        why = f": {told(lost)}" if lost else ""
        raise RequestError(
            f"no seed of {sweep} was completed on all {len(wanted)} folds, so that no network predicts each validation "
            f"row out of fold{why}; train the missing folds, or where they diverge all again with a lower optimizer.lr"
        )
    if short:
        notes.append(f"left out, since not all {len(wanted)} folds were completed: {numbered(short)}")
    if len(wanted) < (n_folds := networks[0].spec.data.n_folds) and len(wanted) > 1:
        notes.append(
            f"the sweep has {len(wanted)} of the {n_folds} folds, so validation metrics are of their rows alone"
        )
    return [candidate for candidate in found if len(candidate.networks) == len(wanted)]


def check_rows(candidates: Sequence[Candidate], sweep: Path, more: str = "") -> None:
    """Raises `RequestError` if candidates were trained, or judged, on different rows, so that none is the best one.

    Args:
        candidates: All that are compared.
        sweep: The folder of the sweep.
        more: What else can be done, for the message.
    """
    groups: dict[tuple[object, ...], list[Candidate]] = {}
    known: dict[tuple[object, ...], tuple[object, ...]] = {}  # trials of one configuration of the data have one
    for candidate in candidates:
        data = tuple(network.spec.data for network in candidate.networks)
        if data not in known:
            known[data] = candidate.rows
        groups.setdefault(known[data], []).append(candidate)
    if len(groups) > 1:
        shown = "; ".join(f"{numbered(group)}: data digest {group[0].first.data_digest}" for group in groups.values())
        raise RequestError(
            f"the trials of {sweep} have other data or other splits than each other, and members must share them: what "
            f"trains one would validate or test another ({shown}); train a sweep over one data set with one "
            f"data.split_seed; folds (data.fold) may differ{more}"
        )
