"""Opens a study by name, and compares how it was started with how it is started now."""

import uuid
from collections.abc import Mapping, Sequence

import optuna

from phalanx.core.errors import RequestError
from phalanx.study.drafts import DraftStorage
from phalanx.study.leases import Leases
from phalanx.study.proposals import FINGERPRINT, IDENTITY
from phalanx.study.storage import in_memory, missing_file, open_storage


def open_study(
    name: str, storage: str | None, directions: Sequence[str] | None,
    sampler: optuna.samplers.BaseSampler | None, pruner: optuna.pruners.BasePruner | None = None,
) -> optuna.Study:  # fmt: skip
    """Opens the study of that name, and creates it if it does not exist.

    Args:
        name: The study's name in its storage.
        storage: A database URL, or `journal:///absolute/path/study.log`; None keeps the study in memory.
        directions: `minimize` or `maximize` for each objective; None takes those of a study that has to exist.
        sampler: None takes Optuna's default.
        pruner: None prunes nothing.

    Raises:
        RequestError: For a pruner with several objectives, since a pruner compares trials by one value, and for a
            storage that cannot be opened.
        KeyError: If `directions` is None and there is no such study.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = pruner or optuna.pruners.NopPruner()
    if directions is None:
        return optuna.load_study(study_name=name, storage=_storage(storage), sampler=sampler, pruner=pruner)
    if len(directions) > 1 and not isinstance(pruner, optuna.pruners.NopPruner):
        raise RequestError(
            f"hydra/sweeper/pruner must be none with several objectives, got {type(pruner).__name__}; a pruner "
            "compares trials by one value; try hydra/sweeper/pruner=none"
        )
    return optuna.create_study(
        study_name=name, storage=_storage(storage), sampler=sampler, pruner=pruner, load_if_exists=True,
        directions=[optuna.study.StudyDirection[direction.upper()] for direction in directions],
    )  # fmt: skip


def _storage(url: str | None) -> optuna.storages.BaseStorage:
    """The storage at a URL; a trial is stored in a database when it is drawn."""
    storage = open_storage(url)
    return DraftStorage(storage) if isinstance(storage, optuna.storages.RDBStorage) else storage


def find_study(name: str, storage: str) -> optuna.Study | None:
    """The study of that name; None if there is none, or only one in another process's memory. Creates nothing.

    Args:
        name: The study's name in its storage.
        storage: As of `open_study`.
    """
    if in_memory(storage) or missing_file(storage) is not None:
        return None
    try:
        return open_study(name, storage, None, None)
    except KeyError:
        return None


def identity_of(study: optuna.Study, leases: Leases) -> str:
    """A text that tells the study from another one of the same name, such as a later one after this was deleted.

    Args:
        study: The study, which gets its identity at the first call.
        leases: Of the study, so that drivers that start at once agree.
    """
    if IDENTITY not in study.user_attrs:
        with leases.exclusive("identity"):
            if IDENTITY not in study.user_attrs:
                study.set_user_attr(IDENTITY, uuid.uuid4().hex)
    return stored_identity(study)


def stored_identity(study: optuna.Study) -> str:
    """The identity that a study has; empty where none was given to it yet."""
    return str(study.user_attrs.get(IDENTITY, ""))


def check_fingerprint(study: optuna.Study, fingerprint: Mapping[str, object], directions: Sequence[str]) -> None:
    """Refuses to go on with a study that was started otherwise, where Optuna says nothing.

    Args:
        study: The stored study.
        fingerprint: What identifies the search, by name.
        directions: `minimize` or `maximize` for each objective.

    Raises:
        RequestError: With every difference.
    """
    lines = differences(study, fingerprint, directions)
    if lines:
        raise RequestError(
            f"the study {study.study_name!r} exists and was started otherwise:\n"
            + "\n".join(f"  - {line}" for line in lines)
            + "\ntype the same again to go on with it, take another hydra.sweeper.study_name for a new one, or let one "
            "be found: hydra.sweeper.on_mismatch=new"
        )


def differences(study: optuna.Study, fingerprint: Mapping[str, object], directions: Sequence[str]) -> list[str]:
    """Compares a start of a study with its first one, and stores the fingerprint of the first start in the study.

    Args:
        study: The study as it was opened.
        fingerprint: Everything that determines the study's trials, as JSON values by name.
        directions: `minimize` or `maximize` for each objective.

    Returns:
        A line for each name whose value differs.
    """
    own = {**fingerprint, "directions": [d.name.lower() for d in study.directions]}
    now = {**fingerprint, "directions": list(directions)}
    then = study.user_attrs.get(FINGERPRINT)
    if then is None:
        study.set_user_attr(FINGERPRINT, own)
        then = own
    return [
        f"{key}: {_shown(then.get(key))} then, {_shown(now.get(key))} now"
        for key in {**then, **now}
        if then.get(key) != now.get(key)
    ]


def _shown(value: object) -> str:
    """Returns an entry of a fingerprint in words; that of a space is Optuna's JSON."""
    try:
        distribution = optuna.distributions.json_to_distribution(str(value))
    except (KeyError, TypeError, ValueError):
        return repr(value)
    return str(distribution)
