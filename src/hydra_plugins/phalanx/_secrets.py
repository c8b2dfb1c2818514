"""Refuses literal passwords in URLs anywhere in a configuration: Hydra would write them into the files of every run."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from phalanx.core.errors import RequestError, SpecError
from phalanx.core.redaction import has_password, redact


def refuse_in_arguments(arguments: Sequence[str]) -> None:
    """Raises `RequestError` for the first password on a command line."""
    for argument in arguments:
        key, _, value = argument.partition("=")
        if has_password(value):
            raise RequestError(_message(key, value))


def refuse_in_config(config: DictConfig) -> None:
    """Raises one `SpecError` with every password in a composed config, those from files included."""
    if faults := faults_of(config):
        raise SpecError(faults)


def faults_of(config: DictConfig) -> list[str]:
    """Returns one message for every password in a composed config."""
    found = _texts(OmegaConf.to_container(config, resolve=False), "")
    return [_message(key, text) for key, text in found if has_password(text)]


def _texts(node: Any, key: str) -> Iterator[tuple[str, str]]:
    """Yields (dotted key, text) for every text in nested containers."""
    if isinstance(node, str):
        yield key, node
    elif isinstance(node, Mapping):
        for name, value in node.items():
            yield from _texts(value, f"{key}.{name}" if key else str(name))
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from _texts(value, f"{key}[{index}]")


def _message(key: str, text: str) -> str:
    return (
        f"{key}={redact(text, text)} holds a password, which would be written into the files of every run; put the "
        f"URL into an environment variable and type '{key}=${{oc.env:NAME}}'"
    )
