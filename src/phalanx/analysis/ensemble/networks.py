"""The networks of an ensemble's candidates: read where their weights were kept, else trained again.

Axes: N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from phalanx.analysis.ensemble.candidates import Candidate, Network, numbered
from phalanx.analysis.ensemble.lost import Lost
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
        lost: What was trained here and diverged, or predicts no finite probabilities.
    """

    say: Say
    notes: list[str]
    stored: dict[Network, Stored] = field(default_factory=dict)
    models: dict[Network, SavedModel] = field(default_factory=dict)
    predicted: dict[Place, np.ndarray] = field(default_factory=dict)
    lost: dict[Network, Lost] = field(default_factory=dict)
    _known: dict[Network, np.ndarray] = field(default_factory=dict)  # probabilities of the validation rows

    def obtain(self, candidates: Sequence[Candidate]) -> None:
        """Reads or trains the networks of these candidates; `lost` takes those that cannot be had."""
        wanted = [own for one in candidates for own in one.networks if own not in self.stored and own not in self.lost]
        for network in wanted:
            if network.kept is not None:
                about, tensors = read_tensors(network.kept, inside=network.kept.parent)
                self.stored[network] = about, tensors
                self.models[network] = rebuild(about, tensors, network.kept)
        self._train([network for network in wanted if network.kept is None])
        for network in wanted:
            if network in self.models:
                self._known[network] = self._probabilities(network, network.dataset.val)
                if not np.isfinite(self._known[network]).all():
                    self._lose(network, "failed", "it gives no finite probabilities")

    def has(self, candidate: Candidate) -> bool:
        """Whether none of its networks is lost."""
        return not any(network in self.lost for network in candidate.networks)

    def _lose(self, network: Network, ending: str, error: str | None) -> None:
        self.lost[network] = Lost(network.trial.number, ending, error, network.spec)

    def validated(self, candidate: Candidate) -> np.ndarray:
        """The class probabilities (N, C), float64, of the validation rows of all folds, each by its own fold's."""
        parts = [
            self._known[network]
            if network in self._known
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
        if not np.isfinite(mean_NC).all():  # the members were chosen without the test split, so none is left out for it
            raise RequestError(f"the networks of {numbered([candidate])} with seed {candidate.seed} give no finite "
                               "probabilities of the test rows; leave this setting out of the sweep")  # fmt: skip
        return mean_NC

    def _probabilities(self, network: Network, split: Split) -> np.ndarray:
        model = self.models[network]
        with threads(1):
            p_NC: np.ndarray = model.probabilities_of(model.logits(split.x_ND)).double().numpy()
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
            self._lose(network, str(result.status), result.error)
            return
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
