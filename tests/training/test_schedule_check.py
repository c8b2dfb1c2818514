"""A training that is too short for its schedule is refused; one in which the schedule changes nothing is warned about."""

from __future__ import annotations

import pytest
import torch

from phalanx import SCHEDULES, TrainerSpec, TrialSpec
from phalanx.core.errors import SpecError
from phalanx.core.specs import stacked_values
from phalanx.training.schedule_check import check_schedule


def trial(name, epochs, batch_size=None, **options):
    return TrialSpec(schedule=SCHEDULES[name](**options), trainer=TrainerSpec(epochs=epochs, batch_size=batch_size))


def rates_of_torch(n_steps, **options):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=n_steps, cycle_momentum=False, **options
    )
    for _ in range(n_steps):
        yield optimizer.param_groups[0]["lr"]
        optimizer.step()
        schedule.step() if schedule.last_epoch < n_steps - 1 else None


@pytest.mark.parametrize("rise", [0.05, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("n_steps", [2, 3, 4, 5, 6, 7, 8, 10, 12, 20, 99, 101])
def test_one_cycle_is_refused_where_the_rates_of_torch_stay_below_the_peak(n_steps, rise):
    """torch divides by rise * steps - 1, so it is asked only where that is positive."""
    if rise * n_steps - 1 <= 0:
        return
    reaches = max(rates_of_torch(n_steps, pct_start=rise)) >= 0.9
    spec = trial("one_cycle", n_steps, rise=rise)
    if reaches:
        assert check_schedule(spec, 10) == ""
    else:
        with pytest.raises(SpecError):
            check_schedule(spec, 10)


@pytest.mark.parametrize(("epochs", "n_train", "enough"), [(1, 10, 5), (4, 10, 5), (1, 40, 2), (2, 20, 3)])
def test_one_cycle_with_few_steps_is_refused_with_the_epochs_that_are_enough(epochs, n_train, enough):
    with pytest.raises(SpecError) as caught:
        check_schedule(trial("one_cycle", epochs, batch_size=10), n_train)
    assert f"trainer.epochs must be at least {enough} with schedule=one_cycle" in str(caught.value)
    assert f"got {epochs}; try trainer.epochs={enough}, a smaller trainer.batch_size, or schedule=constant" in str(
        caught.value
    )
    assert check_schedule(trial("one_cycle", enough, batch_size=10), n_train) == ""


def test_the_steps_of_the_warm_up_are_no_steps_of_the_cycle():
    assert check_schedule(trial("one_cycle", 5), 10) == ""
    with pytest.raises(SpecError, match=r"trainer\.epochs must be at least 7"):
        check_schedule(trial("one_cycle", 5, warmup_epochs=2.0), 10)
    assert check_schedule(trial("one_cycle", 7, warmup_epochs=2.0), 10) == ""


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_a_warm_up_longer_than_the_training_is_refused(name):
    text = r"schedule.warmup_epochs must be at most trainer.epochs=10, .*, got 11.0; try schedule.warmup_epochs=2$"
    with pytest.raises(SpecError, match=text):
        check_schedule(trial(name, 10, warmup_epochs=11.0), 10)
    check_schedule(trial(name, 10, warmup_epochs=2.0), 10)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (trial("step", 10), "schedule.every_epochs=10 never lowers the rate in trainer.epochs=10; type schedule.every_epochs=3"),
        (trial("step", 11, warmup_epochs=1.0), "in trainer.epochs=11 with schedule.warmup_epochs=1; type schedule.every_epochs=3"),
        (trial("step", 1, every_epochs=1), "in trainer.epochs=1; type schedule=constant"),
        (trial("cosine", 1), "schedule=cosine has 1 step(s) after the warm-up (trainer.epochs=1, 1 per epoch)"),
        (trial("cosine", 3, warmup_epochs=3.0), "schedule=cosine has 0 step(s) after the warm-up"),
        (trial("step", 11), ""),
        (trial("step", 2, every_epochs=1), ""),
        (trial("cosine", 2), ""),
        (trial("constant", 1), ""),
        (trial("constant", 3, warmup_epochs=3.0), ""),
    ],
)  # fmt: skip
def test_a_schedule_that_changes_nothing_is_named(spec, text):
    found = check_schedule(spec, 10)
    assert (text in found) if text else (found == "")
    step_S1 = torch.arange(spec.trainer.epochs, dtype=torch.float64)[:, None]
    total_T = torch.tensor([spec.trainer.epochs], dtype=torch.float64)
    factors = spec.schedule.factors(step_S1, 1, total_T, stacked_values([spec.schedule]))
    falls = bool((factors.diff(dim=0) < 0).any())
    assert falls == (not found) or spec.schedule.name == "constant"
