"""What is used of the configuration in a folder, which may come from somebody else: plain values.

An address that is not the user's own could be sent whatever an interpolation fetches, such as `${oc.env:NAME}`. So
neither is taken from a folder: no interpolation is resolved, and a tracking store is used only if it is a file in the
working folder or one that the user names, on the command line, in the own `conf/` or by MLFLOW_TRACKING_URI.
"""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from phalanx.core.redaction import redact

VARIABLE = "MLFLOW_TRACKING_URI"


def interpolations(values: Mapping[str, Any]) -> dict[str, str]:
    """The first interpolation of each key that has one, in its value or in a name inside of it."""
    found = ((key, next((text for text in _texts(value) if "${" in text), None)) for key, value in values.items())
    return {key: text for key, text in found if text is not None}


def _texts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [text for key, inner in value.items() for text in (str(key), *_texts(inner))]
    if isinstance(value, (list, tuple)):
        return [text for inner in value for text in _texts(inner)]
    return [value] if isinstance(value, str) else []


def is_own_store(uri: Any, named: Collection[str] = ()) -> bool:
    """Whether a folder's tracking store is one that the user has named, or a file in the working folder.

    Args:
        uri: `tracking.uri` in the folder; None for MLflow's default.
        named: Stores that the user has named; the one in MLFLOW_TRACKING_URI is one too.
    """
    if uri is None or uri == "":
        return True
    if not isinstance(uri, str):
        return False
    if uri in named or ("${" not in uri and uri.rstrip("/") == os.environ.get(VARIABLE, "").rstrip("/")):
        return True
    scheme, _, name = uri.partition(":///")
    if scheme not in ("sqlite", "file") or not name or set(name) & set("?#%$"):
        return False
    path = Path(name) if scheme == "sqlite" else Path("/", name)
    return path.resolve().is_relative_to(Path.cwd().resolve())


def untrusted(tracking: Mapping[str, Any], named: Collection[str] = ()) -> dict[str, str]:
    """The tracking options of a folder that are not used, without passwords; none where nothing is logged.

    Args:
        tracking: The options by name, without those that the user gives.
        named: Stores that the user has named.
    """
    if tracking.get("kind") == "none":
        return {}
    found = interpolations({key: value for key, value in tracking.items() if key != "uri"})
    uri = tracking.get("uri")
    return found if is_own_store(uri, named) else {"uri": redact(str(uri), str(uri)), **found}
