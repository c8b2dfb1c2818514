"""Command lines that are refused before Hydra reads them, and what they advise."""

from __future__ import annotations

import re
import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from hydra_plugins.phalanx._arguments import check_arguments, overrides_in
from phalanx.core.errors import Fault, SpecError, pasted

ENVIRONMENT = {"HOME": "/home/me"}
M = "-m"

# The command line, what is said of it, and what is to be typed instead.
WRONG = {
    "an interval in a single run": (
        ["optimizer.lr=interval(0.1,0.2)"], "is a range to search",
        ["-m", "hydra/sweeper=optuna", "optimizer.lr=interval(0.1,0.2)"],
    ),
    "values in a single run": (["loss=choice(nll,mse)"], "has several values", ["-m", "loss=choice(nll,mse)"]),
    "a pattern of files without quotes": (["data.path=glob(a/*.csv)"], "in quotes alone", ["data.path='glob(a/*.csv)'"]),
    "a pattern of files in a sweep": ([M, "+data.test_path=glob(a b/*)"], "in quotes alone", ["+data.test_path='glob(a b/*)'"]),
    "a list of values in a single run": (["optimizer.lr=0.1,0.2"], "has several values", ["-m", "optimizer.lr=0.1,0.2"]),
    "a choice with null": ([M, "trainer.patience=choice(null,2)"], "takes no null", ["trainer.patience=null,2"]),
    "an empty choice": ([M, "loss=choice()"], "has no values", ["loss=choice(VALUE,VALUE)"]),
    "braces without quotes": (
        [M, "hydra.sweeper.final={top:", "3,", "seeds:", "10}"], "was split by the shell",
        ["hydra.sweeper.final={top: 3, seeds: 10}"],
    ),
    "keys in quotes": (
        [M, "hydra.sweeper.params={'optimizer.lr': 1}"], "take no quotes", ["hydra.sweeper.params={optimizer.lr: 1}"],
    ),
    "what is not closed": (["loss=(a"], "cannot be read", ["loss='(a'"]),
    "a word": (["loss"], "'loss' is not of the form key=value", None),
    "no key": (["=3"], "'=3' is not of the form key=value", None),
    "several values for a key of hydra": ([M, "hydra.job.name=a,b"], "is the same for all trials", None),
    "a number for verbose": (["hydra.verbose=3"], "hydra.verbose must be true, false", ["hydra.verbose=true"]),
    "a list of numbers for verbose": (["hydra.verbose=[3]"], "hydra.verbose must be", ["hydra.verbose=true"]),
    "a variable that is not set": (
        ["hydra.job.env_copy=[HOME,NOPE]"], "that are set, and NOPE is not", ["hydra.job.env_copy=[HOME]"],
    ),
    "a variable that is no list": (["hydra.job.env_copy=HOME"], "must be a list of names", ["hydra.job.env_copy=[PATH]"]),
    "brackets without end": (["loss=" + "(" * 3000], "cannot be read", ["loss='" + "(" * 3000 + "'"]),
}  # fmt: skip


@pytest.mark.parametrize("case", list(WRONG))
def test_what_is_refused_names_the_override_and_what_to_type(case):
    arguments, words, advice = WRONG[case]
    with pytest.raises(SpecError) as caught:
        check_arguments(arguments, ENVIRONMENT)
    (fault,) = caught.value.faults
    assert words in str(fault)
    if advice is not None:
        assert typed(str(fault)) == advice
        check_arguments(["-m", *advice], {**ENVIRONMENT, "PATH": "/bin"})


def typed(message: str) -> list[str]:
    """What the message says is to be typed, as a shell passes it on."""
    (text,) = re.findall(r"; (?:[\w ]+ )?try (.*?)(?: with values of your own)?$", message)
    return shlex.split(text)


def test_all_wrong_overrides_are_named_at_once():
    with pytest.raises(SpecError, match="3 faults"):
        check_arguments(["loss=choice()", "hydra.verbose=3", "=1"], ENVIRONMENT)


@pytest.mark.parametrize(
    "arguments",
    [
        ["loss=mse", "model.hidden=[8,8]", "~seed", "+x={a: 1}", "++y='a b'"],
        ["-m", "loss=mse,nll", "optimizer.lr=interval(0,1)", "seed=range(3)"],
        ["hydra.mode=MULTIRUN", "loss=mse,nll"],
        ["hydra.verbose=true", "hydra.job.env_copy=[HOME]", "hydra.verbose=[a,b]"],
        ["--config-dir", "a folder (1)", "--cfg", "job", "loss=mse"],
        ["from_run=outputs/a folder (1)", "resume=[x"],
        ["--help", "loss=choice()"],
    ],
)
def test_what_hydra_takes_is_left_to_it(arguments):
    check_arguments(arguments, ENVIRONMENT)


def test_options_and_their_values_are_no_overrides():
    assert overrides_in(["-m", "--config-dir", "x", "a=1", "-cn", "name", "b=2", "--cfg=job"]) == ["a=1", "b=2"]


@pytest.mark.parametrize(
    "argument",
    [
        "seed=0",
        "model.hidden=[64,64]",
        "a={b: 1}",
        "a={b: 'x=y'}",
        "a=$HOME",
        "a='`x`'",
        'a="b"',
        "a=(b)",
        "a=*",
        "a='\"$b\"'",
    ],
)
def test_advice_is_what_a_shell_passes_on(argument):
    assert shlex.split(pasted(argument)) == [argument]
    assert shlex.split(str(Fault("a", 1, "another", argument)).partition("; try ")[2]) == [argument]


def test_advice_stays_readable():
    assert pasted("model.hidden=[64,64]") == "'model.hidden=[64,64]'"  # which zsh takes for a pattern without quotes
    assert pasted("model.width=64") == "model.width=64"
    assert pasted("a={b: 'c'}") == "\"a={b: 'c'}\""
    assert pasted("a=\udcff") == "$'a=\\xff'"  # a byte that is no UTF-8
    assert (
        pasted("a=\ud800") == "$'a=\\xed\\xa0\\x80'"
    )  # half of a pair, which no shell passes, but a file of Python may
    OverridesParser.create().parse_override("a={b: 'c'}")
