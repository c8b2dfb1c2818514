"""A grammar of command lines for `train.py`, of valid and of broken pieces: what `support.command_fuzzer` draws from."""

from __future__ import annotations

import random
from dataclasses import dataclass

TINY = [
    "data=clouds", "data.n_train=40", "data.n_val=20", "data.n_test=20", "model=mlp2", "model.width=4",
    "trainer.epochs=1", "tracking=none", "tracking.keep=0",
]  # fmt: skip
P = "hydra.sweeper."

# By key: values that are right, and values that are not.
VALUES: dict[str, tuple[list[str], list[str]]] = {
    "optimizer.lr": (["0.1", "1e-3", "${oc.decode:'0.1'}"], ["-1", "nan", "abc", "null", "[0.1]", "{a:1}", "''", "1e400", "${nope}"]),
    "optimizer.weight_decay": (["0", "0.001"], ["-1", "x", "${oc.env:NOPE}"]),
    "model.width": (["4", "6"], ["0", "-1", "1.5", "x", "1000000000000", "true"]),
    "model.hidden": (["[4]", "[4,6]", "[ 4 , 4 ]"], ["[]", "[0]", "4", "[a]", "[[4]]", "[1000000,1000000]", "extend_list(0)"]),
    "model.activation": (["relu", "tanh"], ["nope", "3", "null"]),
    "model.dropout": (["0", "0.5"], ["1", "2", "-0.1", "x"]),
    "trainer.batch_size": (["8", "16"], ["0", "-1", "x", "1e400"]),
    "trainer.patience": (["null", "3"], ["0", "1.5"]),
    "seed": (["0", "7"], ["-1", "null", "x", "1.5", "[1]"]),
    "objective": (["val_loss", "val_accuracy"], ["nope", "test_accuracy", "3", "[]", "null", "{a:1}"]),
    "loss": (["nll", "mse", "cross_entropy"], ["nope", "null", "3", "''"]),
    "optimizer": (["sgd", "adam", "adamw", "muon", "nadam", "rmsprop"], ["adma", "null", "{a:1}"]),
    "schedule": (["constant", "cosine"], ["nope"]),
    "device": (["cpu", "auto"], ["nope"]),
    "data.n_train": (["40", "50"], ["0", "-5", "x"]),
    "data.split_seed": (["0", "3"], ["-1", "x"]),
}  # fmt: skip
NUMBERS = ("optimizer.lr", "model.dropout", "optimizer.weight_decay")
WHOLE = ("model.width", "trainer.batch_size")
GROUPS = ("loss", "optimizer", "schedule")

SEARCH: dict[str, tuple[list[str], list[str]]] = {
    f"{P}n_jobs": (["1", "2", "3"], ["0", "x", "1.5"]),
    f"{P}study_name": (["s", "3", "'a b'", "ä"], ["[a]", "''", "../x", "'a?b'", "true", "{a:1}"]),
    f"{P}storage": (["null", "sqlite:///mine.db", "'sqlite:///:memory:'"], ["3", "nope", "sqlite:///no/such/x.db", "[a]", "journal://x.log"]),
    f"{P}repeats": (["1", "2"], ["0", "x", "true"]),
    f"{P}aggregate": (["mean"], ["nope", "3"]),
    f"{P}final": (["null", "{top: 1, seeds: 2}"], ["3", "{a: 1}", "{top: 0, seeds: 2}", "[a]"]),
    f"{P}enqueue": (["null", "[{optimizer.lr: 0.05}]"], ["3", "[3]", "[{nope: 1}]", "{a: 1}", "[{optimizer.lr: x}]"]),
    f"{P}warm_start": (["null", "[]"], ["nope", "{a: 1}", "[3]", "true"]),
    f"{P}conditions": (["null"], ["3", "{nope: 'loss=mse'}", "{optimizer.lr: x}", "{optimizer.lr: null}", "[a]"]),
    f"{P}custom_search_space": (["null"], ["no.where", "3", "os.path"]),
    f"{P}params": (["null", "{optimizer.lr: 'interval(0.01,0.1)'}", "{loss: 'nll,mse', seed: 3}"],
                   ["foo", "[a]", "3", "{optimizer.lr: 'choice()'}", "{1: 1}", "{'a b': 1}", "{nope: 1}", "{optimizer.lr: 'f('}"]),
    f"{P}timeout_s": (["null", "0", "60"], ["-1", "inf", "x"]),
    f"{P}target": (["null", "2"], ["nan", "x"]),
    f"{P}lease_s": (["60"], ["0", "inf", "nan", "x"]),
    f"{P}max_failure_rate": (["1.0", "0.5"], ["2", "x"]),
    f"{P}direction": (["null", "maximize"], ["up", "[maximize,minimize]", "{a: 1}"]),
    f"{P}on_mismatch": (["error", "new"], ["nope"]),
    "hydra/sweeper/sampler": (["tpe", "random", "qmc", "auto", "brute_force", "cmaes", "nsgaii"], ["nope", "null", "3"]),
    f"{P}sampler": ([], ["null", "3", "{a: 1}"]),
    f"{P}sampler._target_": ([], ["nope", "optuna.samplers.Nope", "os.system", "3", "optuna.samplers"]),
    f"+{P}sampler.speed": ([], ["1"]),
    f"{P}sampler.seed": (["1", "null"], ["x", "[1]"]),
    "hydra/sweeper/pruner": (["none", "median", "hyperband", "patient", "percentile", "successive_halving"], ["nope", "null"]),
    f"{P}pruner._target_": ([], ["nope", "optuna.pruners.Nope", "3"]),
    f"{P}nope": ([], ["3"]),
    f"+{P}nope": ([], ["3"]),
}  # fmt: skip
GRID: dict[str, tuple[list[str], list[str]]] = {
    f"{P}max_batch_size": (["null", "1", "5"], ["0", "-1", "x", "1.5", "true"]),
    f"{P}params": (["null", "{seed: '1,2'}", "{loss: mse}"], ["foo", "[a]", "{seed: 'range(0)'}", "{nope: 1}", "{loss: 'f('}"]),
    f"+{P}n_trials": ([], ["3"]),
    f"{P}_target_": ([], ["nope", "os.system"]),
    "hydra/launcher": (["cohort", "basic"], ["nope", "null"]),
    "hydra.launcher.executor": (["local"], ["nope", "3"]),
}  # fmt: skip
HYDRA: dict[str, tuple[list[str], list[str]]] = {
    "hydra.output_subdir": (["null", ".hydra", "h"], ["[a]"]),
    "hydra.verbose": (["true", "a", "[a,b]"], ["3", "[3]", "{a: 1}"]),
    "hydra.job.env_copy": (["[]", "[PATH]"], ["[NOPE]", "NOPE", "[3]"]),
    "hydra.job.name": (["x"], ["[a]"]),
    "hydra.job.chdir": (["false", "true"], ["x", "3"]),
    "hydra.run.dir": (["mine", "mine/a"], ["null", "[a]"]),
    "hydra.sweep.dir": (["mine", "mine/a"], ["null", "[a]"]),
    "hydra.sweep.subdir": (["${hydra.job.num}"], ["null", "[a]"]),
    "hydra.mode": ([], ["nope", "3"]),
    "hydra.nope": ([], ["1"]),
}  # fmt: skip
BROKEN = [
    "nope=1", "+nope=1", "optimizer.lrr=1", "~nope", "~optimizer", "~loss", "~model", "~data", "optimizer.lr", "=3", "a b=3",
    "optimizer.lr={a", "optimizer.lr=[1", "optimizer.lr=(", "model@x=mlp2", "+loss.a.b=1", "optimizer.lr.x=1", "seed=0=1,", "loss=[nll",
]  # fmt: skip
BROKEN_SWEEPS = [
    "loss=choice()", "seed=range(0)", "seed=range(3,0)", "optimizer.lr=range(0,1,0)", "seed=range(0,100000000000)",
    "optimizer.lr=interval(0.2,0.1)", "optimizer.lr=interval(a,b)", "optimizer.lr=tag(log,interval(0,1))", "optimizer.lr=interval(0.1,inf)",
    "optimizer.lr=tag(foo,interval(0.1,0.2))", "trainer.epochs=interval(1,2)", "loss=glob(zzz*)", "trainer.patience=choice(null,2)",
    "optimizer.lr=sort()", "optimizer.lr=shuffle(3", "loss=tag(log,choice(nll,mse))", "nope=1,2", "+nope=1,2", "objective=val_loss,val_accuracy",
    "hydra.job.name=a,b", "optimizer.lr=int(abc)", "loss=null,nll", "optimizer.lr=-1,-2", "loss=,nll",
]  # fmt: skip
ODD = "äß字🙂 \t'\"\\{}[](),:=@$%#;*?!|&<>~+\udcff\x7f0aZ"  # no "/" and no ".", which could lead out of the folder


@dataclass(frozen=True)
class Command:
    """A command line; it is broken if a piece of it is wrong wherever it stands."""

    kind: str  # run, grid or search
    arguments: tuple[str, ...]
    is_broken: bool


def command(draw: random.Random) -> Command:
    """Draws a command line: in one of six everything is right, in the others one piece or two are not."""
    kind = draw.choice(["run", "grid", "search"])
    n_broken = draw.choice([0, 1, 1, 1, 2, 2])
    used = draw.sample(sorted(VALUES), draw.randint(1, 3))
    pieces = [_valid(draw, key) for key in used]
    own = {"run": {}, "grid": GRID, "search": SEARCH}[kind]
    keys = [key for key in own if own[key][0]]
    pieces += [f"{key}={draw.choice(own[key][0])}" for key in draw.sample(keys, min(len(keys), draw.randint(0, 2)))]
    if draw.random() < 0.3:
        key = draw.choice([key for key in HYDRA if HYDRA[key][0]])
        pieces.append(f"{key}={draw.choice(HYDRA[key][0])}")
    if kind != "run":
        pieces += [_sweep(draw, kind) for _ in range(draw.randint(0 if kind == "search" else 1, 2))]
    pieces += [_broken(draw, kind, own) for _ in range(n_broken)]
    draw.shuffle(pieces)
    head = {"run": [], "grid": ["-m"], "search": ["-m", "hydra/sweeper=optuna", f"{P}n_trials={draw.randint(1, 3)}"]}
    is_noise = n_broken == 0 and draw.random() < 0.2
    if is_noise:
        pieces.insert(draw.randrange(len(pieces) + 1), _noise(draw))
    return Command(kind, (*head[kind], *TINY, *pieces), n_broken > 0 or is_noise)


def _valid(draw: random.Random, key: str) -> str:
    sign = draw.choice(["", "", "", "++"]) if key not in GROUPS and key not in ("device", "objective") else ""
    return f"{sign}{key}={draw.choice(VALUES[key][0])}"


def _sweep(draw: random.Random, kind: str) -> str:
    """Draws a sweep that is right."""
    key = draw.choice([*NUMBERS, *WHOLE, *GROUPS, *(["seed"] if kind == "grid" else ["model.hidden"])])
    if key == "seed":
        return draw.choice(
            ["seed=0,1", "seed=range(2)", "++seed=1,2", "seed=range(4,0,-2)", "seed=sort(2,1)", "seed=int(choice(1,2))"]
        )
    if key == "model.hidden":
        return draw.choice(["model.hidden=[4],[4,4]", "model.hidden=choice([4],[6])"])
    if key in GROUPS:
        first, second = draw.sample(VALUES[key][0][:2], 2)
        glob = {
            "loss": "loss=glob([nm]*,exclude=mse)",
            "optimizer": "optimizer=glob(ada*)",
            "schedule": "schedule=glob(co*)",
        }
        return draw.choice(
            [
                f"{key}={first},{second}",
                f"{key}=choice({first},{second})",
                f"{key}=shuffle({first},{second})",
                glob[key],
            ]
        )
    if key in WHOLE:
        forms = [
            "{}=4,6",
            "{}=choice(4,6)",
            "{}=range(4,8,2)",
            "{}=sort(6,4,reverse=true)",
            "{}=shuffle(4,6)",
            "{}=shuffle(range(4,6))",
            "++{}=4,6",
        ]
        return draw.choice(
            forms + ["{}=interval(4,8)", "{}=int(interval(4,8))", "{}=tag(log,interval(4,8))"] * (kind == "search")
        ).format(key)
    forms = [
        "{}=0.1,0.2",
        "{}=choice(0.1,0.2)",
        "{}=range(0.1,0.3,0.1)",
        "{}=sort(0.2,0.1)",
        "{}=float(choice(0.1,0.2))",
        "++{}=0.1,0.2",
    ]
    return draw.choice(forms + ["{}=interval(0.1,0.2)", "{}=tag(log,interval(0.01,0.1))"] * (kind == "search")).format(
        key
    )


def _broken(draw: random.Random, kind: str, own: dict[str, tuple[list[str], list[str]]]) -> str:
    """Draws a piece that is wrong."""
    tables = [VALUES, HYDRA, *([own] if own else [])]
    lists = [BROKEN] + (
        [BROKEN_SWEEPS] if kind != "run" else [["seed=0,1", "optimizer.lr=interval(0.1,0.2)", "loss=choice(nll,mse)"]]
    )
    chosen = draw.choice([*tables, *lists])
    if isinstance(chosen, list):
        return draw.choice(chosen)
    key = draw.choice([key for key in chosen if chosen[key][1]])
    return f"{key}={draw.choice(chosen[key][1])}"


def _noise(draw: random.Random) -> str:
    """Draws an override whose key or value is any text."""
    text = "".join(draw.choices(ODD, k=draw.randint(1, 8)))
    return draw.choice([f"optimizer.lr={text}", f"loss={text}", f"{text}=1", f"a{text}", f"+x={text},{text}"]).replace(
        "\0", ""
    )
