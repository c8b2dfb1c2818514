"""What `train.py` says of a wrong request, and that what it advises works when it is typed."""

from __future__ import annotations

import re
import shlex

import pytest
from support.forked import train

pytestmark = pytest.mark.slow

TINY = [
    "data=clouds", "data.n_train=40", "data.n_val=20", "data.n_test=20", "tracking=none", "tracking.keep=0", "trainer.epochs=1",
]  # fmt: skip
P = "hydra.sweeper."
GRID = ["-m", "seed=0,1"]
SEARCH = ["-m", "hydra/sweeper=optuna", f"{P}n_trials=1", f"{P}study_name=s"]
LR = "optimizer.lr=interval(0.01,0.1)"

WRONG = {
    "an interval in a single run": (["optimizer.lr=interval(0.01,0.1)"], "is a range to search"),
    "values in a single run": (["loss=choice(nll,mse)"], "has several values"),
    "an interval in a grid": (["-m", "model.width=int(interval(4,5))"], "a grid needs values"),
    "a range that is the wrong way round": (["-m", "seed=range(3,0)"], "seed=range(3,0) has no values"),
    "a range without an end to its steps": (["-m", "seed=range(0,3,0)"], "seed=range(0,3,0) has no values"),
    "a pattern of no option": (["-m", "loss=glob(zzz*)"], "loss=glob(zzz*) has no values"),
    "an empty range in a search": ([*SEARCH, "model.width=range(8,8)"], "model.width=range(8,8) cannot be searched"),
    "a choice with null": ([*SEARCH, "trainer.patience=choice(null,2)"], "takes no null"),
    "an unknown tag": ([*SEARCH, "optimizer.lr=tag(foo,interval(0.01,0.1))"], "foo has no meaning here"),
    "a tag of a choice": ([*SEARCH, "loss=tag(log,choice(nll,mse))"], "log has no meaning here"),
    "an option of a pruner": (
        [*SEARCH, "hydra/sweeper/pruner=hyperband", f"{P}pruner.reduction_factor=1"], "got hydra.sweeper.pruner.reduction_factor=1",
    ),
    "text for a number of a pruner": (
        [*SEARCH, "hydra/sweeper/pruner=median", f"{P}pruner.n_startup_trials=x"], "got hydra.sweeper.pruner.n_startup_trials=x",
    ),
    "a pruner that needs an option": ([*SEARCH, "hydra/sweeper/pruner=threshold"], "pruner cannot be made"),
    "an unknown sampler": ([*SEARCH, f"{P}sampler._target_=optuna.samplers.Nope"], "sampler cannot be made"),
    "no sampler": ([*SEARCH, f"{P}sampler=null"], "hydra.sweeper.sampler must be an option of hydra/sweeper/sampler"),
    "a grid of too many points": (
        [*SEARCH, "optimizer.lr=range(0.1,1,0.0000001)", "hydra/sweeper/sampler=grid"], "points of at most 100,000",
    ),
    "a number as storage": ([*SEARCH, f"{P}storage=3"], "storage must be text or null"),
    "a storage that is no URL": ([*SEARCH, f"{P}storage=nope"], "storage must be null or a URL"),
    "a word as params": ([*SEARCH, f"{P}params=foo"], "params must be a mapping"),
    "an endless lease": ([*SEARCH, f"{P}lease_s=inf"], "lease_s must be a number above 0"),
    "a list as a name": ([*SEARCH, f"{P}study_name=[a]"], "study_name must be text"),
    "a number as final": ([*SEARCH, f"{P}final=3"], "final must be a mapping"),
    "a number as conditions": ([*SEARCH, f"{P}conditions=3"], "conditions must be a mapping"),
    "a condition that never holds": (
        [*SEARCH, LR, "model.hidden=choice([4],[4,4])", f"{P}conditions={{optimizer.lr: 'model.hidden=[8,8]'}}"],
        "model.hidden is never [8,8]; it is one of [4], [4,4]",
    ),
    "a condition without quotes": (
        [*SEARCH, "optimizer=choice(sgd,adam)", "optimizer.momentum=choice(0,0.9)",
         f"{P}conditions={{optimizer.momentum: optimizer=sgd}}"], "text with = in braces takes quotes",
    ),
    "two conditions without quotes": (
        [*SEARCH, "optimizer=choice(sgd,adam)", "optimizer.momentum=choice(0,0.9)", "model=choice(mlp2,mlp3)", LR,
         f"{P}conditions={{optimizer.momentum: optimizer=sgd,optimizer.lr:model=mlp2,mlp3}}"],
        "text with = in braces takes quotes",
    ),
    "a misspelt sampler": ([*SEARCH, "hydra/sweeper/sampler=randon"], "(did you mean random?)"),
    "a word as enqueue": ([*SEARCH, f"{P}enqueue=foo"], "enqueue must be"),
    "true as warm_start": ([*SEARCH, f"{P}warm_start=true"], "warm_start must be"),
    "a number as the storage of a warm start": ([*SEARCH, f"{P}warm_start={{study_name: x, storage: 3}}"], "warm_start must be"),
    "a mapping as direction": ([*SEARCH, f"{P}direction={{a: 1}}"], "direction must be minimize or maximize"),
    "no time": ([*SEARCH, f"{P}timeout_s=0"], "no trial of s was trained"),
    "a size of batches": ([*GRID, f"{P}max_batch_size=abc"], "max_batch_size must be"),
    "a word as params of a grid": ([*GRID, f"{P}params=foo"], "params must be a mapping"),
    "a key of a search in a grid": (["-m", "loss=nll,mse", f"+{P}n_trials=1"], "n_trials is not a key of a grid"),
    "an unknown sweeper": ([*GRID, f"{P}_target_=nope"], "hydra.sweeper._target_ must be a sweeper of Hydra"),
    "a number for verbose": (["hydra.verbose=3"], "hydra.verbose must be"),
    "a variable that is not set": (["hydra.job.env_copy=[NOPE]"], "that are set, and NOPE is not"),
    "a group that is deleted": (["~optimizer"], "optimizer is missing"),
    "an option that is not there": (["loss=ms"], "loss=ms names no option (did you mean mse"),
    "+ before a group": (["+loss=mse"], "+loss=mse adds loss, which the configuration has"),
    "+ before a key": (["+trainer.epochs=1"], "+trainer.epochs=1 adds trainer.epochs, which"),
    "++ before a group": (["++loss=mse"], "loss=mse chooses an option"),
    "a network too large for memory": (["model.hidden=[1000000,1000000]"], "parameters here, which need at least"),
    "a network too large for memory, in a grid": ([*GRID, "model.hidden=[1000000,1000000]"], "parameters here, which need at least"),
    "an objective that is none": (["objective=nope"], "objective must be"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(WRONG))
def test_a_wrong_request_is_refused_and_what_it_advises_works(case, tmp_path):
    arguments, words = WRONG[case]
    status = 1 if "timeout_s=0" in arguments[-1] else 2
    refused = train(*TINY, *arguments, cwd=tmp_path, check=status)
    assert words in refused.stderr
    if status == 2:
        assert not list(tmp_path.iterdir())
    advice = typed(refused.stderr)
    assert advice, refused.stderr
    taken_out = {key_of(text) for text in advice}
    kept = [text for text in arguments if not any(is_part(key_of(text), key) for key in taken_out)]
    if f"+{P}n_trials=1" in kept:  # "without the +"
        kept = [text.lstrip("+") for text in kept]
    done = train(*TINY, *kept, *advice, cwd=tmp_path)
    assert done.returncode == 0, f"{advice}: {done.stdout}{done.stderr}"


def typed(message: str) -> list[str]:
    """What a message says is to be typed, as a shell passes it on."""
    (text, *_) = re.findall(r"\btry (.*)", message)
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    found: list[str] = []
    for token in lexer:
        if token != "-m" and "=" not in token:
            break
        found.append(token.rstrip(",;"))
        if token.endswith((",", ";")):
            break
    return found


def key_of(argument: str) -> str:
    return argument.lstrip("+~").partition("=")[0].replace("/", ".")


def is_part(key: str, of: str) -> bool:
    """Whether what is typed for `of` takes the place of an argument with that key."""
    if of == "hydra.sweeper":
        return key in (of, "hydra.sweeper._target_")
    return key == of or key.startswith(f"{of}.")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([*SEARCH, "hydra/sweeper/sampler=motp"], "nsgaiii, qmc, random, tpe; try hydra/sweeper/sampler=tpe"),
        (["loss=null"], "loss=null names no option; python train.py --help"),
        (
            ["optimizer.lrr=1"],
            "optimizer.lrr is not a key of the configuration (did you mean optimizer.lr?); type --cfg job",
        ),
        ([*SEARCH, LR, f"+{P}sampler.speed=1"], "leave out hydra.sweeper.sampler.speed=1"),
        (
            ["optimizer.lr=${oc.env:NOPE}"],
            "optimizer.lr: the environment variable NOPE is not set; first type export NOPE=",
        ),
        ([*SEARCH, f"{P}params={{optimizer.lr: 'f('}}"], "hydra.sweeper.params: optimizer.lr=f( cannot be read"),
        ([*SEARCH, "~optimizer"], "since ~optimizer deletes its group; leave out ~optimizer"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_other_words_of_hydra_are_ours(arguments, words, tmp_path):
    refused = train(*TINY, *arguments, cwd=tmp_path, check=2)
    assert words in refused.stderr
    for other in ("motpe", "full_key", "object_type", "out of ['", "To append", "https://"):
        assert other not in refused.stderr
    assert not list(tmp_path.iterdir())


def test_all_misspelt_keys_and_options_are_named_at_once_and_wrong_values_too(tmp_path):
    wrong = [
        "trainer.epoch=3", "optimizr.lr=2", "loss=ms,nll", "model=mlp9", "hydra.swep.dir=x", "data.n_train=many",
        "optimizer=sgd", "optimizer.beta1=x",
    ]  # fmt: skip
    refused = train(*TINY, "-m", *wrong, cwd=tmp_path, check=2)
    named = re.findall(r"^  - ([\w.=]+) ", refused.stderr, re.MULTILINE)
    keys = {"trainer.epoch", "optimizr", "loss=ms", "model=mlp9", "hydra.swep", "data.n_train", "optimizer.beta1"}
    assert set(named) == keys
    assert len(named) == len(keys)
    assert not list(tmp_path.iterdir())
