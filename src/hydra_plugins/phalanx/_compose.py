"""Composes the configs of a sweep's jobs as Hydra does, but pays for its composition once a choice of groups.

What a job sets apart from that choice is applied to a copy of the composed config, in Hydra's order. Whatever might
not come out exactly as Hydra's own is left to Hydra, and so is every error. Files and environment are read once a
choice of groups.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from hydra.conf import HydraConf
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf, open_dict

PLAIN_KEY = re.compile(r"[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*")
EDITS = (OverrideType.CHANGE, OverrideType.ADD, OverrideType.FORCE_ADD, OverrideType.DEL)


class LeaveToHydra(Exception):
    """Raised where a shortcut might differ from what Hydra does."""


class QuickConfig(DictConfig):
    """A config that is copied by way of a pickle, in a third of the time; Hydra copies that of each job four times."""

    def __deepcopy__(self, memo: dict[int, Any]) -> DictConfig:
        if "hydra" in self.keys() or OmegaConf.get_type(self) is HydraConf:
            with contextlib.suppress(Exception):  # what cannot be pickled
                return pickle.loads(pickle.dumps(self, pickle.HIGHEST_PROTOCOL))
        return super().__deepcopy__(memo)


class _Quickening(pickle.Unpickler):
    """Reads every `DictConfig` as a `QuickConfig`."""

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name)
        return QuickConfig if found is DictConfig else found


class Composer:
    """Configs of the jobs of one sweep, each independent of the others."""

    def __init__(self, config_loader: ConfigLoader, master_config: DictConfig) -> None:
        self._loader, self._master = config_loader, master_config
        self._parse = lru_cache(4096)(OverridesParser.create().parse_override)
        self._chooses_group = lru_cache(4096)(self._find_group)
        self._base = lru_cache(512)(self._compose_base)

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The same as `config_loader.load_sweep_config(master_config, overrides)`, errors included."""
        cfg = self._shortcut(overrides)
        return self._loader.load_sweep_config(self._master, list(overrides)) if cfg is None else cfg

    def _shortcut(self, overrides: Sequence[str]) -> DictConfig | None:
        """The config, or None where only Hydra's own way is sure to be exact."""
        try:
            structure, edits, task = self._split(overrides)
            base = self._base(structure, os.getcwd())
            if base is None:
                return None
            cfg = pickle.loads(base)  # a sixth of the time of copy.deepcopy, and as independent
            for edit in edits:
                _apply(edit, cfg)
            cfg.hydra.overrides.task.extend(task)
        except Exception:  # whatever went wrong, Hydra says it in its own words
            return None
        OmegaConf.copy_cache(self._master, cfg)
        return cfg

    def _split(self, overrides: Sequence[str]) -> tuple[tuple[str, ...], list[Override], list[str]]:
        """What has to be composed, what is applied afterwards, and the overrides that are listed as the task's."""
        if any("shuffle" in text for text in overrides):
            raise LeaveToHydra("shuffle() draws anew each time")
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

    def _compose_base(self, structure: tuple[str, ...], cwd: str) -> bytes | None:
        """A pickled config with the structure alone and no task overrides listed; `cwd` is recorded in it."""
        try:
            cfg = self._loader.load_sweep_config(self._master, list(structure))
            if not self._is_settled(cfg):
                return None
            n_own = sum(not self._parse(text).is_hydra_override() for text in structure)
            task = OmegaConf.to_container(cfg.hydra.overrides.task)
            cfg.hydra.overrides.task = task[: len(task) - n_own]
            OmegaConf.clear_cache(cfg)
            quick = _Quickening(io.BytesIO(pickle.dumps(cfg, pickle.HIGHEST_PROTOCOL))).load()
            return pickle.dumps(quick, pickle.HIGHEST_PROTOCOL)
        except Exception:  # without its edits the structure may be wrong where the whole is right
            return None

    def _is_settled(self, cfg: DictConfig) -> bool:
        """Whether all that Hydra does after applying overrides is the same whatever the edits are."""
        job, given = cfg.hydra.job, cfg.hydra.overrides.hydra
        searched = [(s.path, s.schema, s.provider) for s in cfg.hydra.runtime.config_sources]
        return (
            not any("shuffle" in text for text in given)
            and not OmegaConf.is_interpolation(job, "env_copy")
            and not job.env_copy  # would be read from the environment at each job
            and searched == [(s.path, s.scheme(), s.provider) for s in self._loader.get_sources()]
        )


_latest: list[tuple[DictConfig, list[str], Composer]] = []


def composer_of(config_loader: ConfigLoader, master_config: DictConfig) -> Composer:
    """The composer of a sweep; its sweeper and its launcher share one, and with it what was composed already."""
    given = OmegaConf.to_container(master_config.hydra.overrides.hydra, resolve=False)
    if not _latest or _latest[0][0] is not master_config or _latest[0][1] != given:
        _latest[:] = [(master_config, given, Composer(config_loader, master_config))]
    return _latest[0][2]


def _apply(override: Override, cfg: DictConfig) -> None:
    """What Hydra does with an override, where its key leads through plain nodes only."""
    if override.is_sweep_override() or override.type not in EDITS or not PLAIN_KEY.fullmatch(override.key_or_group):
        raise LeaveToHydra(override.input_line)
    *parents, leaf = override.key_or_group.split(".")
    holder = _holder(cfg, parents)
    present = holder is not None and leaf in holder.keys()  # noqa: SIM118 (`in` a config resolves the value)
    if override.is_delete():
        _delete(holder, leaf, override, cfg)
        return
    value, adds = override.value(), override.type is not OverrideType.CHANGE
    if present and (override.is_add() or _looks_through(holder, leaf, value)):
        raise LeaveToHydra(override.input_line)
    OmegaConf.update(cfg, override.key_or_group, value, merge=True, force_add=adds)


def _holder(cfg: DictConfig, parents: Sequence[str]) -> DictConfig | None:
    """The node under a path; None if a part of the path is absent."""
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


def _looks_through(holder: DictConfig, leaf: str, value: object) -> bool:
    """Whether merging a container into `holder[leaf]` would follow an interpolation."""
    if not isinstance(value, (dict, list)) or leaf not in holder.keys():  # noqa: SIM118
        return False
    if OmegaConf.is_interpolation(holder, leaf):
        return True
    if isinstance(value, list) or OmegaConf.is_missing(holder, leaf) or not isinstance(holder[leaf], DictConfig):
        return False
    return any(_looks_through(holder[leaf], key, inner) for key, inner in value.items())
