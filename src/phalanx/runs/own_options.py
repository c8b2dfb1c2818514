"""Options of the user's own that a file of a run names. Nothing is imported because a file says so."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from phalanx.core.errors import RunFolderError
from phalanx.core.extensions import load_asked, needed
from phalanx.core.specs import Spec

log = logging.getLogger(__name__)


def check_source(group: str, name: object, source: object, known: Mapping[str, type[Spec]], where: str) -> None:
    """Raises `RunFolderError` if a file names an option that is not loaded, and warns of one whose code has changed.

    Args:
        group: The option's group.
        name: Its name.
        source: Its source, as the file has it; None for an option of Phalanx.
        known: The options of the group.
        where: The file, for messages.
    """
    if source is None:
        return
    if name not in known:
        load_asked()
    if name not in known:
        raise RunFolderError(f"{where} {needed(group, name, source)}")
    now = known[str(name)].source
    if now != source:
        log.warning("%s was written with %s=%s as of %s; loaded is %s", where, group, name, source, now)


def source_fault(group: str, name: object, source: object, known: Mapping[str, type[Spec]]) -> str:
    """The fault of a configuration whose option is not loaded, or has other code; empty if there is none.

    Args:
        group: The option's group.
        name: Its name.
        source: The value of `<group>.source`; None for whatever is loaded.
        known: The options of the group.
    """
    if source is None:
        return ""
    if name not in known:
        load_asked()
    if name not in known:
        return f"this configuration {needed(group, name, source)}"
    now = known[str(name)].source
    if source == now:
        return ""
    loaded = f"the code that is loaded is {now}" if now else f"loaded is {group}={name} of Phalanx"
    return (
        f"{group}={name} is of other code: the configuration has {source}, and {loaded}; a run or a study goes on with "
        f"its own code alone, so undo the change or begin anew (from_run=… with {group}.source=null)"
    )
