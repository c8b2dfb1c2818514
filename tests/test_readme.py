"""What README.md shows works: its Python example runs, its commands and files exist."""

from __future__ import annotations

import re

import pytest
from support.places import ROOT

README = (ROOT / "README.md").read_text()


def test_the_python_example_runs(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 24
    assert float(lines[0]) > 0.93
    assert all(float(line.split()[-1]) > 0.9 for line in lines[1:])


@pytest.mark.parametrize("command", re.findall(r"^\| `python train\.py([^`]*)`", README, re.M))
def test_every_command_of_the_table_composes(command):
    import shlex

    from hydra import compose, initialize_config_dir
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from phalanx.runs.config import register_resolvers

    register_resolvers()
    words = [word for word in shlex.split(command) if not word.startswith("-")]
    plain = [o.input_line for o in OverridesParser.create().parse_overrides(words) if not o.is_sweep_override()]
    plain = [p for p in plain if not p.startswith(("hydra", "experiment="))]
    with initialize_config_dir(str(ROOT / "conf")):
        assert compose("config", plain)


def test_the_experiments_named_exist():
    for name in re.findall(r"experiment=(\w+)", README):
        assert (ROOT / "experiments" / name / "experiment" / f"{name}.yaml").is_file()


def test_links_to_files_lead_somewhere():
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", prose):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
