"""The config keys of runs: short names where they are unique, which keys vary, and the texts shown for their values."""

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from phalanx.analysis.compare.run import Run
from phalanx.analysis.compare.values import ABSENT, ABSENT_TEXT, identity, texts_of, typed
from phalanx.core.errors import RequestError

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


def with_typed(runs: Sequence[Run], names: Iterable[str]) -> list[Run]:
    """The runs with what was typed for them as keys, if a name asks for it: `model`, whose choices `mlp2` and `mlp3`
    have one `model.name`, or `model.width`, which no configuration of a run holds.

    Args:
        runs: The runs.
        names: The keys that are asked for, as `resolve` takes them.
    """
    known = dict.fromkeys(key for run in runs for key in run.config)
    typed_keys = {key for run in runs for key in run.typed}

    def asks(name: str) -> bool:
        key = _resolved(name, known, [])
        return name in typed_keys and name not in known and (key is None or len({run.same(key) for run in runs}) < 2)

    if not any(map(asks, names)):
        return list(runs)
    more = [{key: typed(text) for key, text in run.typed.items() if key not in known} for run in runs]
    return [replace(run, config={**run.config, **own}) for run, own in zip(runs, more, strict=True)]


class Texts:
    """The texts that are shown for the values of runs; different values of a key have different texts."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._values: dict[str, dict[str, Any]] = {}
        for run in runs:
            for key, same in run.identities.items():
                self._values.setdefault(key, {}).setdefault(same, run.config[key])
        self._texts: dict[tuple[str, bool], dict[str, str]] = {}

    def of(self, key: str, same: str, short: bool = True) -> str:
        """The text for a value.

        Args:
            key: The config key.
            same: The identity of the value.
            short: Whether long texts are cut.
        """
        if same == ABSENT:
            return ABSENT_TEXT
        if (key, short) not in self._texts:
            self._texts[key, short] = texts_of(self._values[key], short)
        return self._texts[key, short][same]

    def identity_of(self, key: str, text: str) -> str:
        """The identity of the value that `text` stands for, whether a run has it or not."""
        asked, known = identity(typed(text)), self._values.get(key, {})
        if asked in known:
            return asked
        named = [same for same in known for short in (True, False) if self.of(key, same, short) == text]
        return ABSENT if text == ABSENT_TEXT else next(iter(named), asked)


def parse_filters(texts: Sequence[str], runs: Sequence[Run], shown: Texts) -> dict[str, str]:
    """The identities that the conditions `KEY=VALUE` ask for, by full key. Raises `RequestError`.

    Args:
        texts: The conditions. A value is what was typed for the runs, or the text that is shown for it.
        runs: All runs.
        shown: The texts that are shown for their values.
    """
    pairs = [text.partition("=") for text in texts]
    faults = [f"--where {text} has no =; try --where loss=mse" for text, (_, mark, _) in zip(texts, pairs, strict=True)
              if not mark]  # fmt: skip
    if faults:
        raise RequestError("\n".join(faults))
    return {(key := resolve([name], runs)[0]): shown.identity_of(key, value) for name, _, value in pairs}


def varying(runs: Sequence[Run], besides: Collection[str] = ()) -> dict[str, list[str]]:
    """Every key with more than one value among the runs, with the identities of its values; where a run stands is not
    among them."""
    keys = dict.fromkeys(key for run in runs for key in run.config)
    found = {}
    for key in keys:
        if key not in besides and key not in PLACES:
            values = list(dict.fromkeys(run.same(key) for run in runs))
            if len(values) > 1:
                found[key] = values
    return found


def labels_of(keys: Sequence[str], groups: Iterable[tuple[str, ...]], shown: Texts) -> dict[tuple[str, ...], str]:
    """A name for each group, such as `cross_entropy/lr=0.1`; names of options speak for themselves.

    Args:
        keys: The keys that make the groups.
        groups: For each group the identities of its values, in the order of `keys`.
        shown: The texts of the values.
    """
    short = short_names(keys)

    def part(key: str, same: str) -> str:
        text = shown.of(key, same)
        if key in PLACES:
            return f"{key} {text}"
        return text if key.endswith(".name") and same != ABSENT else f"{short[key]}={text}"

    labels = {group: "/".join(map(part, keys, group)) or "all runs" for group in groups}
    if len(set(labels.values())) < len(labels):  # values with a slash can make two alike
        labels = {group: ", ".join(f"{key}={same or ABSENT_TEXT}" for key, same in zip(keys, group, strict=True))
                  for group in labels}  # fmt: skip
    return labels


def short_names(keys: Sequence[str]) -> Mapping[str, str]:
    """Each key's last part, or its group for a name; the whole key where two would look alike."""
    ends = {key: key.removesuffix(".name") if key.endswith(".name") else key.rsplit(".", 1)[-1] for key in keys}
    return {key: end if list(ends.values()).count(end) == 1 else key for key, end in ends.items()}
