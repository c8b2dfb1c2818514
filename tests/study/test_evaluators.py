"""Evaluators: as a stream, and never more proposals than `n_jobs`."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from optuna.trial import TrialState
from support.studies import (
    SPACE,
    study,
    value,
)

from phalanx.study import (
    Budget,
    Evaluator,
    Outcome,
    Streaming,
    n_finished,
    run_study,
    suggest_from,
)


def test_a_stream_asks_for_the_next_as_soon_as_one_ends():
    """Of two in flight one is held back until five others were evaluated beside it."""
    others, release = [], threading.Event()

    def evaluate_one(proposal):
        if proposal.number == 0:
            assert release.wait(30)
        else:
            others.append(proposal.number)
            if len(others) == 5:
                release.set()
        return Outcome((value(proposal.params),))

    found = study()
    with ThreadPoolExecutor(2) as pool:
        run_study(found, suggest_from(SPACE), Streaming(evaluate_one, pool), budget=Budget(7, n_jobs=2))
    assert n_finished(found) == 7
    assert others[:5] == [1, 2, 3, 4, 5]


def test_never_more_than_n_jobs_are_in_flight_and_all_are_told():
    class Crowd(Evaluator):
        def __init__(self):
            self.in_flight, self.most = [], 0

        def submit(self, proposals):
            self.in_flight.extend(proposals)
            self.most = max(self.most, len(self.in_flight))

        def results(self):
            return [((p := self.in_flight.pop()), Outcome((value(p.params),)))]

    crowd, found = Crowd(), study()
    run_study(found, suggest_from(SPACE), crowd, budget=Budget(17, n_jobs=4))
    assert crowd.most == 4
    assert [t.state for t in found.trials] == [TrialState.COMPLETE] * 17
