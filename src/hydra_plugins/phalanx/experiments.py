"""Makes `experiment=<name>` find `experiments/<name>/experiment/<name>.yaml` beside the application's `conf/`."""

from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin


class ExperimentsSearchPath(SearchPathPlugin):
    """Appends every folder of `experiments/` to Hydra's search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for entry in list(search_path.get_path()):
            conf = Path((entry.path or "").removeprefix("file://"))
            if entry.provider == "main" and conf.is_dir():
                experiments = conf.resolve().parent / "experiments"
                for folder in sorted(experiments.glob("*/experiment")):
                    search_path.append("phalanx-experiments", f"file://{folder.parent}")  # Hydra does not decode a URI
