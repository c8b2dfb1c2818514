"""The epochs that a trial trains: `trainer.epochs`, or more where `trainer.min_updates` asks for more updates."""

from __future__ import annotations

from dataclasses import replace

from phalanx.core.errors import Fault
from phalanx.core.quantities import counted
from phalanx.training.spec import TrialSpec, swa_faults
from phalanx.training.stack import batches


def with_epochs(spec: TrialSpec, n_train: int) -> TrialSpec:
    """The trial whose `trainer.n_epochs` is that of its training rows; the trial itself without `trainer.min_updates`.

    Its epochs are raised until it makes at least so many updates. How many an epoch has follows from the training rows,
    `trainer.batch_size` and `trainer.drop_last`; what a last batch is filled up with changes no number of steps. The
    config digest is that of the trial as it was configured.

    Args:
        spec: The trial.
        n_train: Its training rows.
    """
    trainer = spec.trainer
    if trainer.min_updates is None:
        return spec
    needed = -(-trainer.min_updates // batches(trainer, n_train)[1])
    return replace(spec, trainer=replace(trainer, raised_epochs=max(trainer.epochs, needed)))


def epochs_note(spec: TrialSpec, n_train: int) -> str:
    """What `trainer.min_updates` does to the epochs of a trial; empty without it.

    Args:
        spec: The trial.
        n_train: Its training rows.
    """
    trainer = spec.trainer
    if trainer.min_updates is None:
        return ""
    n_epochs, asked = with_epochs(spec, n_train).trainer.n_epochs, f"trainer.min_updates={trainer.min_updates}"
    each = f"{counted(batches(trainer, n_train)[1], 'update')} an epoch"
    if n_epochs == trainer.epochs:
        return f"{asked} is reached by trainer.epochs={n_epochs}: {each}"
    return f"trainer.epochs={trainer.epochs} is raised to {n_epochs} by {asked}: {each}"


def average_faults(spec: TrialSpec, n_train: int) -> list[Fault | str]:
    """Faults of an average whose first epoch depends on how many epochs the data ask for.

    Args:
        spec: The trial.
        n_train: Its training rows.
    """
    trainer = with_epochs(spec, n_train).trainer
    return [] if trainer.min_updates is None else swa_faults(trainer)
