"""Keeps the trials of a search on the same data, when it goes on."""

import contextlib
from collections.abc import Mapping

from omegaconf import DictConfig, OmegaConf

from phalanx.core.errors import RunFolderError, SpecError
from phalanx.runs.config_file import read_values
from phalanx.runs.layout import SweepPaths
from phalanx.runs.sweep_folder import trial_numbers
from phalanx.runs.trained_on import PLACES, check_data, trained_digests


def check_study_data(paths: SweepPaths, config: DictConfig) -> None:
    """Raises `RequestError` if a search would go on with other data than those of its first trials.

    Args:
        paths: Of the sweep.
        config: The composed config of the sweep, which names the files of the data.
    """
    for number in trial_numbers(paths):
        try:
            values = read_values(paths.trial(number).config_resolved)
        except (RunFolderError, OSError):
            continue
        if not isinstance(data := values.get("data"), Mapping) or data.get("name") != config.data.get("name"):
            continue
        now = {key: config.data[key] for key in PLACES if key in data and not OmegaConf.is_missing(config.data, key)}
        anew = "search anew with another hydra.sweeper.study_name"
        with contextlib.suppress(SpecError):  # of an earlier version; what the trials compose to is checked elsewhere
            check_data({**values, "data": {**data, **now}}, trained_digests(paths.root), "this search", anew)
        return
