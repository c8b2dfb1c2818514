"""The nearest neighbours. Axes: N training rows, D features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from phalanx.core.errors import Fault, RequestError
from phalanx.core.specs import stacked
from phalanx.nn.models.estimator import EstimatorSpec

ROWS_STATE = {"x": torch.float32, "y": torch.int64}  # the tensors of its state: training rows (N, D) and classes (N,)


@dataclass(frozen=True, kw_only=True)
class NearestNeighbours(EstimatorSpec):
    """The share of each class among the nearest training rows: `sklearn.neighbors.KNeighborsClassifier`, which compares
    with every training row. Nothing is drawn, so its seed changes nothing.

    Its state is the training rows themselves, from which it is made anew where it is loaded.
    """

    name: ClassVar[str] = "nearest_neighbours"
    n_neighbors: int = stacked(5, ge=1)
    weights: str = stacked("uniform", choices=("uniform", "distance"))

    def new(self, seed: int) -> Any:
        """See `EstimatorSpec.new`."""
        from sklearn.neighbors import KNeighborsClassifier

        return KNeighborsClassifier(self.n_neighbors, weights=self.weights, algorithm="brute", n_jobs=1)

    def state(self, fitted: Any, x_ND: Tensor, y_N: Tensor) -> dict[str, Tensor]:
        """See `EstimatorSpec.state`: the rows themselves."""
        return {"x": x_ND.clone(), "y": y_N.clone()}

    def size(self, fitted: Any) -> int:
        """The numbers of the training rows, N · D."""
        return int(fitted.n_samples_fit_ * fitted.n_features_in_)

    def fitted(self, state: Mapping[str, Tensor], n_features: int, n_classes: int) -> Any:
        """See `EstimatorSpec.fitted`."""
        found = {name: tensor.dtype for name, tensor in state.items()}
        if found != ROWS_STATE:
            raise RequestError(f"model={self.name} has its training rows as state, x and y; got {found}")
        x_ND, y_N = state["x"], state["y"]
        if x_ND.ndim != 2 or x_ND.shape[1] != n_features or y_N.shape != (len(x_ND),) or self.n_neighbors > len(x_ND):
            raise RequestError(
                f"the state of model={self.name} is not sound: rows {tuple(x_ND.shape)} and classes "
                f"{tuple(y_N.shape)} for {n_features} features and {self.n_neighbors} neighbours"
            )
        if not 0 <= int(y_N.min()) <= int(y_N.max()) < n_classes:
            raise RequestError(f"the state of model={self.name} is not sound: it has classes that the data do not have")
        return self.new(0).fit(x_ND.numpy(), y_N.numpy())

    def faults(self, n_rows: int, n_classes: int) -> list[Fault | str]:
        """There cannot be more neighbours than rows."""
        if self.n_neighbors <= n_rows:
            return []
        allowed = f"at most {n_rows}, the number of training rows"
        return [Fault("model.n_neighbors", self.n_neighbors, allowed, f"model.n_neighbors={n_rows}")]
