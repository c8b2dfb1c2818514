"""Whether a trial fits its data: steps, averaged epochs, the objective, class weights, and a baseline's options."""

from __future__ import annotations

from collections.abc import Callable

from phalanx.core.errors import Fault, SpecError, listed
from phalanx.data import Dataset
from phalanx.nn.losses.class_weights import class_weights
from phalanx.nn.models.estimator import EstimatorSpec
from phalanx.training.epochs import average_faults
from phalanx.training.metric_check import check_objective
from phalanx.training.schedule_check import check_schedule
from phalanx.training.spec import TrialSpec

MAX_ADVISED = 12  # class weights in an advice


def check_with_data(spec: TrialSpec, dataset: Dataset) -> None:
    """Raises one `SpecError` with all faults of a trial that its data show.

    Args:
        spec: The trial.
        dataset: Its data.
    """
    faults = average_faults(spec, len(dataset.train))
    checks: tuple[Callable[[], object], ...] = (
        lambda: check_schedule(spec, len(dataset.train)),
        lambda: check_objective(spec, dataset),
        lambda: check_class_weights(spec, dataset),
        lambda: check_baseline(spec, dataset),
    )
    for check in checks:
        try:
            check()
        except SpecError as error:
            faults += error.faults
    if faults:
        raise SpecError(faults)


def check_class_weights(spec: TrialSpec, dataset: Dataset) -> None:
    """Raises `SpecError` if the class weights are of other classes than there are, or 0 for every training sample."""
    wanted, n_classes = spec.loss.class_weights, dataset.n_classes
    try:
        class_weights(wanted, dataset.train.class_counts(n_classes))
    except ValueError:
        names = listed(list(map(repr, dataset.classes)))
        allowed = f"none, balanced or {n_classes} numbers, one for each class in the order {names}"
        if len(wanted) == n_classes:
            allowed += ", that are not 0 for all classes of the training samples"
        raise SpecError([Fault("loss.class_weights", list(wanted), allowed, _advice(wanted, n_classes))]) from None


def check_baseline(spec: TrialSpec, dataset: Dataset) -> None:
    """Raises `SpecError` if a baseline cannot be fitted to the training rows, which may be too few."""
    if isinstance(spec.model, EstimatorSpec):
        n_classes = sum(map(bool, dataset.train.class_counts(dataset.n_classes)))
        if faults := spec.model.faults(len(dataset.train), n_classes):
            raise SpecError(faults)


def _advice(wanted: str | tuple[float, ...], n_classes: int) -> str:
    """The weights given, with 1 for those that are missing; `balanced` where that would be too long or all given."""
    if isinstance(wanted, str) or len(wanted) == n_classes or n_classes > MAX_ADVISED:
        return "loss.class_weights=balanced"
    weights = [f"{weight:g}" for weight in (*wanted, *[1.0] * n_classes)[:n_classes]]
    return f"loss.class_weights=[{','.join(weights if any(map(float, weights)) else ['1'] * n_classes)}]"
