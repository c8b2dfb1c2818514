"""Runs whose data were changed or moved: no training goes on with other data under the same name."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from support.forked import start, train
from support.train_command import mlflow_run_id_of, result_of
from support.waiting import until

from phalanx.cli.main import main
from phalanx.runs.checkpoint import read_checkpoint

pytestmark = pytest.mark.slow

TABLE = ["data=csv", "data.path=my table.csv", "data.target=kind", "trainer.epochs=2"]
SEARCH = ["-m", "hydra/sweeper=optuna", "optimizer.lr=interval(0.01,0.1)", "hydra.sweeper.study_name=s"]


def write_table(file: Path, add: float = 0.0) -> None:
    rows = [f"{(7 * i) % 11 + add},{i % 5},{'ab'[i % 2]}" for i in range(40)]
    file.write_text("\n".join(["size,age,kind", *rows, ""]))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a table, a run, a grid with chdir, and a search, as each test gets it as a copy."""
    project = tmp_path_factory.mktemp("trained") / "project"
    project.mkdir()
    write_table(project / "my table.csv")
    train(*TABLE, "hydra.run.dir=outputs/runs/one", cwd=project, check=0)
    train(
        *TABLE, "tracking=none", "-m", "seed=0,1", "hydra.job.chdir=true", "hydra.sweep.dir=grid", cwd=project, check=0
    )
    train(*TABLE, "tracking=none", *SEARCH, "hydra.sweeper.n_trials=1", cwd=project, check=0)
    return project


@pytest.fixture
def project(trained: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "project"
    shutil.copytree(trained, copy)
    for file in [*copy.rglob("hydra.yaml"), *copy.rglob("multirun.yaml")]:  # as if they had been trained here
        file.write_text(file.read_text().replace(str(trained), str(copy)))
    return copy


def digests(project: Path, message: str) -> tuple[str, str]:
    """The two digests of a message, of which the first is the run's."""
    (found,) = re.findall(r"their digest was ([0-9a-f]{16}) and is ([0-9a-f]{16}) now", message)
    assert found[0] == result_of(project / "outputs" / "runs" / "one")["data_digest"]
    assert found[1] != found[0]
    return found


@pytest.mark.parametrize("way", ["run", "grid", "search", "MLflow"])
def test_a_table_that_was_changed_is_told_and_what_is_advised_trains_on_it(project: Path, way: str) -> None:
    one = project / "outputs" / "runs" / "one"
    names = {"run": "outputs/runs/one", "grid": "grid", "search": "outputs/sweeps/s"}
    name = names.get(way) or mlflow_run_id_of(one)
    again = ["tracking.kind=none", "hydra.run.dir=again"]
    write_table(project / "my table.csv", 0.5)
    for more in ([], ["data.n_val=5"], ["-m", "seed=0,1", "hydra.sweep.dir=again"]) if way == "run" else ([],):
        done = train(f"from_run={name}", *again, *more, cwd=project, check=2)
        now = digests(project, done.stderr)[1]
        assert "data.path=my table.csv holds other data" in done.stderr
        assert not (project / "again").exists()
    advice = shlex.split(done.stderr.rpartition("type ")[2].splitlines()[0])
    train(*advice, *again, cwd=project, check=0)
    assert result_of(project / "again")["data_digest"] == now
    write_table(project / "my table.csv")
    train(f"from_run={name}", *again[:1], "hydra.run.dir=back", cwd=project, check=0)
    assert result_of(project / "back")["data_digest"] == result_of(one)["data_digest"]


def test_a_table_that_is_gone_or_lacks_columns_is_told_with_what_to_type(project: Path) -> None:
    (project / "my table.csv").rename(project / "new.csv")
    done = train("from_run=outputs/runs/one", "tracking=none", cwd=project, check=2)
    digest = result_of(project / "outputs" / "runs" / "one")["data_digest"]
    assert f"was trained on data with the digest {digest}; type from_run=outputs/runs/one" in done.stderr
    train("from_run=outputs/runs/one", "tracking=none", "data.path=new.csv", cwd=project, check=0)
    (project / "my table.csv").write_text("a,b\n1,2\n3,4\n")
    done = train("from_run=outputs/runs/one", "tracking=none", cwd=project, check=2)
    assert digest in done.stderr
    assert "kind" in done.stderr
    assert train("from_run=outputs/runs/one", "--cfg", "job", cwd=project, check=0).stdout.count("my table.csv") == 1


def test_a_search_does_not_go_on_with_other_data(project: Path) -> None:
    more = [*TABLE, "tracking=none", *SEARCH, "hydra.sweeper.n_trials=2"]
    write_table(project / "my table.csv", 0.5)
    done = train(*more, cwd=project, check=2)
    digests(project, done.stderr)
    assert "search anew with another hydra.sweeper.study_name" in done.stderr
    assert not (project / "outputs" / "sweeps" / "s" / "1").exists()
    other = [text.replace("my table", "other") for text in more]
    write_table(project / "other.csv", 0.5)
    assert "data.path=other.csv holds other data" in train(*other, cwd=project, check=2).stderr
    write_table(project / "other.csv")
    train(*other, cwd=project, check=0)
    train(*more[:-1], "hydra.sweeper.n_trials=1", "hydra.sweeper.study_name=t", cwd=project, check=0)


def test_a_grid_that_is_typed_again_says_that_its_data_have_changed(project: Path) -> None:
    again = [*TABLE, "tracking=none", "-m", "seed=0,1", "hydra.job.chdir=true", "hydra.sweep.dir=grid"]
    write_table(project / "my table.csv", 0.5)
    said = train(*again, cwd=project, check=0).stdout
    now = digests(project, said)[1]
    assert "data.path=my table.csv holds other data than the trials there were trained on" in said
    assert f"{now} now; 2 trials train again\n" in said
    assert {result_of(project / "grid" / number)["data_digest"] for number in "01"} == {now}
    said = train(*again, cwd=project, check=0).stdout
    assert "2 trials were finished before and stay as they are\n" in said
    assert "train again" not in said


def test_from_run_with_a_test_file_in_other_units_says_so(tmp_path: Path) -> None:
    def write(name: str, unit: float) -> None:
        rows = [f"{i % 251},{7 * i % 256},{13 * i % 256},{31 * i % 256},{'ab'[i % 2]}".split(",") for i in range(60)]
        lines = [",".join([*(f"{int(cell) * unit:g}" for cell in row[:-1]), row[-1]]) for row in rows]
        (tmp_path / name).write_text("\n".join(["p0,p1,p2,p3,kind", *lines, ""]))

    write("pixels.csv", 1)
    write("test.csv", 1 / 255)
    table = ["data=csv", "data.path=pixels.csv", "data.target=kind", "trainer.epochs=1"]
    done = train(*table, "tracking=none", "hydra.run.dir=one", cwd=tmp_path, check=0)
    assert "units" not in done.stdout
    done = train("from_run=one", "data.test_path=test.csv", "hydra.run.dir=two", cwd=tmp_path, check=0)
    note = "test split: the values reach 1, in every column less than 2% of the largest value that training had"
    assert note in " ".join(done.stdout.split())
    assert [text for text in result_of(tmp_path / "two")["data"]["notes"] if text.startswith(note)]


@pytest.mark.parametrize(
    ("case", "name"),
    [
        ("another working folder", "outputs/runs/one"), ("another working folder", "grid"), ("moved", "outputs/runs/one"),
        ("moved", "grid/1"), ("moved", "outputs/sweeps/s"), ("copied, and the old one is changed", "outputs/runs/one"),
    ],
)  # fmt: skip
def test_a_relative_path_leads_to_the_data_from_anywhere(
    project: Path, tmp_path: Path, case: str, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    elsewhere, place = tmp_path / "elsewhere", tmp_path / "new place"
    elsewhere.mkdir()
    digest = result_of(project / "outputs" / "runs" / "one")["data_digest"]
    if case == "moved":
        project.rename(place)
    elif case.startswith("copied"):
        shutil.copytree(project, place)
        write_table(project / "my table.csv", 0.5)
    else:
        place = project
    quoted = f"from_run={place / name}"
    train(quoted, "tracking=none", "hydra.run.dir=again", cwd=elsewhere, check=0)
    assert result_of(elsewhere / "again")["data_digest"] == digest
    monkeypatch.chdir(elsewhere)
    if name in ("outputs/runs/one", "grid/1"):
        assert main(["inspect", str(place / name)]) == 0
        assert "the data" not in capsys.readouterr().out


def test_inspect_names_both_digests(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    write_table(project / "my table.csv", 0.5)
    assert main(["inspect", "outputs/runs/one"]) == 0
    digests(project, " ".join(capsys.readouterr().out.split()))


def test_a_run_that_was_broken_off_goes_on_from_another_folder_and_not_with_other_data(
    project: Path, tmp_path: Path
) -> None:
    run = project / "outputs" / "runs" / "cut"
    child = start(*TABLE, "tracking=none", "trainer.epochs=1000000", "checkpoint.every_epochs=1", f"hydra.run.dir={run}",
                  cwd=project, out=tmp_path / "out")  # fmt: skip
    until((run / "checkpoint.safetensors").exists)
    child.kill()
    child.join()
    epochs = [f"trainer.epochs={len(read_checkpoint(run / 'checkpoint.safetensors')[1][0].history) + 1}"]
    (tmp_path / "elsewhere").mkdir()
    write_table(project / "my table.csv", 0.5)
    done = train(f"resume={run}", *epochs, cwd=tmp_path / "elsewhere", check=2)
    digests(project, done.stderr.replace("whose digest", "their digest"))
    write_table(project / "my table.csv")
    train(f"resume={run}", *epochs, cwd=tmp_path / "elsewhere", check=0)


def test_a_single_run_with_chdir_finds_its_table(project: Path) -> None:
    train(*TABLE, "tracking=none", "hydra.job.chdir=true", "hydra.run.dir=inside", cwd=project, check=0)
    train("from_run=inside", "tracking=none", "hydra.job.chdir=true", "hydra.run.dir=again", cwd=project, check=0)
    assert result_of(project / "again")["metrics"] == result_of(project / "inside")["metrics"]
