"""Parameter importances from the trials alone: no stored study is needed, so they exist for a grid too."""

from collections.abc import Mapping, Sequence

import optuna

from phalanx.study.proposals import Value


def importances(
    points: Sequence[Mapping[str, Value]], values: Sequence[float], direction: str, log: Mapping[str, bool]
) -> dict[str, float]:
    """PED-ANOVA importances (Watanabe, Bansal and Hutter 2023, IJCAI) of the parameters that all points have.

    They say how well a parameter separates the best tenth of the points from all. PED-ANOVA takes milliseconds for
    1,000 points, where fANOVA takes half a minute.

    Args:
        points: The parameters of each trial.
        values: The objective of each trial.
        direction: `minimize` or `maximize`.
        log: Whether a numeric parameter was searched on a logarithmic scale; absent means no.

    Returns:
        The importance of each parameter, which sum to 1; empty where the values or all parameters are constant.
    """
    names = [name for name in points[0] if all(name in point for point in points)] if points else []
    space = {name: _distribution([point[name] for point in points], log.get(name, False)) for name in names}
    space = {name: distribution for name, distribution in space.items() if not distribution.single()}
    if not space or len(set(values)) < 2:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    towards = optuna.study.StudyDirection[direction.upper()]
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage(), direction=towards)
    study.add_trials(
        optuna.create_trial(params={name: point[name] for name in space}, distributions=space, value=value)
        for point, value in zip(points, values, strict=True)
    )
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items()}


def _distribution(values: Sequence[Value], log: bool) -> optuna.distributions.BaseDistribution:
    numbers = [value for value in values if isinstance(value, (int, float))]
    if len(numbers) < len(values):
        return optuna.distributions.CategoricalDistribution(list(dict.fromkeys(values)))
    return optuna.distributions.FloatDistribution(min(numbers), max(numbers), log=log)
