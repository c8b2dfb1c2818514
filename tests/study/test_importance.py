"""Importances without scikit-learn, whose import takes a second; Optuna's module stays whole for everybody else."""

import subprocess
import sys

CODE = """
import sys
from phalanx.study import importances
points = [{"a": i / 40, "b": "xy"[i % 2]} for i in range(40)]
values = [(i / 40 - 0.3) ** 2 + i % 2 for i in range(40)]
alone = importances(points, values, "minimize", {})
assert "sklearn" not in sys.modules
import optuna
optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
study.optimize(lambda trial: trial.suggest_float("x", 0, 1) + trial.suggest_float("y", 0, 2), n_trials=20)
found = optuna.importance.get_param_importances(study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0))
assert set(found) == {"x", "y"} and "sklearn" in sys.modules
from optuna.importance import get_param_importances
assert get_param_importances is optuna.importance.get_param_importances
import phalanx.study.importance as own
own._module.cache_clear()
assert own._module() is sys.modules["optuna.importance"]
assert importances(points, values, "minimize", {}) == alone
print("done")
"""


def test_importances_leave_scikit_learn_alone_and_optuna_whole():
    ended = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert ended.stdout == "done\n", ended.stderr
