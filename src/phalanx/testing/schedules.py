"""The contract of a learning-rate schedule. Axes: T trials, S steps."""

from dataclasses import replace

import torch
from torch import Tensor

from phalanx.nn.schedules import ScheduleSpec
from phalanx.nn.schedules.stacked import StackedSchedule
from phalanx.testing.option import OptionContract

PER_EPOCH = 4
TOTALS = (40.0, 24.0, 12.0)


def _factors(specs: list[ScheduleSpec], totals: tuple[float, ...] = TOTALS, start: int = 0, stop: int = 12) -> Tensor:
    step_ST = torch.arange(start, stop, dtype=torch.float64)[:, None].expand(-1, len(specs))
    return StackedSchedule(specs).factors(step_ST, PER_EPOCH, torch.tensor(totals, dtype=torch.float64))


class ScheduleContract(OptionContract):
    """Checks a `ScheduleSpec`: finite factors that depend on the step alone, the warm-up, and `needs_total_steps`."""

    def test_factors_are_finite_and_not_negative(self, spec: ScheduleSpec) -> None:
        factor_ST = _factors([spec] * 3)
        assert (factor_ST.shape, factor_ST.dtype) == ((12, 3), torch.float64)
        assert factor_ST.isfinite().all()
        assert (factor_ST >= 0).all()

    def test_a_trial_depends_on_no_other(self, spec: ScheduleSpec) -> None:
        specs = [replace(spec, warmup_epochs=warmup) for warmup in (0.0, 1.0, 2.0)]
        factor_ST = _factors(specs)
        for place, one in enumerate(specs):
            assert torch.equal(_factors([one], TOTALS[place : place + 1])[:, 0], factor_ST[:, place])

    def test_a_step_depends_on_no_earlier_call(self, spec: ScheduleSpec) -> None:
        pieces = [_factors([spec] * 3, start=start, stop=start + 6) for start in (0, 6)]
        assert torch.equal(torch.cat(pieces), _factors([spec] * 3))

    def test_the_warm_up_rises_linearly(self, spec: ScheduleSpec) -> None:
        factor_ST = _factors([replace(spec, warmup_epochs=2.0)] * 3)
        rise_S = torch.arange(1, 9, dtype=torch.float64) / 8
        torch.testing.assert_close(factor_ST[:8], rise_S[:, None].expand(-1, 3))

    def test_it_needs_the_total_number_of_steps_if_it_says_so(self, spec: ScheduleSpec) -> None:
        if not spec.needs_total_steps:
            assert torch.equal(_factors([spec] * 3), _factors([spec] * 3, totals=(100.0, 50.0, 13.0)))
