"""Search without Hydra: a study, its space and budgets, and the loop that asks, evaluates and tells.

Optuna is known in this room alone. `run_study` is the whole of it; docs/search.md shows it from a notebook.
"""

from phalanx.core.process_identity import ProcessIdentity
from phalanx.study.budget import RETRIED, Budget, TooManyFailures
from phalanx.study.evaluators import Batches, Evaluate, Evaluator, Streaming
from phalanx.study.importance import importances
from phalanx.study.leases import Leases
from phalanx.study.loop import n_finished, n_valued, run_study, summary
from phalanx.study.open_study import agree, differences, open_study
from phalanx.study.proposals import FINISHED, Outcome, Proposal
from phalanx.study.pruning import Address, Pruning, find_trial
from phalanx.study.samplers import automatic, reseeded, seed_of_start
from phalanx.study.space import choices_of, draw, suggest_from
from phalanx.study.start_points import enqueue, start_points, warm_start
from phalanx.study.storage import in_memory, missing_file

__all__ = [
    "FINISHED", "RETRIED", "Address", "Batches", "Budget", "Evaluate", "Evaluator", "Leases", "Outcome",
    "ProcessIdentity", "Proposal", "Pruning", "Streaming", "TooManyFailures",
    "agree", "automatic", "choices_of", "differences", "draw",
    "enqueue", "find_trial", "importances", "in_memory", "missing_file", "n_finished", "n_valued", "open_study",
    "reseeded", "run_study", "seed_of_start", "start_points", "suggest_from", "summary", "warm_start",
]  # fmt: skip
