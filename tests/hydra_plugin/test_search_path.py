"""Experiments are found wherever the checkout lies."""

import pytest
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath

from hydra_plugins.phalanx.experiments import ExperimentsSearchPath


@pytest.mark.parametrize("name", ["plain", "with a space", "Übung", "50%", "a#b"])
def test_experiments_are_found_in_a_folder_of_any_name(name, tmp_path):
    found = tmp_path / name / "experiments" / "study" / "experiment"
    found.mkdir(parents=True)
    (found / "study.yaml").write_text("a: 1\n")
    (tmp_path / name / "conf").mkdir()
    path: ConfigSearchPath = ConfigSearchPathImpl()
    path.append("main", f"file://{tmp_path / name / 'conf'}")
    ExperimentsSearchPath().manipulate_search_path(path)
    (entry,) = [entry for entry in path.get_path() if entry.provider == "phalanx-experiments"]
    source = FileConfigSource(entry.provider, entry.path)
    assert source.load_config("experiment/study").config == {"a": 1}
