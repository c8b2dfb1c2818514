"""`phalanx new` and `phalanx train`: a project beside an installed Phalanx, and a folder that has no `train.py`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from support.forked import train
from support.places import ROOT
from support.train_command import environment, only, result_of

from hydra_plugins.phalanx._project import Project, packaged_conf
from hydra_plugins.phalanx._state import STATE
from hydra_plugins.phalanx.packaged import PackagedSearchPath
from phalanx.cli.main import main
from phalanx.cli.new import templates

QUICK = ["tracking=none", "debug=limit"]
COMMAND = (
    "import sys\nfrom phalanx.cli.main import main\nif __name__ == '__main__':\n    sys.exit(main(sys.argv[1:]))\n"
)


def phalanx_train(*arguments, cwd, check=0, **variables):
    """The command `phalanx train`, in a fork that has the libraries loaded."""
    (script := cwd.parent / f"{cwd.name}_phalanx.py").write_text(COMMAND)
    return train("train", *arguments, cwd=cwd, script=script, check=check, **variables)


def test_a_project_has_its_files_and_is_not_written_over_another(tmp_path, capsys):
    folder = tmp_path / "my project"
    assert main(["new", str(folder)]) == 0
    assert f"cd '{folder}'" in capsys.readouterr().out
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == {path.as_posix() for path, _ in templates()}
    assert {"train.py", "README.md", ".gitignore", "extensions/models.py", "extensions/losses.py"} <= found
    assert {"conf/experiment/first.yaml", "tests/test_models.py", "tests/test_losses.py"} <= found
    assert (folder / "README.md").read_text().startswith("# my project\n")
    ours, theirs = ((place / "train.py").read_text().partition("@hydra.main") for place in (ROOT, folder))
    imports = [{line for line in text[0].splitlines() if " import " in f" {line}"} for text in (ours, theirs)]
    assert imports[0] == imports[1]
    assert ours[2] == theirs[2]
    for taken, why in ((folder, "is not empty"), (folder / "train.py", "is a file")):
        before = taken.stat().st_mtime_ns
        assert main(["new", str(taken)]) == 2
        wanted = f"phalanx: {taken} {why}; give a folder that does not exist, such as my_project\n"
        assert capsys.readouterr().err == wanted
        assert taken.stat().st_mtime_ns == before
    (tmp_path / "empty").mkdir()
    assert main(["new", str(tmp_path / "empty")]) == 0


def test_the_files_of_a_project_are_in_good_style(tmp_path):
    main(["new", str(tmp_path / "p")])
    for task in (["check", "--select=E,F,W,I,UP,B"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *task, "--isolated", "--line-length=120", "."]
        done = subprocess.run(command, cwd=tmp_path / "p", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_config_groups_of_phalanx_are_searched_last_and_by_its_own_commands_alone(tmp_path, monkeypatch):
    def searched(project, *folders):
        monkeypatch.setattr(STATE, "project", project)
        path = ConfigSearchPathImpl()
        for folder in folders:
            path.append("main", f"file://{folder}")
        PackagedSearchPath().manipulate_search_path(path)
        return [entry.path for entry in path.get_path()]

    (tmp_path / "conf").mkdir()
    own, packaged = f"file://{tmp_path}/conf", f"file://{packaged_conf()}"
    assert searched(Project(tmp_path), Project(tmp_path).conf) == [own, packaged]
    assert searched(Project(tmp_path / "without"), Project(tmp_path / "without").conf) == [packaged]
    assert searched(Project(ROOT), ROOT / "conf") == [f"file://{ROOT}/conf"]
    assert searched(None, tmp_path / "conf") == [own]  # of an application that is not ours


def test_a_study_that_is_asked_for_brings_its_own_options():
    project, asked = Project(ROOT), ["-m", "experiment=own_network,../other,mine", "seed=1"]
    studies = [ROOT / "experiments" / name / "extensions" for name in ("own_network", "mine")]
    assert project.extensions(asked) == [ROOT / "extensions", *studies]
    assert project.extensions(["seed=1"]) == [ROOT / "extensions"]


def test_it_trains_in_an_empty_folder_as_train_py_does(tmp_path):
    (here := tmp_path / "here").mkdir()
    (there := tmp_path / "there").mkdir()
    phalanx_train("model=mlp2", "seed=3", *QUICK, cwd=here)
    train("model=mlp2", "seed=3", *QUICK, cwd=there, check=0)
    one, two = (result_of(run := only(folder / "outputs" / "runs")) for folder in (here, there))
    assert one["metrics"] == two["metrics"]
    assert one["config_digest"] == two["config_digest"]
    assert (run / "train.log").is_file()
    again = phalanx_train(f"from_run={run}", "--cfg", "job", cwd=here).stdout
    assert "\nseed: 3\n" in again
    refused = phalanx_train("model=mlp9", cwd=here, check=2)
    assert "model=mlp9 names no option" in refused.stderr


def test_its_folder_extends_and_overrides_the_config_groups(tmp_path):
    main(["new", str(tmp_path / "p")])
    (project := tmp_path / "p").joinpath("train.py").unlink()
    (project / "conf" / "trainer").mkdir()
    default = (packaged_conf() / "trainer" / "default.yaml").read_text()
    (project / "conf" / "trainer" / "default.yaml").write_text(default.replace("epochs: ", "epochs: 7 # "))
    (project / "experiments" / "second" / "experiment").mkdir(parents=True)
    (project / "experiments" / "second" / "experiment" / "second.yaml").write_text("# @package _global_\nseed: 5\n")
    shown = phalanx_train("model=residual_net", "loss=focal", "experiment=second", "--cfg", "job", cwd=project).stdout
    for line in ("  units: 32", "  depth: 2", "  gamma: 2.0", "  epochs: 7", "seed: 5"):
        assert f"\n{line}" in shown
    assert "mlp4, nearest_neighbours, random_forest, residual_net" in phalanx_train("--help", cwd=project).stdout
    phalanx_train("model=residual_net", "loss=focal", *QUICK, "hydra.run.dir=run", cwd=project)
    assert result_of(project / "run")["way"] == "together"
    phalanx_train("from_run=run", "tracking=none", "hydra.run.dir=again", cwd=project)
    assert result_of(project / "again")["metrics"] == result_of(project / "run")["metrics"]


@pytest.fixture
def installed(tmp_path):
    """The folder of the commands of an environment into which a wheel of this checkout is installed."""
    pytest.importorskip("hatchling", reason="builds the wheel without network")
    source, wheels, place = tmp_path / "source", tmp_path / "wheels", tmp_path / "venv"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for folder in ("src", "conf"):
        shutil.copytree(ROOT / folder, source / folder, ignore=ignored)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run([*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, source], tmp_path)
    run([sys.executable, "-m", "venv", "--without-pip", place], tmp_path)
    run([*pip, "--python", place / "bin" / "python", "install", "--no-deps", "--no-index", only(wheels)], tmp_path)
    (libraries,) = place.glob("lib/python*/site-packages")
    (libraries / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"])  # whose own .pth files are not read
    return place / "bin"


def run(command, cwd):
    clean = {name: value for name, value in environment().items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, env=clean, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="the commands are in another folder")
def test_a_project_of_an_installed_wheel_runs_as_it_stands(installed, tmp_path):
    where = run([installed / "python", "-c", "import hydra_plugins.phalanx as p; print(p.__file__)"], tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    run([installed / "phalanx", "new", "my_project"], tmp_path)
    project = tmp_path / "my_project"
    assert {path.relative_to(project) for path in project.rglob("*") if path.is_file()} == {f for f, _ in templates()}
    run([installed / "phalanx", "train", "model=residual_net", "loss=focal", *QUICK, "hydra.run.dir=run"], project)
    assert result_of(project / "run")["status"] == "completed"
    assert " passed" in run(
        [installed / "python", "-m", "pytest", "-q", "-k", "completes or model_file or second"], project
    )
