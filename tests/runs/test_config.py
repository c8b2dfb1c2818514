"""Every option composes; what is wrong is refused with all faults at once."""

from __future__ import annotations

import re

import hypothesis
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from support.places import ROOT

from phalanx import DATASETS, LOSSES, OPTIMIZERS, SCHEDULES, TrialSpec
from phalanx.core.errors import RequestError, SpecError
from phalanx.core.specs import keys_of, walk
from phalanx.runs.config import register_resolvers, resolved_yaml, settings, trial_spec
from phalanx.runs.config_file import parse_value, to_yaml
from phalanx.training.spec import config_digest

CONF = ROOT / "conf"
GROUPS = ("data", "model", "loss", "optimizer", "schedule", "trainer", "device", "tracking", "checkpoint", "debug")
OPTIONS = [(group, f.stem) for group in GROUPS for f in sorted((CONF / group).glob("*.yaml"))]
ALIASES = {"handwritten_nll": "nll"}  # options that are another one with other values
GIVEN = {"csv": ["data.path=some.csv", "data.target=y"], "npz": ["data.path=some.npz"], "image_folder": ["data.path=some"],
         "parquet": ["data.path=some.parquet", "data.target=y"]}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def hydra():
    register_resolvers()
    assert ConfigStore.instance() is not None
    with initialize_config_dir(str(CONF)):
        yield


def composed(*overrides):
    return compose("config", list(overrides))


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=lambda x: x)
def test_every_option_composes_into_a_spec(group, option):
    asked = settings(composed(f"{group}={option}", *GIVEN.get(option, [])))
    if group in ("data", "loss", "optimizer", "schedule"):
        assert getattr(asked.trial, group).name == ALIASES.get(option, option)


def test_the_handwritten_loss_is_nll_on_softmax():
    alias, spelt = (
        trial_spec(composed(*args)) for args in (["loss=handwritten_nll"], ["loss=nll", "loss.output=softmax"])
    )
    assert alias == spelt
    assert alias.loss.output == "softmax"


def test_the_defaults_in_python_and_in_yaml_are_the_same():
    assert trial_spec(composed()) == TrialSpec()


@pytest.mark.parametrize(
    ("group", "options"),
    [("data", DATASETS), ("loss", LOSSES), ("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_each_yaml_names_every_field_with_its_python_default(group, options):
    for name, cls in options.items():
        values = OmegaConf.to_container(composed(f"{group}={name}", *GIVEN.get(name, []))[group], resolve=True)
        fields = {f.name for f in keys_of(cls)}
        assert fields <= set(values), f"conf/{group}/{name}.yaml lacks {fields - set(values)}"


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda p: str(p.relative_to(CONF)))
def test_every_yaml_begins_with_its_command_and_explains_its_keys(path):
    lines = path.read_text().splitlines()
    head = [line for line in lines[:2] if not line.startswith("# @package")]
    if "logging" not in path.parent.name:
        assert head[0].startswith("# python train.py"), path
    top = [line for line in lines if re.match(r"^[a-z_]+: \S", line) and "name:" not in line and "kind: n" not in line]
    if path.parent.name in ("model", "loss", "optimizer", "schedule", "trainer", "device", "data"):
        assert all("#" in line for line in top), [line for line in top if "#" not in line]


@pytest.mark.parametrize(
    ("overrides", "hidden"),
    [
        (["model=mlp2"], (64,)),
        (["model=mlp3"], (64, 64)),
        (["model=mlp4", "model.width=5"], (5, 5, 5)),
        (["model.hidden=[256,128]"], (256, 128)),
        (["model=mlp2", "model.hidden=[9,8,7,6]"], (9, 8, 7, 6)),
    ],
)
def test_widths_and_depths(overrides, hidden):
    assert trial_spec(composed(*overrides)).model.hidden == hidden


def test_the_default_learning_rate_suits_loss_and_optimizer():
    rates = {
        (loss, opt): trial_spec(composed(f"loss={loss}", f"optimizer={opt}")).optimizer.lr
        for loss in LOSSES
        for opt in OPTIMIZERS
    }
    assert rates["mse", "sgd"] > rates["cross_entropy", "sgd"]
    assert trial_spec(composed("loss=mse", "optimizer=sgd", "optimizer.lr=0.125")).optimizer.lr == 0.125


def test_all_faults_of_a_config_come_at_once():
    with pytest.raises(SpecError) as caught:
        settings(
            composed(
                "optimizer.lr=-1", "model.hidden=[]", "trainer.epochs=2.5", "loss.output=nothing", "seed=-3",
                "data.n_val=0", "tracking.keep=-1", "device.threads=0", "objective=test_accuracy",
            )
        )  # fmt: skip
    text = str(caught.value)
    for key in ("optimizer.lr", "model.hidden", "trainer.epochs", "loss.output", "seed", "data.n_val", "tracking.keep",
                "device.threads", "objective"):  # fmt: skip
        assert f"  - {key} must be" in text, key
    assert "9 faults" in text
    assert "try 'model.hidden=[64,64]'" in text


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data=csv"], "data.path has to be given: type data.path=…"),
        (["+optimizer.lrr=1"], "optimizer.lrr is not an option of optimizer=adam; did you mean optimizer.lr?"),
        (["+nonsense=1"], "nonsense is not a key of the configuration"),
        (["model=mlp3", "model.name=cnn"], "try model=hist_gradient_boosting"),  # which needs no further package
        (["data.name={a: 1}"], "data.name must be one of clouds"),
        (["optimizer.name=[adam]"], "optimizer.name must be one of adam"),
        (["optimizer.lr=${nowhere}"], "Interpolation key 'nowhere' not found"),
        (["loss=nll", "loss.output=logits"], "for logits take loss=cross_entropy"),
    ],
)
def test_wrong_requests_say_what_to_type(overrides, message):
    with pytest.raises(RequestError) as caught:
        settings(composed(*overrides))
    assert message in str(caught.value)


def test_the_resolved_config_repeats_the_trial_and_keeps_secrets_out(monkeypatch):
    monkeypatch.setenv("STORE", "postgresql://me:hunter2@db/mlflow")
    cfg = composed("loss=mse", "optimizer=sgd", "model.width=7", "tracking.uri=${oc.env:STORE}", "seed=4")
    text = resolved_yaml(cfg)
    assert "hunter2" not in text
    assert "${oc.env:STORE}" in text
    again = trial_spec(OmegaConf.create(text))
    assert again == trial_spec(cfg)
    assert config_digest(again) == config_digest(trial_spec(cfg))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(
    st.characters(codec="utf-8") | st.sampled_from("0123456789eE+-._:~'\"#{}[]$&*!|>%@` yn"), max_size=8
)  # fmt: skip


@hypothesis.settings(deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1), st.recursive(SCALARS, st.lists, max_leaves=6)))
@example({"a": "1e-3", "b": ".5", "c": "yes", "d": "2026-11-24", "e": "", "f": "null", "g": "1_0", "h": 1e-5, "i": {}})
def test_what_is_written_as_yaml_is_read_back_as_it_was(values):
    escaped = {key: value for key, value in values.items() if "${" not in str(value)}  # may be no interpolation
    text = to_yaml(escaped)
    assert OmegaConf.to_container(OmegaConf.create(text), resolve=False) == escaped
    assert parse_value(text) == escaped


def test_paths_do_not_enter_the_digest():
    one, two = (config_digest(trial_spec(composed("data=mnist", f"data.root={root}"))) for root in ("/a", "/b"))
    assert one == two
    assert one != config_digest(trial_spec(composed("data=mnist", "data.n_train=100")))


def test_every_field_of_the_default_trial_has_a_law():
    assert all(constraint is not None for _, constraint, _ in walk(TrialSpec()))


@pytest.mark.parametrize("name", ["../x", "/abs", "a/b", "", ".", "..", "x" * 101, "a\nb"])
def test_a_study_name_cannot_leave_its_folder(name):
    cfg = OmegaConf.create({"name": name, "dir": "${phalanx.sweep_name:${name}}"})
    with pytest.raises(Exception, match="study_name must be a plain folder name"):
        _ = cfg.dir
