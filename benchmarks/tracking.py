"""What MLflow costs a run: delivered by Phalanx, against MLflow's fluent API, on SQLite, in alternating rounds.

    python benchmarks/tracking.py [--runs 60] [--rounds 5] [--far]

A run holds 30 metric values (8 curves of 3 epochs and 6 single numbers), 20 params, 15 or more tags. "Phalanx" also
logs three data set inputs, and 6 text files as artifacts, straight from the run's folder; "fluent" logs the same
number of metrics and params, a call each as in its tutorials or at once, no inputs and no file. The next table:
seconds of a sweep with and without tracking. `--far`: only requests and seconds of the end of a sweep of two trials on
a real server, behind a proxy that delays each request.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from phalanx.core.result import EpochMetrics
from phalanx.runs.metrics_csv import metrics_csv
from phalanx.runs.options import TrackingSpec
from phalanx.tracking.sync import FolderSync

TRAIN = Path(__file__).parents[1] / "train.py"


def write_run(folder: Path, number: int) -> None:
    """A run's folder with 20 params, 24 curve values and 6 numbers."""
    folder.mkdir(parents=True)
    config = {f"model{i}": number + i for i in range(20)}
    (folder / "config.yaml").write_text("\n".join(f"{key}: {value}" for key, value in config.items()))
    rows = [EpochMetrics(e, 1 / e, 0.5, 0.4, 2 / e, 1 - 1 / e, 0.3, 0.1, 0.2) for e in (1, 2, 3)]
    (folder / "metrics.csv").write_text(metrics_csv(rows))
    (folder / "train.log").write_text("trained\n" * 5)
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "config.yaml").write_text("".join(f"a{i}: 1\n" for i in range(30)))
    (folder / ".hydra" / "overrides.yaml").write_text("- optimizer.lr=0.1\n- seed=1\n")
    names = ("train_loss", "val_loss", "val_accuracy")
    content = {
        "status": "completed", "objective": {"name": "val_accuracy", "value": 0.9, "direction": "maximize"},
        "metrics": dict.fromkeys(names, 0.9), "best_epoch": 3, "epochs": 3, "train_seconds": 0.6, "seed": number,
        "config_digest": "c0ffee", "data_digest": "da7a", "n_parameters": 120, "error": None, "failure": None,
        "git": {"commit": "abc", "dirty": False}, "mlflow_run_id": None,
        "data": {"name": "digits", "source": "digits", "n_train": 9, "n_val": 9, "n_test": 9, "n_features": 64,
                 "n_classes": 10},
    }  # fmt: skip
    (folder / "result.json").write_text(json.dumps(content))


def phalanx_ms(n_runs: int) -> float:
    """Milliseconds a run, store open before."""
    with tempfile.TemporaryDirectory() as root, contextlib.chdir(root):
        sweep = Path("sweep")
        sweep.mkdir()
        (sweep / "sweep.json").write_text("{}")
        sync = FolderSync(sweep, TrackingSpec(register="none"))
        sync.update()
        for number in range(n_runs):
            write_run(sweep / str(number), number)
        started = time.perf_counter()
        left = sync.update()
        seconds = time.perf_counter() - started
        sync.close()
        assert (left, sync.n_logged) == (0, n_runs)
    return 1000 * seconds / n_runs


def fluent_ms(n_runs: int, each: bool) -> float:
    """Milliseconds a run with the fluent API: `each` value by a call of its own, or as many as it takes at once."""
    import mlflow

    with tempfile.TemporaryDirectory() as root, contextlib.chdir(root):
        mlflow.set_tracking_uri("sqlite:///mlflow.db")
        mlflow.set_experiment("fluent")
        started = time.perf_counter()
        for number in range(n_runs):
            with mlflow.start_run(run_name=f"trial {number}"):
                params = {f"model{i}": number + i for i in range(20)}
                steps = [({f"curve{i}": epoch / (i + 1) for i in range(8)}, epoch) for epoch in (1, 2, 3)]
                steps += [({f"number{i}": i / 10 for i in range(6)}, 0)]
                if not each:
                    mlflow.log_params(params)
                    for metrics, step in steps:
                        mlflow.log_metrics(metrics, step=step)
                    continue
                for key, value in params.items():
                    mlflow.log_param(key, value)
                for key, value, step in ((k, v, step) for metrics, step in steps for k, v in metrics.items()):
                    mlflow.log_metric(key, value, step=step)
        return 1000 * (time.perf_counter() - started) / n_runs


WAYS = {
    "Phalanx": phalanx_ms,
    "fluent, a call each": lambda n: fluent_ms(max(n // 4, 1), True),
    "fluent, at once": lambda n: fluent_ms(n, False),
}


def separately(what: str, n_runs: int) -> float:
    """One measurement in a process of its own: Phalanx tunes SQLite for the whole process."""
    command = [sys.executable, __file__, "--one", what, "--runs", str(n_runs)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=_plain())
    return float(done.stdout)


def sweep_seconds(tracking: str) -> float:
    with tempfile.TemporaryDirectory() as root:
        command = [sys.executable, str(TRAIN), "-m", "seed=range(64)", f"tracking={tracking}", "tracking.keep=0"]
        started = time.perf_counter()
        subprocess.run(command, cwd=root, check=True, capture_output=True, env=_plain())
        return time.perf_counter() - started


def far_server(delays_s: tuple[float, ...] = (0.0, 0.2)) -> None:
    """Requests and seconds to log a sweep of two trials to a server, and to register the model of the best one."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from support.delay_proxy import DelayProxy
    from support.mlflow_servers import Server
    from support.saved_models import N_FEATURES, save_run

    print("| delay of each request, s | what | requests | s |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        root = Path(name)
        arguments = ["server", "--backend-store-uri", f"sqlite:///{root}/mlflow.db", "--workers", "1"]
        with Server(root, *arguments) as server:
            for delay in delays_s:
                sweep, model = root / f"after {delay}", save_run(root / f"model {delay}") / "model.safetensors"
                for number in range(2):
                    write_run(sweep / str(number), number)
                model.rename(sweep / "1" / "model.safetensors")
                (sweep / "1" / "input_example.json").write_text(json.dumps({"data": [[0.0] * N_FEATURES]}))
                summary = {"status": "completed", "best": 1, "metrics": {"val_accuracy": 0.9}, "params": {}}
                (sweep / "sweep.json").write_text(json.dumps({"search": False, "summary": summary}))
                for register, what in (("none", "two trials and their sweep"), ("sweep", "the registered model")):
                    with DelayProxy(server.port, delay) as proxy:
                        sync = FolderSync(sweep, TrackingSpec(uri=proxy.url, register=register))
                        started = time.perf_counter()
                        left = sync.finish("completed")
                        seconds = time.perf_counter() - started
                        sync.close()
                        assert left == 0, sync.problem
                    print(f"| {delay} | {what} | {len(proxy.requests)} | {seconds:.1f} |")


def _plain() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}


def shown(values: list[float], digits: int = 1) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--sweeps", type=int, default=3, help="rounds of the sweep of 64 trials; 0: none")
    parser.add_argument("--far", action="store_true", help="only the server that is far away")
    args = parser.parse_args()
    if args.far:
        far_server()
        return
    if args.one:
        print(WAYS[args.one](args.runs))
        return
    print(f"{args.rounds} rounds of {args.runs} runs on SQLite, {os.cpu_count()} cores, {date.today()}\n")
    rounds = [[separately(way, args.runs) for way in WAYS] for _ in range(args.rounds)]
    if rounds:
        print("| way | ms a run | times Phalanx |\n| --- | --- | --- |")
    for place, way in enumerate(WAYS if rounds else ()):
        ratios = [row[place] / row[0] for row in rounds]
        print(f"| {way} | {shown([row[place] for row in rounds])} | {shown(ratios)} |")
    sweeps = [(sweep_seconds("none"), sweep_seconds("mlflow")) for _ in range(args.sweeps)]
    if sweeps:
        print("| sweep of 64 digits trials: s without tracking | s with MLflow |\n| --- | --- |")
        print(f"| {shown([a for a, _ in sweeps])} | {shown([b for _, b in sweeps])} |")


if __name__ == "__main__":
    main()
