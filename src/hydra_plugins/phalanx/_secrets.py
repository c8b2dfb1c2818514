"""Literal passwords in URLs, which Hydra would write into the files of every run: refused, wherever they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from phalanx.core.errors import RequestError, SpecError

# user:password@ in a URL, not an interpolation, not host:port/path@; a password may hold /
USERINFO = re.compile(r"://[^/@:\s]*:(?!\d*/)[^\s$]+@")
QUERY = re.compile(r"(?i)(://[^\s'\"]*[?&](?:\w*pass\w*|pwd|\w*token|\w*secret|api_?key)=)(?!\$)[^&\s'\"]+")


def refuse_in_arguments(arguments: Sequence[str]) -> None:
    """Raises `RequestError` for the first password on a command line."""
    for argument in arguments:
        key, _, value = argument.partition("=")
        if _has_password(value):
            raise RequestError(_message(key, value))


def refuse_in_config(config: DictConfig) -> None:
    """Raises one `SpecError` with every password in a composed config, those from files included."""
    if faults := faults_of(config):
        raise SpecError(faults)


def faults_of(config: DictConfig) -> list[str]:
    """What is wrong with a composed config: a line for every password."""
    found = _texts(OmegaConf.to_container(config, resolve=False), "")
    return [_message(key, text) for key, text in found if _has_password(text)]


def _texts(node: Any, key: str) -> Iterator[tuple[str, str]]:
    """Every text in nested containers, by its dotted key."""
    if isinstance(node, str):
        yield key, node
    elif isinstance(node, Mapping):
        for name, value in node.items():
            yield from _texts(value, f"{key}.{name}" if key else str(name))
    elif isinstance(node, (list, tuple)):
        for place, value in enumerate(node):
            yield from _texts(value, f"{key}[{place}]")


def _has_password(text: str) -> bool:
    return USERINFO.search(text) is not None or QUERY.search(text) is not None


def _message(key: str, text: str) -> str:
    shown = QUERY.sub(r"\1***", USERINFO.sub("://***:***@", text))
    return (
        f"{key}={shown} holds a password, which would be written into the files of every run; put the URL "
        f"into an environment variable and type '{key}=${{oc.env:NAME}}'"
    )
