"""A search in an application that is not train.py."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest
from support.places import ROOT
from support.train_command import environment

pytestmark = pytest.mark.slow

APPLICATION = """
import hydra
@hydra.main(config_path='.', config_name='config')
def main(cfg):
    raise RuntimeError(f'no value for {cfg.x}')
if __name__ == '__main__':
    main()
"""
CONFIG = """
defaults: [_self_, {override hydra/sweeper: optuna}]
x: 1
hydra:
  sweep: {dir: out}
  sweeper: {direction: minimize, study_name: other, n_trials: 2, params: {x: 'interval(0,1)'}}
"""


@pytest.mark.parametrize(
    ("key", "words"),
    [("max_failure_rate=1.0", "no trial of other came to a value"), ("fail_fast=true", "trial 0 failed")],
)
def test_a_search_that_fails_names_files_that_have_the_errors(key, words, tmp_path):
    (tmp_path / "app.py").write_text(APPLICATION)
    (tmp_path / "config.yaml").write_text(CONFIG)
    shutil.copytree(ROOT / "conf" / "hydra" / "sweeper", tmp_path / "hydra" / "sweeper")
    failed = subprocess.run(
        [sys.executable, "app.py", "-m", f"hydra.sweeper.{key}"],
        cwd=tmp_path, capture_output=True, text=True, env=environment(), timeout=300,
    )  # fmt: skip
    assert failed.returncode == 1
    assert words in failed.stderr
    (pattern,) = set(re.findall(r"the errors are in (\S+)", failed.stderr))
    files = list(tmp_path.glob(pattern))
    assert files
    assert all("no value for" in json.loads(file.read_text())["error"] for file in files)
