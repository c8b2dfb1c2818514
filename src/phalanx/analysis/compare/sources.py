"""Runs for a comparison, read from run folders, sweep folders and MLflow: one `Run` for each seed that was trained."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from phalanx.analysis.class_scores import class_scores
from phalanx.analysis.compare.run import FOLD, MEASURED, SPLIT, Read, Run
from phalanx.core.advice import command
from phalanx.core.baselines import without_unused
from phalanx.core.errors import RequestError, RunFolderError, UnreadableFile, listed
from phalanx.core.result import Status
from phalanx.runs.config_file import flat, read_values, settings_typed
from phalanx.runs.layout import FINAL, RunPaths, SweepPaths
from phalanx.runs.made_folders import is_made
from phalanx.runs.metrics_csv import check_length
from phalanx.runs.stored_run import SeedResult, StoredRun, read_stored_run
from phalanx.runs.sweep_folder import trial_numbers

MLFLOW = "mlflow:"

SHOWN = 5  # names in a list of what is wrong


def read_sources(sources: Sequence[str], uri: str | None = None) -> Read:
    """All runs of the sources: folders, and `mlflow:<experiment>` of the tracking store at `uri`.

    Raises one `RequestError` that names every source that cannot be used.
    """
    runs: list[Run] = []
    notes: list[str] = []
    faults: list[str] = []
    n_damaged = 0
    given = {Path(source).resolve() for source in sources}
    for source in dict.fromkeys(sources):
        try:
            found = _from_mlflow(source, uri) if source.startswith(MLFLOW) else read_folder(Path(source), given)
        except RequestError as error:
            faults.append(str(error))
            continue
        runs += found.runs
        notes += found.notes
        n_damaged += found.n_damaged
    if faults:
        raise RequestError("\n".join(["nothing was compared:", *(f"  - {fault}" for fault in faults)]))
    return Read(tuple(runs), tuple(notes), n_damaged)


def _from_mlflow(source: str, uri: str | None) -> Read:
    from phalanx.analysis.compare.mlflow_runs import read_tracked

    runs, notes = read_tracked(source.removeprefix(MLFLOW), uri)
    return Read(tuple(runs), tuple(notes))


def read_folder(folder: Path, given: Collection[Path] | None = None) -> Read:
    """The runs in one folder: a run's own, or one that holds run folders, such as a sweep's or `outputs/runs`.

    Ensembles and refits beside the runs that they were made of are left out.

    Args:
        folder: The folder.
        given: All folders that are compared, so that a note names what is left out besides; None for no such note.
    """
    if not folder.is_dir():
        raise RunFolderError(f"{folder} is not a folder; runs are listed by: ls outputs/runs outputs/sweeps")
    if RunPaths(folder).result.is_file():
        stored = read_stored_run(folder)
        return Read(tuple(runs_of(stored)), tuple(_short([stored])))
    wanted = set(trial_numbers(SweepPaths(folder)))
    found = (c for c in folder.iterdir() if c.is_dir() and c.name != FINAL)
    every = sorted((c for c in found if not c.name.isdecimal() or int(c.name) in wanted), key=_by_number)
    made = [c for c in every if not c.name.isdecimal() and is_made(c)]
    made = [] if len(made) == len(every) else made  # in a folder of refits alone they are compared
    children = [c for c in every if c not in made]
    ended = [c for c in children if RunPaths(c).result.is_file()]
    if not ended:
        raise RunFolderError(f"{folder} holds no results: {_what_is_there(folder, children)}")
    sweep = folder.parent.name if folder.name == FINAL else folder.name
    runs: list[Run] = []
    read: list[StoredRun] = []
    damaged: list[str] = []
    for child in ended:
        try:
            stored = read_stored_run(child)
            runs += runs_of(stored, sweep, child.name)
            read.append(stored)
        except RunFolderError as error:
            damaged.append(str(error))
    if not runs:
        raise RunFolderError(f"{folder} holds no result that can be read: {damaged[0]}")
    unseen = [] if given is None else [c for c in made if c.resolve() not in given]
    notes = [*_noticed(folder, children, ended, damaged), *_short(read), *_left_out(unseen)]
    return Read(tuple(runs), tuple(notes), len(damaged))


def _short(read: Sequence[StoredRun]) -> Iterator[str]:
    """Notes on curves with fewer epochs than were trained. The results beside them are compared all the same."""
    faults: list[str] = []
    for stored in read:
        try:
            check_length(RunPaths(stored.folder).metrics, stored.n_rows)
        except UnreadableFile as error:
            faults.append(str(error))
    yield from (f"{text}; its result is compared all the same" for text in faults[:SHOWN])
    if len(faults) > SHOWN:
        yield f"{len(faults) - SHOWN} more curves lack epochs; their results are compared all the same"


def _noticed(folder: Path, children: Sequence[Path], ended: Sequence[Path], damaged: Sequence[str]) -> Iterator[str]:
    yield from (f"left out: {text}" for text in damaged[:SHOWN])
    if len(damaged) > SHOWN:
        yield f"left out: {len(damaged) - SHOWN} more results of {folder} that cannot be read"
    unfinished = [c.name for c in children if c.name.isdecimal() and c not in ended]
    if unfinished:
        yield f"{_listed('trial', unfinished)} of {folder.name} left no result, being unfinished or deleted"


def _left_out(made: Sequence[Path]) -> Iterator[str]:
    """A note on ensembles and refits beside the runs that they were made of."""
    if made:
        yield (f"left out: {listed([c.name for c in made], SHOWN)}, made of other runs; give the folder too to show it "
               f"beside them: {command(str(made[0]))}")  # fmt: skip


def _listed(word: str, names: Sequence[str]) -> str:
    return f"{word}{'s' if len(names) > 1 else ''} {listed(names, SHOWN)}"


def _what_is_there(folder: Path, children: Sequence[Path]) -> str:
    inside = [c for c in children if any(c.glob("*/result.json"))]
    if inside:
        return f"give the sweeps inside it, such as {inside[0]}"
    return "give a run's folder (outputs/runs/<time>-<id>) or a sweep's (outputs/sweeps/<name>)"


def _by_number(path: Path) -> tuple[int, str]:
    return (int(path.name), "") if path.name.isdecimal() else (-1, path.name)


def runs_of(stored: StoredRun, sweep: str = "", trial: str = "") -> list[Run]:
    """A run for each seed of one result.

    Args:
        stored: The result.
        sweep: The name of its sweep; empty for a run of its own.
        trial: The name of its folder in the sweep.

    Raises:
        RunFolderError: The configuration is damaged or missing.
    """
    paths = RunPaths(stored.folder)
    config = flat(read_values(paths.config_resolved)) if paths.config_resolved.is_file() else None
    if config is None and stored.status is Status.COMPLETED:
        raise RunFolderError(f"{paths.config_resolved} is gone, so what {stored.folder} trained is not known")
    known = {"sweep": sweep, "trial": trial} if sweep else {}
    run = Run(
        place=str(stored.folder),
        config={**without_unused(config or {}), **known},
        seed=-1 if stored.seed is None else stored.seed,
        status=stored.ending,
        values={**stored.metrics, **{name: getattr(stored, name) for name in MEASURED}},
        objective=stored.objective.name,
        data=stored.data_digest,
        classes=class_scores(stored, stored.classes),
        typed=settings_typed(f"{key}={text}" for key, text in stored.overrides.items()),
        sizes=None if stored.data is None else (stored.data.n_train, stored.data.n_val, stored.data.n_test),
    )
    return [replace(_repeat(run, row), classes=class_scores(stored, row.classes)) for row in stored.repeats] or [run]


def _repeat(run: Run, row: SeedResult) -> Run:
    """One seed of a trial with several seeds, without the numbers of the whole trial, such as its seconds."""
    own = {**row.metrics, "best_epoch": row.best_epoch, "epochs": row.epochs}
    own["n_parameters"] = run.values["n_parameters"]
    found = replace(run, seed=row.seed, status=str(row.status), values=own)
    own = {key: number for key, number in ((SPLIT, row.split_seed), (FOLD, row.fold)) if number is not None}
    return replace(found, config={**run.config, **own}, data=row.data_digest) if own else found
