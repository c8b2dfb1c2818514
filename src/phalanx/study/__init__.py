"""Search without Hydra: a study, its space and budgets, and the loop that asks for points and tells their outcomes.

No other package imports Optuna. Start with `run_study`; docs/search.md shows it from a notebook.
"""

from phalanx.study.budget import Budget, TooManyFailures
from phalanx.study.custom_space import CustomSpace
from phalanx.study.evaluators import Batches, Evaluate, Evaluator, Streaming
from phalanx.study.grid import Grid, GridSampler
from phalanx.study.importance import importances
from phalanx.study.leases import Leases
from phalanx.study.loop import run_study
from phalanx.study.open_study import (
    check_fingerprint,
    differences,
    find_study,
    identity_of,
    open_study,
    stored_identity,
)  # fmt: skip
from phalanx.study.proposals import Outcome, Proposal, Trial, Value
from phalanx.study.pruning import Pruning, TrialReference, try_pruner
from phalanx.study.samplers import automatic, reseeded, seed_of_start
from phalanx.study.space import Suggest, choices_of, suggest_from
from phalanx.study.start_points import check_directions, enqueue, has_start_points, start_points, warm_start
from phalanx.study.storage import in_memory, missing_file
from phalanx.study.summary import n_finished, n_valued, points_of, summary

__all__ = [
    "Batches", "Budget", "CustomSpace", "Evaluate", "Evaluator", "Grid", "GridSampler", "Leases", "Outcome",
    "Proposal", "Pruning", "Streaming", "Suggest", "TooManyFailures", "Trial", "TrialReference", "Value",
    "automatic", "check_directions", "check_fingerprint", "choices_of", "differences", "enqueue", "find_study",
    "has_start_points", "identity_of", "importances", "in_memory", "missing_file", "n_finished", "n_valued",
    "open_study", "points_of", "reseeded", "run_study", "seed_of_start", "start_points", "stored_identity",
    "suggest_from", "summary", "try_pruner", "warm_start",
]  # fmt: skip
