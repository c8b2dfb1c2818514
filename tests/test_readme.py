"""What README.md and the pages of docs/ show works: Python examples run, commands compose, links and figures hold."""

from __future__ import annotations

import dataclasses
import importlib
import re
import shlex

import pytest
from support.places import ROOT

README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
COMMANDS = (ROOT / "docs" / "commands.md").read_text()
GENERATED = ("config.md", "api.md")  # docs/hooks.py makes them when the site is built


def examples(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), re.S)


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150


def test_the_python_example_runs(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = examples("getting-started.md")
    names: dict[str, object] = {}
    exec(compile(code, "getting-started.md", "exec"), names)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 24
    assert float(lines[0]) > 0.93
    assert all(float(line.split()[-1]) > 0.9 for line in lines[1:])


@pytest.mark.parametrize(("page", "made"), [("resume.md", "results"), ("search.md", "ending")])
def test_the_python_examples_of_the_tasks_run(page, made, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (code,) = examples(page)
    names: dict[str, object] = {}
    exec(compile(code, page, "exec"), names)
    assert names[made]


def test_the_example_of_a_new_loss_trains(monkeypatch, tmp_path):
    from omegaconf import OmegaConf

    from phalanx import TrialSpec, load_dataset, train_trial

    page = (ROOT / "docs" / "extend.md").read_text()
    (source,) = [block for block in examples("extend.md") if "class Focal(" in block]
    (tmp_path / "focal.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    loss = importlib.import_module("focal").Focal()
    (text,) = [block for block in re.findall(r"```yaml\n(.*?)```", page, re.S) if "name: focal" in block]
    defaults = OmegaConf.to_container(OmegaConf.create(text))
    fields = {field.name for field in dataclasses.fields(loss)}
    assert fields | {"name", "default_lr"} == set(defaults)
    assert {name: getattr(loss, name) for name in fields} == {name: defaults[name] for name in fields}
    spec = TrialSpec(loss=loss)
    assert train_trial(spec, load_dataset(spec.data)).metrics.val_accuracy > 0.93


@pytest.mark.parametrize("command", re.findall(r"^\| `python train\.py([^`]*)`", COMMANDS, re.M))
def test_every_command_of_the_table_composes(command):
    from hydra import compose, initialize_config_dir
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from phalanx.runs.config import register_resolvers

    register_resolvers()
    words = [word for word in shlex.split(command) if not word.startswith("-")]
    plain = [o.input_line for o in OverridesParser.create().parse_overrides(words) if not o.is_sweep_override()]
    plain = [p for p in plain if not p.startswith(("hydra", "experiment="))]
    with initialize_config_dir(str(ROOT / "conf")):
        assert compose("config", plain)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_experiments_named_exist(page):
    for name in set(re.findall(r"experiment=(\w+)", page.read_text())) - {"NAME", "my_study"}:
        assert (ROOT / "experiments" / name / "experiment" / f"{name}.yaml").is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page):
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    for target in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", prose):
        if page.parent.name != "docs" or target not in GENERATED:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page):
    named = re.findall(r"(?<![\w/])((?:tests|benchmarks|conf|src)/[\w/]+\.(?:py|yaml|sh|json))", page.read_text())
    missing = [name for name in named if not (ROOT / name).exists() and not re.search("NAME|focal|conv_net", name)]
    assert missing == []


def test_the_figures_of_the_readme_are_those_of_the_pages_with_all_of_them():
    table = README.split("## Results")[1].split("## ")[0]
    everything = "".join((ROOT / "docs" / name).read_text() for name in ("results.md", "studies.md"))
    everything += (ROOT / "benchmarks" / "README.md").read_text()
    figures = re.findall(r"\d+\.\d+(?: ± \d+\.\d+| \[[\d., ]+\])?", table)
    assert len(figures) > 6
    assert [figure for figure in figures if figure not in everything] == []


def test_extras_are_installed_from_the_checkout():
    """The package is in no registry, so `pip install 'phalanx[ray]'` would install something else, or nothing."""
    texts = [*PAGES, *(ROOT / "conf").rglob("*.yaml"), *(ROOT / "experiments").rglob("*.md")]
    assert [text.name for text in texts if re.search(r"install\s+'?phalanx", text.read_text())] == []
