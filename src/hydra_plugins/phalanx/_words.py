"""Errors of Hydra and OmegaConf in one or two lines: the key, what is wrong with it, and what to type."""

import difflib
import re
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from phalanx.core.errors import pasted
from phalanx.runs.config import DEFAULTS, reason_of

NOTHING_TO_DELETE = re.compile(r"Could not delete from config\. '(?P<key>[^']*)' does not exist\.")
UNKNOWN_KEY = re.compile(r"Could not override '(?P<key>[^']*)'\.")
ALREADY = re.compile(r"Could not append to config\. An item is already at '(?P<key>[^']*)'\.")
SECOND_OPTION = re.compile(r"Multiple values for (?P<key>\S+)\. To override")
FORCED_OPTION = re.compile(r"force-add of config groups is not supported: '(?P<override>.*)'", re.DOTALL)
OTHER_OPTION = re.compile(r"Could not delete '(?P<key>[^'=]*)=(?P<name>[^']*)'\. No match in the defaults list")
MERGING = re.compile(r"Error merging override (?P<override>.*)", re.DOTALL)
NO_OPTION = "Config group override must be a string or a list"
REMOVED = (("hydra/sweeper/sampler", "motpe"),)  # options that Hydra's plugin lists and no Optuna has any more
NEAR_ENOUGH = 0.5  # of two names, as difflib measures it: `crossentropy` and `adma` find theirs
NEAR = re.compile(r"Did you mean: '(?P<near>[^']*)'")


def is_wrong_request(error: Exception) -> bool:
    """Whether Hydra or OmegaConf refuses a configuration; Hydra does so once with an error that could be any other."""
    no_option = isinstance(error, ValueError) and str(error).startswith(NO_OPTION)
    return isinstance(error, (HydraException, OmegaConfBaseException)) or no_option


def in_words(error: Exception, overrides: Sequence[str] = ()) -> str:
    """Returns the message of an error that Hydra or OmegaConf raised for a configuration.

    Args:
        error: An error that `is_wrong_request`.
        overrides: What the configuration was composed of, to name the one that Hydra does not name.
    """
    if isinstance(error, OmegaConfBaseException):
        return reason_of(error)
    text, cause = str(error), error.__cause__
    reason = reason_of(cause) if isinstance(cause, OmegaConfBaseException) else ""
    if isinstance(error, MissingConfigException):
        return _missing(error)
    if found := UNKNOWN_KEY.match(text):
        return _unknown(getattr(cause, "full_key", None) or found["key"], reason, overrides)
    if found := NOTHING_TO_DELETE.match(text):
        return f"~{found['key']} deletes nothing: {found['key']} is not a key of the configuration; leave it out"
    if found := ALREADY.match(text) or SECOND_OPTION.match(text):
        return _added(found["key"], overrides)
    if found := FORCED_OPTION.fullmatch(text):
        return f"{found['override']} chooses an option, which takes no ++; try {pasted(found['override'][2:])}"
    if found := OTHER_OPTION.match(text):
        key, name = found["key"], found["name"]
        return f"~{key}={name} deletes nothing: {name} is not the option of {key}; leave it out"
    if (found := MERGING.fullmatch(text)) and reason:
        return f"{found['override']} cannot be set: {reason}"
    if text.startswith(NO_OPTION):
        return text + "".join(f"; {one}" for one in _no_option(overrides))
    return text.strip() or reason or type(error).__name__


def _missing(error: MissingConfigException) -> str:
    """Returns one line with the options of the group, and the ones that were perhaps meant."""
    group, _, name = str(error.missing_cfg_file or "").rpartition("/")
    options = [option for option in error.options or () if (group, option) not in REMOVED]
    if not group or not options:
        return str(error).partition("\nConfig search path")[0].rstrip()
    near = difflib.get_close_matches(name, options, n=3, cutoff=NEAR_ENOUGH)
    meant = f" (did you mean {' or '.join(near)}?)" if near else ""
    usual = DEFAULTS.get(group, options[0])
    advice = pasted(f"{group}={near[0] if near else usual}")
    return f"{group}={name} names no option{meant}; {group} has {', '.join(options)}; try {advice}"


def _unknown(key: str, reason: str, overrides: Sequence[str]) -> str:
    if (deletion := f"~{key.partition('.')[0]}") in overrides:
        return f"{key} is not a key of the configuration, since {deletion} deletes its group; leave out {deletion}"
    shown = "hydra" if key.startswith("hydra.") else "job"
    near = NEAR.search(reason)
    meant = f" (did you mean {key.rpartition('.')[0] + '.' if '.' in key else ''}{near['near']}?)" if near else ""
    return f"{key} is not a key of the configuration{meant}; type --cfg {shown} to see all keys"


def _added(key: str, overrides: Sequence[str]) -> str:
    """Returns what is said of `+` before a key, or a config group, that is there already."""
    given = next((text for text in overrides if text.startswith(f"+{key}=")), f"+{key}")
    return f"{given} adds {key}, which the configuration has; try {pasted(given[1:])}"


def _no_option(overrides: Sequence[str]) -> list[str]:
    """Returns what is to be said of each override that may have given a config group something else than an option."""
    parser, found = OverridesParser.create(), []
    for text in overrides:
        try:
            override = parser.parse_override(text)
            values = [] if override.is_delete() or "." in override.key_or_group else _values(override)
        except (HydraException, ValueError):
            continue
        if not all(isinstance(value, (str, list, Glob)) for value in values):
            found.append(f"{text} names no option; python train.py --help shows those of {override.key_or_group}")
    return found


def _values(override: Override) -> list[object]:
    return list(override.sweep_iterator()) if override.is_discrete_sweep() else [override.value()]
