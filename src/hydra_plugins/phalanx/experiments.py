"""Makes `experiment=<name>` find `experiments/<name>/experiment/<name>.yaml` beside the application's `conf/`."""

from __future__ import annotations

from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin


class ExperimentsSearchPath(SearchPathPlugin):
    """Appends every study folder to Hydra's search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for entry in list(search_path.get_path()):
            if entry.provider == "main" and entry.path and entry.path.startswith("file://"):
                experiments = Path(entry.path.removeprefix("file://")).parent / "experiments"
                for folder in sorted(experiments.glob("*/experiment")):
                    search_path.append("phalanx-experiments", folder.parent.as_uri())
