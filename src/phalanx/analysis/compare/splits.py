"""Runs on the same data: those on one split, and those on several splits of the same rows, which are repeats."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from phalanx.analysis.compare.run import SPLIT, Run
from phalanx.analysis.statistics import FEWEST

ROOT = "data.root"  # where files lie on one machine says nothing about their rows


@dataclass(frozen=True)
class SameData:
    """Runs that are compared with each other: on one split, or on several that count as repeats."""

    runs: tuple[Run, ...]
    pooled: bool = False


def by_data(runs: Sequence[Run], usable: Sequence[Run], by: Sequence[str]) -> list[SameData]:
    """Puts runs on the same data together.

    Runs on one split have the same digest of their data. Runs whose keys of the data differ in the split's seed alone
    are pooled, if three splits or more hold runs of at least two groups.

    Args:
        runs: All runs.
        usable: Those of them that have a value.
        by: The keys that make the groups; splits are not pooled if the split's seed is one of them.
    """
    found: dict[str | None, list[Run]] = defaultdict(list)
    for run in runs:
        found[run.data].append(run)
    rows: dict[tuple[tuple[str, str], ...], list[str | None]] = defaultdict(list)
    for data, members in found.items():
        rows[_rows(members[0])].append(data)
    made: list[SameData] = []
    for digests in rows.values():
        together = [run for data in digests for run in found[data]]
        if SPLIT not in by and _can_be_pooled(together, [run for run in usable if run.data in digests], by):
            made.append(SameData(tuple(together), pooled=True))
        else:
            made += [SameData(tuple(found[data])) for data in digests]
    return made


def _rows(run: Run) -> tuple[tuple[str, str], ...]:
    """What says which rows a run was trained on, but for their split."""
    return tuple(sorted((key, same) for key, same in run.identities.items()
                        if key.startswith("data.") and key not in (SPLIT, ROOT)))  # fmt: skip


def _can_be_pooled(runs: Sequence[Run], usable: Sequence[Run], by: Sequence[str]) -> bool:
    if len(set(_splits(runs))) < len({run.data for run in runs}) or None in {run.data for run in runs}:
        return False  # one split seed and several digests: the rows are not the same
    groups: dict[int, set[tuple[str, ...]]] = defaultdict(set)
    for run in usable:
        if run.split is not None:
            groups[run.split].add(tuple(map(run.same, by)))
    enough = min(2, len(set().union(*groups.values())))
    return sum(len(there) >= enough for there in groups.values()) >= FEWEST


def _splits(runs: Sequence[Run]) -> Iterator[int]:
    return (run.split for run in runs if run.split is not None)
