"""Opens a study by name, and refuses to go on with one that was started otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna

from phalanx.core.errors import RequestError
from phalanx.study.proposals import FINGERPRINT
from phalanx.study.storage import open_storage


def open_study(
    name: str, storage: str | None, directions: Sequence[str] | None, sampler: Any, pruner: Any = None
) -> optuna.Study:
    """The study of that name, created if it does not exist; `storage` is a database URL, None keeps it in memory.

    `directions=None` takes those of an existing study. Raises `RequestError` for a pruner with several objectives,
    which has no one value to compare by.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = pruner or optuna.pruners.NopPruner()
    if directions is None:
        return optuna.load_study(study_name=name, storage=open_storage(storage), sampler=sampler, pruner=pruner)
    if len(directions) > 1 and not isinstance(pruner, optuna.pruners.NopPruner):
        raise RequestError(
            f"hydra/sweeper/pruner must be none with several objectives, got {type(pruner).__name__}; a pruner "
            "compares trials by one value; try hydra/sweeper/pruner=none"
        )
    return optuna.create_study(
        study_name=name, storage=open_storage(storage), directions=list(directions), sampler=sampler, pruner=pruner,
        load_if_exists=True,
    )  # fmt: skip


def agree(study: optuna.Study, fingerprint: Mapping[str, Any], directions: Sequence[str]) -> None:
    """Marks a new study with what determines it, and refuses to go on with one that was started otherwise.

    Optuna itself takes another direction, range or configuration in silence. Raises `RequestError` naming every
    difference.
    """
    lines = differences(study, fingerprint, directions)
    if lines:
        raise RequestError(
            f"the study {study.study_name!r} exists and was started otherwise:\n"
            + "\n".join(f"  - {line}" for line in lines)
            + "\ntype the same again to go on with it, take another hydra.sweeper.study_name for a new one, or let one "
            "be found: hydra.sweeper.on_mismatch=new"
        )


def differences(study: optuna.Study, fingerprint: Mapping[str, Any], directions: Sequence[str]) -> list[str]:
    """In what a start differs from the study's first one; marks a study that has no mark yet."""
    own = {**fingerprint, "directions": [d.name.lower() for d in study.directions]}
    now = {**fingerprint, "directions": list(directions)}
    then = study.user_attrs.get(FINGERPRINT)
    if then is None:
        study.set_user_attr(FINGERPRINT, own)
        then = own
    return [
        f"{key}: {then.get(key)!r} then, {now.get(key)!r} now"
        for key in {**then, **now}
        if then.get(key) != now.get(key)
    ]
