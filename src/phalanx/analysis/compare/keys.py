"""Which config keys a comparison groups by: short names where they are unique, and what a key's values look like."""

import difflib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from phalanx.analysis.compare.run import Run
from phalanx.core.errors import RequestError

ABSENT = "–"  # shown where a run has no such key
NAME_LENGTH = 60  # longest value that is shown whole
PLACES = ("trial", "sweep")  # say where a run stands, not how it was trained


def resolve(names: Sequence[str], runs: Sequence[Run]) -> list[str]:
    """The full keys that `names` stand for: `loss` for `loss.name`, `lr` for `optimizer.lr`, or the key itself.

    Raises one `RequestError` that names every key that is unknown or could be several.
    """
    known = list(dict.fromkeys(key for run in runs for key in run.config))
    faults: list[str] = []
    keys = [key for name in dict.fromkeys(names) if (key := _resolved(name, known, faults)) is not None]
    if faults:
        raise RequestError("\n".join(["the runs cannot be grouped:", *(f"  - {fault}" for fault in faults)]))
    return list(dict.fromkeys(keys))


def _resolved(name: str, known: Collection[str], faults: list[str]) -> str | None:
    if name == "seed":
        faults.append("seed is what runs are paired by, so it makes no groups; leave it out")
        return None
    for candidate in (name, f"{name}.name"):
        if candidate in known:
            return candidate
    found = [key for key in known if key.rsplit(".", 1)[-1] == name]
    if len(found) == 1:
        return found[0]
    if found:
        faults.append(f"{name} could be {', '.join(found)}; type one of them")
    else:
        near = difflib.get_close_matches(name, known, 3, 0.5) or sorted(known)[:8]
        faults.append(f"{name} is not a key of these runs; known are {', '.join(near)} …")
    return None


def parse_filters(texts: Sequence[str], runs: Sequence[Run]) -> dict[str, str]:
    """The conditions `KEY=VALUE` by full key. Raises `RequestError`."""
    pairs = [text.partition("=") for text in texts]
    faults = [f"--where {text} has no =; try --where loss=mse" for text, (_, mark, _) in zip(texts, pairs, strict=True)
              if not mark]  # fmt: skip
    if faults:
        raise RequestError("\n".join(faults))
    return {resolve([name], runs)[0]: value for name, _, value in pairs}


def shown(value: Any) -> str:
    """A value as a person types it, on one line."""
    if isinstance(value, (list, tuple)):
        text = "[" + ",".join(map(shown, value)) + "]"
    elif value is None or isinstance(value, bool):
        text = json.dumps(value)
    else:
        text = f"{value:g}" if isinstance(value, float) else str(value)
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return text if len(text) <= NAME_LENGTH else text[: NAME_LENGTH - 1] + "…"


def value_of(run: Run, key: str) -> str:
    """The run's value of `key` as text."""
    return shown(run.config[key]) if key in run.config else ABSENT


def varying(runs: Sequence[Run], besides: Collection[str] = ()) -> dict[str, list[str]]:
    """Every key with more than one value among the runs, with its values; where a run stands is not among them."""
    keys = dict.fromkeys(key for run in runs for key in run.config)
    found = {}
    for key in keys:
        if key not in besides and key not in PLACES:
            values = list(dict.fromkeys(value_of(run, key) for run in runs))
            if len(values) > 1:
                found[key] = values
    return found


def label_of(keys: Sequence[str], values: Sequence[str]) -> str:
    """A group's name: `cross_entropy/lr=0.1`. Names of options speak for themselves."""
    short = short_names(keys)
    return "/".join(_part(key, short[key], value) for key, value in zip(keys, values, strict=True)) or "all runs"


def _part(key: str, short: str, value: str) -> str:
    if key in PLACES:
        return f"{key} {value}"
    return value if key.endswith(".name") and value != ABSENT else f"{short}={value}"


def short_names(keys: Sequence[str]) -> Mapping[str, str]:
    """Each key's last part, or its group for a name; the whole key where two would look alike."""
    ends = {key: key.removesuffix(".name") if key.endswith(".name") else key.rsplit(".", 1)[-1] for key in keys}
    return {key: end if list(ends.values()).count(end) == 1 else key for key, end in ends.items()}
