"""What to say of names of metrics that do not exist."""

import difflib
from collections.abc import Sequence

from phalanx.core.errors import Fault
from phalanx.core.extensions import FOLDER
from phalanx.core.metrics import METRICS, objectives, split_name

OWN = f"or one of your own, from a file in {FOLDER}/"


def unknown_objective(name: str) -> Fault:
    """The fault of an objective that does not exist, with the one that may be meant."""
    allowed = f"one of {', '.join(objectives())}, {OWN}"
    if split_name(name)[0] == "test":
        allowed += " (the test split is for the final report and never chooses anything)"
    return Fault("objective", name, allowed, f"objective=val_{_nearest(name) or 'accuracy'}")


def unknown_metrics(key: str, names: Sequence[str]) -> Fault:
    """The fault of a list of metrics, some of which do not exist, with the list that may be meant.

    Args:
        key: The key of the configuration.
        names: The list.
    """
    unknown = ", ".join(repr(name) for name in names if name not in METRICS)
    meant = dict.fromkeys(near for name in names if (near := _nearest(name)))
    return Fault(
        key, list(names), f"a list of {', '.join(METRICS)}, {OWN}, and not {unknown}", f"{key}=[{','.join(meant)}]"
    )


def _nearest(name: str) -> str:
    """The metric that a name may mean, without a split; empty if there is none like it."""
    bare = split_name(name.lower())[1]
    begun = [metric for metric in METRICS if len(bare) > 1 and metric.startswith(bare)]  # f1 begins f1_macro
    return next(iter([bare] if bare in METRICS else begun or difflib.get_close_matches(bare, METRICS, n=1)), "")
