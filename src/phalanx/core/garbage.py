"""Python's garbage collection around imports, which leave a million objects that stay until the end."""

import contextlib
import gc
import sys
from collections.abc import Iterator

# A job's configuration is a cycle of some 400 objects, or 1,600 with Hydra's node, and most live until the oldest
# generation is collected. With Python's default thresholds (700, 10, 10) collection takes a sixth of a sweep of tiny
# networks. With 100 in place of the 3, the oldest generation was never collected, and memory grew by 160 KB a trial.
THRESHOLDS = (5_000, 50, 3)


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Collects nothing until `collect_from_now_on` is called: an import of torch takes a sixth less time."""
    gc.disable()
    try:
        yield
    finally:
        # An optimizer of PyTorch imports triton, which tells of each object that is still there at the end. To free
        # all of them takes a second, so it is not done elsewhere.
        if "triton" in sys.modules:
            gc.unfreeze()
        gc.enable()


def collect_from_now_on() -> None:
    """Collects what is created from now on, and does not look at the objects that are there again."""
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    gc.enable()
