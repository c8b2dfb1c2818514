"""A trained job: what is left behind by Hydra's `run_job` and in the quick way is the same."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobStatus
from hydra.types import HydraContext, RunMode
from omegaconf import OmegaConf
from support.places import ROOT

from hydra_plugins.phalanx import _run_job
from hydra_plugins.phalanx._compose import Composer
from hydra_plugins.phalanx._job_config import job_config
from hydra_plugins.phalanx._run_job import JobRunner
from phalanx.jobs.job import Job, JobResult
from phalanx.runs.config import register_resolvers

CLOCK = re.compile(r"^\[[\d :,-]+\]", re.MULTILINE)
LOG = "hydra.job_logging"
SAME = {  # overrides of the sweep, and those of the job
    "the defaults": ([], []),
    "values": ([], ["optimizer=sgd", "model.hidden=[1,2]", "+new={a: [1, 'x: y', null, 1e-3], b: 'ü€', c: ''}", "seed=3"]),
    "interpolations": ([], ["+new=${oc.env:HOME}-${hydra:job.num}", "++more='\\${x}'"]),
    "a long text": ([], [f"+new='{'word ' * 60}'"]),
    "a text of one line": ([], [f"+new='{'word ' * 14}'"]),
    "a long word": ([], [f"+new={'word' * 60}"]),
    "colons and quotes": ([], ["+new=\"it's: 'so' # or \\\\ not\"", "+more=['- a', ': b', 'c\\nd']"]),
    "a search": (["hydra/sweeper=optuna", "hydra/sweeper/pruner=median", "hydra.sweeper.params={seed: '1,2'}"], []),
    "an own subfolder": (["hydra.sweep.subdir=${hydra.job.num}-${hydra.job.override_dirname}"], ["seed=2"]),
    "no folder of Hydra's": (["hydra.output_subdir=null"], []),
    "another name for it": (["hydra.output_subdir=about/it"], []),
    "a log from warnings on": ([f"{LOG}.root.level=WARNING"], []),
    "a log of another form": ([f"{LOG}.formatters.file.format='[%(asctime)s] %(message)s'"], []),
    "a terminal with all": ([f"{LOG}.handlers.console.level=INFO", f"{LOG}.handlers.console.stream=ext://sys.stdout"], []),
}  # fmt: skip
LEFT_TO_HYDRA = {
    "another callback": ["+hydra.callbacks.own={_target_: hydra.experimental.callback.Callback}"],
    "another folder to work in": ["hydra.job.chdir=true"],
    "variables": ["+hydra.job.env_set.PHALANX_TEST_SET=x"],
    "words about everything": ["hydra.verbose=true"],
    "words about something": ["hydra.verbose=[phalanx]"],
    "Hydra's own log": ["hydra/job_logging=default"],
    "a log elsewhere": [f"{LOG}.handlers.file.filename=${{hydra.sweep.dir}}/all.log"],
    "a log of a logger": [f"+{LOG}.loggers={{phalanx: {{level: DEBUG}}}}"],
    "a log that replaces": [f"+{LOG}.handlers.file.mode=w"],
    "Hydra's own sweeper": ["hydra.sweeper._target_=hydra._internal.core_plugins.basic_sweeper.BasicSweeper"],
}


@pytest.fixture(scope="module")
def loader():
    register_resolvers()
    with initialize_config_dir(str(ROOT / "conf"), job_name="train"):
        yield GlobalHydra.instance().config_loader()


@pytest.fixture(autouse=True)
def _logging_as_before():
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in root.manager.loggerDict}
    yield
    root.handlers[:] = before
    root.setLevel(level)
    for name in root.manager.loggerDict:  # `hydra.verbose` sets those that it names
        logging.getLogger(name).setLevel(levels.get(name, logging.NOTSET))


class Sweep:
    """Runs one job after another in two ways, each with a folder of its own, which it enters."""

    def __init__(self, loader, folder, monkeypatch, of_sweep, task):
        self.folder, self.monkeypatch, self.task, self.by_hydra, self.seen = folder, monkeypatch, task, 0, []
        self.master = loader.load_configuration("config", [*of_sweep, "hydra.sweep.dir=out"], run_mode=RunMode.MULTIRUN)
        context = HydraContext(config_loader=loader, callbacks=Callbacks())
        self.composer = Composer(loader, self.master)
        self.runner = JobRunner(context, self._task, self.master)
        theirs = _run_job.run_job
        monkeypatch.setattr(_run_job, "run_job", lambda **options: self._count() or theirs(**options))

    def _count(self):
        self.by_hydra += 1

    def _task(self, cfg):
        hydra = HydraConfig.get()
        self.seen.append((OmegaConf.to_yaml(cfg), hydra.job.num, hydra.runtime.output_dir, str(Path.cwd())))
        logging.getLogger("phalanx.of_test").debug("too little")
        logging.getLogger("phalanx.of_test").info("something ü")
        logging.getLogger().warning("this too")
        return self.task(cfg)

    def run(self, way, overrides, number=7):
        folder = self.folder / way
        folder.mkdir(exist_ok=True)
        self.monkeypatch.chdir(folder)
        config = job_config(self.composer, overrides, number)
        job = Job(config.task, folder / "out" / str(number))
        self.runner.quick = self.runner.quick and way == "ours"
        self.runner.log_of_sweep()
        returned = self.runner.run(config, job, JobResult(()))
        root = logging.getLogger()
        about_log = [type(h).__name__ for h in root.handlers], root.level
        files = {str(p.relative_to(folder)): self._text(p) for p in sorted(folder.rglob("*")) if p.is_file()}
        about = returned.status, returned.overrides, returned.task_name, returned.working_dir
        return files, about, returned._return_value, about_log

    def _text(self, file):
        return CLOCK.sub("[now]", file.read_bytes().decode()).replace(str(self.folder), "")


def same(value):
    return str(value).replace("/ours", "").replace("/hydra", "")


@pytest.mark.parametrize(("of_sweep", "overrides"), SAME.values(), ids=SAME)
def test_both_ways_leave_the_same(loader, tmp_path, monkeypatch, capfd, of_sweep, overrides):
    sweep = Sweep(loader, tmp_path, monkeypatch, of_sweep, lambda cfg: 0.5)
    capfd.readouterr()
    ours = sweep.run("ours", overrides)
    shown = capfd.readouterr()
    theirs = sweep.run("hydra", overrides)
    assert sweep.by_hydra == 1
    assert same(ours) == same(theirs)
    assert same(sweep.seen[0]) == same(sweep.seen[1])
    assert shown == capfd.readouterr()
    assert (ours[1][0], ours[2]) == (JobStatus.COMPLETED, 0.5)
    assert len(ours[0]) == (1 if "hydra.output_subdir=null" in of_sweep else 4)


def test_the_second_job_of_a_sweep_is_its_own(loader, tmp_path, monkeypatch):
    sweep = Sweep(loader, tmp_path, monkeypatch, [], lambda cfg: cfg.seed)
    for number in range(2):
        ours = sweep.run("ours", [f"seed={number}"], number)
    sweep.runner.plans.clear()
    for number in range(2):
        theirs = sweep.run("hydra", [f"seed={number}"], number)
    assert same(ours) == same(theirs)
    assert (len(ours[0]), sweep.by_hydra) == (8, 2)


@pytest.mark.parametrize("of_sweep", LEFT_TO_HYDRA.values(), ids=LEFT_TO_HYDRA)
def test_hydra_runs_what_may_look_different(loader, tmp_path, monkeypatch, of_sweep):
    sweep = Sweep(loader, tmp_path, monkeypatch, of_sweep, lambda cfg: 0.5)
    sweep.run("ours", [])
    assert sweep.by_hydra == 1
    assert "PHALANX_TEST_SET" not in os.environ


def test_hydra_tells_of_an_error(loader, tmp_path, monkeypatch):
    def fails(cfg):
        raise ValueError("no value")

    sweep = Sweep(loader, tmp_path, monkeypatch, [], fails)
    ended = []
    sweep.runner.context.callbacks.callbacks.append(type("Ended", (), {
        "on_job_start": lambda *_, **options: None, "on_job_end": lambda _, **options: ended.append(options["job_return"])
    })())  # fmt: skip
    files, about, error, about_log = sweep.run("ours", [])
    assert (about[0], type(error)) == (JobStatus.FAILED, ValueError)
    assert "Job failed" in files["out/7/train.log"]
    assert "no value" in files["out/7/train.log"]
    assert (len(ended), len(sweep.seen)) == (1, 1)
    assert about_log == (["StreamHandler"], logging.WARNING)


def test_an_interrupt_ends_the_sweep(loader, tmp_path, monkeypatch):
    def interrupted(cfg):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Sweep(loader, tmp_path, monkeypatch, [], interrupted).run("ours", [])
    assert logging.getLogger().level == logging.WARNING
