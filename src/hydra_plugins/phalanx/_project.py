"""The folder that a command is for: its `conf/`, `extensions/` and `experiments/`, and the options of the package."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from phalanx.core.extensions import FOLDER, find_extension

NAME = re.compile(r"[\w-]+")


def packaged_conf() -> Path:
    """The config groups of Phalanx: beside this module where it is installed, else at the top of the checkout."""
    beside = Path(__file__).with_name("conf")
    return beside if beside.is_dir() else Path(__file__).resolve().parents[3] / "conf"


def has_option(conf: Path, group: str, name: object) -> bool:
    """Whether a config group has an option: of the folder `conf`, of Phalanx, or of the user's own code."""
    file = Path(group, f"{name}.yaml")
    return any((folder / file).is_file() for folder in (conf, packaged_conf())) or bool(
        find_extension(group, str(name))
    )


@dataclass(frozen=True)
class Project:
    """A folder as a person works in it. It need not have any of these folders.

    Attributes:
        folder: An absolute path.
    """

    folder: Path

    @classmethod
    def of(cls, app: Callable[[], object]) -> Project:
        """The folder of the file that has this `@hydra.main` function."""
        return cls(Path(inspect.getfile(inspect.unwrap(app))).absolute().parent)

    @property
    def conf(self) -> Path:
        """Its own folder `conf`, which that of the package extends; without one that of the package."""
        own = self.folder / "conf"
        return own if own.is_dir() else packaged_conf()

    def extensions(self, arguments: Sequence[str]) -> list[Path]:
        """Where its own options are: its folder `extensions`, and those of the studies that are asked for.

        Args:
            arguments: The command line, in which `experiment=<name>` asks for a study.
        """
        asked = [argument.partition("=")[2] for argument in arguments if argument.startswith("experiment=")]
        names = [name for text in asked for name in text.split(",") if NAME.fullmatch(name)]
        return [self.folder / FOLDER, *(self.experiments / name / FOLDER for name in names)]

    @property
    def experiments(self) -> Path:
        return self.folder / "experiments"
