"""`train.py` with files of the user's own beside it: trained, swept, resumed, predicted with, and what is refused."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from support.forked import train
from support.phalanx_command import phalanx_command
from support.places import ROOT
from support.train_command import environment, only, result_of

from phalanx.runs.tensor_file import read_tensors

pytestmark = pytest.mark.slow

QUICK = ["tracking=none", "trainer.epochs=2", "debug=limit"]
NETS = '''
from typing import Annotated, Literal

import phalanx
from torch import nn
from torch.nn import functional as F


@phalanx.model
class ConvNet(nn.Module):
    """A convolution and a linear layer."""

    def __init__(self, image_shape, n_classes, *, width: Annotated[int, phalanx.Range(ge=1)] = 4,
                 pool: Literal["max", "mean"] = "max"):
        super().__init__()
        size = width * (image_shape[0] // 2) * (image_shape[1] // 2)
        self.conv, self.norm = nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width)
        self.pool = F.max_pool2d if pool == "max" else F.avg_pool2d
        self.last = nn.Linear(size, n_classes)

    def forward(self, x):
        return self.last(self.pool(self.norm(self.conv(x[:, None])).relu(), 2).flatten(1))


@phalanx.model
class Plain(nn.Module):
    def __init__(self, n_features, n_classes, *, units: int = 16):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_features, units), nn.Tanh(), nn.Linear(units, n_classes))

    def forward(self, x):
        return self.layers(x)


@phalanx.loss
def focal(logits, y, *, gamma: float = 2.0):
    nll = F.cross_entropy(logits, y, reduction="none")
    return (1 - (-nll).exp()) ** gamma * nll


@phalanx.metric(direction="maximize", low=0, high=1)
def within_one(probabilities, y):
    return ((probabilities.argmax(1) - y).abs() <= 1).float().mean()
'''


SETS = """
import numpy
import phalanx

@phalanx.dataset
def embeddings(*, path: str = "vectors.npz", scale: float = 1.0):
    with numpy.load(path) as arrays:
        return scale * arrays["vectors"], arrays["labels"]
"""


@pytest.fixture
def project(tmp_path):
    """A folder with a `train.py`, its `conf/` and files of its own, as a user has it."""
    shutil.copy(ROOT / "train.py", tmp_path)
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    (tmp_path / "extensions").mkdir()
    (tmp_path / "extensions" / "nets.py").write_text(NETS)
    return tmp_path


def run(project, *arguments, check=0, **variables):
    return train(*arguments, cwd=project, script=project / "train.py", check=check, **variables)


def test_the_options_are_listed_and_have_keys(project):
    text = run(project, "--help").stdout
    assert (
        "model: catboost, conv_net, hist_gradient_boosting, lightgbm, logistic_regression, majority, mlp2, mlp3, mlp4, nearest_neighbours, plain"
        in text
    )
    assert "loss: cross_entropy, focal, handwritten_nll" in text
    shown = run(project, "model=conv_net", "loss=focal", "--cfg", "job").stdout
    for line in ("name: conv_net", "together: auto", "width: 4", "pool: max", "source: nets.py, digest", "gamma: 2.0"):
        assert f"\n  {line}" in shown


def test_the_example_of_the_documentation_trains(project):
    text = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
    (project / "extensions" / "nets.py").write_text(text.partition("```python\n")[2].partition("```")[0])
    run(project, "model=conv_net", "model.channels=3", "loss=focal", "optimizer=lion", *QUICK)
    assert result_of(only(project / "outputs" / "runs"))["status"] == "completed"


def test_it_is_trained_saved_and_predicted_with(project):
    done = run(project, "model=conv_net", "model.width=3", "loss=focal", *QUICK)
    folder = only(project / "outputs" / "runs")
    result = result_of(folder)
    assert result["status"] == "completed"
    assert result["way"].startswith("one after another: its last bits depend on the number of trials (batches of ")
    assert f"model=conv_net trained {result['way']}" in (folder / "train.log").read_text()
    assert result["n_parameters"] == 3 * 9 + 3 + 6 + 3 * 16 * 10 + 10
    assert (folder / "plots" / "confusion.png").exists(), done.stdout + done.stderr
    (project / "rows.csv").write_text("\n".join([",".join(f"p{i}" for i in range(64)), ",".join(["0"] * 64)]))
    named = {"PHALANX_EXTENSIONS": str(project / "extensions")}
    for command in (["predict", str(folder), "rows.csv"], ["inspect", str(folder)]):
        refused = phalanx_command(*command, cwd=project)
        assert refused.returncode == 2
        assert "needs the extension model=conv_net (nets.py, digest" in refused.stderr
        assert "PHALANX_EXTENSIONS=extensions/nets.py" in refused.stderr
        done = phalanx_command(*command, cwd=project, variables=named)
        assert done.returncode == 0, done.stderr


def test_a_sweep_trains_it_together_and_its_trial_repeats_alone(project):
    sweep = ["-m", "model=plain,mlp2", "loss=focal,cross_entropy", "seed=range(2)", *QUICK, "hydra.sweep.dir=s"]
    run(project, *sweep)
    trials = {number: result_of(project / "s" / str(number)) for number in range(8)}
    assert trials[0]["way"] == trials[3]["way"] == "together"
    assert "way" not in trials[4]
    assert "trained in a cohort of 4" in (project / "s" / "0" / "train.log").read_text()
    run(project, "model=plain", "loss=focal", "seed=1", *QUICK, "hydra.run.dir=alone")
    alone = result_of(project / "alone")
    assert alone["metrics"] == trials[1]["metrics"]
    assert alone["config_digest"] == trials[1]["config_digest"]
    again = run(project, "from_run=s", "hydra.run.dir=again", *QUICK[:1])
    best = json.loads((project / "again" / "result.json").read_text())
    assert best["metrics"] in [trial["metrics"] for trial in trials.values()], again.stdout


SIGNS = """
import phalanx, torch

@phalanx.optimizer
class SignSGD(torch.optim.Optimizer):
    def __init__(self, params, *, lr: float = 0.002, momentum: float = 0.9):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for param in group["params"]:
                mean = self.state[param].setdefault("mean", torch.zeros_like(param))
                param.sub_(mean.lerp_(param.grad, 1 - group["momentum"]).sign(), alpha=group["lr"])
"""


def test_an_optimizer_is_an_option_with_keys(project):
    (project / "extensions" / "signs.py").write_text(SIGNS)
    assert "optimizer: adam, adamw" in (text := run(project, "--help").stdout)
    assert ", sign_sgd" in text
    shown = run(project, "optimizer=sign_sgd", "--cfg", "job").stdout
    for line in ("name: sign_sgd", "lr: 0.002", "momentum: 0.9", "source: signs.py, digest"):
        assert f"\n  {line}" in shown
    typed = ["optimizer=sign_sgd", "schedule=cosine", *QUICK[:1], "data.n_train=200", "trainer.epochs=3"]
    run(project, "-m", *typed, "optimizer.lr=0.01,0.001", "optimizer.momentum=0.5,0.9", "hydra.sweep.dir=s")
    result = result_of(project / "s" / "3")
    assert result["way"] == "one after another: optimizer=sign_sgd steps one trial at a time"
    assert "trained in a cohort of 4" in (project / "s" / "3" / "train.log").read_text()
    again = run(project, *typed, "optimizer.lr=0.001", "optimizer.momentum=0.9", "hydra.run.dir=r")
    assert result_of(project / "r")["metrics"] == result["metrics"], again.stdout
    refused = run(project, "optimizer=sign_sgd", "optimizer.lr=0", "optimizer.nesterov=true", *QUICK[:1], check=2)
    assert "optimizer.nesterov is not a key of the configuration" in refused.stderr
    (project / "extensions" / "signs.py").write_text(SIGNS.replace("closure=None", "closure"))
    assert "SignSGD: its step needs a closure" in run(project, check=2).stderr
    (project / "extensions" / "signs.py").write_text(SIGNS.replace("super()", "assert momentum < 0.9; super()"))
    refused = run(project, "optimizer=sign_sgd", *QUICK, check=2)
    assert "optimizer=sign_sgd cannot be built with lr=0.002, momentum=0.9: AssertionError" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_search_varies_its_keys(project):
    run(
        project, "-m", "hydra/sweeper=optuna", "model=plain", "model.units=choice(4,8)", "hydra.sweeper.n_trials=3",
        "hydra.sweeper.study_name=mine", *QUICK,
    )  # fmt: skip
    folder = project / "outputs" / "sweeps" / "mine"
    assert all(result_of(folder / str(n))["n_parameters"] in (64 * 4 + 4 + 50, 64 * 8 + 8 + 90) for n in range(3))
    (project / "extensions" / "nets.py").write_text(NETS + "# changed\n")
    refused = run(
        project, "-m", "hydra/sweeper=optuna", "model=plain", "model.units=choice(4,8)", "hydra.sweeper.n_trials=5",
        "hydra.sweeper.study_name=mine", *QUICK, check=2,
    )  # fmt: skip
    assert "model.source" in refused.stderr
    assert "nets.py, digest" in refused.stderr


def test_a_run_goes_on_with_its_own_code_alone(project):
    """A run that was interrupted, by a limit of its epochs' number in the file that is resumed."""
    options = [
        "model=plain",
        *QUICK[:1],
        "data.n_train=200",
        "trainer.epochs=3",
        "checkpoint.every_epochs=1",
        "hydra.run.dir=r",
    ]
    whole = run(project, *[o for o in options if "run.dir" not in o], "hydra.run.dir=whole")
    assert whole.returncode == 0
    stop = project / "extensions" / "zz_stop.py"
    stop.write_text(
        "import os, signal\nfrom phalanx.runs import checkpoint as c\nwrite = c.write_checkpoint\n"
        "def once(*given):\n    write(*given)\n    os.kill(os.getpid(), signal.SIGKILL)\nc.write_checkpoint = once\n"
    )
    run(project, *options, check=-9)
    stop.unlink()
    (project / "extensions" / "nets.py").write_text(NETS.replace("Tanh", "ReLU"))
    refused = run(project, "resume=r", check=2)
    assert "model=plain is of other code: the configuration has nets.py, digest" in refused.stderr
    (project / "extensions" / "nets.py").unlink()
    absent = run(project, "resume=r", check=2)
    assert "this configuration needs the extension model=plain (nets.py, digest" in absent.stderr
    (project / "extensions" / "nets.py").write_text(NETS)
    run(project, "resume=r")
    assert result_of(project / "r")["metrics"] == result_of(project / "whole")["metrics"]


def test_a_run_is_rebuilt_with_other_code_if_that_is_asked_for(project):
    run(project, "model=plain", *QUICK, "hydra.run.dir=r")
    (project / "extensions" / "nets.py").write_text(NETS.replace("Tanh", "ReLU"))
    refused = run(project, "from_run=r", "hydra.run.dir=again", *QUICK[:1], check=2)
    assert "from_run=… with model.source=null" in refused.stderr
    run(project, "from_run=r", "model.source=null", "hydra.run.dir=again", *QUICK[:1])
    assert result_of(project / "again")["config_digest"] != result_of(project / "r")["config_digest"]


def test_a_yaml_file_of_the_same_name_overrides_defaults(project):
    (project / "conf" / "model" / "conv_net.yaml").write_text("width: 2\n")
    shown = run(project, "model=conv_net", "model.pool=mean", "--cfg", "job").stdout
    assert "\n  width: 2" in shown
    assert "\n  pool: mean" in shown
    (project / "conf" / "model" / "plain.yaml").write_text("name: mlp\n")
    assert "model=plain is an option in" in run(project, "model=plain", check=2).stderr


WRONG = {
    "a key that is not there": (
        ["model.widht=3"],
        "model.widht is not a key of the configuration (did you mean model.width?)",
    ),
    "a value out of its range": (
        ["model.width=0"],
        "model.width must be a whole number of at least 1, got 0; try model.width=4",
    ),
    "a choice that is none": (["model.pool=min"], "model.pool must be one of max, mean, got 'min'"),
    "an option that is nearly there": (["model=conv_ne"], "model=conv_ne names no option (did you mean conv_net?)"),
    "data without images": (["data=wine"], "model=conv_net asks for image_shape, and these data are no images"),
    "a range without a search": (["model.width=interval(1,4)"], "is a range to search"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_value_is_told_as_of_a_built_in_option(project, case):
    arguments, words = WRONG[case]
    assert words in run(project, "model=conv_net", *arguments, *QUICK[:2], check=2).stderr


def test_files_that_cannot_be_loaded_are_told_all_at_once_without_a_traceback(project):
    files = {
        "broken.py": ("import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module'"),
        "twice.py": (NETS, "the name model=conv_net is taken by"),
        "star.py": (
            "import phalanx\nfrom torch import nn\n@phalanx.model\nclass Star(nn.Module):\n"
            "    def __init__(self, units, **rest): super().__init__()\n",
            "the argument units has to stand behind a *",
        ),
        "function.py": (
            "import phalanx\n@phalanx.model\ndef net(x): ...\n",
            "net must be a class derived from torch.nn.Module",
        ),
    }
    for name, (text, _) in files.items():
        (project / "extensions" / name).write_text(text)
    done = run(project, check=2)
    for name, (_, words) in files.items():
        assert f"{project}/extensions/{name}" in done.stderr
        assert words in done.stderr
    assert len(done.stderr.splitlines()) == len(files)


GONE = """
import os, pathlib
if os.environ.pop("REMOVES", ""):  # in the process that leads the sweep
    for name in ("nets.py", "helped.py", "_help.py"):
        pathlib.Path(__file__).with_name(name).unlink()
"""
APART = {
    "processes": ["hydra.launcher.executor=processes"],
    "submitit": ["hydra.launcher.executor=submitit", "hydra.launcher.submitit.cluster=local"],
}


@pytest.mark.parametrize("executor", APART)
def test_workers_get_the_code_though_the_file_is_gone_and_say_what_they_lack(project, executor):
    others = {"Plain": "Helped", "ConvNet": "Other", "focal": "focal2", "within_one": "within_two"}
    place = "import pathlib, sys\nsys.path.insert(0, str(pathlib.Path(__file__).parent))\n"
    helped = f"{place}import _help\n{re.sub('|'.join(others), lambda found: others[found[0]], NETS)}"
    for name, text in (("helped.py", helped), ("_help.py", ""), ("zz_gone.py", GONE)):
        (project / "extensions" / name).write_text(text)
    models = "plain,helped" if executor == "processes" else "plain"
    arguments = (
        "-m", f"model={models}", "loss=focal", "seed=0,1", *QUICK, *APART[executor], "hydra.launcher.workers=1",
        "hydra.sweep.dir=s", "objective=val_within_one",
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "train.py", *arguments], cwd=project, capture_output=True, text=True, timeout=300,
        env=environment(REMOVES="yes"),
    )  # fmt: skip
    assert not (project / "extensions" / "nets.py").exists()
    assert "Traceback" not in done.stderr
    if executor == "processes":
        assert done.returncode == 2, done.stderr
        assert all("needs the extension model=helped" in result_of(project / "s" / n)["error"] for n in "23")
    else:
        assert done.returncode == 0, done.stderr
    (project / "extensions" / "nets.py").write_text(NETS)
    run(project, "model=plain", "loss=focal", "seed=1", *QUICK, "hydra.run.dir=alone", "objective=val_within_one")
    there, alone = result_of(project / "s" / "1"), result_of(project / "alone")
    assert (there["metrics"], there["objective"]) == (alone["metrics"], alone["objective"])
    assert there["objective"]["direction"] == "maximize"
    assert there["metrics"]["test_within_one"] >= there["metrics"]["test_accuracy"]


def test_data_of_a_function_are_trained_on_and_their_model_predicts_without_it(project):
    (project / "extensions" / "sets.py").write_text(SETS)
    draw, labels = np.random.default_rng(0), np.arange(90) % 3
    vectors = draw.normal(size=(90, 4)) + labels[:, None]
    np.savez(project / "vectors.npz", vectors=vectors, labels=labels + 5)
    np.savez(project / "rows.npz", x=vectors[:3])
    done = run(project, "data=embeddings", "data.scale=2", *QUICK, "hydra.run.dir=r")
    assert "x: 90 × 4 float64; y: 90 int64" in done.stdout
    source = f"sets.py, digest {hashlib.sha256(SETS.encode()).hexdigest()[:12]}"
    assert f"source: {source}" in (project / "r" / "config.yaml").read_text()
    assert read_tensors(project / "r" / "model.safetensors")[0]["data_source"] == source
    predicted = phalanx_command("predict", project / "r", project / "rows.npz", "--format", "json")
    assert [set(row["p"]) for row in json.loads(predicted.stdout)] == [{"5", "6", "7"}] * 3
    run(project, "from_run=r", "hydra.run.dir=again", *QUICK[:1])
    first, again = result_of(project / "r"), result_of(project / "again")
    assert (first["metrics"], first["config_digest"]) == (again["metrics"], again["config_digest"])
    (project / "extensions" / "sets.py").write_text(SETS + "# changed\n")
    assert "data=embeddings is of other code" in run(project, "from_run=r", *QUICK[:1], check=2).stderr
    (project / "extensions" / "sets.py").unlink()
    assert (
        "needs the extension data=embeddings (sets.py, digest" in run(project, "from_run=r", *QUICK[:1], check=2).stderr
    )


LOADED_ALONE = """
import json, sys
import mlflow, numpy as np
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
again = mlflow.pyfunc.load_model(sys.argv[2])
rows = np.arange(128.0).reshape(2, 64) % 17
found = model.predict(rows)
assert found.equals(again.predict(rows))
assert "phalanx.zip" in sys.modules["phalanx"].__file__
print(json.dumps(found.to_dict("list")))
"""


def test_a_registered_model_carries_its_code(project, tmp_path):
    store = f"sqlite:///{project}/mlflow.db"
    tracked = ["model=conv_net", "trainer.epochs=2", f"tracking.uri={store}", "tracking.register=all"]
    uri = run(project, *tracked, "hydra.run.dir=out").stdout.partition("model: ")[2].split()[0]
    np.save(tmp_path / "rows.npy", np.arange(128.0).reshape(2, 64) % 17)
    command = ["predict", project / "out", tmp_path / "rows.npy", "--format", "json"]
    ours = phalanx_command(*command, variables={"PHALANX_EXTENSIONS": str(project / "extensions")})
    alone = subprocess.run(
        [sys.executable, "-c", LOADED_ALONE, store, uri], cwd=tmp_path, capture_output=True, text=True,
        check=False, env=environment(),
    )  # fmt: skip
    assert alone.returncode == 0, alone.stderr
    found, wanted = json.loads(alone.stdout.splitlines()[-1]), json.loads(ours.stdout)
    assert found["predicted"] == [row["predicted"] for row in wanted]
    assert found["p_3"] == pytest.approx([row["p"]["3"] for row in wanted])
