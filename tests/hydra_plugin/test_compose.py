"""Composer gives what Hydra gives, config or error, and runs Hydra's composition once for options that are exchanged."""

from __future__ import annotations

import copy
import itertools
import os
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict, read_write
from support.places import ROOT

from hydra_plugins.phalanx._compose import Composer, QuickConfig, without_hydra
from hydra_plugins.phalanx._job_config import JobConfig, job_config, refers_elsewhere
from hydra_plugins.phalanx._opening import _rename
from phalanx.runs.config import register_resolvers

EXPERIMENT = "loss_comparison"


@dataclass
class Typed:
    """A group with declared types, which conf/ has only in Hydra's own node."""

    count: int = 1
    share: float = 0.5
    names: list[str] = field(default_factory=list)
    table: dict[str, int] = field(default_factory=lambda: {"a": 1})


class Counting:
    """A loader that counts how often it composes, and how often it lists defaults."""

    def __init__(self, loader):
        self._loader, self.calls, self.lists = loader, 0, 0

    def compute_defaults_list(self, *arguments):
        self.lists += 1
        return self._loader.compute_defaults_list(*arguments)

    def load_sweep_config(self, master, overrides):
        self.calls += 1
        return self._loader.load_sweep_config(master, overrides)

    def __getattr__(self, name):
        return getattr(self._loader, name)


@pytest.fixture(scope="module")
def loader():
    register_resolvers()
    ConfigStore.instance().store(group="typed_group_of_test_compose", name="one", node=Typed, package="typed")
    with initialize_config_dir(str(ROOT / "conf"), job_name="train"):
        yield GlobalHydra.instance().config_loader()


def master_of(loader, *overrides):
    master = loader.load_configuration("config", list(overrides), run_mode=RunMode.MULTIRUN)
    resolved = launched(master.copy())
    OmegaConf.to_container(resolved, resolve=True)
    OmegaConf.copy_cache(resolved, master)  # times and ids are drawn once, as in a sweep, and then come from the cache
    return master


@pytest.fixture(scope="module")
def master(loader):
    return master_of(loader)


@pytest.fixture(scope="module")
def composer(loader, master):
    return Composer(Counting(loader), master)


def launched(cfg):
    """With what a launcher adds, so that everything can be resolved."""
    with open_dict(cfg):
        cfg.hydra.job.id, cfg.hydra.job.num, cfg.hydra.runtime.output_dir = "0", 0, "out"
    return cfg


def nodes(cfg: Any, path: str = "") -> list[tuple]:
    """Of every container its path, flags and declared types."""
    if not isinstance(cfg, (DictConfig, ListConfig)):
        return []
    keys = cfg.keys() if isinstance(cfg, DictConfig) else range(len(cfg))
    plain = [k for k in keys if not OmegaConf.is_interpolation(cfg, k) and not OmegaConf.is_missing(cfg, k)]
    kind = DictConfig if isinstance(cfg, QuickConfig) else type(cfg)
    own = (path, kind, OmegaConf.is_struct(cfg), OmegaConf.is_readonly(cfg), str(OmegaConf.get_type(cfg)))
    return [own, *(entry for k in plain for entry in nodes(cfg[k], f"{path}.{k}"))]


def error_of(error: BaseException | None) -> tuple:
    return () if error is None else (type(error), str(error), *error_of(error.__cause__))


def attempt(function):
    try:
        return function()
    except Exception as error:
        return error_of(error)


def outcome(compose, overrides) -> tuple:
    """All that a job can see of its config, or the error."""
    try:
        cfg = compose(overrides)
    except Exception as error:
        return error_of(error)
    cache = dict(OmegaConf.get_cache(cfg))
    return (
        OmegaConf.to_yaml(cfg),
        nodes(cfg),
        cache,
        attempt(lambda: OmegaConf.to_container(launched(cfg), resolve=True)),
    )


def hydras(loader, master):
    return lambda overrides: loader.load_sweep_config(master, list(overrides))


def assert_same(loader, master, composer, overrides):
    try:
        made = hydras(loader, master)(overrides)
    except Exception as error:
        made = error

    def theirs(_):
        if isinstance(made, Exception):
            raise made
        return copy.deepcopy(made)

    def as_job(_):
        whole = theirs(_)
        with open_dict(whole):
            whole.hydra.job.id, whole.hydra.job.num = "4", 4
        return JobConfig(composer, 4, without_hydra(whole), tuple(overrides), own=whole)

    for expected, got in (
        (outcome(theirs, overrides), outcome(composer.compose, overrides)),
        (in_parts(as_job, overrides), in_parts(lambda asked: job_config(composer, asked, 4), overrides)),
    ):
        for wanted, ours in zip_longest(expected, got):
            assert ours == wanted, overrides


def in_parts(compose, overrides) -> tuple:
    """All that a job can see of its part of the configuration and of the node `hydra`, or the error."""
    try:
        job = compose(overrides)
    except Exception as error:
        return error_of(error)
    with job.active() as shown:
        hydra = attempt(lambda: OmegaConf.to_container(shown.hydra, resolve=True))
        text, singleton = OmegaConf.to_yaml(shown.hydra), HydraConfig.get() == shown.hydra
        cached = dict(OmegaConf.get_cache(shown))
    seen = attempt(lambda: OmegaConf.to_container(job.task, resolve=True))
    return OmegaConf.to_yaml(job.task), nodes(job.task), text, hydra, singleton, cached, seen


# --- the named cases. `quick` says that Hydra need not compose once the choice of groups has been seen.

QUICK = {
    "nothing": [],
    "a value": ["optimizer.lr=0.25"],
    "the last word wins": ["seed=1", "seed=2", "seed=3"],
    "a group, then a value": ["optimizer=sgd", "optimizer.momentum=0.5"],
    "a value, then its group": ["optimizer.momentum=0.5", "optimizer=sgd"],
    "the last group wins": ["optimizer=sgd", "loss=mse", "optimizer=adam"],
    "a group that has the name of a node": ["loss=mse"],
    "several groups": ["loss=mse", "optimizer=sgd", "data=wine", "model=mlp2"],
    "several groups, one as it is anyway": ["loss=cross_entropy", "optimizer=sgd"],
    "groups as they are anyway": ["loss=cross_entropy", "optimizer=adam"],
    "several groups and values": ["seed=2", "loss=mse", "optimizer.momentum=0.5", "optimizer=sgd", "+new=[1]"],
    "a group beside a rescue kit": ["loss=mse", "debug=overfit", "optimizer=sgd"],
    "a group beside one elsewhere": ["loss=mse", "+model@other=mlp2", "other.width=3"],
    "a group beside a deleted one": ["loss=mse", "~schedule", "optimizer=sgd"],
    "a dict for a node that is also a group": ["loss={output: softmax}"],
    "a value, then a dict over it": ["loss.output=logits", "loss={output: softmax}"],
    "an option's own value": ["data=csv", "data.path=x.csv", "data.target=grade", "data.drop=[id]"],
    "still missing": ["data=csv", "data.target=grade"],
    "made missing": ["optimizer.lr=???"],
    "null": ["trainer.patience=null", "trainer.batch_size=null"],
    "a list": ["model.hidden=[5,4]"],
    "a list of interpolations": ["model.hidden=['${model.width}',7]", "model.width=3"],
    "an empty list": ["model.hidden=[]"],
    "a dict merges": ["loss.default_lr={adam: 1}"],
    "a list over a number": ["seed=[1,2]"],
    "a dict over a number": ["seed={a: 1}"],
    "an interpolation": ["optimizer.lr=${loss.default_lr.sgd}"],
    "an interpolation to nowhere": ["optimizer.lr=${nowhere}"],
    "an interpolation of Hydra's node": ["tracking.experiment=${hydra.job.name}"],
    "quotes": ["tracking.experiment='a b, c=1'", 'tracking.uri="it\'s"'],
    "nothing as a value": ["tracking.experiment="],
    "a cast": ["seed=int(3.7)", "tracking.experiment=str(1)"],
    "a wrong type is untyped here": ["optimizer.lr=fast"],
    "a typed value": ["+typed_group_of_test_compose=one", "typed.count=7", "typed.share=1", "typed.names=[a]"],
    "a typed dict": ["+typed_group_of_test_compose=one", "typed.table={a: 5}"],
    "a new key": ["+new.key=1", "seed=2"],
    "a new key after a value": ["seed=2", "+new.key=1"],
    "a new key, then its value": ["+new.key=1", "new.key=2"],
    "forced": ["optimizer.lr=1", "++optimizer.lr=2", "++trainer.epochs=3"],
    "forced and new": ["++trainer.extra.deep=3", "trainer.extra.deep=4"],
    "deleted": ["seed=2", "~trainer.clip_norm"],
    "deleted and new": ["~trainer.clip_norm", "+trainer.clip_norm=2"],
    "a deleted group": ["seed=2", "~schedule"],
    "a deleted group with its option": ["~schedule=constant"],
    "a rescue kit": ["debug=overfit", "trainer.epochs=7"],
    "a value before the rescue kit": ["trainer.epochs=7", "debug=overfit"],
    "a group elsewhere": ["+model@other=mlp2", "other.width=3"],
    "hydra's own values first": ["hydra.sweep.subdir=s${seed}", "seed=3"],
    "a job name that depends on values": ["hydra.job.name=j${seed}", "seed=3"],
    "a job name that cannot be known": ["hydra.job.name=${seed}", "seed=${nowhere}"],
    "a job name that is missing": ["hydra.job.name=${seed}", "seed=???"],
    "hydra's verbosity": ["hydra.verbose=true", "seed=3"],
}  # fmt: skip

LEFT_TO_HYDRA = {
    "an unknown key": ["optimizer.lrr=1"],
    "a key of another option": ["optimizer.momentum=0.5"],
    "a key of the option that was given up": ["optimizer=sgd", "optimizer.momentum=0.5", "optimizer=adam"],
    "a key under a number": ["seed.x=1"],
    "an index": ["model.hidden[0]=5"],
    "a new index": ["+model.hidden[0]=5"],
    "an index with a dot": ["model.hidden.0=5"],
    "an unknown option": ["optimizer=nothing"],
    "an unknown group": ["nothing/at/all=1"],
    "a group's null": ["experiment=null"],
    "a group's number": ["loss=3"],
    "a group of another place": ["model@other=mlp2"],
    "a package of a value": ["seed@other=1"],
    "a new key that exists": ["+optimizer.lr=1"],
    "a new dict that exists": ["+loss={output: softmax}"],
    "a forced group": ["++loss=mse"],
    "nothing to delete": ["~trainer.nothing"],
    "a deletion with its value": ["trainer.epochs=5", "~trainer.epochs=5"],
    "a deletion with another value": ["trainer.epochs=5", "~trainer.epochs=6"],
    "a deletion of an interpolation": ["~optimizer.lr"],
    "a deletion of what cannot be known": ["optimizer.lr=${nowhere}", "~optimizer.lr"],
    "a deletion of what is missing": ["data=csv", "~data.path"],
    "a slot that is empty": ["~debug"],
    "a sweep": ["seed=1,2"],
    "a choice": ["seed=choice(1,2)"],
    "a choice of groups": ["loss=mse,nll"],
    "a glob": ["objective=glob(*)"],
    "no override": ["seed"],
    "not to be parsed": ["seed=[1"],
    "a wrong type": ["+typed_group_of_test_compose=one", "typed.count=many"],
    "a wrong type in a dict": ["+typed_group_of_test_compose=one", "typed.table={a: b}"],
    "a wrong type in Hydra's node": ["hydra.job.chdir=maybe"],
    "a value over a dict": ["+typed_group_of_test_compose=one", "typed.table=3"],
    "hydra's values last": ["seed=3", "hydra.sweep.subdir=s${seed}"],
    "hydra's values look at others": ["trainer.patience=3", "hydra.verbose=${trainer.patience}", "+hydra.verbose=x"],
    "hydra's node": ["hydra={verbose: true}", "hydra.nothing=1"],
    "another sweeper": ["hydra/sweeper=optuna"],
    "a study that brings its own sweep": [f"experiment={EXPERIMENT}"],
    "a sweeper's option": ["hydra.sweeper.max_batch_size=3"],
    "an alias": ["hydra.aliases={a: seed}"],
    "a variable that is copied": ["hydra.job.env_copy=[HOME]"],
    "a variable that an edit names": ["data=csv", "hydra.job.env_copy=${data.drop}", "data.drop=[HOME]"],
    "through an interpolation": ["+link=${optimizer}", "link.lr=3"],
    "through an interpolation into Hydra's node": ["+link=${hydra.sweeper}", "link.max_batch_size=3"],
    "a dict into an interpolation": ["+link=${hydra.runtime}", "link={version: 3}"],
    "a dict into an inner interpolation": ["+link={inner: '${hydra.runtime}'}", "link={inner: {version: 3}}"],
    "after the end of the override list": ["+tail=[1]", "tail=extend_list(2)"],
}  # fmt: skip


@pytest.mark.parametrize("overrides", QUICK.values(), ids=QUICK)
def test_quick_cases(loader, master, composer, overrides):
    assert_same(loader, master, composer, overrides)
    before = composer._loader.calls
    composer.compose(overrides)
    assert composer._loader.calls == before


@pytest.mark.filterwarnings("ignore:extend_list")
@pytest.mark.parametrize("overrides", LEFT_TO_HYDRA.values(), ids=LEFT_TO_HYDRA)
def test_cases_left_to_hydra(loader, master, composer, overrides):
    assert_same(loader, master, composer, overrides)


def test_jobs_that_differ_in_values_share_one_composition(loader, master):
    counting = Counting(loader)
    composer = Composer(counting, master)
    for i in range(50):
        cfg = composer.compose(["model=mlp2", f"seed={i}", f"optimizer.lr={10.0**-i}", f"model.hidden=[{i}]"])
        assert (cfg.seed, cfg.optimizer.lr, list(cfg.model.hidden)) == (i, 10.0**-i, [i])
    assert counting.calls == 1


def test_options_that_are_exchanged_share_one_composition(loader, master):
    counting = Counting(loader)
    composer = Composer(counting, master)
    for i in range(8):
        composer.compose([f"loss={('mse', 'nll')[i % 2]}", f"seed={i}", f"+new={i}"])
    assert counting.calls == 1


def test_a_combination_is_put_together_from_its_options(loader, master):
    """Hydra composes the first one, and lists the defaults of it and of as many others as bring a new option."""
    counting = Counting(loader)
    composer = Composer(counting, master)
    groups = ("model=mlp2", "model=mlp3", "model=mlp4"), ("loss=nll", "loss=mse"), ("optimizer=sgd", "optimizer=adam")
    for chosen in itertools.product(*groups):
        assert_same(loader, master, composer, [*chosen, "seed=3"])
    assert (counting.calls, counting.lists) == (1, 1 + 2 + 1 + 1)


def test_options_that_change_others_are_composed_together(loader, tmp_path):
    """One sets a value of another group, one chooses another group's option, one is another by the other's name."""
    files = {
        "loss/bold.yaml": "# @package _global_\nloss: {name: mse}\ntrainer: {epochs: 3}\n",
        "optimizer/led.yaml": "defaults: [sgd, override /schedule: cosine]\nlr: 0.5\n",
        "optimizer/paired.yaml": "defaults: [adam, optional /device: '${loss}_device']\n",
        "device/mse_device.yaml": "kind: cpu\nown: 1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    master = master_of(loader, f"hydra.searchpath=[file://{tmp_path}]")
    composer = Composer(loader, master)
    losses, optimizers = ("loss=bold", "loss=mse"), ("optimizer=led", "optimizer=paired", "optimizer=sgd")
    for chosen in itertools.product(losses, optimizers):
        assert_same(loader, master, composer, list(chosen))


SMALL = {
    "config": "defaults: [model: a, loss: x, size: s, kind: k, more: m, optional pair: '${model}_${loss}', _self_]\n"
    "size: {depth: 1}\nown: ${model.width}\n",
    "model/a": "width: 1\n",
    "model/b": "width: 2\nheight: ${loss.name}\n",
    "model/c": "defaults: []\nwidth: 3\n",
    "model/d": "defaults: [a]\nheight: 4\n",
    "model/e": "# @package other\nwidth: 5\n",
    "loss/x": "name: x\n",
    "loss/y": "name: y\ntable: {a: [1, null]}\n",
    "loss/z": "# @package _global_\nloss: {name: z}\nmodel: {width: 6}\n",
    "pair/b_y": "# @package _global_\nmodel: {width: 7}\n",
    "size/s": "depth: 2\nheight: 3\n",
    "size/l": "depth: 3\nheight: 4\n",
    "kind/k": "sub: {a: 1}\n",
    "kind/n": "sub: {a: 2}\n",
    "more/m": "# @package kind.sub\na: 3\n",
}
SMALL_GRIDS: dict[str, tuple[list[list[str]], int]] = {
    "two that are exchanged": ([["size=s", "model=a", "~pair"], ["size=s", "model=b", "~pair"], ["model=a", "size=s", "~pair"]], 1),
    "with another one beside": ([["loss=y", "~pair", "+loss@o=x"], ["loss=x", "~pair", "+loss@o=x"], ["loss=x", "~pair", "+loss@o=y"]], 2),
    "one by the names of two": ([["model=a", "loss=x"], ["model=b", "loss=x"], ["model=b", "loss=y"]], 3),
    "one that lists no defaults": ([["model=a", "~pair"], ["model=c", "~pair"], ["model=b", "~pair"]], 2),
    "one that takes another one in": ([["model=a", "~pair"], ["model=d", "~pair"]], 2),
    "one with another place": ([["model=a", "~pair"], ["model=e", "~pair"]], 2),
    "one with more than its own": ([["loss=x", "~pair"], ["loss=z", "~pair"], ["loss=y", "~pair"]], 2),
    "one that the main config changes": ([["size=s"], ["size=l"]], 2),
    "one that an option of another group changes": ([["kind=k"], ["kind=n"]], 2),
    "a good and a bad one": ([["model=a", "loss=x", "~pair"], ["model=b", "loss=z", "~pair"], ["model=b", "loss=y", "~pair"]], 2),
    "one that does not exist": ([["model=a", "~pair"], ["model=nothing", "~pair"], ["model=b", "~pair"]], 4),
    "a group twice": ([["model=a", "model=b"], ["model=b", "model=a"]], 2),
}  # fmt: skip


@pytest.fixture
def small(tmp_path):
    """A loader of a small application, and the configuration of a sweep."""
    for name, text in SMALL.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.yaml").write_text(text)
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(tmp_path), job_name="train"):
        loader = GlobalHydra.instance().config_loader()
        yield loader, master_of(loader)
    GlobalHydra.instance().hydra = before


@pytest.mark.parametrize(("grid", "n_composed"), SMALL_GRIDS.values(), ids=SMALL_GRIDS)
def test_what_is_exchanged(small, grid, n_composed):
    """Options change places where nothing else can differ, and whatever is known of the others."""
    loader, master = small
    counting = Counting(loader)
    composer = Composer(counting, master)
    composer.expect(itertools.chain.from_iterable(grid))
    for overrides in grid:
        assert_same(loader, master, composer, overrides)
    assert counting.calls == n_composed


def test_options_of_several_groups_are_looked_at_together(small):
    loader, master = small
    for known_before, n_listed in ((False, 3), (True, 2)):
        counting = Counting(loader)
        composer = Composer(counting, master)
        if known_before:
            composer.expect(["model=b", "loss=y", "own=3", "nothing=b"])
        for overrides in (["model=a", "loss=x"], ["model=b", "loss=x"], ["model=a", "loss=y"], ["model=b", "loss=y"]):
            composer.compose([*overrides, "~pair"])
        assert (counting.calls, counting.lists) == (1, n_listed)


def test_jobs_with_exchanged_options_share_the_node_of_hydra(loader, master, composer):
    chosen = [["model=mlp2", "loss=mse"], ["loss=nll", "model=mlp4", "seed=1", "trainer.epochs=2"]]
    jobs = [job_config(composer, overrides, i) for i, overrides in enumerate(chosen)]
    assert jobs[0].frame is jobs[1].frame is not None
    for overrides, job in (*zip(chosen, jobs, strict=True), (chosen[0], jobs[0])):
        with job.active() as shown:
            choices = shown.hydra.runtime.choices
            found = [text for text in shown.hydra.overrides.task if text in overrides]
            assert [f"loss={choices.loss}" in overrides, f"model={choices.model}" in overrides] == [True, True]
            assert (found, len(shown.hydra.overrides.task)) == (overrides, len(overrides))


def test_a_sweeper_and_its_launcher_share_one_composer(loader):
    """What the sweeper has composed to check a batch is not composed again for the jobs."""
    context, plugins = HydraContext(config_loader=loader, callbacks=Callbacks()), Plugins.instance()
    master = master_of(loader)
    first, second = (
        plugins.instantiate_sweeper(config=config, hydra_context=context, task_function=lambda cfg: None)
        for config in (master, master.copy())
    )
    assert first.launcher.composer is first.composer
    assert second.launcher.composer is second.composer is not first.composer


def test_a_new_name_of_the_study_is_in_the_configs_composed_from_then_on(loader):
    """As with hydra.sweeper.on_mismatch=new, after the combinations of groups were checked under the first name."""
    master = master_of(loader, "hydra/sweeper=optuna", "hydra.sweeper.study_name=first")
    composer = Composer(loader, master)
    assert composer.compose(["seed=1"]).hydra.sweeper.study_name == "first"
    _rename(master, "second")
    renamed = composer.compose(["seed=1"])
    assert renamed.hydra.sweeper.study_name == "second"
    assert OmegaConf.to_yaml(renamed) == OmegaConf.to_yaml(hydras(loader, master)(["seed=1"]))


def test_copies_are_those_that_hydra_would_make(loader, master, composer):
    overrides = ["optimizer=sgd", "model.hidden=[1,2]"]
    theirs, ours = launched(hydras(loader, master)(overrides)), launched(composer.compose(overrides))
    assert isinstance(ours, QuickConfig)
    expected: list[tuple] = []
    for cfg in (theirs, ours):
        HydraConfig.instance().set_config(cfg)
        shown = [HydraConfig.instance().cfg, *(copy.deepcopy(c) for c in (cfg, HydraConfig.instance().cfg, cfg.model))]
        found: list[Any] = [(nodes(c), OmegaConf.to_yaml(c)) for c in shown]
        found += [OmegaConf.to_yaml(c, resolve=True) for c in (shown[1], shown[3])]  # the others draw their names anew
        expected = expected or found
        assert found == expected
        OmegaConf.set_readonly(shown[1].hydra, False)
        shown[1].hydra.job.num, shown[1].model.hidden[0] = 7, 8
        assert (cfg.hydra.job.num, cfg.model.hidden[0], shown[2].hydra.job.num) == (0, 1, 0)
        assert dict(OmegaConf.get_cache(shown[1])) == dict(OmegaConf.get_cache(cfg))


def test_a_config_that_cannot_be_pickled_is_copied_as_omegaconf_does(composer):
    cfg = composer.compose([])
    what = OmegaConf.get_cache(cfg)["now"]["what"] = lambda: 1
    again = copy.deepcopy(cfg)
    assert OmegaConf.get_cache(again)["now"]["what"] is what
    assert nodes(again) == nodes(cfg)


def test_configs_share_nothing(loader, master, composer):
    overrides = ["optimizer=sgd", "model.hidden=[1,2]", "++new={a: [1]}"]
    expected = outcome(hydras(loader, master), overrides)
    first, second = composer.compose(overrides), composer.compose(overrides)
    before = OmegaConf.to_yaml(second)
    first.model.hidden.append(3)
    first.new.a.append(2)
    first.optimizer.lr = 9
    first.hydra.overrides.task.append("x=1")
    first.hydra.runtime.choices.model = "mutated"
    OmegaConf.get_cache(first)["now"]["mutated"] = 1
    OmegaConf.set_readonly(first, True)
    OmegaConf.set_struct(first.hydra, False)
    assert OmegaConf.to_yaml(second) == before
    assert not OmegaConf.is_readonly(second)
    assert outcome(composer.compose, overrides) == expected
    assert "mutated" not in OmegaConf.get_cache(master)["now"]


def test_resolvers_give_a_job_what_they_gave_the_sweep(loader):
    master, counting = master_of(loader), Counting(loader)
    composer = Composer(counting, master)
    OmegaConf.get_cache(master)["now"]["earlier",] = lambda: 0  # any object, even one that cannot be pickled
    composer.compose(["seed=1"])
    OmegaConf.get_cache(master)["now"]["later",] = "known"
    assert OmegaConf.get_cache(composer.compose(["seed=2"]))["now"] == OmegaConf.get_cache(master)["now"]
    assert counting.calls == 1


def test_the_current_folder_is_recorded(loader, master, composer, tmp_path, monkeypatch):
    assert composer.compose(["seed=1"]).hydra.runtime.cwd == os.getcwd()
    monkeypatch.chdir(tmp_path)
    assert composer.compose(["seed=1"]).hydra.runtime.cwd == str(tmp_path)
    assert_same(loader, master, composer, ["seed=1"])


MASTERS = {
    "a fixed group and value": ["model=mlp2", "seed=4"],
    "a variable that is copied": ["hydra.job.env_copy=[PHALANX_TEST_COPIED]"],
    "own words for folders": ["hydra.job.name=other", "hydra.sweep.subdir=${hydra.job.override_dirname}"],
}


@pytest.mark.parametrize("given", MASTERS.values(), ids=MASTERS)
def test_overrides_of_the_whole_sweep(loader, monkeypatch, given):
    monkeypatch.setenv("PHALANX_TEST_COPIED", "before")
    master = master_of(loader, *given)
    composer = Composer(loader, master)
    for overrides in (["seed=3"], ["model=mlp4", "model.width=3"]):
        assert_same(loader, master, composer, overrides)
    monkeypatch.setenv("PHALANX_TEST_COPIED", "after")
    assert_same(loader, master, composer, ["seed=3"])


def test_a_stored_study_is_overridden_by_each_job(loader):
    search = ["hydra/sweeper=optuna", "hydra/sweeper/pruner=hyperband", "hydra.sweeper.study_name=first"]
    master, counting = master_of(loader, *search, f"experiment={EXPERIMENT}"), Counting(loader)
    composer = Composer(counting, master)
    for values in (["seed=1"], ["data.n_train=50", "trainer.epochs=3"], ["optimizer.lr=0.3", "tracking.keep=1"]):
        assert_same(loader, master, composer, [*values, f"experiment={EXPERIMENT}"])
    assert counting.calls == 1
    for wrong in (["hydra.sweeper.n_trials=3"], ["trainer.epochz=5"]):
        assert_same(loader, master, composer, wrong)


def test_a_searched_folder_may_bring_groups(loader, tmp_path):
    (tmp_path / "seed").mkdir()
    (tmp_path / "seed" / "lucky.yaml").write_text("# @package _global_\nseed: 7\n")
    master = master_of(loader, f"hydra.searchpath=[file://{tmp_path}]")
    composer = Composer(loader, master)
    for overrides in (["+seed=lucky"], ["seed=3"], ["+seed=lucky", "trainer.epochs=3"]):
        assert_same(loader, master, composer, overrides)


@pytest.mark.parametrize("key", ["model.hidden", "hydra.verbose"])
def test_shuffle_draws_again_for_each_job(loader, key):
    """Given for a job, or for the whole sweep, as Hydra's own values are."""
    draw = [f"{key}=shuffle([a,b,c,d,e,f])"]
    of_sweep, of_job = (draw, ["seed=1"]) if key.startswith("hydra") else ([], draw)
    composer = Composer(loader, master_of(loader, *of_sweep))
    assert len({str(OmegaConf.select(composer.compose(of_job), key)) for _ in range(4)}) > 1


# --- the node `hydra` that jobs share


def test_jobs_share_the_node_of_hydra_and_keep_their_own_values(loader, master, composer):
    first, second = (job_config(composer, ["optimizer=sgd", f"seed={i}"], i) for i in (1, 2))
    assert first.frame is second.frame is not None
    assert first.frame is not job_config(composer, ["seed=1"], 1).frame
    for job in (first, second, first):
        with job.active() as shown:
            given = list(shown.hydra.overrides.task)
            assert (shown.hydra.job.num, shown.hydra.job.id, given[-1]) == (
                job.number,
                f"{job.number}",
                f"seed={job.number}",
            )
            assert (len(given), job.task.seed) == (2, job.number)
            assert OmegaConf.is_missing(shown.hydra.runtime, "output_dir")
            with read_write(shown.hydra.runtime):
                shown.hydra.runtime.output_dir = "out"
    assert first.frame.config.keys() == {"hydra"}


def test_a_whole_config_is_that_of_the_job(loader, master, composer):
    job, other = (job_config(composer, ["loss=mse", f"seed={i}"], i) for i in (1, 2))
    with other.active():
        pass
    whole = job.whole
    assert (whole.seed, whole.hydra.job.num, list(whole.hydra.overrides.task)[-1]) == (1, 1, "seed=1")
    assert job.whole is whole
    with job.active() as shown:
        assert shown is whole


def test_what_a_resolver_gave_a_job_it_gives_it_again(loader):
    """As the name of a folder that has an id of its own for each job."""
    composer = Composer(loader, master_of(loader, "hydra.sweep.subdir=${hydra.job.num}-${phalanx.short_id:}"))
    jobs = [job_config(composer, [f"seed={i}"], i) for i in (1, 2)]
    assert all(job.frame is not None for job in jobs)
    names = []
    for job in (*jobs, *jobs):
        with job.active() as shown:
            names.append(shown.hydra.sweep.subdir)
    assert names[:2] == names[2:]
    assert len(set(names)) == 2
    assert jobs[0].whole.hydra.sweep.subdir == names[0]


REFERS = {
    "nothing": ("plain", False),
    "its own node": ("${hydra.job.num} and ${ hydra.job.name }", False),
    "a resolver": ("${now:%Y}-${oc.env:HOME,${hydra.job.name}}", False),
    "a key by a resolver": ("${oc.select:hydra.sweeper.study_name}", False),
    "the application": ("${seed}", True),
    "the application, within a resolver": ("${phalanx.sweep_name:${seed}}", True),
    "the application, by a resolver": ("${oc.select:seed}", True),
    "a neighbour": ("${.num}", True),
    "a resolver of somebody's": ("${mine:1}", True),
    "a name that is put together": ("${hydra.${seed}}", True),
}


@pytest.mark.parametrize(("text", "expected"), REFERS.values(), ids=REFERS)
@pytest.mark.parametrize("inside", [lambda text: text, lambda text: {"a": [1, text]}, lambda text: [{text: None}]])
def test_what_in_hydras_node_looks_at_the_application(text, expected, inside):
    assert refers_elsewhere(inside(text)) is expected


@pytest.mark.parametrize("subdir", ["'${seed}-${model.name}'", "'${oc.select:optimizer.lr}'"])
def test_a_node_of_hydra_that_looks_at_the_application_is_not_shared(loader, subdir):
    master = master_of(loader, f"hydra.sweep.subdir={subdir}")
    composer = Composer(loader, master)
    assert job_config(composer, ["seed=3"], 1).frame is None
    for overrides in (["seed=3"], ["seed=4", "optimizer.lr=0.25"]):
        assert_same(loader, master, composer, overrides)


def test_an_override_that_looks_at_the_application_is_listed_where_it_can(loader, master, composer):
    assert job_config(composer, ["optimizer.lr=${seed}"], 1).frame is None
    assert_same(loader, master, composer, ["optimizer.lr=${seed}", "seed=3"])


# --- anything at all

GROUPS = (
    "data=wine", "data=csv", "data=thresholds", "model=mlp2", "model=mlp4", "loss=mse", "loss=nll", "optimizer=sgd",
    "optimizer=adamw", "schedule=step", "tracking=none", "device=cpu", "debug=overfit", "debug=limit", "~schedule",
    "+model@other=mlp2", "+typed_group_of_test_compose=one", "hydra/job_logging=default", "~hydra/job_logging",
)  # fmt: skip
EDITS = (
    "seed=1", "seed=2", "seed=null", "seed=${model.width}", "objective='a b, c'", "objective=\"it's\"", "objective='größe'",
    "optimizer.lr=0.25", "optimizer.lr=1e-05", "optimizer.lr=${seed}", "optimizer.lr=${nowhere}", "optimizer.lr='1'",
    "optimizer={lr: 3}", "++optimizer.momentum=0.5", "model.hidden=[3,'${model.width}']", "model.hidden=[]",
    "model.hidden=[[1],[2,'a b']]", "model.width=int(3.7)", "loss.default_lr={sgd: '${seed}'}", "loss={output: '[x]'}",
    "trainer.epochs=-3", "trainer.patience=true", "++trainer.epochs={a: 1}", "++trainer.epochs=${hydra.job.name}",
    "~trainer.clip_norm", "tracking.uri=", "tracking.uri=???", "+new.key=1", "++new.key=2", "++new.key.deep=[1]",
    "+new={key: {deep: 3}}", "++typed.count=3", "++typed.table={a: 2}", "++typed.names=[x]", "++other.width=4",
)  # fmt: skip
KEYS = (
    "seed", "optimizer", "optimizer.lrr", "optimizer.momentum", "optimizer.beta1", "model.hidden[0]", "seed.x", "model@x",
    "loss.default_lr.sgd", "data.path", "schedule.gamma", "other.width", "new", "new.key", "typed.count", "typed.names",
    "typed.table", "hydra.sweep.subdir", "hydra.verbose", "hydra.job.name", "hydra.sweeper.params", "nothing", "debug",
)  # fmt: skip
VALUES = (
    "1", "0.5", "true", "null", "abc", "???", "", "'a b, c'", "[1,2]", "{a: 1}", "{}", "${seed}", "${optimizer}", "1,2",
    "range(3)", "[1", "mlp2", "limit",
)  # fmt: skip


def any_overrides(random) -> list[str]:
    """Groups and edits in any order, which mostly go together, and at times one override of any kind."""
    drawn = random.choices(GROUPS, k=random.randint(0, 3)) + random.choices(EDITS, k=random.randint(0, 5))
    if random.random() < 0.4:
        sign = random.choice(["", "", "", "+", "++", "~"])
        drawn.append(f"{sign}{random.choice(KEYS)}={random.choice(VALUES)}")
    random.shuffle(drawn)
    return drawn


@seed(20261122)
@settings(max_examples=40, deadline=None, database=None)
@given(st.randoms(use_true_random=True))  # an example costs half a second, too much for near copies of earlier ones
def test_any_list_of_overrides(loader, master, composer, random):
    assert_same(loader, master, composer, any_overrides(random))
