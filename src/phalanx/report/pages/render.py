"""HTML pages from the templates in `templates/`: one file that opens offline, without scripts, every value escaped."""

import functools

from jinja2 import Environment, PackageLoader, StrictUndefined

from phalanx.analysis.repeats import kind_of, values_of
from phalanx.analysis.statistics import Summary, repeat_means, summarise
from phalanx.core.metrics import limits_of
from phalanx.runs.stored_run import StoredRun


def render(template: str, **values: object) -> str:
    """The page that `template` makes of `values`. Characters that UTF-8 cannot encode become question marks."""
    return _environment().get_template(template).render(values).encode("utf-8", "replace").decode()


@functools.cache
def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,  # a line with nothing but tags leaves nothing in the page
        lstrip_blocks=True,
    )
    found.filters.update(
        {
            filter_.__name__: filter_
            for filter_ in (decimals, interval, kind_of, seeds_and_interval, six_digits, support, thousands)
        }
    )
    return found


def thousands(value: int) -> str:
    """A whole number with commas."""
    return f"{value:,}"


def decimals(value: float | None) -> str:
    """A number as tables show it: 4 decimals, or 3 digits for very small and large ones; a dash for None."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}" if 1e-3 <= abs(value) < 1e5 else f"{value:.3g}"


def support(value: float) -> str:
    """A number of samples; a mean over splits may be no whole number."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def six_digits(text: str) -> str:
    """A number with 6 digits if it has more, as numbers of a search do; other texts as they are."""
    try:
        return text if len(text) <= 9 else f"{float(text):.6g}"
    except ValueError:
        return text


def interval(summary: Summary) -> str:
    """The 95 % interval; a dash if there is none."""
    return "–" if summary.low is None else f"{decimals(summary.low)} to {decimals(summary.high)}"


def seeds_and_interval(trial: StoredRun) -> tuple[int, str]:
    """How many seeds, splits or folds a trial was trained on, and the interval of their mean objective."""
    values, correlation = values_of(trial)
    n = len(repeat_means(values))
    if n < 2 or correlation is None:
        return n or 1, "–"
    return n, interval(summarise(values, limits=limits_of(trial.objective.name), correlation=correlation))
