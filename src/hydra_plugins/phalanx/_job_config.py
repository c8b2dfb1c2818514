"""`JobConfig`: the configuration of one job of a sweep, of which only the application's part is made for it alone.

Hydra's own node is three quarters of a configuration, and differs from job to job in a few values. Jobs that choose the
same options share one such node, a `Frame`, which takes on the values of one job at a time. Where that could be seen,
or where Hydra runs the job, a job gets a whole configuration of its own.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict, read_write

from hydra_plugins.phalanx._overrides import raw_list
from hydra_plugins.phalanx._state import hydra_config

if TYPE_CHECKING:
    from hydra_plugins.phalanx._compose import Composer

REFERENCE = re.compile(r"\$\{\s*([^\s:{}$]*)(:)?\s*")
LOOKS_UP = ("oc.select", "oc.dict.keys", "oc.dict.values")  # what follows is a key
KNOWN = ("now", "oc.env", "hydra", "hydra_override_dirname", "phalanx.short_id", "phalanx.sweep_name")
OWN = "hydra."


@dataclass(eq=False)
class Frame:
    """The node `hydra` of all jobs that choose the same options, or such as are exchanged.

    Attributes:
        config: A configuration with this node alone.
        n_listed: How many of its overrides of the task come before those of a job.
        shown: The job whose values it has.
    """

    config: DictConfig
    n_listed: int = field(init=False)
    shown: JobConfig | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.n_listed = len(self.config.hydra.overrides.task)
        OmegaConf.set_readonly(self.config.hydra, True)

    @staticmethod
    def of(whole: DictConfig) -> Frame | None:
        """Takes the node out of a composed configuration; None if it refers to the application's part."""
        if refers_elsewhere(OmegaConf.to_container(whole.hydra, resolve=False)):
            return None
        with read_write(whole), open_dict(whole):
            for key in [key for key in whole if key != "hydra"]:
                del whole[key]
        return Frame(whole)

    def show(self, job: JobConfig) -> None:
        """Takes on the values of a job."""
        if self.shown is job:
            return
        hydra = self.config.hydra
        with writable(hydra.overrides):
            _replace(hydra.overrides.task, [*raw_list(hydra.overrides.task)[: self.n_listed], *job.added])
        with writable(hydra.job):
            hydra.job.id, hydra.job.num = str(job.number), job.number
        with writable(hydra.runtime):
            hydra.runtime.output_dir = "???"
            for group, name in job.chosen.items():
                if hydra.runtime.choices.get(group, name) != name:  # a group may have been deleted
                    hydra.runtime.choices[group] = name
        self.shown = job


def _replace(node: ListConfig, texts: Sequence[str]) -> None:
    """Gives a list other texts, and leaves those alone that stay, since a change takes much longer than a look."""
    before = raw_list(node)
    for place, (old, new) in enumerate(zip(before, texts, strict=False)):
        if old != new:
            node[place] = new
    del node[len(texts) :]
    node.extend(texts[len(before) :])


@contextlib.contextmanager
def writable(node: DictConfig) -> Iterator[None]:
    """Has a part of the node `hydra` take other values and new keys, in less time than if all of the node did."""
    with read_write(node), open_dict(node):
        yield


@dataclass(eq=False)
class JobConfig:
    """The configuration of one job.

    Attributes:
        number: Of the job.
        task: The application's part.
        asked: What the job sets.
        added: Those of it that are listed as overrides of the task.
        chosen: The options that are listed as choices, of the groups in which jobs with the same frame differ.
        frame: The node `hydra`, shared with other jobs; None where the job has a whole of its own.
    """

    composer: Composer
    number: int
    task: DictConfig
    asked: tuple[str, ...]
    added: tuple[str, ...] = ()
    chosen: Mapping[str, str] = field(default_factory=dict)
    frame: Frame | None = None
    own: DictConfig | None = None

    @property
    def whole(self) -> DictConfig:
        """A configuration with both parts, which is the job's own."""
        if self.own is None:
            self.own = _whole(self.composer, self.asked, self.number)
            OmegaConf.copy_cache(self.task, self.own)
            self.frame = None
        return self.own

    @contextlib.contextmanager
    def active(self) -> Iterator[DictConfig]:
        """Has interpolations such as `${hydra:job.num}` read this job's values.

        Yields:
            A configuration with the job's node `hydra`. It may have nothing else, and another job's values afterwards.
        """
        if self.frame is None:
            with hydra_config(self.whole):
                yield self.whole
            return
        config = self.frame.config
        self.frame.show(self)
        OmegaConf.copy_cache(self.task, config)
        try:
            with hydra_config(config):
                yield config
        finally:
            OmegaConf.copy_cache(config, self.task)  # what resolvers gave the job once, they give it again


def job_config(composer: Composer, overrides: Sequence[str], number: int) -> JobConfig:
    """Composes the configuration of one job of a sweep.

    Args:
        composer: Of the sweep.
        overrides: What the job sets.
        number: Its number in the sweep.

    Raises:
        HydraException: As Hydra raises it.
    """
    from hydra_plugins.phalanx._compose import without_hydra

    asked = tuple(overrides)
    if (parts := composer.parts(asked)) is not None:
        return JobConfig(composer, number, parts.task, asked, parts.added, parts.chosen, parts.frame)
    whole = _whole(composer, asked, number)
    return JobConfig(composer, number, without_hydra(whole), asked, own=whole)


def _whole(composer: Composer, overrides: Sequence[str], number: int) -> DictConfig:
    config = composer.compose(list(overrides))
    with open_dict(config):
        config.hydra.job.id = str(number)
        config.hydra.job.num = number
    return config


def refers_elsewhere(node: Any) -> bool:
    """Whether an interpolation in the node `hydra`, as plain values, may look at the application's part.

    References to `hydra.…` do not, nor do the resolvers that are known here.
    """
    if isinstance(node, dict):
        return any(map(refers_elsewhere, [*node, *node.values()]))
    if isinstance(node, list):
        return any(map(refers_elsewhere, node))
    return isinstance(node, str) and any(not _stays(node, found) for found in REFERENCE.finditer(node))


def _stays(text: str, found: re.Match[str]) -> bool:
    name, is_resolver = cast("tuple[str, str | None]", found.groups())
    if not is_resolver:
        return name.startswith(OWN)
    return text[found.end() :].startswith(OWN) if name in LOOKS_UP else name in KNOWN
