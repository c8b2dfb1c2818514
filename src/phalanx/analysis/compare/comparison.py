"""Groups of runs compared on one metric: means with intervals, paired differences by seed, sentences and notes."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from phalanx.analysis.compare.found import Comparison, Part
from phalanx.analysis.compare.groups import Group, grouped, independent, usable
from phalanx.analysis.compare.keys import Texts, parse_filters, resolve, varying, with_typed
from phalanx.analysis.compare.measure import Measure, find_measure
from phalanx.analysis.compare.run import MODEL, OUTER, REPEATED, Run
from phalanx.analysis.compare.splits import SameData, apart, by_data
from phalanx.analysis.compare.values import one_line
from phalanx.analysis.equivalence import equivalence
from phalanx.analysis.posterior import with_probabilities
from phalanx.analysis.statistics import (
    FEWEST,
    FOLDS,
    SEEDS,
    SPLITS,
    Difference,
    Summary,
    compare,
    repeat_means,
    summarise,
)
from phalanx.analysis.student import resolution
from phalanx.analysis.wording import no_differences, sentence
from phalanx.core.baselines import seedless
from phalanx.core.errors import RequestError, all_of
from phalanx.core.metrics import split_name
from phalanx.runs.config_file import data_label
from phalanx.runs.layout import MADE

ALL_PAIRS = 10  # up to so many pairs each gets its sentence, else those with the best group
MOST_ALIKE = 3  # sentences that show no difference; more become one
LARGEST = 20  # groups that are made without being asked for
DATA_SET = ("data.name", "data.title", "data.path")  # what makes a data set another one
MORE = {SEEDS: "'seed=range(10)'", SPLITS: "'data.split_seed=range(10)'", FOLDS: "'data.fold=range(5)'",
        OUTER: "'data.outer_fold=range(5)'"}  # fmt: skip


def compare_runs(
    runs: Sequence[Run], by: Sequence[str] = (), metric: str | None = None, baseline: str | None = None,
    relevant: float | None = None, where: Sequence[str] = (), notes: Sequence[str] = (),
    most_groups: int = LARGEST,
) -> Comparison:  # fmt: skip
    """Compares groups of runs. Runs on different data are compared separately.

    Args:
        runs: The runs.
        by: The keys that make the groups; none for all that vary.
        metric: The metric; None for the objective's on the test split (a loss counts as none), test_accuracy or the
            objective, whichever all runs have.
        baseline: The label of the group that the others are tested against; None for all pairs.
        relevant: A difference that matters, in the unit shown.
        where: Conditions `key=value` that runs have to meet.
        notes: Notes to add to the comparison's own.
        most_groups: How many groups are made without `by`.

    Raises:
        RequestError: A key, metric or group does not exist.
    """
    runs = with_typed(runs, [*by, *(text.partition("=")[0] for text in where)])
    shown = Texts(runs)
    runs = _matching(runs, where, shown)
    keys, (measure, said) = all_of(lambda: resolve(by, runs) if by else _what_varies(runs, most_groups),
                                   lambda: find_measure(runs, metric))  # fmt: skip
    keys += [key for key in MADE if key not in keys and any(key in run.config for run in runs)]  # groups of their own
    name = measure.metric
    good = [run for run in runs if usable(run, name)]
    data = [same for same in by_data(runs, good, keys, name) if any(usable(run, name) for run in same.runs)]
    parts = tuple(
        _part(label, same, keys, measure, baseline, relevant, shown)
        for label, same in zip(_data_names(data, shown), data, strict=True)
    )
    if baseline is not None and not any(baseline == g.label for part in parts for g in part.groups):
        known = ", ".join(dict.fromkeys(repr(g.label) for part in parts for g in part.groups))
        raise RequestError(f"--baseline {baseline!r} is not one of the groups: {known}")
    lost = len(runs) - sum(len(same.runs) for same in data)
    if lost:
        said.append(f"{lost} run{'s' if lost > 1 else ''} left out, on data for which there is no value")
    if len(parts) > 1:
        said.append(f"{len(parts)} data sets ({', '.join(p.data for p in parts)}): compared apart, never averaged")
        said += apart(data, keys)
    return Comparison(measure, tuple(keys), parts, (*notes, *said))


def _what_varies(runs: Sequence[Run], most: int) -> list[str]:
    """The keys that vary, except those of the data. Raises `RequestError` if they make too many groups."""
    keys = {key: values for key, values in varying(runs).items() if not key.startswith("data.")}
    chosen = list(independent([runs], list(keys)))
    if len({tuple(map(run.same, chosen)) for run in runs}) > most:
        options = [key.removesuffix(".name") for key in sorted(keys, key=lambda key: len(keys[key]))]
        raise RequestError(
            f"these {len(runs)} runs are nearly all different; say what to group them by: --by {options[0]}"
            + (f" (what varies: {', '.join(options)})" if len(options) > 1 else "")
        )
    return chosen


def _matching(runs: Sequence[Run], where: Sequence[str], shown: Texts) -> list[Run]:
    conditions = parse_filters(where, runs, shown)
    found = [run for run in runs if all(run.same(key) == same for key, same in conditions.items())]
    if not found:
        values = {key: ", ".join(shown.of(key, same) for same in dict.fromkeys(run.same(key) for run in runs))
                  for key in conditions}  # fmt: skip
        raise RequestError(f"no run is left by --where {' '.join(where)}; there are {values}")
    return found


def _part(
    name: str, data: SameData, by: Sequence[str], measure: Measure, baseline: str | None, relevant: float | None,
    shown: Texts,
) -> Part:  # fmt: skip
    made = grouped(data, by, measure.metric, shown)
    scaled = [replace(g, values={at: measure.scale * v for at, v in g.values.items()}) for g in made.groups]
    limits, correlation = measure.limits, data.correlation
    summaries = {
        g.label: summarise(g.values, limits=limits, correlation=correlation) if g.values else None for g in scaled
    }
    scaled.sort(key=lambda group: _place(group, summaries[group.label], measure))
    valued = [g for g in scaled if g.values]
    tested = {g.label: g.values for g in [g for g in valued if not g.made] or valued}
    step = resolution(repeat_means(values) for values in tested.values()) if measure.counts_samples else 0.0
    fixed = baseline if baseline in tested else None
    other_losses = _other_losses(data.runs, measure)
    comparable = made.comparable and not other_losses
    pairs = (
        compare(tested, measure.direction, fixed, step=step, limits=limits, correlation=correlation)
        if comparable
        else []
    )
    if relevant is not None:
        pairs = with_probabilities(equivalence(pairs, relevant), relevant)
    notes = (
        *_pooled(data, scaled, measure),
        *made.notes,
        *other_losses,
        *_seedless(data),
        *_made(scaled, tested),
        *_too_few([g for g in scaled if g.label in tested], by, data, pairs),
    )
    ordered = tuple(summaries[g.label] for g in scaled)
    sentences = tuple(_sentences(pairs, measure, scaled, data.where))
    data_set = one_line(data_label(data.runs[0].config)), *map(data.runs[0].same, DATA_SET)
    return Part(name, data_set, data.repeats, data.where, tuple(scaled), ordered, tuple(pairs), sentences, notes,
                comparable, data.pooled_over, data.averaged_over)  # fmt: skip


def _place(group: Group, found: Summary | None, measure: Measure) -> tuple[bool, bool, float]:
    """Where a group stands: the best mean first. A mean over the runs that went well is no place among the others."""
    sign = -1 if measure.direction == "maximize" else 1
    return found is None, group.lost is not None, 0.0 if found is None else sign * found.mean


def _pooled(data: SameData, groups: Sequence[Group], measure: Measure) -> list[str]:
    if data.repeats == SEEDS:
        return []
    places = {place for group in groups for place in group.seeds}
    several = any(len(group.values) > len(group.seeds) for group in groups)
    said = f"each {data.repeats.removesuffix('s')} ({', '.join(data.pooled_over)}) is one repeat, {len(places)} in all"
    inner = f" and over {', '.join(data.averaged_over)} inside it" if data.averaged_over else ""
    said += f"; its value is the mean over its seeds{inner}" if several else ""
    return [said, *([_overlap(data, measure)] if data.repeats == FOLDS else [])]


def _overlap(data: SameData, measure: Measure) -> str:
    """What folds have in common, and what follows for the tests."""
    split, metric = split_name(measure.metric)
    if data.evaluated is not None:
        own = f"{100 * data.evaluated:.0f} %"
        return (f"folds share rows, so tests and intervals are corrected (Nadeau and Bengio; {own} of the rows are "
                "evaluated); they speak of other rows of this kind")  # fmt: skip
    share = f"{100 * data.correlation:.0f} %"
    same = "all folds are tested on the same rows; what varies is the training rows" if split == "test" else (
        "what varies is the training rows")  # fmt: skip
    more = f"; val_{metric}, on each fold's own rows, tells more" if split == "test" else ""
    return f"{same}, of which two folds share {share}, so tests and intervals are corrected for that and wide{more}"


def _other_losses(runs: Sequence[Run], measure: Measure) -> list[str]:
    """A loss is another quantity for each loss function, and for each of its options."""
    if all(run.is_baseline or _plain_loss(run) for run in runs):
        return []  # that of a baseline is cross-entropy
    keys = [key for key in varying(runs) if key.startswith("loss.") and key != "loss.class_weights"]  # recorded without
    differing = keys if measure.metric.endswith("_loss") else []
    if not differing:
        return []
    split = measure.metric.removesuffix("loss")
    return [f"{measure.metric} means something else where {differing[0]} differs, so nothing is tested on it; "
            f"--metric {split}likelihood and {split}accuracy mean the same for all"]  # fmt: skip


def _seedless(data: SameData) -> list[str]:
    """A test over seeds counts what does not depend on the seed as often as there are seeds."""
    found = sorted({str(run.config[MODEL]) for run in data.runs if seedless(run.config)})
    if not found or data.repeats != SEEDS or len({run.seed for run in data.runs}) < 2:
        return []
    gives = "gives" if len(found) == 1 else "give"
    return [f"{' and '.join(found)} {gives} the same at every seed, so its spread says nothing; "
            "'data.split_seed=range(10)' compares over splits"]  # fmt: skip


def _made(groups: Sequence[Group], tested: Collection[str]) -> list[str]:
    """What was made of the runs of other groups is no further group of them."""
    found = [group.label for group in groups if group.made and group.label not in tested]
    if not found:
        return []
    return [f"shown and not tested against the others, being made of such runs: {', '.join(found)}; a refit trains on "
            "validation rows too, an ensemble is several networks"]  # fmt: skip


def _plain_loss(run: Run) -> bool:
    """Whether the loss of a network is the mean of −log p(true class)."""
    found = {key.removeprefix("loss."): value for key, value in run.config.items() if key.startswith("loss.")}
    plain = found.get("name") == "cross_entropy" and found.get("output") == "logits"
    return plain and not found.get("label_smoothing")


def _sentences(found: Sequence[Difference], measure: Measure, groups: Sequence[Group], where: str) -> list[str]:
    """A sentence for each pair, or where they are many, for those with the best group, which stands first."""
    best = found[0].a if found else None
    lost = {group.label: group.lost for group in groups if group.lost}
    chosen = [d for d in found if len(found) <= ALL_PAIRS or best in (d.a, d.b)]
    alike = [d for d in chosen if not (d.shown or d.n < FEWEST or d.relevant or {d.a, d.b} & lost.keys())]
    folded = alike if len(alike) > MOST_ALIKE else []
    texts = [sentence(d, measure.unit, lost=lost, where=where) for d in chosen if d not in folded]
    if folded:
        texts.append(no_differences(folded, "all" if len(folded) == len(found) else "other", best, where))
    if len(chosen) < len(found):
        more = "all counted in p and intervals; phalanx compare --csv FILE has them all"
        texts.append(f"({len(found)} pairs were compared, {more})")
    return texts


def _too_few(groups: Sequence[Group], by: Sequence[str], data: SameData, found: Sequence[Difference]) -> list[str]:
    notes = []
    repeats = data.repeats
    known = list({repeat: None for group in groups for repeat in group.seeds})
    if len(known) == 1:
        notes.append(
            f"one seed only ({known[0]}): single runs differ by chance alone, train the groups with 'seed=range(10)'"
        )
    elif any(0 < len(group.seeds) < FEWEST for group in groups):
        more = MORE[OUTER if OUTER in data.pooled_over else repeats]
        notes.append(f"fewer than {FEWEST} {repeats} tell nothing; train again with {more}")
    if any(d.n == 0 for d in found):
        one = repeats.removesuffix("s")
        notes.append(f"groups that share no {one} are not paired: train them with the same {repeats}")
    if len(groups) == 1:
        keys = list(varying(data.runs, [*by, *REPEATED]))[:5]
        other = f"; what varies: {', '.join(keys)}" if keys else ""
        notes.append(f"one group only, so nothing is compared{other}")
    return notes


def _data_names(data: Sequence[SameData], shown: Texts) -> list[str]:
    """A name for each data set: its own, where that is not enough with its other keys, else with its digest."""
    firsts = [same.runs[0] for same in data]
    names = [one_line(data_label(run.config)) or shown.of("data.name", run.same("data.name")) for run in firsts]
    keys = [key for key in varying(firsts) if key.startswith("data.")]
    for place in _alike(names):
        others = [f"{key}={shown.of(key, firsts[place].same(key))}" for key in keys if key in firsts[place].config
                  and key not in data[place].pooled_over]  # fmt: skip
        names[place] = " ".join([names[place], *others])
    for place in _alike(names):
        names[place] = f"{names[place]} ({firsts[place].data})"
    return names


def _alike(names: Sequence[str]) -> Collection[int]:
    """The places of names that occur more than once."""
    return [place for place, name in enumerate(names) if names.count(name) > 1]
