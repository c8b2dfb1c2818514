"""Classifiers for tables that are not of this project, each fitted by one function, for `tables_side_by_side.py`.

A function takes the rows for training and those for validation, each as features and classes, and returns what gives
the probabilities of classes of new rows. Without a word of its own it fits both together, and uses one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Rows = tuple[np.ndarray, np.ndarray]
Predict = Callable[[np.ndarray], np.ndarray]


def _fitted(model: Any, train: Rows, val: Rows) -> Predict:
    return model.fit(*(np.concatenate(pair) for pair in zip(train, val, strict=True))).predict_proba


def logistic_regression(train: Rows, val: Rows) -> Predict:
    from sklearn.linear_model import LogisticRegression

    return _fitted(LogisticRegression(max_iter=1000), train, val)


def nearest_neighbours(train: Rows, val: Rows) -> Predict:
    from sklearn.neighbors import KNeighborsClassifier

    return _fitted(KNeighborsClassifier(n_jobs=1), train, val)


def random_forest(train: Rows, val: Rows) -> Predict:
    from sklearn.ensemble import RandomForestClassifier

    return _fitted(RandomForestClassifier(random_state=0, n_jobs=1), train, val)


def hist_gradient_boosting(train: Rows, val: Rows) -> Predict:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return _fitted(HistGradientBoostingClassifier(random_state=0), train, val)


def sklearn_mlp(train: Rows, val: Rows) -> Predict:
    from sklearn.neural_network import MLPClassifier

    return _fitted(MLPClassifier(random_state=0), train, val)


def _lightgbm(**options: Any) -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(random_state=0, n_jobs=1, verbose=-1, **options)


def lightgbm(train: Rows, val: Rows) -> Predict:
    return _fitted(_lightgbm(), train, val)


def lightgbm_tuned(train: Rows, val: Rows) -> Predict:
    """20 trials of TPE on the validation rows, each stopped early; the best one is fitted again on all rows."""
    import optuna
    from lightgbm import early_stopping

    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def loss(trial: optuna.Trial) -> float:
        options = {
            "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
            "num_leaves": trial.suggest_int("num_leaves", 4, 128, log=True),
            "min_child_samples": trial.suggest_int("min_child_samples", 2, 100, log=True),
            "colsample_bytree": trial.suggest_float("colsample_bytree", 0.4, 1.0),
            "reg_lambda": trial.suggest_float("reg_lambda", 1e-3, 10.0, log=True),
        }
        model = _lightgbm(n_estimators=500, **options)
        model.fit(*train, eval_set=[val], callbacks=[early_stopping(30, verbose=False)])
        trial.set_user_attr("n_estimators", max(model.best_iteration_, 1))
        return next(iter(model.best_score_["valid_0"].values()))

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(loss, n_trials=20)
    return _fitted(_lightgbm(**study.best_trial.params, **study.best_trial.user_attrs), train, val)


def catboost(train: Rows, val: Rows) -> Predict:
    from catboost import CatBoostClassifier

    quiet = {"verbose": False, "allow_writing_files": False}
    return _fitted(CatBoostClassifier(random_seed=0, thread_count=1, **quiet), train, val)


def realmlp(train: Rows, val: Rows) -> Predict:
    """RealMLP-TD-S of pytabkit, which divides the rows for itself."""
    from pytabkit import RealMLP_TD_S_Classifier

    return _fitted(RealMLP_TD_S_Classifier(device="cpu", random_state=0, n_threads=1, verbosity=0), train, val)
