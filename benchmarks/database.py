"""What drivers ask of the database that they share, and what a hundred nodes would ask of it.

    python benchmarks/database.py [statements] [drivers] [size] [flying] [check]

Needs Debian's `postgresql`, whose server it starts itself, in a folder of its own. A driver is `phalanx.study` alone,
in a process of its own, with the default search space of five parameters and no training; `waits` of a trial are
slept. CPU seconds of the server are those of all its processes.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import optuna
import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from search_cost import SPACE
from support.postgres import Cluster, programs

from phalanx.core.result import EpochMetrics
from phalanx.study import Budget, Leases, Outcome, Pruning, open_study, run_study, suggest_from


@dataclass(frozen=True)
class Load:
    """What each driver does."""

    n_trials: int  # the study's total
    epochs: int = 0  # values that a trial reports to the pruner; 0: no pruner
    waits: float = 0.0  # how long a trial takes, s
    sampler: str = "tpe"
    timeout_s: float | None = None  # when the driver ends, trials left or not


@dataclass(frozen=True)
class Cost:
    """What a study's trials cost, per trial where nothing else is said."""

    n_drivers: int
    rate: float  # trials a second of all drivers together
    server_ms: float  # CPU of the server
    driver_ms: float  # CPU of the drivers
    inside_ms: float  # in the part where one driver is at a time
    latency_ms: float  # of a driver's time, beside what the trial itself takes


class Timed(Leases):
    """Leases that measure how long their driver was in the exclusive section."""

    inside = 0.0

    @contextlib.contextmanager
    def exclusive(self, *args: Any, **options: Any) -> Iterator[None]:
        with super().exclusive(*args, **options):
            began = time.perf_counter()
            yield
            self.inside += time.perf_counter() - began


def sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    made = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    return made[name](seed=seed)


def drive(url: str, load: Load, seed: int, ready: Any, results: Any) -> None:
    """One driver: reports its CPU seconds, trials and seconds alone."""
    logging.disable(logging.INFO)
    pruner = optuna.pruners.MedianPruner() if load.epochs else None
    study = open_study("s", url, ["maximize"], sampler(load.sampler, seed), pruner)
    study.get_trials(deepcopy=False)  # what a start reads once
    done = 0

    def evaluate(proposals: Any) -> list[Outcome]:
        nonlocal done
        outcomes = []
        for proposal in proposals:
            value = -abs(proposal.params["optimizer.lr"] - 0.05)
            watcher = Pruning(proposal.trial, "val_accuracy", load.epochs + 1)  # as in the middle of a training
            stopped = False
            for epoch in range(1, load.epochs + 1):
                time.sleep(load.waits / load.epochs)
                row = EpochMetrics(epoch, 1.0, 0.5, 0.5, 1.0, value, 0.5, 0.1, 0.0)
                if stopped := bool(watcher.on_epoch({0: row})):
                    break
            if not load.epochs:
                time.sleep(load.waits)
            outcomes.append(Outcome((value,), pruned=stopped))
            done += 1
        return outcomes

    leases = Timed.of(url, "s")
    ready.wait()
    wall, cpu = time.perf_counter(), time.process_time()
    run_study(
        study, suggest_from(SPACE), evaluate, budget=Budget(load.n_trials, timeout_s=load.timeout_s), leases=leases
    )
    results.put((done, time.perf_counter() - wall, time.process_time() - cpu, leases.inside))


def server_cpu(postmaster: int) -> float:
    """CPU seconds that the server and all its processes have taken, those that have ended included."""
    root = psutil.Process(postmaster)
    own = root.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for child in root.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            total += times.user + times.system
    return total


class Bench:
    """A cluster and the studies that are run in it, each in a database of its own."""

    def __init__(self) -> None:
        found = programs()
        if found is None:
            raise SystemExit("PostgreSQL is not installed; on Debian: apt-get install postgresql")
        self.cluster = Cluster(found, "-c shared_preload_libraries=pg_stat_statements").start()
        self.postmaster = int((self.cluster.data / "postmaster.pid").read_text().split()[0])
        self.n_databases = 0

    def new(self) -> str:
        self.n_databases += 1
        self.cluster.create(self.name)
        return self.cluster.url(self.name)

    @property
    def name(self) -> str:
        return f"study{self.n_databases}"

    def run(self, url: str, load: Load, n_drivers: int = 1) -> Cost:
        """Drivers that begin together, until the study's total is reached."""
        context = multiprocessing.get_context("spawn")
        ready, results = context.Barrier(n_drivers + 1), context.Queue()
        drivers = [
            context.Process(target=drive, args=(url, load, seed, ready, results), daemon=True)
            for seed in range(n_drivers)
        ]
        for driver in drivers:
            driver.start()
        while ready.n_waiting < n_drivers:
            time.sleep(0.05)
        server, began = server_cpu(self.postmaster), time.perf_counter()
        ready.wait()
        ended = [results.get() for _ in drivers]
        wall, server = time.perf_counter() - began, server_cpu(self.postmaster) - server
        for driver in drivers:
            driver.join()
        done = sum(n for n, *_ in ended)
        busy = sum(seconds for _, seconds, _, _ in ended) - done * load.waits  # too little where trials are pruned
        return Cost(
            n_drivers, done / wall, 1000 * server / done, 1000 * sum(cpu for _, _, cpu, _ in ended) / done,
            1000 * sum(inside for *_, inside in ended) / done, 1000 * busy / done,
        )  # fmt: skip

    def fill(self, url: str, n_trials: int) -> None:
        """Brings a study to so many finished trials, without asking for them."""
        study = open_study("s", url, ["maximize"], optuna.samplers.RandomSampler(seed=n_trials))
        missing = n_trials - len(study.get_trials(deepcopy=False))
        memory = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=n_trials))
        for _ in range(missing):
            trial = memory.ask(SPACE)
            memory.tell(trial, -abs(trial.params["optimizer.lr"] - 0.05))
        self.cluster.ask(f"ALTER DATABASE {self.name} SET synchronous_commit = off")
        study.add_trials(memory.get_trials(deepcopy=False))
        self.cluster.ask(f"ALTER DATABASE {self.name} RESET synchronous_commit")
        self.cluster.ask("VACUUM ANALYZE", self.name)


class Tap:
    """A port that passes everything on to the server and counts the bytes."""

    def __init__(self, port: int) -> None:
        self.target, self.asked, self.answered = port, 0, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
                for source, sink, name in ((client, server, "asked"), (server, client, "answered")):
                    threading.Thread(target=self._pass, args=(source, sink, name), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, name: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                setattr(self, name, getattr(self, name) + len(data))
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


def statements(bench: Bench, n_trials: int = 100) -> None:
    """What one driver asks for, a trial."""
    print("| a trial of one driver | statements | transactions | asked, kB | answered, kB | written (WAL), kB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for load in (Load(n_trials), Load(n_trials, epochs=1), Load(n_trials, epochs=20)):
        url, tap = bench.new(), Tap(bench.cluster.port)
        bench.run(url, Load(1, load.epochs))  # the tables, and what a start costs
        ask = bench.cluster.ask
        ask("CREATE EXTENSION pg_stat_statements", bench.name)
        ask("SELECT pg_stat_statements_reset()", bench.name)
        before = [ask("SELECT pg_current_wal_lsn()::text")[0][0], _transactions(ask, bench.name)]
        bench.run(url.replace(f":{bench.cluster.port}/", f":{tap.port}/"), Load(n_trials + 1, load.epochs))
        calls = ask(
            "SELECT sum(calls) FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid "
            f"WHERE datname = '{bench.name}' AND query !~ '^(BEGIN|COMMIT|ROLLBACK)'", bench.name,
        )[0][0]  # fmt: skip
        wal = ask(f"SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '{before[0]}')")[0][0]
        reported = ask("SELECT count(*) FROM trial_intermediate_values", bench.name)[0][0] / (n_trials + 1)
        numbers = (
            calls,
            _transactions(ask, bench.name) - before[1],
            tap.asked / 1000,
            tap.answered / 1000,
            float(wal) / 1000,
        )
        what = f"with a pruner, {reported:.1f} epochs" if load.epochs else "without a pruner"
        print(f"| {what} | " + " | ".join(f"{float(n) / n_trials:.0f}" for n in numbers) + " |", flush=True)


def _transactions(ask: Any, database: str) -> int:
    time.sleep(1.1)  # the server's statistics come late
    return ask(f"SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = '{database}'")[0][0]


HEAD = (
    "| {} | trials a second | ms of a driver | of it alone | CPU of the driver, ms | CPU of the server, ms |\n"
    "| --- | --- | --- | --- | --- | --- |"
)


def row(label: str, cost: Cost) -> str:
    cells = (cost.rate, cost.latency_ms, cost.inside_ms, cost.driver_ms, cost.server_ms)
    return f"| {label} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |"


def drivers(bench: Bench, n_trials: int = 200) -> dict[tuple[int, int], Cost]:
    """How the cost of a trial grows with the drivers, where trials take no time."""
    found = {}
    print(HEAD.format("drivers, trials that take no time"))
    for epochs in (0, 6):
        for n_drivers in (1, 2, 4, 8):
            cost = found[n_drivers, epochs] = bench.run(bench.new(), Load(n_trials, epochs), n_drivers)
            print(row(f"{n_drivers}, {'no pruner' if not epochs else 'median, 6 epochs'}", cost), flush=True)
    return found


def size(bench: Bench, n_trials: int = 25) -> dict[tuple[str, int], Cost]:
    """How it grows with the trials that a study has finished."""
    found = {}
    url = bench.new()
    print(HEAD.format("finished trials, one driver"))
    for finished in (100, 1000, 10000):
        for name, epochs in (("random", 0), ("tpe", 0), ("tpe", 6)):
            n_known = len(open_study("s", url, ["maximize"], None).get_trials(deepcopy=False))
            bench.fill(url, max(finished, n_known))
            total = max(finished, n_known) + n_trials
            cost = found[f"{name} {epochs}", finished] = bench.run(url, Load(total, epochs, sampler=name))
            pruner = ", median, 6 epochs" if epochs else ""
            print(row(f"{finished:,}, {name}{pruner}", cost), flush=True)
    return found


def flying(bench: Bench) -> None:
    """How it grows with the trials that other drivers have in flight, which a driver has to look at for killed ones."""
    print(HEAD.format("trials in flight elsewhere, one driver"))
    for n_flying in (0, 100, 1000):
        url = bench.new()
        study = open_study("s", url, ["maximize"], optuna.samplers.RandomSampler(seed=0))
        with Leases.of(url, "s") as others:
            for _ in range(n_flying):
                others.claim(study.ask(SPACE).number)
            cost = bench.run(url, Load(10**6, sampler="random", timeout_s=8.0))
        print(row(f"{n_flying:,}", cost), flush=True)


def predicted(n_flying: int, waits: float, cost: Cost) -> float:
    """Trials a second of so many in flight, by mean value analysis: each waits, then queues for the part alone.

    `cost` is that of a driver: the time in the part alone is the service, the rest of its time and `waits` go on beside
    others'.
    """
    service, rest = cost.inside_ms / 1000, waits + max(cost.latency_ms - cost.inside_ms, 0.0) / 1000
    queue = rate = 0.0
    for n in range(1, n_flying + 1):
        rate = n / (rest + service * (1 + queue))
        queue = n - rate * rest
    return rate


def check(bench: Bench, n_trials: int = 100) -> None:
    """The model, from one driver and trials that take no time, against more drivers and trials that take some."""
    one = bench.run(bench.new(), Load(n_trials, 6))
    print(HEAD.format("from which the model is made"))
    print(row("1, median, 6 epochs", one))
    print("\n| drivers | a trial, s | trials a second, predicted | measured | server's CPU, predicted | measured |")
    print("| --- | --- | --- | --- | --- | --- |")
    for n_drivers, waits in ((2, 0.1), (6, 0.3), (6, 0.1)):
        cost = bench.run(bench.new(), Load(n_trials, 6, waits), n_drivers)
        # Pruned trials wait for the epochs that they trained only.
        epochs = bench.cluster.ask("SELECT count(*) FROM trial_intermediate_values", bench.name)[0][0] / n_trials
        rate = predicted(n_drivers, waits * epochs / 6, one)
        shares = [f"{100 * r * c.server_ms / 1000:.0f} %" for r, c in ((rate, one), (cost.rate, cost))]
        print(
            f"| {n_drivers} | {waits * epochs / 6:.2f} | {rate:.1f} | {cost.rate:.1f} | {shares[0]} | {shares[1]} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["statements", "drivers", "size", "flying", "check"])
    args = parser.parse_args()
    print(f"{date.today()}, {os.cpu_count()} cores, trials of five parameters\n")
    bench = Bench()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the server is stopped then too
    try:
        for part in args.parts:
            {"statements": statements, "drivers": drivers, "size": size, "flying": flying, "check": check}[part](bench)
            print()
    finally:
        bench.cluster.stop()


if __name__ == "__main__":
    main()
