"""The YAML text of parts of the node `hydra`, of which that of `runtime` is kept from job to job."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from omegaconf import DictConfig, OmegaConf

LONG = 70  # characters; YAML folds texts of words that go beyond column 80
KEPT = 500  # texts that are kept


def part(key: str, node: Any) -> str:
    """The text of a part of the node `hydra`, as it stands in the whole."""
    if isinstance(node, DictConfig) and len(node) and not any(map(_may_fold, text := _lines(node))):
        return f"  {key}:\n" + "".join(f"    {line}" for line in text)
    return OmegaConf.to_yaml({"hydra": {key: node}}).removeprefix("hydra:\n")


class RuntimeTexts:
    """Texts of the part `runtime`, in which jobs that choose the same differ in their folder alone."""

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[str, str]] = {}  # what is before and after the line of the folder

    def text(self, runtime: DictConfig, kind: Hashable) -> str:
        """The text of this part of a job, as it stands in the whole.

        Args:
            runtime: The part.
            kind: The same for jobs that differ in their folder alone; None where that is not known.
        """
        line = OmegaConf.to_yaml({"output_dir": runtime.output_dir})
        if kind is None or line.count("\n") != 1 or _may_fold(line):
            return part("runtime", runtime)
        if kind not in self._known:
            text = part("runtime", runtime)
            before, found, after = text.partition(f"    {line}")
            if not found:
                return text
            if len(self._known) >= KEPT:
                self._known.clear()
            self._known[kind] = before, after
        before, after = self._known[kind]
        return f"{before}    {line}{after}"


def _lines(node: DictConfig) -> list[str]:
    return OmegaConf.to_yaml(node).splitlines(keepends=True)


def _may_fold(line: str) -> bool:
    """Whether a line of YAML may be divided elsewhere where it is indented: it is long and has words, or goes on."""
    text = line.strip().removeprefix("- ")
    _, known, value = text.partition(":")
    return not (known or line.lstrip().startswith("- ")) or (len(line) > LONG and " " in (value.strip() or text))
