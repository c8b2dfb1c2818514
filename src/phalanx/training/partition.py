"""Which trials can share a cohort: those that are equal in all static fields."""

from collections.abc import Hashable, Sequence
from typing import Any

from phalanx.core.errors import RequestError
from phalanx.core.specs import walk
from phalanx.data import Dataset
from phalanx.training.spec import TrialSpec, static_key


def group_equal(keys: Sequence[Hashable]) -> list[list[int]]:
    """Positions of equal keys, one group for each key, in order of first appearance."""
    groups: dict[Hashable, list[int]] = {}
    for position, key in enumerate(keys):
        groups.setdefault(key, []).append(position)
    return list(groups.values())


def partition(specs: Sequence[TrialSpec], datasets: Sequence[Dataset] | None = None) -> list[list[int]]:
    """Groups trials into cohorts: lists of positions in `specs`, in order of first appearance.

    Args:
        specs: The trials.
        datasets: The data of each of them. Trials with different splits of the data can share a cohort that is given
            these; without them they are divided.

    Examples:
        >>> from phalanx import TrainerSpec, TrialSpec, partition
        >>> partition([TrialSpec(), TrialSpec(trainer=TrainerSpec(batch_size=8)), TrialSpec(seed=1)])
        [[0, 2], [1]]
    """
    if datasets is None:
        return group_equal([(static_key(spec), spec.data) for spec in specs])
    return group_equal([static_key(spec) for spec in specs])


def check_static(specs: Sequence[TrialSpec], datasets: Sequence[Dataset] | None = None) -> None:
    """Raises `RequestError` naming what keeps trials from sharing a cohort.

    Args:
        specs: The trials.
        datasets: The data of each of them; None if all have the same.
    """

    def key_of(place: int) -> dict[str, Any]:
        key = dict(static_key(specs[place]))
        return key if datasets is not None else key | {name: value for name, _, value in walk(specs[place].data)}

    first = key_of(0)
    for place in range(1, len(specs)):
        other = key_of(place)
        differ = sorted(k for k in first.keys() | other.keys() if first.get(k) != other.get(k))
        if differ:
            values = "; ".join(f"{k}: {first.get(k)!r} and {other.get(k)!r}" for k in differ)
            raise RequestError(
                f"these trials cannot share a cohort, they differ in static fields: {values}; "
                "split them with phalanx.partition(specs) first"
            )
