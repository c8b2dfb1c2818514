"""The networks of an ensemble's candidates: read where their weights were kept, else trained again.

Axes: N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from phalanx.analysis.ensemble.candidates import Candidate, Network, numbered
from phalanx.analysis.ensemble.predictions import Place
from phalanx.core.device import threads
from phalanx.core.errors import RequestError
from phalanx.core.quantities import counted
from phalanx.core.result import Status, TrialResult
from phalanx.data.base import Split
from phalanx.runs.ensemble_file import Stored
from phalanx.runs.model_file import SavedModel, model_entries, rebuild
from phalanx.runs.tensor_file import read_tensors
from phalanx.training.loop import train_cohort
from phalanx.training.partition import partition
from phalanx.training.spec import config_digest

Say = Callable[[str], None]


@dataclass
class Library:
    """Networks by what they are of, each read or trained once.

    Attributes:
        say: Prints a line.
        notes: Takes what is odd.
        stored: The entries and tensors of the networks that are there.
        predicted: Class probabilities of the validation rows that the sweep has kept, by trial and place.
    """

    say: Say
    notes: list[str]
    stored: dict[Network, Stored] = field(default_factory=dict)
    models: dict[Network, SavedModel] = field(default_factory=dict)
    predicted: dict[Place, np.ndarray] = field(default_factory=dict)

    def obtain(self, candidates: Sequence[Candidate]) -> None:
        """Reads or trains the networks of these candidates. Raises `RequestError` where that is impossible."""
        wanted = [network for one in candidates for network in one.networks if network not in self.stored]
        for network in wanted:
            if network.kept is not None:
                about, tensors = read_tensors(network.kept, inside=network.kept.parent)
                self.stored[network] = about, tensors
                self.models[network] = rebuild(about, tensors, network.kept)
        self._train([network for network in wanted if network.kept is None])

    def validated(self, candidate: Candidate) -> np.ndarray:
        """The class probabilities (N, C), float64, of the validation rows of all folds, each by its own fold's."""
        parts = [
            self._probabilities(network, network.dataset.val)
            if network in self.models
            else self.predicted[network.trial.number, network.place].astype(np.float64)
            for network in candidate.networks
        ]
        return np.concatenate(parts)

    def is_predicted(self, candidate: Candidate) -> bool:
        """Whether its validation predictions are there without its weights."""
        shapes = (
            (getattr(self.predicted.get((own.trial.number, own.place)), "shape", None), own.dataset)
            for own in candidate.networks
        )
        return all(shape == (len(data.val), data.n_classes) for shape, data in shapes)

    def tested(self, candidate: Candidate) -> np.ndarray:
        """The class probabilities (N, C), float64, of the test rows: the mean over the folds' networks."""
        parts = [self._probabilities(network, network.dataset.test) for network in candidate.networks]
        mean_NC: np.ndarray = np.mean(parts, axis=0)
        return mean_NC

    def _probabilities(self, network: Network, split: Split) -> np.ndarray:
        model = self.models[network]
        with threads(1):
            p_NC: np.ndarray = model.probabilities_of(model.logits(split.x_ND)).double().numpy()
        if not np.isfinite(p_NC).all():
            raise RequestError(f"the network of trial {network.trial.number} with seed {network.spec.seed} gives no "
                               "finite probabilities; leave its setting out of the sweep")  # fmt: skip
        return p_NC

    def _train(self, networks: Sequence[Network]) -> None:
        """Trains networks again, as many together as can share a cohort."""
        if not networks:
            return
        again = [network for network in networks if network.metrics is not None]
        if again:
            which = numbered(Candidate((network,)) for network in again)
            self.say(f"training {counted(len(again), 'network')} again, whose weights were not kept: {which}")
        if fresh := sorted({network.spec.seed for network in networks if network.metrics is None}):
            n = len(networks) - len(again)
            self.say(
                f"training {counted(n, 'network')} with seeds that the sweep has not: {', '.join(map(str, fresh))}"
            )
        datasets = [network.dataset for network in networks]
        for places in partition([network.spec for network in networks], datasets):
            own, data = [networks[place] for place in places], [datasets[place] for place in places]
            results = train_cohort([network.spec for network in own], data, test=False)
            for network, result in zip(own, results, strict=True):
                self._add(network, result)

    def _add(self, network: Network, result: TrialResult) -> None:
        """Takes in a network that was trained; notes one that is not the same as in the sweep."""
        name = f"trial {network.trial.number} with seed {network.spec.seed}"
        if result.weights is None or result.status is not Status.COMPLETED:
            raise RequestError(f"{name} was trained for the ensemble and {result.status}: {result.error}")
        assert result.config_digest == config_digest(network.spec), "a result is of what was trained"
        about = model_entries(network.spec, network.dataset, result)
        self.stored[network] = about, result.weights
        self.models[network] = rebuild(about, result.weights, Path(name))
        if network.metrics is not None and (odd := _differing(network.metrics, result)):
            self.notes.append(
                f"{name} is not to the bit what it was: {odd}; it was trained on {network.trial.device} and is now on "
                f"{result.device}"
            )


def _differing(before: Mapping[str, float | None], result: TrialResult) -> str:
    """The first validation metric that is another one now; empty if all are the same."""
    now = result.metrics.flat()
    for name, value in before.items():
        if name.startswith("val_") and value is not None and now.get(name) != value:
            return f"{name} {value} then, {now.get(name)} now"
    return ""
