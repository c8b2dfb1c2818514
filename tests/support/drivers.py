"""Several drivers of one study on one PostgreSQL, while some are killed and the database is restarted.

`python drivers.py` runs a long one and says what came of it: `make drivers`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import psutil
from support.forked import start, until
from support.postgres import Cluster, programs

from phalanx.study import Leases

STARTUP = 8  # complete trials before any is pruned
SWEEP = [
    "-m", "hydra/sweeper=optuna", "hydra.sweeper.storage=${oc.env:STUDY_URL}", "hydra.sweeper.study_name=s",
    "hydra/sweeper/pruner=median", f"hydra.sweeper.pruner.n_startup_trials={STARTUP}",
    "hydra.sweeper.pruner.n_warmup_steps=0", "hydra.sweeper.n_jobs=1",
    "data.n_train=100", "data.n_val=100", "data.n_test=50", "model.width=16", "trainer.epochs=6",
    "optimizer.lr=tag(log,interval(0.00001,0.1))", "model.dropout=interval(0,0.3)",
]  # fmt: skip
FINISHED = ("COMPLETE", "PRUNED")
DEADLINE_S = 240


def wait_until(condition: Callable[[], object], what: str, pause_s: float = 0.2) -> object:
    """The first value of `condition()` that is true."""
    end = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(pause_s)
    return found


class Fleet:
    """Drivers that were started with the same command in the same folder, and their study in the database."""

    def __init__(self, cluster: Cluster, database: str, folder: Path, *options: str) -> None:
        self.cluster, self.database, self.folder, self.options = cluster, database, folder, options
        self.url = cluster.create(database)
        self.drivers, self.outs, self.held = [], [], {}  # held: what each killed driver had in hand: number -> params

    def launch(self, n_drivers: int = 1) -> list:
        """Starts drivers; nobody gets a trial before all of them are ready."""
        with Leases.of(self.url, "s") as leases, leases.exclusive():
            for _ in range(n_drivers):
                self.outs.append(self.folder / f"driver-{len(self.outs)}.txt")
                started = start(*SWEEP, *self.options, cwd=self.folder, out=self.outs[-1], STUDY_URL=self.url)
                self.drivers.append(started)
            for driver, out in zip(self.drivers[-n_drivers:], self.outs[-n_drivers:], strict=True):
                assert until("sweep of", out, driver), out.read_text()
        return self.drivers[-n_drivers:]

    def ask(self, statement: str) -> list[tuple]:
        return self.cluster.ask(statement, self.database)

    def n_finished(self) -> int:
        try:
            return self.ask(f"SELECT count(*) FROM trials WHERE state IN {FINISHED}")[0][0]
        except Exception:
            return 0  # the tables are not there yet

    def n_told(self, driver) -> int:
        """How many trials a driver has finished."""
        told = f"settled AND owner LIKE '%\"pid\": {driver.pid},%'"
        return self.ask(f"SELECT count(*) FROM phalanx_leases WHERE {told}")[0][0]

    def in_hand(self, driver) -> dict[int, dict]:
        """The parameters of what a driver evaluates at this moment, by number."""
        rows = self.ask(
            "SELECT l.number, p.param_name, p.param_value FROM phalanx_leases l JOIN trials t ON t.number = l.number "
            "JOIN trial_params p USING (trial_id) JOIN trial_user_attributes a ON a.trial_id = t.trial_id AND a.key = "
            f"'phalanx.drawn' WHERE t.state = 'RUNNING' AND NOT l.settled AND l.owner LIKE '%\"pid\": {driver.pid},%'"
        )
        return {number: {k: v for n, k, v in rows if n == number} for number, _, _ in rows}

    def kill(self, driver) -> None:
        """Kills a driver in the middle of a trial."""

        def stopped() -> bool:
            assert driver.is_alive(), "ended before it could be killed"
            os.kill(driver.pid, signal.SIGSTOP)
            while psutil.Process(driver.pid).status() != psutil.STATUS_STOPPED:
                time.sleep(0.001)
            if found := self.in_hand(driver):
                self.held.update(found)
                return True
            os.kill(driver.pid, signal.SIGCONT)
            return False

        wait_until(stopped, "a trial in the hands of the one to be killed", 0.02)
        os.kill(driver.pid, signal.SIGKILL)
        driver.join()

    def join(self) -> None:
        """Waits for all drivers; those that were not killed have ended well."""
        for driver, out in zip(self.drivers, self.outs, strict=True):
            driver.join(timeout=DEADLINE_S)
            assert driver.exitcode in (0, -signal.SIGKILL), f"exit status {driver.exitcode}:\n{out.read_text()}"

    @property
    def sweep(self) -> Path:
        return self.folder / "outputs" / "sweeps" / "s"

    def said(self) -> str:
        return "".join(out.read_text() for out in self.outs)


@dataclass(frozen=True)
class Trial:
    """A finished trial as the database knows it."""

    number: int
    state: str
    complete: float  # when it ended, s
    params: dict[str, float]
    attempt: int
    pid: int  # of the driver that told it


def finished(fleet: Fleet) -> list[Trial]:
    """All trials of the study, in order of their numbers."""
    params: dict[int, dict[str, float]] = {}
    for number, key, value in fleet.ask(
        "SELECT number, param_name, param_value FROM trials JOIN trial_params USING (trial_id)"
    ):
        params.setdefault(number, {})[key] = value
    rows = fleet.ask(
        "SELECT t.number, t.state::text, extract(epoch FROM t.datetime_complete)::float, l.attempt, l.owner, l.settled "
        "FROM trials t LEFT JOIN phalanx_leases l USING (number) ORDER BY t.number"
    )
    assert all(settled for *_, settled in rows)
    return [
        Trial(number, state, complete, params[number], attempt, json.loads(owner)["pid"])
        for number, state, complete, attempt, owner, _ in rows
    ]


def check(fleet: Fleet, n_trials: int, keep: int) -> list[Trial]:
    """Every promise to drivers that share a study, whatever was killed and restarted meanwhile."""
    trials = finished(fleet)
    assert [trial.number for trial in trials] == list(range(n_trials))
    assert {trial.state for trial in trials} <= set(FINISHED)
    # None twice: every point is another one, and only what was in the hands of a killed driver was evaluated again.
    assert len({tuple(sorted(trial.params.items())) for trial in trials}) == n_trials
    assert {trial.number for trial in trials if trial.attempt > 1} == set(fleet.held)
    assert all(trials[number].params == params for number, params in fleet.held.items())
    folders = [path for path in fleet.sweep.iterdir() if path.name.isdecimal()]
    assert {int(path.name) for path in folders} == set(range(n_trials))
    for path in folders:
        trial, result = trials[int(path.name)], json.loads((path / "result.json").read_text())
        assert result["status"] == {"COMPLETE": "completed", "PRUNED": "pruned"}[trial.state]
        said = dict(override.split("=", 1) for override in result["overrides"])
        assert {key: float(said[key]) for key in trial.params} == trial.params
    rows = list(csv.DictReader(open(fleet.sweep / "trials.csv")))
    assert [int(row["number"]) for row in rows] == list(range(n_trials))
    kept = {path.parent.name for path in fleet.sweep.glob("*/model.safetensors")}
    best = sorted((-float(row["objective"]), int(row["number"])) for row in rows if row["status"] == "completed")
    assert kept == {str(number) for _, number in best[:keep]}
    assert "Traceback" not in fleet.said()
    written = [path for path in fleet.folder.rglob("*") if path.is_file()]
    assert not [path for path in written if fleet.cluster.password.encode() in path.read_bytes()]
    return trials


def judged_by_others(trials: list[Trial], n_startup: int) -> list[int]:
    """The pruned trials whose own driver had too few complete ones by then: the pruner counted other drivers' too."""
    complete = [trial for trial in trials if trial.state == "COMPLETE"]
    return [
        trial.number
        for trial in trials
        if trial.state == "PRUNED"
        and sum(other.pid == trial.pid and other.complete < trial.complete for other in complete) < n_startup
    ]


def main() -> None:
    """Four drivers throughout; whoever is killed is followed by a new one, and the database is restarted now and then."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--restarts", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    draw = random.Random(args.seed)
    found = programs()
    if found is None:
        raise SystemExit("PostgreSQL is not installed; on Debian: apt-get install postgresql")
    cluster = Cluster(found)
    with tempfile.TemporaryDirectory() as folder:
        try:
            cluster.start()
            began = time.monotonic()
            fleet = Fleet(cluster, "study", Path(folder), "tracking=none", f"hydra.sweeper.n_trials={args.trials}")
            fleet.launch(4)
            events = draw.sample(["kill"] * args.kills + ["restart"] * args.restarts, args.kills + args.restarts)
            for place, event in enumerate(events, start=1):
                enough = args.trials * place // (len(events) + 1)
                wait_until(lambda enough=enough: fleet.n_finished() >= enough, f"{enough} trials")
                if event == "kill":
                    fleet.kill(draw.choice([driver for driver in fleet.drivers if driver.is_alive()]))
                    fleet.launch()
                else:
                    cluster.restart(draw.choice(["fast", "immediate"]))
                print(f"{fleet.n_finished()} trials: {event}", flush=True)
            fleet.join()
            seconds = time.monotonic() - began
            report(fleet, check(fleet, args.trials, keep=3), seconds, args.kills, args.restarts)
        finally:
            cluster.stop()


def report(fleet: Fleet, trials: list[Trial], seconds: float, kills: int, restarts: int) -> None:
    """Says what came of a long run."""
    pruned = [trial for trial in trials if trial.state == "PRUNED"]
    print(
        f"{date.today()}, {os.cpu_count()} cores, {seconds:.0f} s: {len(trials)} trials finished, each once, {len(pruned)} "
        f"pruned, {len(judged_by_others(trials, STARTUP))} of them by other drivers' trials; {kills} drivers killed, whose "
        f"{len(fleet.held)} trials were evaluated again; {restarts} restarts, "
        f"{fleet.said().count('storage does not answer')} calls waited"
    )


if __name__ == "__main__":
    main()
