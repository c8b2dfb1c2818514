"""Search without Hydra: a study, its space and budgets, and the loop that asks for points and tells their outcomes.

No other package imports Optuna. Start with `run_study`; docs/search.md shows it from a notebook.
"""

from phalanx.study.budget import Budget, TooManyFailures
from phalanx.study.evaluators import Batches, Evaluate, Evaluator, Streaming
from phalanx.study.importance import importances
from phalanx.study.leases import Leases
from phalanx.study.loop import n_finished, n_valued, run_study, summary
from phalanx.study.open_study import check_fingerprint, differences, open_study
from phalanx.study.proposals import Outcome, Proposal, Trial, Value
from phalanx.study.pruning import Pruning, TrialReference, try_pruner
from phalanx.study.samplers import automatic, reseeded, seed_of_start
from phalanx.study.space import Suggest, choices_of, suggest_from
from phalanx.study.start_points import enqueue, start_points, warm_start
from phalanx.study.storage import in_memory, missing_file

__all__ = [
    "Batches", "Budget", "Evaluate", "Evaluator", "Leases", "Outcome",
    "Proposal", "Pruning", "Streaming", "Suggest", "TooManyFailures", "Trial", "TrialReference", "Value",
    "automatic", "check_fingerprint", "choices_of", "differences", "enqueue", "importances", "in_memory",
    "missing_file", "n_finished", "n_valued", "open_study", "reseeded", "run_study", "seed_of_start", "start_points",
    "suggest_from", "summary", "try_pruner", "warm_start",
]  # fmt: skip
