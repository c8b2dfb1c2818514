"""Specs refuse what they cannot use, say all of it at once, and know static from stacked."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import pkgutil
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Literal, Optional

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import phalanx
from phalanx import DATASETS, LOSSES, MLP, MODELS, OPTIMIZERS, SCHEDULES, DeviceSpec, TrainerSpec, TrialSpec
from phalanx.core.errors import SpecError
from phalanx.core.specs import Spec, build, stacked, static, walk, without_stacked
from phalanx.training.spec import config_digest, static_key


@dataclasses.dataclass(frozen=True, kw_only=True)
class Toy(Spec):
    config_group: ClassVar[str] = "toy"
    name: ClassVar[str] = "toy"
    rate: float = stacked(0.1, gt=0, le=1)
    count: int | None = static(3, ge=1)
    kind: str = static("a", choices=("a", "b"))
    flag: bool = static(False)
    widths: tuple[int, ...] = static((4,), min_items=1, ge=1)
    rates: tuple[float, ...] = static((0.5,), gt=0, le=1)
    need: str = static()


@pytest.mark.parametrize(
    ("given", "rate", "count"),
    [
        (np.float32(0.5), 0.5, 3), (np.float64(0.25), 0.25, 3), (np.int64(1), 1.0, 1), (np.uint8(1), 1.0, 1),
        (Fraction(1, 4), 0.25, 3),
    ],
)  # fmt: skip
def test_numbers_of_numpy_are_numbers(given, rate, count):
    toy = Toy(need="x", rate=given, count=given if count == 1 else np.int32(3), widths=[np.int64(2), np.float32(5)])
    assert (toy.rate, toy.count, toy.widths) == (rate, count, (2, 5))
    assert {type(toy.rate), type(toy.count), *map(type, toy.widths)} == {float, int}


@pytest.mark.parametrize("value", [10**400, -(10**400), np.float64("nan"), np.bool_(True), np.array([0.5]), 0.5j])
def test_what_is_no_number_for_a_field_is_refused(value):
    (fault,) = faults_of(rate=value)
    assert fault.startswith("toy.rate must be a number in (0, 1], got ")


def faults_of(**values):
    found = []
    build(Toy, {"need": "x", **values}, found)
    return [str(fault) for fault in found]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate": 0}, "toy.rate must be a number in (0, 1], got 0; try toy.rate=0.1"),
        ({"rate": "fast"}, "toy.rate must be a number in (0, 1], got 'fast'; try toy.rate=0.1"),
        ({"rate": float("nan")}, "toy.rate must be a number in (0, 1], got nan; try toy.rate=0.1"),
        ({"rate": True}, "toy.rate must be a number in (0, 1], got True; try toy.rate=0.1"),
        ({"count": 0}, "toy.count must be a whole number of at least 1 or null, got 0; try toy.count=3"),
        ({"count": 2.5}, "toy.count must be a whole number of at least 1 or null, got 2.5; try toy.count=3"),
        ({"kind": "c"}, "toy.kind must be one of a, b, got 'c'; try toy.kind=a"),
        ({"flag": 1}, "toy.flag must be true or false, got 1; try toy.flag=false"),
        ({"widths": []}, "toy.widths must be a list of at least 1 whole number of at least 1, got []; try 'toy.widths=[4]'"),
        ({"widths": [3, -1]}, "toy.widths must be a list of at least 1 whole number of at least 1, got [3, -1]; try 'toy.widths=[4]'"),
        ({"widths": 5}, "toy.widths must be a list of at least 1 whole number of at least 1, got 5; try 'toy.widths=[4]'"),
        ({"ratee": 1}, "toy.ratee is not an option of toy=toy; did you mean toy.rate?"),
        ({"zzz": 1}, "toy.zzz is not an option of toy=toy; known: rate, count, kind, flag, widths, rates, need"),
        ({"need": "???"}, "toy.need has to be given: type toy.need=…"),
    ],
    ids=str,
)  # fmt: skip
def test_each_fault_names_key_value_law_and_advice(values, message):
    assert faults_of(**values) == [message]


def test_all_faults_come_at_once():
    assert len(faults_of(rate=2, count=-1, kind="z", zzz=1)) == 4
    with pytest.raises(SpecError, match="3 faults") as caught:
        TrainerSpec(epochs=0, batch_size=-1, keep="none")
    assert len(caught.value.faults) == 3


def test_values_take_their_declared_type():
    toy = Toy(need="x", rate=1, count=2.0, widths=[5, 6])
    assert (toy.rate, toy.count, toy.widths) == (1.0, 2, (5, 6))
    assert isinstance(toy.rate, float)
    assert isinstance(toy.count, int)
    assert Toy(need="x", count=None).count is None


@given(st.floats(allow_nan=False))
def test_a_number_is_accepted_exactly_inside_its_interval(value):
    assert (not faults_of(rate=value)) == (0 < value <= 1 and np.float32(value) > 0)


@pytest.mark.parametrize(
    ("option", "values", "message"),
    [
        (OPTIMIZERS["adam"], {"eps": 1e-300}, "optimizer.eps must be a number above 0 in float32, where 1e-300 becomes 0, got 1e-300; try optimizer.eps=1e-8"),
        (OPTIMIZERS["sgd"], {"lr": 1e-46}, "optimizer.lr must be a number above 0 in float32, where 1e-46 becomes 0, got 1e-46; try optimizer.lr=0.05"),
        (OPTIMIZERS["sgd"], {"lr": 1e39}, "optimizer.lr must be a number above 0 in float32, where 1e+39 becomes inf, got 1e+39; try optimizer.lr=0.05"),
        (OPTIMIZERS["sgd"], {"weight_decay": 1e-60}, "optimizer.weight_decay must be a number of at least 0 in float32, where 1e-60 becomes 0, got 1e-60; try optimizer.weight_decay=0.0001"),
        (MLP, {"dropout": 0.9999999999}, "model.dropout must be a number in [0, 1) in float32, where 0.9999999999 becomes 1, got 0.9999999999; try model.dropout=0.2"),
        (TrainerSpec, {"clip_norm": 1e-300}, "trainer.clip_norm must be a number above 0 or null in float32, where 1e-300 becomes 0, got 1e-300; try trainer.clip_norm=null"),
        (Toy, {"need": "x", "rates": [0.5, 1e-300]}, "toy.rates must be a list of numbers in (0, 1] in float32, where 1e-300 becomes 0, got [0.5, 1e-300]; try 'toy.rates=[0.5]'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_number_is_checked_as_what_it_becomes_in_float32(option, values, message):
    found = []
    assert build(option, values, found) is None
    assert [str(fault) for fault in found] == [message]


SPECS = [*OPTIMIZERS.values(), *SCHEDULES.values(), *LOSSES.values(), *MODELS.values(), TrainerSpec]


@pytest.mark.parametrize("option", SPECS, ids=lambda option: f"{option.config_group}={option.name}")
@pytest.mark.parametrize("value", [1e-300, 1e-46, 1e39, 1e300])
def test_no_option_accepts_a_number_that_float32_does_not_have(option, value):
    names = [f.name for f in dataclasses.fields(option) if f.type in (float, "float", "float | None", float | None)]
    for name in names:
        found = []
        assert build(option, {name: value}, found) is None, name
        assert len(found) == 1


def test_defaults_and_values_at_the_ends_of_float32_are_accepted():
    for option in SPECS:
        assert option()
    assert OPTIMIZERS["adam"](eps=1e-45, lr=3e38, weight_decay=0).eps == 1e-45
    assert MLP(dropout=0.9999999).dropout == 0.9999999


def test_specs_are_hashable_and_frozen():
    assert hash(TrialSpec()) == hash(TrialSpec())
    assert TrialSpec() == TrialSpec()
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrialSpec().seed = 3


STACKED = {
    "seed", "optimizer.lr", "optimizer.beta1", "optimizer.beta2", "optimizer.eps", "optimizer.weight_decay",
    "schedule.warmup_epochs", "model.dropout", "model.init", "loss.label_smoothing", "loss.class_weights", "trainer.epochs", "trainer.patience",
    "trainer.clip_norm", "trainer.average", "trainer.ema_decay", "trainer.swa_start", "trainer.min_updates",
    "trainer.expect_accuracy", "data.split_seed",
    "data.fold", "trainer.init_seed", "trainer.order_seed",
}  # fmt: skip


def test_what_may_differ_inside_a_cohort():
    assert {key for key, constraint, _ in walk(TrialSpec()) if constraint.stacked} == STACKED
    same = TrialSpec(seed=5, optimizer=OPTIMIZERS["adam"](lr=0.5), model=MLP(dropout=0.3, init="kaiming"))
    assert static_key(same) == static_key(TrialSpec())
    assert static_key(TrialSpec(model=MLP(activation="tanh"))) != static_key(TrialSpec())
    assert static_key(TrialSpec(optimizer=OPTIMIZERS["adamw"]())) != static_key(TrialSpec())


def test_the_digest_covers_what_determines_the_numbers_except_the_seed():
    base = config_digest(TrialSpec())
    assert config_digest(TrialSpec(seed=7)) == base
    assert config_digest(TrialSpec(device=DeviceSpec(kind="cpu", threads=1))) == base
    assert config_digest(TrialSpec(trainer=TrainerSpec(expect_accuracy=0.99))) == base  # only says what to make of them
    changed = [
        TrialSpec(trainer=TrainerSpec(zero_grad=False)),
        TrialSpec(optimizer=OPTIMIZERS["adam"](lr=0.5)),
        TrialSpec(trainer=TrainerSpec(epochs=3)),
        TrialSpec(model=MLP(hidden=(3,))),
        TrialSpec(loss=LOSSES["nll"]()),
        TrialSpec(objective="val_loss"),
    ]
    assert len({base, *map(config_digest, changed)}) == len(changed) + 1


def test_a_field_that_was_added_changes_no_digest_at_its_default():
    # As before there was model.init: sweeps that were begun then go on.
    assert config_digest(TrialSpec()) == "9a26caee23b22e0e"
    assert config_digest(TrialSpec(model=MLP(init="kaiming"))) != config_digest(TrialSpec())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LOSSES["nll"](output="logits"), "for logits take loss=cross_entropy"),
        (lambda: LOSSES["mse"](output="log_softmax"), "cannot reach a one-hot target"),
        (lambda: OPTIMIZERS["sgd"](momentum=0, nesterov=True), "optimizer.momentum=0.9"),
        (lambda: TrialSpec(objective="test_accuracy"), "the test split is for the final report"),
        (lambda: TrialSpec(objective="speed"), "one of val_loss, val_accuracy, val_likelihood, val_balanced_accuracy"),
        (lambda: MLP(hidden=()), "try 'model.hidden=[64,64]'"),
    ],
)
def test_combinations_that_mean_nothing_are_refused_with_advice(make, message):
    with pytest.raises(SpecError) as caught:
        make()
    assert message in str(caught.value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Foreign(Spec):
    """Fields that our own options do not have."""

    config_group: ClassVar[str] = "foreign"
    name: ClassVar[str] = "foreign"
    file: Path = static(Path("a.csv"))  # noqa: RUF009
    weights: dict[str, float] | None = static(None)  # noqa: RUF009
    mode: Literal["a", "b"] = static("a")
    size: int | float = static(1, ge=1)
    limit: Optional[int] = static(None, ge=1)  # noqa: UP045
    anything: Any = static(None)  # noqa: RUF009
    plain: int = 3
    made: tuple[int, ...] = dataclasses.field(default_factory=lambda: (1, 2))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"file": 3}, "foreign.file must be a value of type Path, got 3; try foreign.file=a.csv"),
        ({"weights": 3}, "foreign.weights must be a mapping or null, got 3; try foreign.weights=null"),
        ({"mode": "c"}, "foreign.mode must be one of a, b, got 'c'; try foreign.mode=a"),
        ({"size": 0.5}, "foreign.size must be a whole number of at least 1 or a number of at least 1, got 0.5; try foreign.size=1"),
        ({"limit": 0}, "foreign.limit must be a whole number of at least 1 or null, got 0; try foreign.limit=null"),
        ({"plain": "x"}, "foreign.plain must be a whole number, got 'x'; try foreign.plain=3"),
    ],
    ids=str,
)  # fmt: skip
def test_a_field_of_any_type_is_checked_and_described(values, message):
    found = []
    assert build(Foreign, values, found) is None
    assert [str(fault) for fault in found] == [message]


def test_fields_of_any_type_and_without_a_constraint_are_built_and_walked():
    found = []
    spec = build(Foreign, {"weights": {"a": 1.0}, "size": 1.5, "limit": 2, "anything": [1]}, found)
    assert found == []
    assert {key: value for key, _, value in walk(spec)} == {
        "foreign.file": Path("a.csv"), "foreign.weights": {"a": 1.0}, "foreign.mode": "a", "foreign.size": 1.5,
        "foreign.limit": 2, "foreign.anything": [1], "foreign.plain": 3, "foreign.made": (1, 2),
    }  # fmt: skip
    assert without_stacked(spec) == spec


@functools.cache
def every_spec() -> list[type[Spec]]:
    """All spec classes of the package."""
    for module in pkgutil.walk_packages(phalanx.__path__, "phalanx."):
        if not module.name.startswith(("phalanx.testing", "phalanx.tracking.served_model", "phalanx.__main__")):
            importlib.import_module(module.name)
    importlib.import_module("hydra_plugins.phalanx._request")
    found, seen = [Spec], []
    while found:
        cls = found.pop()
        found += cls.__subclasses__()
        if cls.__module__.startswith(("phalanx.", "hydra_plugins.")) and dataclasses.fields(cls):
            seen.append(cls)
    return seen


ANY_SCALAR = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([10**400, -(10**400), 2**63]), st.floats(), st.text(max_size=3),
    st.sampled_from(["id", "\ud800", "local", "4:00"]),
)  # fmt: skip
ANYTHING = st.recursive(
    ANY_SCALAR, lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=2), part)
)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_every_spec_bears_every_type_in_every_field(data):
    cls = data.draw(st.sampled_from(every_spec()))
    names = [field.name for field in dataclasses.fields(cls)]
    found = []
    build(cls, data.draw(st.dictionaries(st.sampled_from(names), ANYTHING, max_size=4)), found)
    assert all(map(str, found))


@pytest.mark.parametrize(
    ("key", "value", "advice"),
    [
        ("drop", "id", "'data.drop=[id]'"),
        ("drop", ["a", 7], "\"data.drop=['a','7']\""),
        ("numeric", "the age", "\"data.numeric=['the age']\""),
        ("missing_markers", [-999], "\"data.missing_markers=['-999']\""),
        ("target", 2024, "\"data.target='2024'\""),
    ],
)
def test_a_number_for_a_text_and_one_item_for_a_list_are_advised_as_they_are_typed(key, value, advice):
    found = []
    build(DATASETS["csv"], {"path": "x.csv", "target": "kind", key: value}, found)
    assert str(found[0]).endswith(f"got {value!r}; try {advice}")


@pytest.mark.parametrize(
    ("key", "value"), [("drop", None), ("numeric", None), ("drop", 5), ("skip_lines", 10**400), ("n_train", 10**400)]
)
def test_a_value_of_another_type_is_one_fault(key, value):
    found = []
    assert build(DATASETS["csv"], {"path": "x.csv", "target": "kind", key: value}, found) is None
    assert len(found) == 1
    assert str(found[0]).startswith(f"data.{key} must be ")
