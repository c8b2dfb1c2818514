"""Puts the config groups of Phalanx behind those of the folder that a command is for."""

from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from hydra_plugins.phalanx._project import packaged_conf
from hydra_plugins.phalanx._state import STATE


class PackagedSearchPath(SearchPathPlugin):
    """Appends them to the search path of `train.py` and of `phalanx train`, and of no other application."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        conf = packaged_conf()
        there = [Path((entry.path or "").removeprefix("file://")).resolve() for entry in search_path.get_path()]
        if STATE.project is not None and conf.resolve() not in there:
            search_path.append("phalanx", f"file://{conf}")
