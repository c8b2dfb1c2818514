"""Values that name several files by a pattern: `glob(parts/*.csv)`."""

from __future__ import annotations

import glob
import os
import re

_GLOB = re.compile(r"\s*glob\((.*)\)\s*", re.DOTALL)


def pattern_of(path: str) -> str | None:
    """The pattern in `glob(PATTERN)`; None for the name of one file.

    Examples:
        >>> from phalanx.core.patterns import pattern_of
        >>> pattern_of("glob(parts/*.csv)"), pattern_of("parts/1.csv")
        ('parts/*.csv', None)
    """
    found = _GLOB.fullmatch(path)
    return found[1].strip() if found else None


def matching(pattern: str) -> list[str]:
    """The files that match a pattern, sorted by name; `~` is expanded, and `**` stands for any folders."""
    return sorted(path for path in glob.glob(os.path.expanduser(pattern), recursive=True) if os.path.isfile(path))
