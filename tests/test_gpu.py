"""`benchmarks/gpu.sh` on machines without a GPU, and what it runs without the libraries that a GPU machine may lack."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from support.places import ROOT
from torch.utils.flop_counter import FlopCounterMode

from phalanx import MLP
from phalanx.data import load_dataset
from phalanx.data.mnist import Mnist

SCRIPT = ROOT / "benchmarks" / "gpu.sh"
PARTS = ["medium", "small", "digits", "limit", "graphs", "precision", "cpu", "profile", "memory"]

# Dependencies of the project that are not among what benchmarks/gpu.sh says it needs.
ABSENT = {
    "PIL", "cmaes", "greenlet", "hydra", "hydra_plugins", "loky", "mlflow", "omegaconf", "optuna", "pyarrow", "ray", "rich",
    "skops", "sqlalchemy", "submitit", "torchvision",
}  # fmt: skip
WITHOUT_THEM = f"""
import pkgutil, runpy, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
import phalanx.core, phalanx.data, phalanx.nn, phalanx.training

def fails(name):
    raise

for package in (phalanx.core, phalanx.data, phalanx.nn, phalanx.training):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".", onerror=fails):
        __import__(module.name)

import pytest
few = "in_one_cohort and sgd or join_leave or ran_out or waits and graph"
assert pytest.main(["-q", "-s", "-p", "no:cacheprovider", "tests/training/test_cuda.py", "-k", few]) == 0
sys.path.insert(0, "benchmarks")
sys.argv = ["benchmarks/gpu.py", "--dry-run", "--data-root", sys.argv[1]]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def small_mnist(tmp_path, monkeypatch):
    """Files of random images, written by benchmarks/gpu_images.py from larger ones; and the images it had to keep."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    images = importlib.import_module("gpu_images")
    raw = tmp_path / "all" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    random, kept = np.random.default_rng(0), {}
    for part, n, n_kept in (("train", 1500, 1400), ("t10k", 60, 50)):
        for kind, shape, top in (("images-idx3", (n, 28, 28), 256), ("labels-idx1", (n,), 10)):
            values = random.integers(0, top, shape, dtype=np.uint8)
            header = bytes((0, 0, 8, len(shape))) + np.array(shape, ">u4").tobytes()
            (raw / f"{part}-{kind}-ubyte").write_bytes(header + values.tobytes())
            kept[part, kind] = values[:n_kept]
    monkeypatch.setattr(images, "N_IMAGES", {"train": 1400, "t10k": 50})
    monkeypatch.setattr(
        sys, "argv", ["gpu_images.py", "--data-root", str(tmp_path / "all"), "--to", str(tmp_path / "few")]
    )
    assert images.main() == 0
    return tmp_path / "few", kept


def test_the_smaller_files_have_the_first_images(small_mnist):
    root, kept = small_mnist
    dataset = load_dataset(Mnist(root=str(root), n_val=100, normalize="none"))
    assert len(dataset.train) + len(dataset.val) == 1400
    np.testing.assert_array_equal(dataset.test.y_N.numpy(), kept["t10k", "labels-idx1"])
    images_ND = Mnist(root=str(root)).read().x
    np.testing.assert_array_equal(images_ND, kept["train", "images-idx3"].reshape(1400, -1))


def test_the_operations_of_a_step_are_counted_as_torch_counts_them(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    work = importlib.import_module("gpu_work")
    machine = work.Machine(dry=True, data_root=ROOT)
    specs, dataset = work.loaded(machine, "digits", 3)
    specs = [replace(spec, model=MLP(hidden=(20, 7))) for spec in specs]
    chunk = work.new_chunk(machine, specs, dataset)
    work.epoch(chunk)
    step = work.eager_step(chunk)
    with FlopCounterMode(display=False) as counted:
        step()
    parts = work.step_work(3, 32, work.sizes(specs[0], dataset), bytes_of_input=4)
    assert sum(part.flops for part in parts) == counted.get_total_flops() > 0
    weights = next(one for name, one in work.products(3, 32, (64, 20, 7, 10)) if name == "weights 20-7")
    assert weights.bytes == 4 * 3 * (32 * 20 + 32 * 7 + 20 * 7)


def test_everything_runs_without_the_libraries_that_a_gpu_machine_may_lack(small_mnist):
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT / "src"), "GPU_TESTS_ON": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_THEM, str(small_mnist[0])], capture_output=True, text=True, cwd=ROOT, env=env
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sgd with a graph: " in done.stdout
    assert "4 passed" in done.stdout
    parts = dict(text.split("\n", 1) for text in done.stdout.split("### ")[1:])
    assert list(parts) == PARTS
    n_rows = {name: sum(line.startswith("| ") for line in text.splitlines()) for name, text in parts.items()}
    assert n_rows == {  # a table has two rows before those of its figures
        "medium": 3, "small": 3, "digits": 3, "limit": 2 + 3 + 2 + 21, "graphs": 2 + 6, "precision": 2 + 2,
        "cpu": 2 + 3, "profile": 3 * (2 + 8) + 3 * (2 + 10), "memory": 2 + 2,
    }  # fmt: skip


def gpu_sh(tmp_path, python, *arguments, **env):
    """Runs the script with a text in place of the Python interpreter."""
    stand_in = tmp_path / "python"
    stand_in.write_text(f"#!/bin/sh\n{python}\n")
    stand_in.chmod(0o755)
    return subprocess.run(
        [str(SCRIPT), *arguments], capture_output=True, text=True, env={**os.environ, "PYTHON": str(stand_in), **env}
    )


def test_without_a_gpu_it_says_so_in_one_line(tmp_path):
    done = gpu_sh(tmp_path, "exit 1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("there is no CUDA GPU here")
    assert done.stderr.count("\n") == 1


def test_a_part_that_fails_does_not_stop_the_others(tmp_path):
    python = 'echo "$@"\ncase "$*" in *small*) exit 3 ;; esac'
    done = gpu_sh(tmp_path, python)
    assert done.returncode == 1
    started = [
        line.rsplit("/", 1)[-1].partition(" --")[0]
        for line in done.stdout.splitlines()
        if "benchmarks/" in line or "tests/" in line
    ]
    assert started == ["test_cuda.py", *(f"gpu.py {name}" for name in PARTS)]
    assert "small: failed with status 3" in done.stdout.split("== summary")[1]
    assert done.stdout.split("== summary")[1].count("passed") == 9
    assert gpu_sh(tmp_path, "exit 0").returncode == 0


def test_the_time_in_all_is_bounded(tmp_path):
    done = gpu_sh(tmp_path, 'case "$*" in *test_cuda*) exec sleep 60 ;; esac', "--dry-run", IN_ALL="1")
    assert done.returncode == 1
    assert done.stdout.split("== summary")[1].count("its time was up") == 10


def test_a_wrong_word_is_refused(tmp_path):
    done = gpu_sh(tmp_path, "exit 0", "--dryrun")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--dry-run" in done.stderr
