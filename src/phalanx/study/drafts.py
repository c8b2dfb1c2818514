"""A storage that keeps a trial in this process until it is drawn, and then stores it at once.

Optuna stores a new trial, each of its parameters and each of its attributes by a transaction of its own, and its TPE
sampler reads all trials again for each parameter. Here the trial is a draft until `commit`, and what was read for the
first parameter serves for the others. A driver that is killed meanwhile leaves nothing, not even a number.

Storages are no public classes of Optuna: only this file derives one, and tests/study/test_drafts.py holds the contract.
"""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy as copied
from datetime import datetime
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage, get_storage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState


def drafts_of(study: optuna.Study) -> DraftStorage | None:
    """The storage of a study, if it has drafts."""
    return study._storage if isinstance(study._storage, DraftStorage) else None


class DraftStorage(BaseStorage):
    """Another storage, with drafts. The threads of a process share no draft: one thread asks."""

    def __init__(self, storage: BaseStorage) -> None:
        """Wraps a storage."""
        self.rdb, self.backend = storage, get_storage(storage)
        self._drafts: dict[int, FrozenTrial] = {}  # by id, which is negative
        self._ids, self._study_id = itertools.count(-1, -1), -1
        self._stored: dict[int, int] = {}  # ids of drafts that were stored, and those that they have now
        self._known: list[FrozenTrial] | None = None  # what was read since `drafting` began
        self._drafting = False

    @contextmanager
    def drafting(self) -> Iterator[None]:
        """New trials are drafts in this block, and nothing is read twice. One that is not committed is lost."""
        self._drafting, self._known = True, None
        try:
            yield
        finally:
            self._drafting, self._known = False, None
            self._drafts.clear()

    def commit(self, trial: optuna.Trial) -> int:
        """Stores a draft; returns its number, which differs from the draft's if another driver was faster.

        Args:
            trial: A trial that was asked for within `drafting`; one that is no draft stays as it is.
        """
        draft = self._drafts.get(trial._trial_id)
        if draft is None:
            return trial.number
        study_id, number = self._study_id, draft.number
        real = self.backend.create_new_trial(study_id, template_trial=draft)
        try:
            as_drawn = self.backend.get_trial_id_from_study_id_trial_number(study_id, number) == real
        except KeyError:
            as_drawn = False
        if not as_drawn:
            draft.number = self.backend.get_trial_number_from_id(real)
        self._stored[trial._trial_id] = real
        del self._drafts[trial._trial_id]
        self._known = None if self._known is None else [*self._known, draft]
        return draft.number

    def _real(self, trial_id: int) -> int:
        return self._stored.get(trial_id, trial_id)

    def _changed(self, trial_id: int) -> int:
        """The id of a stored trial that is about to change."""
        self._known = None
        return self._real(trial_id)

    # Trials.

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        if not self._drafting or template_trial is not None:
            return self.backend.create_new_trial(study_id, template_trial)
        self._study_id = study_id
        number, trial_id = len(self.get_all_trials(study_id, deepcopy=False)), next(self._ids)
        self._drafts[trial_id] = FrozenTrial(
            number=number, state=TrialState.RUNNING, value=None, datetime_start=datetime.now(), datetime_complete=None,
            params={}, distributions={}, user_attrs={}, system_attrs={}, intermediate_values={}, trial_id=trial_id,
        )  # fmt: skip
        return trial_id

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:  # fmt: skip
        if (draft := self._drafts.get(trial_id)) is None:
            self.backend.set_trial_param(self._changed(trial_id), param_name, param_value_internal, distribution)
            return
        draft.params[param_name] = distribution.to_external_repr(param_value_internal)
        draft.distributions[param_name] = distribution

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        if (draft := self._drafts.get(trial_id)) is None:
            self.backend.set_trial_user_attr(self._changed(trial_id), key, value)
        else:
            draft.user_attrs[key] = value

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        if (draft := self._drafts.get(trial_id)) is None:
            self.backend.set_trial_system_attr(self._changed(trial_id), key, value)
        else:
            draft.system_attrs[key] = value

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        self.backend.set_trial_intermediate_value(self._changed(trial_id), step, intermediate_value)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:  # fmt: skip
        return self.backend.set_trial_state_values(self._changed(trial_id), state, values)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        draft = self._drafts.get(trial_id)
        return self.backend.get_trial(self._real(trial_id)) if draft is None else draft

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:  # fmt: skip
        if not self._drafting:
            return self.backend.get_all_trials(study_id, deepcopy, states)
        if self._known is None:
            self._known = self.backend.get_all_trials(study_id, deepcopy=False)
        found = [t for t in (*self._known, *self._drafts.values()) if states is None or t.state in states]
        return copied(found) if deepcopy else found

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        return self.backend.get_trial_id_from_study_id_trial_number(study_id, trial_number)

    # Studies.

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        return self.backend.create_new_study(directions, study_name)

    def delete_study(self, study_id: int) -> None:
        self.backend.delete_study(study_id)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self.backend.set_study_user_attr(study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self.backend.set_study_system_attr(study_id, key, value)

    def get_study_id_from_name(self, study_name: str) -> int:
        return self.backend.get_study_id_from_name(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        return self.backend.get_study_name_from_id(study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self.backend.get_study_directions(study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self.backend.get_study_user_attrs(study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self.backend.get_study_system_attrs(study_id)

    def get_all_studies(self) -> list[Any]:
        return self.backend.get_all_studies()

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        return self.backend.get_best_trial(study_id)

    def remove_session(self) -> None:
        self.backend.remove_session()
