"""The tag of a run that has the counts of its classes: `{"split": "test", "names": […], "true": […], …}`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from phalanx.core.errors import UnreadableFile
from phalanx.core.reading import parse_json
from phalanx.core.result import ClassCounts
from phalanx.tracking.limits import TAG

CLASSES = "phalanx.classes"


def class_tag(names: Sequence[str], counts: ClassCounts | None) -> Mapping[str, str]:
    """The tag; none where there are no counts, or so many classes that MLflow would cut the text.

    Args:
        names: The classes.
        counts: Their counts.
    """
    if counts is None or len(names) != len(counts.true):
        return {}
    text = json.dumps({**asdict(counts), "names": list(names)}, separators=(",", ":"))
    return {CLASSES: text} if len(text) <= TAG else {}


def read_class_tag(tags: Mapping[str, str]) -> tuple[Sequence[str], ClassCounts | None]:
    """The classes and their counts; none where the tags have none that can be read."""
    try:
        stored = parse_json(tags.get(CLASSES, "null"), CLASSES)
        counts = ClassCounts.from_json(stored)
        if counts is None or not all(isinstance(n, int) for n in (*counts.true, *counts.predicted, *counts.hit)):
            return (), None
        return list(map(str, stored["names"])), counts
    except (KeyError, TypeError, ValueError, UnreadableFile):
        return (), None
