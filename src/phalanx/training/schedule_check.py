"""Whether a training has enough steps for its learning-rate schedule."""

from phalanx.core.errors import SpecError
from phalanx.training.epochs import with_epochs
from phalanx.training.spec import TrialSpec
from phalanx.training.stack import batches


def check_schedule(spec: TrialSpec, n_train: int) -> str:
    """Returns a warning if the schedule changes nothing in this training, else an empty text.

    Args:
        spec: The trial.
        n_train: The number of training samples.

    Raises:
        SpecError: The training is too short for the schedule: the rate never reaches `optimizer.lr`.
    """
    steps_per_epoch, n_epochs = batches(spec.trainer, n_train)[1], with_epochs(spec, n_train).trainer.n_epochs
    if faults := spec.schedule.misfits(steps_per_epoch, n_epochs):
        raise SpecError(faults)
    return spec.schedule.idle(steps_per_epoch, n_epochs)
