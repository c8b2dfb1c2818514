"""Exchanges options of config groups in a composed configuration, so that Hydra composes one combination and not each.

Hydra's defaults list says which config is merged into which part. Where it is the same for two combinations but for the
configs of their options, and each of these alone makes up one part, the configurations differ in these parts alone.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override, OverrideType
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write


@dataclass(frozen=True)
class Exchanged:
    """A combination of options by what it differs in from another one.

    Attributes:
        reference: What chooses the other one.
        chosen: The name of the option by group.
        parts: The pickled part of each group whose option differs.
    """

    reference: tuple[str, ...]
    chosen: Mapping[str, str]
    parts: Mapping[str, bytes]

    def applied_to(self, config: DictConfig) -> DictConfig:
        """Makes this combination out of the configuration of the other one, with or without the node `hydra`."""
        with read_write(config), open_dict(config):
            for group, part in self.parts.items():
                config[group] = pickle.loads(part)
                if "hydra" in config.keys():  # noqa: SIM118 (`in` a config resolves the value)
                    config.hydra.runtime.choices[group] = self.chosen[group]
        OmegaConf.clear_cache(config)
        return config


class Exchanges:
    """Combinations of options; the first of each set of groups is the one that others are made out of."""

    def __init__(self, loader: ConfigLoader, master: DictConfig, parse: Callable[[str], Override]) -> None:
        """Takes Hydra's loader, the configuration of the sweep, and what parses an override."""
        self._loader, self._master, self._parse = loader, master, parse
        self._references: dict[tuple[object, ...], tuple[str, ...]] = {}
        self._exchanges: dict[tuple[object, ...], Exchange | None] = {}
        self._expected: dict[str, list[str]] = {}

    def expect(self, options: Iterable[tuple[str, str]]) -> None:
        """Takes groups and names of options to come, so that those of several groups are looked at together."""
        for group, name in options:
            self._expected.setdefault(group, []).append(name)

    def find(self, structure: tuple[str, ...], of_sweep: tuple[str, ...], cwd: str) -> Exchanged | None:
        """Finds the combination that another one is made out of.

        Args:
            structure: What chooses the options, and what else Hydra uses to choose configs.
            of_sweep: The overrides of the whole sweep that are Hydra's own.
            cwd: The current folder.

        Returns:
            What it differs in; None for one that is to be composed.
        """
        chosen = self.options_of(structure)
        others = tuple(text for text in structure if not _is_option(self._parse(text)))
        key = (frozenset(chosen), others, of_sweep, cwd)
        reference = self._references.setdefault(key, structure)
        if not chosen or reference == structure or self._master.hydra.get("aliases"):
            return None
        if key not in self._exchanges:
            self._exchanges[key] = self._begin(reference, [*of_sweep, *others])
        exchange = self._exchanges[key]
        parts = None if exchange is None else exchange.parts(chosen, self._expected)
        return None if parts is None else Exchanged(reference, chosen, parts)

    def options_of(self, structure: Sequence[str]) -> dict[str, str]:
        """The option by group that is chosen by name; nothing where a group is named twice."""
        options = [override for text in structure if _is_option(override := self._parse(text))]
        chosen = {option.key_or_group: str(option.value()) for option in options}
        return chosen if len(chosen) == len(options) else {}

    def _begin(self, reference: tuple[str, ...], others: Sequence[str]) -> Exchange | None:
        try:
            return Exchange(self._loader, self._master.hydra.job.config_name, others, self.options_of(reference))
        except Exception:  # the combination may be wrong; Hydra tells of it in its own words
            return None


def _is_option(override: Override) -> bool:
    """Whether an override that chooses a config names one option of a group of the application."""
    return (
        override.type is OverrideType.CHANGE
        and override.package is None
        and isinstance(override.value(), str)
        and "/" not in override.key_or_group
        and override.key_or_group.partition(".")[0] != "hydra"
    )


class Exchange:
    """The options that can take the places of those of one combination, which Hydra has composed."""

    def __init__(
        self, loader: ConfigLoader, config_name: str, others: Sequence[str], chosen: Mapping[str, str]
    ) -> None:
        """Takes the combination.

        Args:
            loader: Hydra's.
            config_name: Of the main config.
            others: The other overrides that the combination is composed with.
            chosen: The name of its option by config group; each is chosen by an override `group=name`.

        Raises:
            HydraException: As Hydra raises it, for a combination that cannot be composed.
        """
        self._loader, self._config_name, self._others, self._chosen = loader, config_name, list(others), dict(chosen)
        self._reference = self._listed(self._chosen)
        self._parts: dict[tuple[str, str], bytes | None] = {}  # pickled, by group and option
        self._alone = {group for group in chosen if self._makes_up_its_part(group)}

    def parts(self, chosen: Mapping[str, str], expected: Mapping[str, Sequence[str]]) -> dict[str, bytes] | None:
        """What another combination has in other places.

        Args:
            chosen: The name of its option for each of the groups.
            expected: Options that may be asked for later, by group.

        Returns:
            The pickled part of each group whose option differs; None where more than these parts may differ.
        """
        differing = {group: name for group, name in chosen.items() if name != self._chosen[group]}
        if not self._alone.issuperset(differing):
            return None
        self._learn({group: name for group, name in differing.items() if (group, name) not in self._parts}, expected)
        found = {group: self._parts[group, name] for group, name in differing.items()}
        parts = {group: part for group, part in found.items() if part is not None}
        return parts if len(parts) == len(found) else None

    def _learn(self, options: Mapping[str, str], expected: Mapping[str, Sequence[str]]) -> None:
        """Reads options, of several groups together where that is enough."""
        if not options:
            return
        further = {
            group: [n for n in names if (group, n) not in self._parts and n != self._chosen[group]][:1]
            for group, names in expected.items()
            if group in self._alone and group not in options
        }
        batch = {**options, **{group: names[0] for group, names in further.items() if names}}
        if self._are_exchanged(batch):
            self._parts |= {(group, name): self._read(group, name) for group, name in batch.items()}
            return
        for group, name in options.items():
            fits = len(batch) > 1 and self._are_exchanged({group: name})
            self._parts[group, name] = self._read(group, name) if fits else None

    def _listed(self, chosen: Mapping[str, str]) -> tuple[list[Any], dict[str, str | None]]:
        """Hydra's defaults list of a combination, and the choices of all groups."""
        options = [f"{group}={name}" for group, name in chosen.items()]
        found = self._loader.compute_defaults_list(self._config_name, [*self._others, *options], RunMode.RUN)
        return found.defaults, found.overrides.known_choices

    def _are_exchanged(self, options: Mapping[str, str]) -> bool:
        """Whether these options change their own entries of the defaults list, and no other choice."""
        try:
            defaults, choices = self._listed({**self._chosen, **options})
        except Exception:  # an option that does not exist, of which Hydra tells in its own words
            return False
        before, known = self._reference
        if len(defaults) != len(before) or list(choices.items()) != list({**known, **options}.items()):
            return False
        changed = [pair for pair in zip(before, defaults, strict=True) if pair[0] != pair[1]]
        expected = {(f"{group}/{self._chosen[group]}", f"{group}/{name}", group) for group, name in options.items()}
        return len(changed) == len(expected) and expected == {
            (old.config_path, new.config_path, new.package)
            for old, new in changed
            if (old.package, old.parent, old.is_self) == (new.package, new.parent, False)
        }

    def _makes_up_its_part(self, group: str) -> bool:
        """Whether the option of a group is one config, and no other config has a word in this part."""
        own = f"{group}/{self._chosen[group]}"
        entries = [e for e in self._reference[0] if e.config_path != own or e.package != group or e.is_self]
        return len(entries) == len(self._reference[0]) - 1 and not any(self._touches(e, group) for e in entries)

    def _touches(self, entry: Any, group: str) -> bool:
        """Whether a config of the defaults list may have something in the part of a group."""
        if entry.package is None:
            return True
        if entry.package:
            return bool(entry.package.partition(".")[0] == group)
        config = self._load(entry.config_path)
        return config is None or group in config.keys()  # noqa: SIM118 (`in` a config resolves the value)

    def _read(self, group: str, name: str) -> bytes | None:
        """The pickled part that an option makes up."""
        config = self._load(f"{group}/{name}")
        if config is None or "defaults" in config.keys():  # noqa: SIM118
            return None
        holder, whole = OmegaConf.create(), OmegaConf.create()
        OmegaConf.update(holder, group, config, merge=False)
        whole.merge_with(holder)  # as Hydra does
        return pickle.dumps(whole[group], pickle.HIGHEST_PROTOCOL)

    def _load(self, path: str) -> DictConfig | None:
        for source in self._loader.get_sources():
            if source.is_config(path):
                config = source.load_config(path).config
                return config if isinstance(config, DictConfig) else None
        return None
