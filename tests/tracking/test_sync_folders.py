"""`phalanx sync`: which folders it takes, where their runs go, and what is written down of them."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support.tracking_records import SECRET, by_key, count_runs, run_folder, sweep_folder, synced

from phalanx.cli.main import main
from phalanx.core.errors import UnreadableFile
from phalanx.runs.options import TrackingSpec
from phalanx.tracking.client import ProcessTracker
from phalanx.tracking.sync import FolderSync
from phalanx.tracking.sync_folders import SyncCount, configured_tracking, find_folders

pytest_plugins = ("support.tracking_store",)


def ids_in(sweep):
    """The runs' ids by the trial's number, in `trials.csv` and in the trials' own folders."""
    listed = {row["number"]: row["mlflow_run_id"] for row in csv.DictReader(open(sweep / "trials.csv"))}
    return listed, {n: json.loads((sweep / n / "mlflow_run.json").read_text())["run_id"] for n in listed}


def times(sweep):
    return [(sweep / str(n) / "result.json").stat().st_mtime_ns for n in range(2)]


def test_the_ids_of_a_sweep_are_written_down_wherever_they_stand(store, folder, capsys):
    root = sweep_folder(folder / "s", n_trials=2)
    before = times(root)
    assert main(["sync", "s"]) == 0
    assert capsys.readouterr().out == "s: 2 runs delivered\n"
    runs = {key: run.info.run_id for key, run in by_key(store).items()}
    expected = {number: runs[number] for number in "01"}
    assert ids_in(root) == (expected, expected)
    assert json.loads((root / "sweep.json").read_text())["mlflow_run_id"] == runs[""]
    assert times(root) == before  # by which a delivery tells a new result
    (root / "trials.csv").write_text("as it was\n")
    assert main(["sync", "s"]) == 0
    assert capsys.readouterr().out == "s: 0 runs delivered, 2 already there\n"
    assert (root / "trials.csv").read_text() == "as it was\n"


def test_another_place_leaves_the_ids_of_the_one_that_was_told(store, folder, capsys):
    root = sweep_folder(folder / "s", n_trials=2)
    assert main(["sync", "s"]) == 0
    here, manifest = ids_in(root), (root / "sweep.json").read_text()
    (root / "1" / "mlflow_run.json").unlink()
    assert main(["sync", "s", "--experiment", "archive"]) == 0
    assert "s: 2 runs delivered\n" in capsys.readouterr().out
    archived = by_key(store, "archive")
    listed, own = ids_in(root)
    assert listed == own == {"0": here[0]["0"], "1": archived["1"].info.run_id}
    assert (root / "sweep.json").read_text() == manifest


def test_a_sweep_whose_process_was_killed_is_summed_up(store, folder):
    root = sweep_folder(folder / "s", n_trials=2, summary=False)
    result = json.loads((root / "0" / "result.json").read_text())
    result["objective"]["value"] = 0.95
    (root / "0" / "result.json").write_text(json.dumps(result))
    assert main(["sync", "s"]) == 0
    summary = json.loads((root / "sweep.json").read_text())["summary"]
    assert (summary["status"], summary["best"], summary["params"]) == ("interrupted", 0, {"loss": "mse"})
    run = by_key(store)[""]
    assert run.info.status == "KILLED"
    assert run.data.metrics["n_trials"] == 2


def test_what_is_not_delivered_is_told_and_fails(store, folder, closed_port, capsys):
    run_folder(folder / "runs" / "a")
    (run_folder(folder / "runs" / "b") / "result.json").write_text("{")
    assert main(["sync", "runs"]) == 1
    said = capsys.readouterr()
    assert said.out.startswith("runs/a: 1 run delivered\nruns/b: 0 runs delivered, 1 not delivered (b is not logged")
    assert "1 of the runs are not in MLflow" in said.err
    assert main(["sync", "runs/a", "--uri", f"http://127.0.0.1:{closed_port}"]) == 1
    assert "1 not delivered (no MLflow server answers at" in capsys.readouterr().out


def test_a_folder_that_a_process_delivers_now_is_left_to_it(store, folder, monkeypatch, capsys):
    monkeypatch.setattr("phalanx.tracking.sync.LOCK_S", 0.1)
    other = FolderSync(run_folder(folder / "a"), TrackingSpec())
    other.update()
    assert main(["sync", "a"]) == 1
    assert "1 not delivered (a process that runs now delivers it)" in capsys.readouterr().out
    other.close()
    assert main(["sync", "a"]) == 0


def test_which_folders_are_taken(folder):
    sweep, one = sweep_folder(folder / "outputs" / "sweeps" / "s", 1), run_folder(folder / "outputs" / "runs" / "one")
    (folder / "outputs" / "runs" / "live").mkdir()
    live = folder / "outputs" / "runs" / "live"
    (live / ".mlflow.json").write_text('{"id": "1"}')  # its curves were delivered, then it was killed
    (folder / "outputs" / "runs" / "empty").mkdir()
    assert find_folders([folder / "outputs"]) == [live, one, sweep]
    assert find_folders([folder / "outputs" / "runs"]) == [live, one]
    assert find_folders(
        [sweep, folder / "outputs" / "sweeps", folder / "outputs" / ".." / "outputs" / "sweeps" / "s"]
    ) == [folder / "outputs" / ".." / "outputs" / "sweeps" / "s"]
    for path in ("outputs/runs/empty", "nowhere", "outputs/runs/one/result.json"):
        assert main(["sync", path]) == 2


def test_runs_go_where_they_were_told_and_untracked_ones_to_the_default(store, folder, empty_store):
    own, none = run_folder(folder / "own"), run_folder(folder / "none")
    for run, tracking in ((own, "kind: mlflow, uri: 'sqlite:///own.db'"), (none, "kind: none, uri: 'sqlite:///x.db'")):
        text = (run / "config.yaml").read_text()
        (run / "config.yaml").write_text(text.replace("kind: mlflow, uri: null", tracking))
    bare = folder / "bare"
    bare.mkdir()
    assert configured_tracking(own).uri == "sqlite:///own.db"
    assert configured_tracking(none) == TrackingSpec(register="none")
    assert configured_tracking(bare) == TrackingSpec()
    shutil.copy(empty_store, folder / "own.db")
    assert main(["sync", "own", "none"]) == 0
    assert [count_runs(folder / name) for name in ("own.db", "mlflow.db")] == [1, 1]


def test_the_store_that_the_folder_names_is_not_another_one_when_it_is_typed(store, folder, empty_store):
    """So the ids of its runs are written down, which those in another store are not."""
    root = sweep_folder(folder / "s", n_trials=1)
    config = root / "0" / "config.yaml"
    config.write_text(config.read_text().replace("uri: null", "uri: sqlite:///own.db"))
    shutil.copy(empty_store, folder / "own.db")
    (root / "sweep.json").write_text(
        json.dumps({**json.loads((root / "sweep.json").read_text()), "mlflow_run_id": "old"})
    )
    assert main(["sync", "s", "--uri", "sqlite:///own.db"]) == 0
    assert json.loads((root / "sweep.json").read_text())["mlflow_run_id"] != "old"


@pytest.mark.parametrize(("uri", "said"), [
    (None, ""), ("sqlite:///own.db", ""), ("http://h:1", " --uri http://h:1"),
    (f"postgresql://me:{SECRET}@h/d", " with MLFLOW_TRACKING_URI set to postgresql://***@h/d"),
])  # fmt: skip
def test_the_command_for_later_names_the_store(folder, monkeypatch, caplog, uri, said):
    monkeypatch.setattr("phalanx.tracking.client._spawn", lambda pipe: None)
    tracking = ProcessTracker(TrackingSpec(uri=uri), folder / "a")
    tracking.n_left = 1
    tracking.end("completed")
    assert caplog.messages[-1] == f"MLflow did not get it; later: phalanx sync a{said}"


@pytest.mark.parametrize("way", ["of the file", "of what it held"])
def test_what_an_earlier_version_delivered_is_not_logged_again(store, folder, capsys, way):
    """Two earlier versions computed the digest of a result otherwise, the first of a result with fewer keys."""
    root = run_folder(folder / "a")
    assert main(["sync", "a"]) == 0
    file = (root / "result.json").read_bytes()
    held = {key: value for key, value in json.loads(file).items() if key != "mlflow_run_id"}
    digest = hashlib.sha256(file if way == "of the file" else json.dumps(held, sort_keys=True).encode()).hexdigest()[
        :16
    ]
    (run,) = by_key(store).values()
    assert run.data.tags["phalanx.result"] != digest
    store.set_tag(run.info.run_id, "phalanx.result", digest)
    capsys.readouterr()
    assert main(["sync", "a"]) == 0
    assert capsys.readouterr().out == "a: 0 runs delivered, 1 already there\n"
    store.set_tag(run.info.run_id, "phalanx.result", "of another result")
    assert main(["sync", "a"]) == 0
    assert capsys.readouterr().out == "a: 1 run delivered\n"


@pytest.fixture
def server():
    """An address, and what has come to it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        do_POST = do_GET

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_port}", asked
        found.shutdown()


def test_a_server_in_a_folder_is_asked_only_if_the_user_names_it_too(folder, server, monkeypatch, capsys):
    """Nothing is sent to it, least of all what its address fetches from the environment."""
    address, asked = server
    monkeypatch.setenv("OF_THE_USER", SECRET)
    for name, uri in (("a", address + "/${oc.env:OF_THE_USER}"), ("b", address), ("c", "null")):
        config = run_folder(folder / "runs" / name) / "config.yaml"
        config.write_text(config.read_text().replace("uri: null", f"uri: {uri!r}" if uri != "null" else "uri: null"))
    assert main(["sync", "runs"]) == 2
    said = capsys.readouterr()
    assert "runs/a/config.yaml cannot be used as it is" in said.err
    assert f"type --uri {address}\n" in said.err
    assert SECRET not in said.err
    assert said.out == ""
    assert asked == []
    assert not list(folder.glob("runs/*/.mlflow.json"))  # also what has no fault is left as it is
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert main(["sync", "runs/b"]) == 1
    assert asked
    assert not any(SECRET in path for path in asked)


@pytest.mark.parametrize("name", ["train.log", "plots/x.png", "report.html", ".hydra/hydra.yaml"])
@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_a_file_that_leads_out_of_the_folder_is_not_logged(store, folder, capsys, name, kind):
    (folder / "secret").write_text(SECRET)
    root = sweep_folder(folder / "s" / "s", n_trials=1)
    for own in (root / name, root / "0" / name):
        own.parent.mkdir(exist_ok=True)
        own.unlink(missing_ok=True)
        os.mkfifo(own) if kind == "pipe" else own.symlink_to(folder / "secret")
    assert main(["sync", "s/s"]) == 1
    said = capsys.readouterr().out
    assert "is not a regular file" in said or "is a link out of the folder" in said
    logged = [p for p in folder.rglob("*") if "artifacts" in p.parts and p.is_file() and SECRET in p.read_text()]
    assert logged == []


def of_two_seeds(trial):
    """A trial of the seeds 7 and 8, each with two epochs."""
    row = {"status": "completed", "value": 0.5, "metrics": {}, "best_epoch": 1, "epochs": 2}
    run_folder(trial, epochs=2, repeats=[{"seed": seed, **row} for seed in (7, 8)])
    head, *lines = (trial / "metrics.csv").read_text().splitlines()
    rows = [f"{seed},{line}" for seed in (7, 8) for line in lines]
    (trial / "seeds.csv").write_text("\n".join([f"seed,{head}", *rows]) + "\n")


@pytest.mark.parametrize(("name", "of"), [("metrics.csv", ""), ("seeds.csv", " of seed 8")])
def test_a_curve_that_lacks_epochs_is_not_delivered_as_a_whole_one(store, folder, capsys, name, of):
    root = sweep_folder(folder / "s", n_trials=3)
    of_two_seeds(root / "1")
    whole = (root / "1" / name).read_text()
    (root / "1" / name).write_text("".join(whole.splitlines(keepends=True)[:-1]))
    assert main(["sync", "s"]) == 1
    said = f"trial 1 is not logged to MLflow: s/1/{name} is damaged: it has 1 of the 2 epochs{of} that its result.json"
    assert said in capsys.readouterr().out
    assert set(by_key(store)) == {"", "0", "2"}
    (root / "1" / name).write_text(whole)
    assert main(["sync", "s"]) == 0
    assert set(by_key(store)) == {"", "0", "1", "1/seed 7", "1/seed 8", "2"}


def test_each_run_that_is_not_delivered_is_named_and_so_is_a_model_that_is_not_registered(store, folder, capsys):
    root = sweep_folder(folder / "s", n_trials=3)
    config = root / "0" / "config.yaml"
    config.write_text(config.read_text().replace("register: none", "register: sweep"))
    assert main(["sync", "s"]) == 1
    said = capsys.readouterr()
    assert said.out == "s: 3 runs delivered\n"
    assert "all that can be read is in MLflow, but for:\n  - the model is not registered: s/2/model.safeten" in said.err
    for number in "01":
        (root / number / "result.json").write_text("{")
    assert main(["sync", "s", "--experiment", "other"]) == 1
    reasons = capsys.readouterr().out.partition("2 not delivered (")[2].split("; ")
    assert [reason.split(":")[0] for reason in reasons] == [
        "trial 0 is not logged to MLflow", "trial 1 is not logged to MLflow", "the model is not registered",
    ]  # fmt: skip


def test_a_trial_whose_training_begins_anew_while_it_is_read_is_logged_when_it_has_ended(store, folder, monkeypatch):
    root = sweep_folder(folder / "s", n_trials=2, epochs=3)
    sync = FolderSync(root, TrackingSpec(register="none"))

    def begins_anew(location):
        monkeypatch.undo()
        run_folder(root / "0", epochs=1)
        (root / "0" / "result.json").unlink()
        raise UnreadableFile(root / "0" / "metrics.csv", "is damaged: it has 1 of the 3 epochs")

    monkeypatch.setattr("phalanx.tracking.sync.read_records", begins_anew)
    sync.update()
    assert sync.refused == {}
    run_folder(root / "0", epochs=3)
    assert sync.finish("completed") == 0
    sync.close()
    assert set(by_key(store)) == {"", "0", "1"}


def test_a_password_on_the_command_line_is_refused(folder, capsys):
    run_folder(folder / "a")
    assert main(["sync", "a", "--uri", f"postgresql://me:{SECRET}@h/d"]) == 2
    said = capsys.readouterr()
    assert "set MLFLOW_TRACKING_URI" in said.err
    assert SECRET not in said.err + said.out
    assert not (folder / "a" / ".mlflow.json").exists()


def test_a_renamed_experiment_is_the_one_that_is_meant(store, folder):
    root = sweep_folder(folder / "s")
    synced(root)
    (number,) = [e.experiment_id for e in store.search_experiments(filter_string="name = 'phalanx'")]
    store.rename_experiment(number, "a study of losses")
    sync, left = synced(root)
    assert (sync.n_logged, sync.n_there, left) == (0, 3, 0)
    assert sync.place.experiment == "a study of losses"
    assert store.get_experiment_by_name("phalanx") is None
    assert synced(root, experiment="other")[0].n_logged == 3  # which was asked for
    assert len(store.search_runs([number])) == 4


def test_a_run_that_was_deleted_in_mlflow_stays_deleted(store, folder):
    root, single = sweep_folder(folder / "s"), run_folder(folder / "run")
    synced(root)
    synced(single)
    deleted = [run.info.run_id for key, run in by_key_of(store) if key in ("1", "single")]
    for run_id in deleted:
        store.delete_run(run_id)
    before = store.search_runs(["1"])
    for path, there in ((root, 3), (single, 1)):
        sync, left = synced(path)
        assert (sync.n_logged, sync.n_there, left, len(sync.left_deleted)) == (0, there, 0, 1)
    assert {run.info.run_id for run in store.search_runs(["1"])} == {run.info.run_id for run in before}
    count = SyncCount(0, 3, 0, "", 1)
    assert str(count) == "0 runs delivered, 3 already there (1 of them deleted in MLflow, and left so)"


def by_key_of(store):
    """Each run with its key; that of the single run is `single`."""
    runs = store.search_runs(["1"])
    return [("single" if run.data.tags["phalanx.kind"] == "run" else run.data.tags["phalanx.key"], run) for run in runs]
