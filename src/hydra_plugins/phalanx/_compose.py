"""Composes the configs of a sweep's jobs as Hydra does, but runs Hydra's composition once for all options of groups.

A combination of options that differs from a composed one in the parts of its options alone is put together from these
(`_exchange`); any other one is composed by Hydra, once. The other overrides of a job are applied to a copy of the
composed config, in Hydra's order. Whatever might differ from what Hydra does is left to Hydra, and so is every error.
Files and environment are read once per option.
"""

import contextlib
import io
import os
import pickle
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, cast

from hydra.conf import HydraConf
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from hydra_plugins.phalanx._exchange import Exchanges
from hydra_plugins.phalanx._job_config import Frame, refers_elsewhere
from hydra_plugins.phalanx._overrides import raw_list

PLAIN_KEY = re.compile(r"[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*")
EDITS = (OverrideType.CHANGE, OverrideType.ADD, OverrideType.FORCE_ADD, OverrideType.DEL)


class LeaveToHydra(Exception):
    """A shortcut might differ from what Hydra does."""


class QuickConfig(DictConfig):
    """A config that is copied by pickling, in a third of the time; Hydra copies the config of each job four times."""

    def __deepcopy__(self, memo: dict[int, Any]) -> DictConfig:
        if "hydra" in self.keys() or OmegaConf.get_type(self) is HydraConf:
            with contextlib.suppress(Exception):  # what cannot be pickled
                return _unpickled(pickle.dumps(self, pickle.HIGHEST_PROTOCOL))
        return super().__deepcopy__(memo)


class _Unpickler(pickle.Unpickler):
    """Reads every `DictConfig` as a `QuickConfig`."""

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name)
        return QuickConfig if found is DictConfig else found


def _unpickled(data: bytes) -> DictConfig:
    return cast(DictConfig, pickle.loads(data))


class Halves(NamedTuple):
    """A composed config in two parts."""

    task: bytes  # the application's, pickled
    frame: Frame  # the node `hydra`
    chosen: Mapping[str, str]  # what this node has to say of the groups whose options are exchanged


class Parts(NamedTuple):
    """The config of a job in two parts."""

    task: DictConfig  # the application's, as `without_hydra` gives it
    frame: Frame  # the node `hydra`, shared by jobs
    chosen: Mapping[str, str]  # options that are to be listed there, by group
    added: tuple[str, ...]  # overrides that are to be listed there


class Composer:
    """Composes the configs of the jobs of one sweep, which share nothing."""

    def __init__(self, config_loader: ConfigLoader, master_config: DictConfig) -> None:
        self._loader, self._master = config_loader, master_config
        self._parse = lru_cache(4096)(OverridesParser.create().parse_override)
        self._chooses_group = lru_cache(4096)(self._find_group)
        self._base = lru_cache(512)(self._compose_base)
        self._halves = lru_cache(512)(self._divide_base)
        self._exchanges = Exchanges(config_loader, master_config, self._parse)

    def expect(self, overrides: Iterable[str]) -> None:
        """Takes overrides that jobs will have; those that choose options are then composed in fewer steps."""
        asked = [text for text in overrides if any(self._chooses_group(text.partition("=")[0]))]
        self._exchanges.expect(pair for text in asked for pair in self._exchanges.options_of([text]).items())

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """Returns the same as `config_loader.load_sweep_config(master_config, overrides)`, errors included."""
        cfg = self._shortcut(overrides)
        return self._loader.load_sweep_config(self._master, list(overrides)) if cfg is None else cfg

    def parts(self, overrides: Sequence[str]) -> Parts | None:
        """Composes the application's part of a configuration alone, in a quarter of the time.

        Returns:
            This part and the node `hydra`; None where only `compose` is certain to be exact.
        """
        try:
            structure, edits, task = self._split(overrides)
            halves = self._halves(structure, tuple(raw_list(self._master.hydra.overrides.hydra)), os.getcwd())
            if halves is None or refers_elsewhere(task):
                return None
            cfg = _unpickled(halves.task)
            for edit in edits:
                _apply(edit, cfg)
        except Exception:  # whatever went wrong, Hydra reports it in its own words
            return None
        OmegaConf.set_struct(cfg, None)
        OmegaConf.copy_cache(self._master, cfg)
        return Parts(cfg, halves.frame, halves.chosen, tuple(task))

    def _shortcut(self, overrides: Sequence[str]) -> DictConfig | None:
        """Returns the config, or None where only Hydra's own way is certain to be exact."""
        try:
            structure, edits, task = self._split(overrides)
            # A search may change the overrides of the whole sweep, when it finds another name for its study.
            base = self._base(structure, tuple(raw_list(self._master.hydra.overrides.hydra)), os.getcwd())
            if base is None:
                return None
            cfg = _unpickled(base)  # a sixth of the time of copy.deepcopy, and as independent
            for edit in edits:
                _apply(edit, cfg)
            cfg.hydra.overrides.task.extend(task)
        except Exception:  # whatever went wrong, Hydra reports it in its own words
            return None
        OmegaConf.copy_cache(self._master, cfg)
        return cfg

    def _split(self, overrides: Sequence[str]) -> tuple[tuple[str, ...], list[Override], list[str]]:
        """Returns what has to be composed, what is applied afterwards, and the overrides listed as the task's."""
        if any("shuffle" in text for text in overrides):
            raise LeaveToHydra("shuffle() draws again each time")
        structure: list[str] = []
        edits: list[Override] = []
        parsed = [self._parse(text) for text in overrides]
        for text, override in zip(overrides, parsed, strict=True):
            if self._is_structure(override):
                structure.append(text)
            elif override.key_or_group.partition(".")[0] != "hydra":
                edits.append(override)
            elif edits:
                raise LeaveToHydra("a hydra override after an edit may look at it through an interpolation")
            else:
                structure.append(text)
        task = [text for text, override in zip(overrides, parsed, strict=True) if not override.is_hydra_override()]
        return tuple(structure), edits, task

    def _is_structure(self, override: Override) -> bool:
        """Whether Hydra uses an override to choose configs, which it does before it looks at values."""
        if override.package is not None:
            return True
        is_group, is_config = self._chooses_group(override.key_or_group)
        if override.is_delete():
            return is_group or is_config
        return is_group and not isinstance(override.value(), dict)

    def _find_group(self, key: str) -> tuple[bool, bool]:
        sources = self._loader.get_sources()
        return any(s.is_group(key) for s in sources), any(s.is_config(key) for s in sources)

    def _compose_base(self, structure: tuple[str, ...], of_sweep: tuple[str, ...], cwd: str) -> bytes | None:
        """Returns a pickled config with the structure alone and no task overrides listed.

        It records `cwd` and depends on the sweep's own overrides, so both are part of the key of the cache.
        """
        try:
            found = self._exchanges.find(structure, of_sweep, cwd)
            if found is not None and (base := self._base(found.reference, of_sweep, cwd)) is not None:
                return pickle.dumps(found.applied_to(_unpickled(base)), pickle.HIGHEST_PROTOCOL)
            cfg = self._loader.load_sweep_config(self._master, list(structure))
            if not self._is_independent_of_edits(cfg):
                return None
            n_own = sum(not self._parse(text).is_hydra_override() for text in structure)
            task = raw_list(cfg.hydra.overrides.task)
            cfg.hydra.overrides.task = task[: len(task) - n_own]
            OmegaConf.clear_cache(cfg)
            quick = _Unpickler(io.BytesIO(pickle.dumps(cfg, pickle.HIGHEST_PROTOCOL))).load()
            return pickle.dumps(quick, pickle.HIGHEST_PROTOCOL)
        except Exception:  # the structure may be wrong without the edits
            return None

    def _divide_base(self, structure: tuple[str, ...], of_sweep: tuple[str, ...], cwd: str) -> Halves | None:
        """Returns both parts of `_base`; None where they hang together."""
        chosen = self._exchanges.options_of(structure)
        if (found := self._exchanges.find(structure, of_sweep, cwd)) is not None:
            if (halves := self._halves(found.reference, of_sweep, cwd)) is None:
                return None
            task = found.applied_to(_unpickled(halves.task))
            return Halves(pickle.dumps(task, pickle.HIGHEST_PROTOCOL), halves.frame, chosen)
        if (base := self._base(structure, of_sweep, cwd)) is None:
            return None
        cfg = _unpickled(base)
        frame = Frame.of(_unpickled(base))
        with read_write(cfg), open_dict(cfg):
            del cfg["hydra"]
        return None if frame is None else Halves(pickle.dumps(cfg, pickle.HIGHEST_PROTOCOL), frame, chosen)

    def _is_independent_of_edits(self, cfg: DictConfig) -> bool:
        """Whether what Hydra does after applying the overrides is the same for all edits."""
        job, given = cfg.hydra.job, raw_list(cfg.hydra.overrides.hydra)
        searched = [(s.path, s.schema, s.provider) for s in cfg.hydra.runtime.config_sources]
        return (
            not any("shuffle" in text for text in given)
            and not OmegaConf.is_interpolation(job, "env_copy")
            and not job.env_copy  # is read from the environment for each job
            and searched == [(s.path, s.scheme(), s.provider) for s in self._loader.get_sources()]
        )


def _apply(override: Override, cfg: DictConfig) -> None:
    """Does what Hydra does with an override, where its key leads through plain nodes only."""
    if override.is_sweep_override() or override.type not in EDITS or not PLAIN_KEY.fullmatch(override.key_or_group):
        raise LeaveToHydra(override.input_line)
    *parents, leaf = override.key_or_group.split(".")
    holder = _holder(cfg, parents)
    if override.is_delete():
        _delete(holder, leaf, override, cfg)
        return
    value, adds = override.value(), override.type is not OverrideType.CHANGE
    present = holder is not None and leaf in holder.keys()  # noqa: SIM118 (`in` a config resolves the value)
    if present and (override.is_add() or _looks_through(holder, leaf, value)):
        raise LeaveToHydra(override.input_line)
    OmegaConf.update(cfg, override.key_or_group, value, merge=True, force_add=adds)


def _holder(cfg: DictConfig, parents: Sequence[str]) -> DictConfig | None:
    """Returns the node at a path; None if a part of the path is absent."""
    node = cfg
    for key in parents:
        if key not in node.keys():  # noqa: SIM118
            return None
        if OmegaConf.is_interpolation(node, key) or not isinstance(node[key], DictConfig):
            raise LeaveToHydra(key)
        node = node[key]
    return node


def _delete(holder: DictConfig | None, leaf: str, override: Override, cfg: DictConfig) -> None:
    if holder is None or leaf not in holder.keys() or override.value_type is not None:  # noqa: SIM118
        raise LeaveToHydra(override.input_line)
    if OmegaConf.is_interpolation(holder, leaf) or OmegaConf.is_missing(holder, leaf):
        raise LeaveToHydra(override.input_line)
    with open_dict(cfg):
        del holder[leaf]


def _looks_through(holder: DictConfig | None, leaf: str, value: object) -> bool:
    """Whether merging a container into `holder[leaf]` would follow an interpolation."""
    if not isinstance(value, (dict, list)) or holder is None or leaf not in holder.keys():  # noqa: SIM118
        return False
    if OmegaConf.is_interpolation(holder, leaf):
        return True
    if isinstance(value, list) or OmegaConf.is_missing(holder, leaf) or not isinstance(holder[leaf], DictConfig):
        return False
    return any(_looks_through(holder[leaf], key, inner) for key, inner in value.items())


def trains_here(launcher: Mapping[str, Any]) -> bool:
    """Whether a launcher trains the jobs in processes of this machine, with its devices."""
    return launcher.get("executor", "local") in ("local", "processes")


def without_hydra(cfg: DictConfig) -> DictConfig:
    """Returns the application's part of a composed config, with the values that resolvers have given it so far."""
    part = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    OmegaConf.copy_cache(cfg, part)
    return part
