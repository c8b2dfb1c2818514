"""A study is opened by name, and refused if it was started otherwise."""

from __future__ import annotations

import optuna
import pytest
from optuna.distributions import distribution_to_json
from support.studies import (
    SMALL,
    study_at,
)

from phalanx.core.errors import RequestError
from phalanx.study import (
    check_fingerprint,
    differences,
    open_study,
)

FIRST = {"space x": distribution_to_json(SMALL["x"]), "trainer.epochs": 20}


@pytest.mark.parametrize(
    ("later", "directions", "named"),
    [
        ({**FIRST, "trainer.epochs": 30}, ["minimize"], ["trainer.epochs: 20 then, 30 now"]),
        ({**FIRST, "space x": "other", "new": 1}, ["minimize"], ["space x: ", "new: None then, 1 now"]),
        ({"trainer.epochs": 20}, ["minimize"], ["space x: "]),
        (FIRST, ["maximize"], ["directions: ['minimize'] then, ['maximize'] now"]),
        (FIRST, ["minimize", "minimize"], ["directions: "]),
    ],
)
def test_a_study_that_was_started_otherwise_is_refused_by_name(later, directions, named, tmp_path):
    check_fingerprint(study_at(tmp_path), FIRST, ["minimize"])
    check_fingerprint(study_at(tmp_path), FIRST, ["minimize"])  # the same again goes on
    with pytest.raises(RequestError) as caught:
        check_fingerprint(study_at(tmp_path), later, directions)
    for text in (*named, "hydra.sweeper.study_name"):
        assert text in str(caught.value)
    check_fingerprint(study_at(tmp_path), FIRST, ["minimize"])  # the refusal changed nothing


def test_a_pruner_with_several_objectives_is_refused():
    with pytest.raises(RequestError, match="pruner must be none with several objectives, got MedianPruner"):
        open_study("m", None, ["minimize", "maximize"], None, optuna.pruners.MedianPruner())


def test_a_difference_in_the_space_is_told_without_json():
    study = optuna.create_study()
    differences(study, {"space x": distribution_to_json(SMALL["x"])}, ["minimize"])
    (line,) = differences(study, {"space y": distribution_to_json(SMALL["x"])}, ["minimize"])[:1]
    assert line == f"space x: {SMALL['x']} then, None now"
