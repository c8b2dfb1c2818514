"""Kept texts of the part `runtime` are those that OmegaConf writes."""

import pytest
from omegaconf import OmegaConf

from hydra_plugins.phalanx._hydra_yaml import KEPT, RuntimeTexts

NEAR_FOLDING = [("/a " + "word " * 20)[:n].strip() for n in (58, 62, 66, 70)]  # YAML folds some if they are indented
FOLDERS = [
    "/out/1",
    "/out/ö",
    "1",
    "true",
    "/a: b",
    "it's # one",
    "two\nlines",
    "x" * 100,
    "a folder of " + "words " * 20,
]


def written(folder, choices):
    node = OmegaConf.create({"cwd": "/here", "output_dir": folder, "choices": choices})
    return node, OmegaConf.to_yaml({"hydra": {"runtime": node}})


@pytest.mark.parametrize("folder", FOLDERS + NEAR_FOLDING)
def test_jobs_of_one_kind_differ_in_their_folder(folder):
    texts = RuntimeTexts()
    for own in ("/out/0", folder, "/out/0", folder):
        for choices in ({"model": "mlp2"}, {"model": None}, {}):
            node, expected = written(own, choices)
            for kind in (repr(choices), None):
                assert "hydra:\n" + texts.text(node, kind) == expected


def test_no_more_texts_are_kept_than_said():
    texts = RuntimeTexts()
    for number in range(KEPT + 2):
        texts.text(written("/out", {"model": "mlp2"})[0], number)
    assert len(texts._known) == 2
