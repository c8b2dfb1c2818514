"""What MLflow keeps of a run beside params and metrics: its data sets, and the load of its host."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from phalanx.core.redaction import redact
from phalanx.runs.stored_run import DataSummary

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

MONITOR_S = 5.0  # between two samples of the host's load


def dataset_inputs(data: DataSummary, digest: str) -> list[DatasetInput]:
    """Returns the splits of the data as the inputs of a run.

    Args:
        data: What the run was trained on.
        digest: Of the data.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs, source = [], json.dumps({"uri": redact(data.source)})
    for split, context in (("train", "training"), ("val", "validation"), ("test", "testing")):
        n_rows = getattr(data, f"n_{split}")
        profile = {"num_rows": n_rows, "n_features": data.n_features, "n_classes": data.n_classes}
        # MLflow takes two inputs of one name and digest for one, so each split has a digest of its own.
        dataset = Dataset(data.label, f"{digest}-{split}", "phalanx", source, profile=json.dumps(profile))
        inputs.append(DatasetInput(dataset, [InputTag("mlflow.data.context", context)]))
    return inputs


def start_monitor(run_id: str, uri: str) -> Any:
    """Returns MLflow's monitor of the host, started, which logs to a run of the store `uri` until it is finished."""
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run_id, MONITOR_S, resume_logging=True, tracking_uri=uri)  # type: ignore[no-untyped-call]
    monitor.start()  # type: ignore[no-untyped-call]
    return monitor
