"""Every stored study runs, found by looking into the folder, so that none can rot; and what was measured holds."""

from __future__ import annotations

import csv
import json
import re
import statistics
import subprocess
import sys
from dataclasses import replace

import pytest
from hydra import compose, initialize_config_dir
from lab import DIFFERENCE, Agreement, Finding, Lab, interval, spread, table
from measure import MARKS, OVERVIEW, WHOLE, agreements, clock, known, load, studies, write
from support.forked import train
from support.places import MNIST_ROOT, ROOT
from support.train_command import only

from phalanx.data import load_dataset
from phalanx.runs.config import register_resolvers, trial_spec
from phalanx.training.loop import train_cohort

EXPERIMENTS = ROOT / "experiments"
STUDIES = sorted(path.stem for path in EXPERIMENTS.glob("*/experiment/*.yaml"))
TEXTS = {name: (EXPERIMENTS / name / "experiment" / f"{name}.yaml").read_text() for name in STUDIES}
NEEDS_MNIST = [name for name in STUDIES if "data.root=" in TEXTS[name]]
SMALLER = {  # what debug=limit leaves large
    "loss_by_optimizer": [],
    "learning_rate_too_high": ["optimizer.lr=0.1,3", "seed=0"],
    "student_performance": ["seed=0"],
    "sampled_softmax": ["data.n_classes=10", "loss.n_sampled=1,3"],
    "imbalance": ["data.split_seed=0,3"],
    "sources_of_variance": ["data.split_seed=0,1", "seed=0"],
    "tuned_losses": ["hydra.sweeper.n_trials=2", "hydra.sweeper.final.seeds=2", "hydra.sweeper.repeats=1"],
}


def test_there_are_stored_studies():
    assert len(STUDIES) > 10


@pytest.mark.parametrize("name", STUDIES)
def test_the_study_has_a_page_with_its_command_and_what_it_teaches(name):
    page = (EXPERIMENTS / name / "README.md").read_text()
    command = next(line for line in TEXTS[name].splitlines() if line.startswith("# python train.py"))
    assert command.removeprefix("# ").split(" data.root=")[0] in page
    assert all(word in page for word in ("**Command.**", "**Expected.**", "**Measured.**", "**What it teaches.**"))
    (claim,) = re.findall(r"\*\*Claim\.\*\* (.+?)\n\n", page, re.S)
    assert re.findall(r"\.(?=\s|$)", claim) == ["."]  # one sentence
    assert re.search(r"\bseeds?\b", page)


@pytest.mark.parametrize("name", studies())
def test_the_page_shows_its_figures(name):
    page = (EXPERIMENTS / name / "README.md").read_text()
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page)
    assert shown
    assert {EXPERIMENTS / name / file for file in shown} == set((EXPERIMENTS / name).glob("*.png"))


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_the_study_runs_small(name, tmp_path):
    if name in NEEDS_MNIST and not (MNIST_ROOT / "MNIST" / "raw").is_dir():
        pytest.skip(f"the MNIST files are not in {MNIST_ROOT.name}/ beside the checkout")
    smaller = SMALLER.get(name, ["seed=0,1"])
    train(
        "-m", f"experiment={name}", "debug=limit", "tracking.keep=0", *smaller, cwd=tmp_path, check=0,
        PHALANX_DATA=str(MNIST_ROOT),
    )  # fmt: skip
    rows = list(csv.DictReader(open(only(tmp_path / "outputs" / "sweeps") / "trials.csv")))
    assert rows
    assert all(row["status"] == "completed" for row in rows)


# --- what was measured


def test_every_study_is_measured_and_all_of_them_in_less_than_a_quarter_of_an_hour():
    assert set(studies()) == set(STUDIES) - {"loss_by_optimizer"}  # whose table is `make tables`
    whole = json.loads(WHOLE.read_text())
    assert sum(known(name)["seconds"] for name in studies()) <= whole["seconds"] + len(studies()) < 15 * 60
    assert clock(whole["seconds"]) in OVERVIEW.read_text()


@pytest.mark.parametrize("name", studies())
def test_the_page_and_the_overview_say_what_was_measured(name):
    assert callable(load(name)[0])
    page = (EXPERIMENTS / name / "README.md").read_text().split(MARKS[0])[1].split(MARKS[1])[0]
    for agreement in agreements(name):
        assert table(("",), [agreement.line()]).splitlines()[-1] in page
    assert known(name)["answer"] in OVERVIEW.read_text()


@pytest.mark.parametrize("name", studies())
def test_means_agree_with_their_references_within_three_standard_errors(name):
    for agreement in agreements(name):
        assert agreement.holds, agreement.line()


def test_small_mnist_agrees_with_plain_torch_today(mnist_root):
    """The cheapest recipe in full, so that the agreement is one of this code and not of a stored number."""
    register_resolvers()
    with initialize_config_dir(str(ROOT / "conf")):
        path = f"hydra.searchpath=[file://{EXPERIMENTS / 'small_mnist'}]"
        spec = trial_spec(compose("config", [path, "experiment=small_mnist", f"data.root={mnist_root}"]))
    results = train_cohort([replace(spec, seed=seed) for seed in range(10)], load_dataset(spec.data), test=False)
    ours = [result.metrics.val_accuracy for result in results]
    assert Agreement("", ours, (0.874, 0.860, 0.878)).holds, ours
    assert statistics.stdev(ours) < 0.03


@pytest.mark.parametrize(("shift", "holds"), [(0.0, True), (0.02, True), (0.2, False)])
def test_agreement_is_within_three_standard_errors_of_the_difference(shift, holds):
    ours, reference = [0.9, 0.92, 0.91, 0.93, 0.89], [0.91 + shift, 0.93 + shift, 0.89 + shift]
    agreement = Agreement("x", ours, reference)
    pooled = ((4 * statistics.variance(ours) + 2 * statistics.variance(reference)) / 6) ** 0.5
    by_hand = abs(statistics.fmean(ours) - statistics.fmean(reference)) / (pooled * (1 / 5 + 1 / 3) ** 0.5)
    assert agreement.standard_errors == pytest.approx(by_hand)
    assert agreement.holds is holds


def test_cells_and_tables():
    assert interval([1.0, 1.0, 0.97]) == "0.990 [0.947, 1.000]"
    assert interval([1.0, 1.0, 0.97], places=1, scale=100) == "99.0 [94.7, 100.0]"
    assert interval([-0.5, 1.0], limits=DIFFERENCE) == "0.250 [-1.000, 1.000]"
    assert spread([0.1, 0.2, 0.3]) == "0.200 ± 0.100 (3)"
    assert table(("a", "b"), [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


@pytest.mark.slow
def test_a_lab_runs_the_studys_own_command(tmp_path):
    lab = Lab("three_integers", MNIST_ROOT, tmp_path)
    trials = lab.sweep("debug=limit", "seed=0,1", "model.activation=relu")
    assert [trial["seed"] for trial in trials] == ["0", "1"]
    for trial in trials:
        result = json.loads((trial.folder / "result.json").read_text())
        assert trial.number("test_accuracy") == result["metrics"]["test_accuracy"]
        assert len(trial.curves) == 2


@pytest.mark.slow
def test_a_study_is_measured_by_its_command(tmp_path):
    """The whole way of a cheap one: sweep, test, figure, page; `make experiments-quick` does it for all."""
    before = {path: path.read_bytes() for path in EXPERIMENTS.rglob("*") if path.suffix in (".md", ".png", ".json")}
    command = [sys.executable, str(EXPERIMENTS / "measure.py"), "--quick", "three_integers"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    interval = r"0\.\d+ \[0\.\d+, [01]\.\d+\]"
    said = (
        rf"three_integers: \d+ s: test accuracy with 1,000 points: {interval} for one linear map, {interval} with ReLU"
    )
    assert re.fullmatch(said, done.stdout.strip())
    assert {path: path.read_bytes() for path in before} == before
    assert not list(tmp_path.iterdir())


def test_a_study_that_is_measured_alone_keeps_its_time_in_the_collection(tmp_path):
    (tmp_path / "README.md").write_text("\n".join(MARKS))
    write(tmp_path, Finding("all", "yes"), 18.4)
    assert "; 18 s in all.\n" in (tmp_path / "README.md").read_text()
    write(tmp_path, Finding("again", "no"), 321.0, alone=True)
    assert "; 18 s in all when the whole collection was measured.\n" in (tmp_path / "README.md").read_text()
    assert json.loads((tmp_path / "measured.json").read_text()) == {"seconds": 18, "answer": "no", "agreements": []}
