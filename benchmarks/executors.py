"""Where trials train: what a part of a cohort costs on each engine, what a second worker brings, and whole commands.

    python benchmarks/executors.py [--only part trials commands] [--data-root ../shared/data] [--rounds 5]

Rounds alternate the ways, so that a busy moment hits all of them; medians, with the range in brackets. Except in
commands, processes are warm.
"""

from __future__ import annotations

import argparse
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from datetime import date
from pathlib import Path

import torch
from cohorts import Case, cases

from phalanx import TrainerSpec, TrialSpec, train_trial
from phalanx.data.cache import dataset_of
from phalanx.jobs.executors.base import Shard
from phalanx.jobs.executors.dispatch import RemoteScheduler
from phalanx.jobs.executors.options import LauncherSpec
from phalanx.jobs.executors.worker import packed, train_shard, unpacked
from phalanx.jobs.job import Job
from phalanx.jobs.scheduler import CohortScheduler
from phalanx.runs.config import Settings
from phalanx.runs.manifest import Sweep
from phalanx.runs.options import CheckpointSpec, TrackingSpec

TRAIN = Path(__file__).resolve().parent.parent / "train.py"
WHERE = ([], *(["hydra.launcher.workers=2", f"hydra.launcher.executor={name}"] for name in ("processes", "ray")))
COMMANDS = {
    "8 trials, 20 epochs": ["loss=nll,mse", "optimizer=sgd,adam", "seed=0,1"],
    "128 trials, 100 epochs": ["loss=nll,mse", "optimizer=sgd,adam", "seed=range(32)", "trainer.epochs=100"],
}


def jobs_of(trials: Sequence[TrialSpec]) -> list[Job]:
    return [
        Job(
            Settings(spec, TrackingSpec(kind="none"), CheckpointSpec(), ()),
            Path(f"never/{number}"),
            Sweep("never", number),
        )
        for number, spec in enumerate(trials)
    ]


def trained(stream: CohortScheduler | RemoteScheduler, trials: Sequence[TrialSpec]) -> None:
    """Trials that share a cohort, trained where `stream` has them trained."""
    jobs = jobs_of(trials)
    groups = [list(range(len(jobs)))]
    if isinstance(stream, RemoteScheduler):
        groups = stream.split(groups, jobs)
    stream.submit([[jobs[place] for place in group] for group in groups])
    while stream.running:
        for _, result in stream.advance():
            if result.error is not None:
                raise result.error


def on(executor: str, n: int) -> RemoteScheduler:
    return RemoteScheduler(LauncherSpec(executor=executor, workers=n))


def seconds(work: Callable[..., object], *arguments: object) -> float:
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def shown(found: Sequence[float], form: str = ".2f") -> str:
    return f"{statistics.median(found):{form}} ({min(found):{form}}-{max(found):{form}})"


def table(*columns: str) -> None:
    print("| " + " | ".join(columns) + " |\n|" + " --- |" * len(columns))


def shard(rounds: int, root: str) -> None:
    """A part of trials of one epoch, in ms: here, on engines that are warm, and what of it is packing."""
    table("trials of one epoch", "here, ms", "process, ms", "Ray, ms", "first in a process, s", "first on Ray, s",
          "bytes there", "bytes back", "packing, ms")  # fmt: skip
    for n in (1, 32):
        specs = [TrialSpec(seed=seed, trainer=TrainerSpec(epochs=1)) for seed in range(n)]
        trained(CohortScheduler(), specs)
        with ExitStack() as opened:
            executors = [opened.enter_context(closing(on(name, 1))) for name in ("processes", "ray")]
            firsts = [f"{seconds(trained, executor, specs):.1f}" for executor in executors]
            times: list[list[float]] = [[], [], []]
            for _ in range(10 * rounds):
                for found, stream in zip(times, (CohortScheduler(), *executors), strict=True):
                    found.append(1000 * seconds(trained, stream, specs))
        shipped, packing = Shard(jobs_of(specs)), []
        back = train_shard(shipped)
        for _ in range(10 * rounds):
            packing.append(1000 * (seconds(copied, shipped) + seconds(lambda b: packed(unpacked(b)), back)))
        cells = [*(shown(found, ".1f") for found in times), *firsts, f"{len(pickle.dumps(shipped)):,}",
                 f"{len(back):,}", shown(packing, ".1f")]  # fmt: skip
        print(f"| {n} | " + " | ".join(cells) + " |", flush=True)


def copied(shipped: Shard) -> Shard:
    return pickle.loads(pickle.dumps(shipped))


def trials(rounds: int, root: str) -> None:
    """The same trials one by one, as a cohort here, in one process, and in two."""
    table("work", "one by one, s", "here, s", "one process, s", "two, s", "one by one / here", "one by one / two",
          "efficiency of two")  # fmt: skip
    for name in ("digits", "mnist"):
        with ExitStack() as opened:
            one, two = (opened.enter_context(closing(on("processes", n))) for n in (1, 2))
            print(_row(cases(root)[name], one, two, rounds), flush=True)


def _row(case: Case, one: RemoteScheduler, two: RemoteScheduler, rounds: int) -> str:
    specs, data = case.specs, dataset_of(case.specs[0].data)
    alone = specs[: case.n_serial]
    ways: dict[str, Callable[[], object]] = {
        "alone": lambda: [train_trial(spec, data) for spec in alone],
        "here": lambda: trained(CohortScheduler(), specs),
        "one": lambda: trained(one, specs),
        "two": lambda: trained(two, specs),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(rounds + 1):  # the first warms up
        for way, work in ways.items():
            times[way] += [seconds(work)] * (turn > 0)
    times["alone"] = [s * len(specs) / len(alone) for s in times["alone"]]
    ratios = [[a / b for a, b in zip(times["alone"], times[way], strict=True)] for way in ("here", "two")]
    gain = [a / b / 2 for a, b in zip(times["one"], times["two"], strict=True)]
    cells = [*map(shown, times.values()), *(shown(r, ".1f") for r in ratios), shown(gain, ".0%")]
    return f"| {case.name} | " + " | ".join(cells) + " |"


def commands(rounds: int, root: str) -> None:
    """Whole commands, all included."""
    table("command, digits", "here, s", "two processes, s", "two Ray tasks, s")
    for name, options in COMMANDS.items():
        times: list[list[float]] = [[] for _ in WHERE]
        for _ in range(rounds):
            for found, more in zip(times, WHERE, strict=True):
                found.append(seconds(command, [*options, *more]))
        print(f"| {name} | " + " | ".join(shown(found, ".1f") for found in times) + " |", flush=True)


def command(options: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, TRAIN, "-m", *options, "tracking=none"], cwd=folder, check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip


TABLES = {"part": shard, "trials": trials, "commands": commands}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--data-root", default="../shared/data")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    print(f"{date.today()}, torch {torch.__version__}, {torch.get_num_threads()} threads, {args.rounds} rounds")
    for name in args.only:
        print()
        TABLES[name](args.rounds, args.data_root)


if __name__ == "__main__":
    main()
