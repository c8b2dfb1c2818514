"""All overrides that Hydra would refuse one by one, found by composing again without those it has refused.

The values of what it then accepts are checked too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from hydra_plugins.phalanx._overrides import key_of
from hydra_plugins.phalanx._words import MERGING, UNKNOWN_KEY, in_words, is_wrong_request
from phalanx.core.errors import SpecError
from phalanx.runs.config import trial_spec


def refusal(error: Exception, overrides: Sequence[str], conf: Path) -> str:
    """Returns the message for an error of Hydra or OmegaConf, with all others of the command line.

    Args:
        error: An error that `is_wrong_request`.
        overrides: Those of the command line.
        conf: The folder of the config groups.
    """
    texts, rest = [in_words(error, overrides)], _single(overrides)
    while (blamed := _blamed(error, rest)) is not None:
        rest.remove(blamed)
        GlobalHydra.instance().clear()
        try:
            with initialize_config_dir(str(conf.resolve())):
                trial_spec(compose("config", rest))
            break
        except SpecError as other:
            texts += map(str, other.faults)
            break
        except Exception as other:
            if not is_wrong_request(other):
                break
            error = other
            texts.append(in_words(error, rest))
    return texts[0] if len(texts) == 1 else str(SpecError(list(dict.fromkeys(texts))))


def _single(overrides: Sequence[str]) -> list[str]:
    """Returns overrides as a single run has them: of several values the first, and none that draws from a range."""
    parser, found = OverridesParser.create(), []
    for text in overrides:
        try:
            override = parser.parse_override(text)
            if override.is_sweep_override():
                values = override.sweep_string_iterator() if override.is_discrete_sweep() else iter(())
                found += [f"{override.get_key_element()}={value}" for value in values][:1]
            else:
                found.append(text)
        except (HydraException, ValueError):
            continue
    return found


def _blamed(error: Exception, overrides: Sequence[str]) -> str | None:
    """Returns the override that an error is about; None if that cannot be told."""
    text, cause = str(error), error.__cause__
    if isinstance(error, MissingConfigException):
        group, _, name = str(error.missing_cfg_file or "").rpartition("/")
        return next((one for one in overrides if key_of(one) == group and name in one), None)
    if found := UNKNOWN_KEY.match(text):
        key = (isinstance(cause, OmegaConfBaseException) and cause.full_key) or found["key"]
        about = [one for one in overrides if _is_within(key, key_of(one)) or _is_within(key_of(one), key)]
        return max(about, key=lambda one: len(key_of(one)), default=None)  # model.norm=x rather than model=mlp2
    if found := MERGING.fullmatch(text):
        return found["override"] if found["override"] in overrides else None
    return None


def _is_within(key: str, other: str) -> bool:
    return f"{key}.".startswith(f"{other}.")
