"""Makes the options that a user wrote options of Hydra's config groups, beside those in `conf/`.

A YAML file of the same name in `conf/` overrides defaults of the option; what it leaves out stays as it is.
"""

import builtins
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from phalanx.core.extensions import Extension, ExtensionError, find_extension, loaded
from phalanx.runs.config_file import read_values

SCHEME = "phalanx"


class ExtensionsSearchPath(SearchPathPlugin):
    """Has Hydra look for the options before it looks into `conf/`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for entry in list(search_path.get_path()):
            conf = (entry.path or "").removeprefix("file://")
            if entry.provider == "main" and loaded() and Path(conf).is_dir():
                search_path.prepend("phalanx-extensions", f"{SCHEME}://{conf}")
                return


class ExtensionsSource(ConfigSource):
    """The options that have been loaded; its path is the folder `conf/`, whose files override their defaults."""

    @staticmethod
    def scheme() -> str:
        return SCHEME

    def available(self) -> bool:
        return True

    def is_group(self, config_path: str) -> bool:
        path = config_path.strip("/")
        return not path or any(extension.group == path for extension in loaded())

    def is_config(self, config_path: str) -> bool:
        return _option(config_path) is not None

    def list(self, config_path: str, results_filter: ObjectType | None) -> builtins.list[str]:
        group = config_path.strip("/")
        if not group:
            return [] if results_filter == ObjectType.CONFIG else sorted({option.group for option in loaded()})
        return [] if results_filter == ObjectType.GROUP else sorted(option.name for option in loaded(group))

    def load_config(self, config_path: str) -> ConfigResult:
        option = _option(config_path)
        assert option is not None, config_path
        config = OmegaConf.create(dict(option.values))
        header: dict[str, str | None] = {"package": None}
        file = Path(self.path, option.group, f"{option.name}.yaml")
        if file.is_file():
            own = read_values(file)
            if own.get("name", option.name) != option.name:
                raise ExtensionError(
                    f"{option.group}={option.name} is an option in {file} and in {option.source.file}; rename one of "
                    "the two"
                )
            config.merge_with(OmegaConf.create(own))
            header = self._get_header_dict(file.read_text(encoding="utf-8"))
        return ConfigResult(config=config, path=f"{SCHEME}://{self.path}", provider=self.provider, header=header)


def _option(config_path: str) -> Extension | None:
    group, _, name = config_path.strip("/").rpartition("/")
    return find_extension(group, name.removesuffix(".yaml"))
