"""What is killed at a random moment goes on to the same bits: a few kills of `make kills`."""

from __future__ import annotations

import random

import pytest
from support.kills import KINDS, Reference, kill_once

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return Reference(tmp_path_factory.mktemp("reference"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_that_is_killed_loses_nothing(kind, reference, tmp_path):
    seed = random.randrange(10**6)
    print("seed", seed)
    kill_once(kind, reference, tmp_path, random.Random(seed))
