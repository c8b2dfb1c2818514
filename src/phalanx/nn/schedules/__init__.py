"""Learning-rate schedules: one file each. `SCHEDULES` maps the name used in `schedule=<name>` to its class.

Examples:
    >>> from phalanx import SCHEDULES, TrialSpec
    >>> sorted(SCHEDULES)
    ['constant', 'cosine', 'one_cycle', 'step']
    >>> TrialSpec(schedule=SCHEDULES["cosine"](warmup_epochs=1)).schedule.min_factor
    0.0
"""

from phalanx.core.registry import options
from phalanx.nn.schedules.base import ScheduleSpec

SCHEDULES = options(ScheduleSpec, __name__, __path__)

__all__ = ["SCHEDULES", "ScheduleSpec"]
