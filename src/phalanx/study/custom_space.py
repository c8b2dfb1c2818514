"""A function of the user's own that draws further parameters of a trial: `hydra.sweeper.custom_search_space`."""

import inspect
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution

from phalanx.core.errors import PhalanxError, RequestError
from phalanx.study.proposals import Trial, Value
from phalanx.study.space import Suggest
from phalanx.study.storage import lost

KEY = "hydra.sweeper.custom_search_space"


class CustomSpaceFailed(PhalanxError):
    """The user's function raised an error."""


@dataclass(frozen=True)
class CustomSpace:
    """Draws a trial's parameters: those of the space, then those of the function.

    Attributes:
        path: The function's dotted path, for messages.
        function: Called with the trial.
        draw: Draws the parameters of the space.
        fixed: The values that are the same for all trials, by key, which the function must not draw.
    """

    path: str
    function: Callable[[Trial], object]
    draw: Suggest
    fixed: Mapping[str, str]

    def __call__(self, trial: Trial) -> None:
        """Draws. Raises `CustomSpaceFailed` for an error of the function, `RequestError` if it draws a fixed key."""
        self.draw(trial)
        try:
            self.function(trial)
        except Exception as error:
            if lost(error):
                raise  # the storage does not answer, which is tried again
            where = _line(error, self.function)
            raise CustomSpaceFailed(f"{KEY}={self.path} raised {type(error).__name__}: {error}{where}") from error
        if twice := [f"{name}={self.fixed[name]}" for name in trial.params if name in self.fixed]:
            raise RequestError(
                f"{KEY}={self.path} draws what is fixed: {', '.join(twice)}; leave it out of the command line and of "
                "hydra.sweeper.params, or do not draw it"
            )

    def drawn(self, point: Mapping[str, Value]) -> dict[str, BaseDistribution]:
        """Returns what is drawn for a trial with some values given, without a trial in any study. Raises as drawing."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        study.enqueue_trial(dict(point))
        trial = study.ask()
        self(trial)
        return dict(trial.distributions)


def _line(error: Exception, function: Callable[[Trial], object]) -> str:
    """Where in the function's file the error was raised; empty if that is not known."""
    try:
        file = inspect.getfile(inspect.unwrap(getattr(function, "func", function)))
    except TypeError:
        return ""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f" ({Path(file).name}, line {frames[-1].lineno})" if frames else ""
