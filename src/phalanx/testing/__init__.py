"""Contract tests for options: what Phalanx relies on in a loss, an optimizer, a model, a schedule or a data source.

Subclass a contract in a test module of your own and run pytest:

    from phalanx.testing import LossContract

    class TestFocal(LossContract):
        option = Focal(gamma=2.0)

To test several values, override the fixture `spec` in place of `option`:

    class TestFocal(LossContract):
        @pytest.fixture(params=[0.5, 2.0])
        def spec(self, request):
            return Focal(gamma=request.param)

An option of your own code is one after its file is imported, by its module's name or by `load_extensions(folder)`:

    load_extensions(Path("extensions"))

    class TestConvNet(ModuleContract):
        @pytest.fixture
        def spec(self):
            return MODELS["conv_net"](channels=4)

Every contract checks that values out of bounds are rejected, that a training completes, that a trial gives the same
results alone, in a cohort, beside a diverging trial and after resuming, and what its group requires beyond that. The
same means to the last bit; set `exact = False` for an option whose operations round differently in larger tensors.
"""

import pytest

for _module in ("data", "losses", "models", "modules", "optimizers", "option", "schedules"):
    pytest.register_assert_rewrite(f"{__name__}.{_module}")  # failed assertions then show the values

from phalanx.core.extensions import load_extensions  # noqa: E402
from phalanx.testing.data import DataContract  # noqa: E402
from phalanx.testing.losses import LossContract  # noqa: E402
from phalanx.testing.models import ModelContract  # noqa: E402
from phalanx.testing.modules import ModuleContract  # noqa: E402
from phalanx.testing.optimizers import OptimizerContract  # noqa: E402
from phalanx.testing.option import OptionContract, blobs  # noqa: E402
from phalanx.testing.schedules import ScheduleContract  # noqa: E402

__all__ = [
    "DataContract", "LossContract", "ModelContract", "ModuleContract", "OptimizerContract", "OptionContract",
    "ScheduleContract", "blobs", "load_extensions",
]  # fmt: skip
