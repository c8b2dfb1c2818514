"""A few command lines of `make fuzz`."""

from __future__ import annotations

import random

import pytest
from support.command_fuzzer import fuzz
from support.command_grammar import command

N_COMMANDS = 12


@pytest.mark.slow
def test_no_command_line_ends_with_a_traceback_a_wrong_status_or_records_that_disagree():
    found: list[str] = []
    counts = fuzz(N_COMMANDS, random.Random(1), found.append)
    assert found == []  # of so few commands, no line says how far it is
    assert sum(counts.values()) == N_COMMANDS


def test_the_grammar_draws_commands_of_every_kind():
    draw = random.Random(0)
    drawn = [command(draw) for _ in range(2000)]
    assert {(one.kind, one.is_broken) for one in drawn} == {
        (kind, broken) for kind in ("run", "grid", "search") for broken in (True, False)
    }
    texts = {text for one in drawn for text in one.arguments}
    for word in (
        "choice(",
        "range(",
        "interval(",
        "glob(",
        "sort(",
        "shuffle(",
        "tag(",
        "++",
        "~",
        "hydra.job.env_copy",
        "\udcff",
    ):
        assert any(word in text for text in texts), ascii(word)
