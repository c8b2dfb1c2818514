"""Learning-rate schedules: one file each. `SCHEDULES` lists them by the name used in `schedule=<name>`."""

from phalanx.core.registry import options
from phalanx.nn.schedules.base import ScheduleSpec

SCHEDULES = options(ScheduleSpec, __name__, __path__)

__all__ = ["SCHEDULES", "ScheduleSpec"]
