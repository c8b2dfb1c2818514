"""What people call things."""

import re
from pathlib import Path

from phalanx.core.patterns import pattern_of


def label_of_data(title: object, path: object, name: object) -> str:
    """What data are called in tracking, reports and comparisons: by their title, their file or their source.

    Several files are called by what the pattern of their names says, or by their folder.

    Examples:
        >>> from phalanx.core.labels import label_of_data
        >>> label_of_data(None, "data/iris.csv", "csv"), label_of_data("Iris", "data/iris.csv", "csv")
        ('iris', 'Iris')
        >>> label_of_data(None, "glob(sales/2024-*.csv)", "csv"), label_of_data(None, "glob(sales/*.csv)", "csv")
        ('2024', 'sales')
    """
    text = str(path or "")
    pattern = pattern_of(text)
    if pattern is None:
        return str(title or Path(text).stem or name or "")
    parts = (Path(pattern).stem, *Path(pattern).parts[-2::-1])
    said = filter(None, (re.sub(r"\[.*?\]|[*?]", "", part).strip("-_. ") for part in parts))
    return str(title or next(said, name) or "")
