"""A trial that knows its data: its epochs, and its model the batches to compute; its optimizer has been checked."""

from dataclasses import replace

from phalanx.data import Dataset
from phalanx.nn.models.base import Batches, InputShape
from phalanx.training.epochs import with_epochs
from phalanx.training.evaluation import sizes_at_once
from phalanx.training.spec import TrialSpec
from phalanx.training.stack import batches


def prepared(spec: TrialSpec, dataset: Dataset) -> TrialSpec:
    """The trial with its epochs and a prepared model; the trial itself where neither depends on the data.

    Args:
        spec: The trial.
        dataset: Its data, on the device that it trains on.

    Raises:
        RequestError: The network, of the user's own, cannot be built or cannot compute a batch, or the optimizer, of
            the user's own, cannot be built or cannot make a step.
    """
    n_train = len(dataset.train)
    spec = with_epochs(spec, n_train)
    size, n_steps = batches(spec.trainer, n_train)
    rest = min(size, n_train - (n_steps - 1) * size)
    at_once = {size for split in (dataset.train, dataset.val, dataset.test) for size in sizes_at_once(len(split))}
    known = Batches(dataset.train, tuple(sorted({size, rest})), tuple(sorted(at_once)), spec.trainer.precision)
    model = spec.model.prepared(InputShape(*dataset.sizes), known)
    spec.optimizer.bound(model.layout(dataset.n_features, dataset.n_classes))
    return spec if model is spec.model else replace(spec, model=model)
