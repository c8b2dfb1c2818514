"""Sweep folders that a test has just written."""

from __future__ import annotations

from support.train_command import only

VARYING = ("train_seconds", "samples_per_second", "mlflow_run_id", "timing")


def sweep_in(folder):
    return only(folder / "outputs" / "sweeps")


def steady(result):
    """A result without what a clock or a tracker says."""
    return {key: value for key, value in result.items() if key not in VARYING}
