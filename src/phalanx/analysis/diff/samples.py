"""On which samples two trained networks disagree, and whether one is right more often. Axes: N samples, C classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from phalanx.analysis.diff.rows import plain
from phalanx.core.errors import RequestError, all_of
from phalanx.data import Dataset
from phalanx.data.base import DataSpec
from phalanx.data.cache import dataset_of
from phalanx.runs.config import trial_spec
from phalanx.runs.config_file import read_values
from phalanx.runs.layout import RunPaths
from phalanx.runs.model_file import SavedModel, load_network
from phalanx.runs.stored_run import StoredRun
from phalanx.runs.trained_on import with_places


@dataclass(frozen=True)
class Disagreement:
    """A sample that A and B put into different classes, with the probability that each gives its own class."""

    row: int  # in the source, from 1
    true: str
    a: str
    p_a: float
    b: str
    p_b: float

    @property
    def confidence(self) -> float:
        """The probability of which both are sure at least."""
        return min(self.p_a, self.p_b)


@dataclass(frozen=True)
class SampleDiff:
    """The predictions of A and B on the samples of one split."""

    split: str  # "test", or "validation" where a run has not read the test split
    n_samples: int
    only_a: int  # samples on which A alone is right
    only_b: int
    both: int  # samples on which both are right
    p: float  # of McNemar's exact test that both are right equally often
    disagreements: tuple[Disagreement, ...]  # the most confident first
    rows_of: str  # what the rows are counted in

    @property
    def right(self) -> tuple[int, int]:
        """On how many samples A and B are right."""
        return self.both + self.only_a, self.both + self.only_b


def mcnemar(only_a: int, only_b: int) -> float:
    """The two-sided p-value of McNemar's exact test: the binomial test that either is 1/2 of both.

    Args:
        only_a: Samples that A alone has right.
        only_b: Samples that B alone has right.
    """
    from scipy.special import bdtr  # not scipy.stats.binomtest, whose import takes a second

    return min(1.0, 2 * float(bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def diff_samples(folders: tuple[Path, Path], stored: tuple[StoredRun, StoredRun]) -> SampleDiff:
    """Predicts the split that both runs share with both networks. No code of a folder is run.

    Args:
        folders: Of the runs.
        stored: Their results. The test split is used only if training has read it in both.

    Raises:
        RequestError: A run has no model, its data cannot be read or have changed, or the splits differ.
    """
    models = all_of(lambda: load_network(folders[0]), lambda: load_network(folders[1]))
    specs = all_of(lambda: _data(folders[0]), lambda: _data(folders[1]))
    datasets = all_of(lambda: _dataset(specs[0], stored[0]), lambda: _dataset(specs[1], stored[1]))
    split = "test" if all(run.metrics.get("test_loss") is not None for run in stored) else "validation"
    if not _same_split(split, specs, datasets):
        raise RequestError(f"they have different {split} splits (digests {datasets[0].digest}, {datasets[1].digest})")
    return _compared(split, models, datasets)


def _data(folder: Path) -> DataSpec:
    return trial_spec(with_places(read_values(RunPaths(folder).config_resolved, inside=folder), folder)).data


def _dataset(spec: DataSpec, run: StoredRun) -> Dataset:
    """The data of a run. Raises `RequestError` if they are not those that it was trained on."""
    dataset = dataset_of(spec)
    if run.data_digest not in (None, dataset.digest):
        raise RequestError(
            f"the data of {run.folder} have changed since it was trained: their digest was {run.data_digest} and is "
            f"{dataset.digest} now"
        )
    return dataset


def _key(split: str) -> str:
    return "val" if split == "validation" else split


def _same_split(split: str, specs: tuple[DataSpec, DataSpec], datasets: tuple[Dataset, Dataset]) -> bool:
    """Whether both splits hold the same rows of the same source, however these are encoded."""
    a, b = datasets
    if a.digest == b.digest:
        return True
    rows_a, rows_b = (each.row_numbers.get(_key(split)) for each in datasets)
    if a.classes != b.classes or a.official_test != b.official_test or rows_a is None or rows_b is None:
        return False
    return np.array_equal(rows_a, rows_b) and _held(split, specs[0], rows_a) == _held(split, specs[1], rows_b)


def _held(split: str, spec: DataSpec, rows_N: np.ndarray) -> tuple[bytes, bytes]:
    """What these rows hold in the source, and their classes."""
    raw = spec.read()
    x, y_N = raw.x, raw.y
    if split == "test" and raw.test_x is not None and raw.test_y is not None:
        x, y_N = raw.test_x, raw.test_y
    if isinstance(x, np.ndarray):
        return x[rows_N].tobytes(), y_N[rows_N].tobytes()
    return x.loc[rows_N].to_csv().encode(), y_N[x.index.get_indexer(rows_N)].tobytes()  # a pandas table


def _compared(split: str, models: tuple[SavedModel, SavedModel], datasets: tuple[Dataset, Dataset]) -> SampleDiff:
    y_N = getattr(datasets[0], _key(split)).y_N.numpy()
    logits = [m.logits(getattr(d, _key(split)).x_ND) for m, d in zip(models, datasets, strict=True)]
    a_N, b_N = (logits_NC.argmax(-1).numpy() for logits_NC in logits)
    p_a, p_b = (
        m.probabilities_of(logits_NC).nan_to_num(nan=0.0).numpy() for m, logits_NC in zip(models, logits, strict=True)
    )
    right_a, right_b = a_N == y_N, b_N == y_N
    rows_N = datasets[0].row_numbers.get(_key(split))
    rows_N = np.arange(len(y_N)) if rows_N is None else rows_N
    names = [plain(name) for name in datasets[0].classes]
    found = [
        Disagreement(int(rows_N[n]) + 1, names[y_N[n]], names[a_N[n]], float(p_a[n, a_N[n]]), names[b_N[n]],
                     float(p_b[n, b_N[n]]))
        for n in np.flatnonzero(a_N != b_N)
    ]  # fmt: skip
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    official = split == "test" and datasets[0].official_test
    return SampleDiff(
        split, len(y_N), only_a, only_b, int((right_a & right_b).sum()), mcnemar(only_a, only_b),
        tuple(sorted(found, key=lambda d: (-d.confidence, d.row))),
        "the source's test split" if official else "the source",
    )  # fmt: skip
