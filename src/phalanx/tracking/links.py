"""Where a run or a sweep is in MLflow: store, experiment, run, and the page of MLflow that shows it.

Does not import MLflow. The addresses are those of MLflow 3's page; `tests/tracking/test_mlflow_ui.py` opens them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from phalanx.core.advice import command
from phalanx.core.reading import read_json
from phalanx.core.redaction import redact
from phalanx.runs.layout import TrackedPaths
from phalanx.runs.trust import VARIABLE

DEFAULT_STORE = "sqlite:///mlflow.db"  # MLflow's own, in the working folder
PORT = 5000  # of `mlflow ui`, unless it is told another one
MODE = "workflowType=machine_learning"  # without it MLflow 3 opens its page of traces, which shows no run


@dataclass(frozen=True)
class Place:
    """Where MLflow has a run or a sweep. Holds no password."""

    store: str
    experiment: str
    run: str
    path: str  # of the page, below the server's address

    @property
    def is_server(self) -> bool:
        """Whether the store is a server, which has the page already."""
        return self.store.startswith(("http://", "https://"))

    @property
    def command(self) -> str:
        """The command that shows the store's page; empty for a server."""
        if self.is_server:
            return ""
        if "***@" in self.store:
            return f"MLFLOW_BACKEND_STORE_URI={command(self.store)} mlflow ui"
        return command("mlflow", "ui", "--backend-store-uri", self.store)

    def serving(self, model: str) -> str:
        """The command that serves a registered model of this store, which MLflow takes for another unless it is told.

        Args:
            model: Its URI, such as `models:/phalanx-digits@best`.
        """
        told = self.store != shown_store(os.environ.get(VARIABLE) or DEFAULT_STORE)
        serve = command("mlflow", "models", "serve", "-m", model, "--env-manager", "local")
        return f"{VARIABLE}={command(self.store)} {serve}" if told else serve

    @property
    def url(self) -> str:
        """The address of the page."""
        base = self.store.rstrip("/") if self.is_server else f"http://127.0.0.1:{PORT}"
        return f"{base}/{self.path}"

    @property
    def lines(self) -> list[str]:
        """What a terminal shows."""
        first = f"mlflow: {self.store}, experiment {self.experiment}, run {self.run}"
        return [first, f"  {self.url}"] if self.is_server else [first, f"  {self.command}", f"  then open {self.url}"]


def experiment_path(experiment_id: str) -> str:
    """Returns the path of the page with all runs of an experiment."""
    return f"#/experiments/{experiment_id}/runs?{MODE}&searchFilter="  # else it shows those of the last filter


def sweep_path(experiment_id: str, identity: str) -> str:
    """Returns the path of the page with a sweep and its trials.

    Args:
        experiment_id: MLflow's id of the experiment.
        identity: The id of the sweep's folder, which its runs have as the tag `phalanx.id`.
    """
    condition = f"tags.`phalanx.id` = '{identity}'"
    return f"{experiment_path(experiment_id)}{quote(condition, safe='')}"


def run_path(experiment_id: str, run_id: str) -> str:
    """Returns the path of a run's page."""
    return f"#/experiments/{experiment_id}/runs/{run_id}?{MODE}"


def shown_store(uri: str) -> str:
    """Returns a store's URI as it is typed here: no password, and a file of the working folder by its short name."""
    scheme, mark, name = uri.partition(":///")
    if mark and scheme.startswith("sqlite") and Path(name).is_relative_to(Path.cwd()):
        return f"{scheme}:///{Path(name).relative_to(Path.cwd()).as_posix()}"
    return redact(uri, uri)


def read_place(root: Path) -> Place | None:
    """Returns where the runs of a folder are; None if they are not in MLflow, or the file does not say it.

    Raises `UnreadableFile` if the file is damaged.
    """
    file = TrackedPaths(root).identity
    if not file.is_file():
        return None
    content = read_json(file)
    found = content.get("place") if isinstance(content, dict) else None
    names = set(Place.__dataclass_fields__)
    if not isinstance(found, dict) or set(found) != names or not all(isinstance(text, str) for text in found.values()):
        return None
    return Place(**found)
