"""What a final chose is the best of its sweep everywhere: files, report, tracking and the terminal."""

from __future__ import annotations

import io
import json

import pytest
import yaml
from omegaconf import OmegaConf
from support.run_folders import config, result, write_run

from phalanx.core.console import plain_console
from phalanx.core.errors import UnreadableFile
from phalanx.jobs.sweep_log import SweepLog
from phalanx.runs.final_folder import chosen_by_final
from phalanx.runs.layout import SweepPaths
from phalanx.runs.left_out import LeftOut
from phalanx.runs.sweep_folder import sweep_summary
from phalanx.tracking import TrackingSpec
from phalanx.tracking.sync import FolderSync

SEARCHED = {0: 0.80, 1: 0.95, 2: 0.90}  # by trial, on the validation split
JUDGED = {1: (0.70, 0.71), 2: (0.85, 0.86)}  # by finalist, on the test split


def repeats(accuracies, status="completed"):
    return [
        {"seed": seed, "status": status, "value": accuracy, "metrics": {"test_accuracy": accuracy}, "best_epoch": 1,
         "epochs": 1} for seed, accuracy in enumerate(accuracies, start=1)
    ]  # fmt: skip


def summed_up(root, judged=JUDGED, **options):
    """A sweep with a final, and what it printed."""
    paths, out = SweepPaths(root), io.StringIO()
    for number, value in SEARCHED.items():
        lr = 10.0**-number
        write_run(paths.trial(number).root, result(value), config(optimizer__lr=lr), [f"optimizer.lr={lr}"])
    for number, accuracies in judged.items():
        write_run(paths.final(number).root, result(repeats=repeats(accuracies, **options)))
        paths.final(number).model.write_bytes(b"weights")
    log = SweepLog(
        root, OmegaConf.create(config()), n_trials=3, manifest={"search": True}, console=plain_console(out, 80)
    )
    log.start()
    left_out = LeftOut()
    log.tracking = TrackingSpec(kind="none", register="none")
    log.finish(None, left_out)
    assert left_out.faults == []
    return paths, out.getvalue()


def test_the_final_decides(tmp_path):
    paths, printed = summed_up(tmp_path / "s")
    assert json.loads(paths.final_tests.read_text())["best"] == "trial 2"
    assert yaml.safe_load(paths.best_config.read_text())["optimizer"]["lr"] == 0.01
    summary = sweep_summary(paths.root)
    assert (summary["best"], summary["params"]) == (2, {"optimizer.lr": "0.01"})
    assert summary["metrics"]["val_accuracy"] == 0.90
    assert "Best by the final: trial 2" in paths.report.read_text()
    assert "best val_accuracy 0.95 (trial 1); the final chose trial 2\n" in printed


def test_the_model_of_what_the_final_chose_is_registered(tmp_path):
    """The trial's own weights, and where these were not kept, those of its final."""
    paths, _ = summed_up(tmp_path / "s")
    sync = FolderSync(paths.root, TrackingSpec())
    assert sync._to_register(sync._best()) == "final/2"
    paths.trial(2).model.write_bytes(b"weights")
    assert sync._to_register(sync._best()) == "2"


def test_a_final_without_a_best_point_decides_nothing(tmp_path):
    paths, printed = summed_up(tmp_path / "s", {2: (None, None)}, status="diverged")
    assert json.loads(paths.final_tests.read_text())["best"] is None
    assert sweep_summary(paths.root)["best"] == 1
    assert "Best val_accuracy: 0.95, trial 1" in paths.report.read_text()
    assert "the final chose" not in printed


@pytest.mark.parametrize("best", ['"2"', '"trial x"', "2"])
def test_a_damaged_final_names_itself(best, tmp_path):
    paths = SweepPaths(tmp_path)
    assert chosen_by_final(paths) is None
    paths.final_tests.write_text(f'{{"best": {best}}}')
    with pytest.raises(UnreadableFile, match=r"final\.json is damaged: its 'best' must be null or name a trial"):
        chosen_by_final(paths)


def test_the_numbers_come_before_what_takes_long(tmp_path, monkeypatch):
    printed = []
    monkeypatch.setattr(SweepLog, "_draw", lambda self, best, plots: printed.append(self.console.file.getvalue()))
    monkeypatch.setattr(SweepLog, "_report", lambda self, *_: printed.append(self.console.file.getvalue()))
    summed_up(tmp_path / "s")
    assert len(printed) == 2
    for text in printed:
        assert "done: 3/3 trials" in text
        assert "final on 2 fresh seeds" in text
