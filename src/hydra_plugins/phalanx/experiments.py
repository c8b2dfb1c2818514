"""Makes `experiment=<name>` find `experiments/<name>/experiment/<name>.yaml` in the folder that a command is for."""

from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from hydra_plugins.phalanx._project import Project
from hydra_plugins.phalanx._state import STATE


class ExperimentsSearchPath(SearchPathPlugin):
    """Appends every folder of `experiments/` to Hydra's search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for entry in list(search_path.get_path()):
            conf = Path((entry.path or "").removeprefix("file://"))
            if entry.provider == "main" and conf.is_dir():
                project = STATE.project or Project(conf.resolve().parent)
                for folder in sorted(project.experiments.glob("*/experiment")):
                    search_path.append("phalanx-experiments", f"file://{folder.parent}")  # Hydra does not decode a URI
