"""The generated parts of the documentation site: every config key is there, and a new one would be."""

from __future__ import annotations

import shutil
import types

import config_keys
import pytest
from omegaconf import DictConfig, OmegaConf
from support.places import ROOT

from phalanx import DATASETS, LOSSES, MODELS, OPTIMIZERS, SCHEDULES, DeviceSpec, TrainerSpec, TrialSpec
from phalanx.core.specs import keys_of

CONF = ROOT / "conf"
FILES = [f for f in sorted(CONF.rglob("*.yaml")) if f.parent.name not in config_keys.SKIPPED]
PAGE = config_keys.page(ROOT)


def keys(node: DictConfig, prefix: str = "") -> list[str]:
    found = []
    for key in node:
        value = OmegaConf.to_container(node, resolve=False)[key]
        nested = isinstance(value, dict) and value
        found += keys(node[key], f"{prefix}{key}.") if nested else [f"{prefix}{key}"]
    return found


def row(page: str, section: str, key: str) -> list[str]:
    """The cells of a key's row in the part of the page under a heading."""
    part = page.split(f"\n{section}\n")[1].split("\n## ")[0].split("\n### ")[0]
    (line,) = [line for line in part.splitlines() if line.startswith(f"| `{key}` |")]
    return [cell.strip() for cell in line.replace("\\|", "¦").strip("|").split("|")]


def section(file) -> tuple[str, str]:
    """The heading of a file's keys and what stands before each of them."""
    if file.parent == CONF:
        return "## The main config", ""
    group = file.parent.relative_to(CONF).as_posix()
    prefix = {"hydra/launcher": "hydra.launcher", "hydra/sweeper": "hydra.sweeper"}.get(group, group.replace("/", "."))
    return f"### {group}={file.stem}", "" if group == "debug" else f"{prefix}."


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(CONF)))
def test_every_key_of_every_file_has_a_row(file):
    heading, prefix = section(file)
    for key in keys(OmegaConf.load(file)):
        if not key.startswith("defaults"):
            assert len(row(PAGE, heading, f"{prefix}{key}")) == 5


@pytest.mark.parametrize(
    ("group", "options"),
    [("data", DATASETS), ("model", MODELS), ("loss", LOSSES), ("optimizer", OPTIMIZERS), ("schedule", SCHEDULES),
     ("trainer", {"default": TrainerSpec}), ("device", {"auto": DeviceSpec})],
    ids=lambda x: x if isinstance(x, str) else "",
)  # fmt: skip
def test_every_field_of_every_spec_has_its_range(group, options):
    for name, cls in options.items():
        option = "mlp3" if name == "mlp" else name
        for field in keys_of(cls):
            _, _, allowed, cohort, meaning = row(PAGE, f"### {group}={option}", f"{group}.{field.name}")
            assert allowed, field.name
            assert cohort in ("equal", "may differ"), field.name
            assert meaning, field.name


def test_ranges_and_cohorts_are_those_of_the_classes():
    assert row(PAGE, "### optimizer=sgd", "optimizer.momentum")[2:4] == ["number in [0, 1)", "may differ"]
    assert row(PAGE, "### optimizer=sgd", "optimizer.nesterov")[2:4] == ["true or false", "equal"]
    assert row(PAGE, "### trainer=default", "trainer.batch_size")[2:4] == ["whole number ≥ 1 or `null`", "equal"]
    assert row(PAGE, "### trainer=default", "trainer.keep")[2] == "`best`, `last`"
    assert row(PAGE, "### loss=mse", "loss.output")[2:4] == ["`logits`, `softmax`, `log_softmax`", "may differ"]
    assert row(PAGE, "### model=mlp3", "model.hidden")[2:4] == ["list of whole numbers ≥ 1", "may differ"]
    assert row(PAGE, "### hydra/launcher=cohort", "hydra.launcher.submitit.timeout_min")[2] == "whole number ≥ 1"
    assert row(PAGE, "## The main config", "seed")[1:4] == ["`0`", "whole number ≥ 0", "may differ"]
    assert TrialSpec().seed == 0


def test_a_new_option_and_a_new_key_appear(tmp_path):
    shutil.copytree(CONF, tmp_path / "conf")
    shutil.copytree(ROOT / "src" / "phalanx", tmp_path / "src" / "phalanx")
    (tmp_path / "src" / "phalanx" / "focal.py").write_text(
        "class Focal(LossSpec):\n    name: ClassVar[str] = 'focal'\n    gamma: float = static(2.0, ge=0, le=5)\n"
    )
    (tmp_path / "conf" / "loss" / "focal.yaml").write_text(
        "# python train.py loss=focal\n# Ignores what is easy.\nname: focal\ngamma: 2.0 # how much\n                    # of it\n"
    )
    trainer = tmp_path / "conf" / "trainer" / "default.yaml"
    trainer.write_text(trainer.read_text() + "ema: 0.999 # decay of the mean of the weights, a | b\n")
    page = config_keys.page(tmp_path)
    assert row(page, "### loss=focal", "loss.gamma") == [
        "`loss.gamma`", "`2.0`", "number in [0, 5]", "may differ", "how much"
    ]  # fmt: skip
    assert "Ignores what is easy." in page
    assert row(page, "### trainer=default", "trainer.ema")[4] == "decay of the mean of the weights, a ¦ b"


def test_a_comment_goes_on_in_the_same_column():
    (key,) = config_keys.read_keys("a: 1 # first\n     # second\n# not this\n")
    assert (key.path, key.default, key.meaning) == (("a",), "1", "first second")


def test_the_site_must_not_ask_other_hosts(tmp_path):
    pytest.importorskip("mkdocs", reason="MkDocs is not installed; type: pip install -e '.[docs]'")
    import hooks
    from mkdocs.exceptions import PluginError

    site = types.SimpleNamespace(site_dir=str(tmp_path))
    (tmp_path / "good.html").write_text('<a href="https://optuna.org">x</a><script src="a.js"></script>')
    (tmp_path / "good.css").write_text("a { background: url(data:image/png) }")
    hooks.on_post_build(site)
    for name, text in {
        "font.html": '<link rel="stylesheet" href="https://fonts.example/css">',
        "script.html": "<script async src=//cdn.example/x.js></script>",
        "image.html": '<img alt="x" src="http://example/x.png">',
        "style.css": "@font-face { src: url('https://fonts.example/x.woff') }",
    }.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(PluginError, match=name):
            hooks.on_post_build(site)
        (tmp_path / name).unlink()


def test_links_of_pages_from_elsewhere_lead_to_pages_of_the_site():
    pytest.importorskip("mkdocs", reason="MkDocs is not installed; type: pip install -e '.[docs]'")
    import hooks

    text = (
        "[a](../small_mnist/README.md) ![b](curves.png) [c](../../docs/results.md#x) [d](measure.py) [e](https://x.y)"
    )
    assert hooks.relink(text, "experiments/mnist_dropout/README.md", "studies/mnist_dropout.md") == (
        "[a](small_mnist.md) ![b](mnist_dropout/curves.png) [c](../results.md#x) d [e](https://x.y)"
    )
    text = "```\n[a](docs/train.md)\n```\n[a](docs/train.md)"
    assert hooks.relink(text, "README.md", "index.md") == "```\n[a](docs/train.md)\n```\n[a](train.md)"


def test_the_exported_names_are_documented():
    pytest.importorskip("mkdocs", reason="MkDocs is not installed; type: pip install -e '.[docs]'")
    import hooks

    import phalanx

    assert set(hooks.public_names()) == set(phalanx.__all__)
    assert all(name in hooks.api_page() for name in phalanx.__all__)
