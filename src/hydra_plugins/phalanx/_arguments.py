"""Reads a command line before Hydra does, and refuses with every fault at once what Hydra would refuse one by one.

It looks at each override alone: its grammar, whether it may have several values, and the keys under `hydra` that Hydra
uses before it calls anything of ours. What an override means for a configuration is checked later.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException

from phalanx.core.advice import argument, override
from phalanx.core.errors import Fault, SpecError, pasted

VERBOSE, ENV_COPY = "hydra.verbose", "hydra.job.env_copy"
FILES = ("data.path", "data.test_path")  # whose value may be a pattern
OURS = ("resume", "from_run")  # which are replaced before Hydra reads anything, and hold paths of any form
TAKES_VALUE = re.compile(r"--(config-(path|name|dir)|package|cfg|experimental-rerun)|-(cp|cn|cd|p|c)")
SHOWS = re.compile(r"--(help|hydra-help|version|info|shell-completion)|-(h|i|sc)")  # and runs nothing
MULTIRUN = ("-m", "--multirun", "hydra.mode=MULTIRUN")
QUOTED_KEY = re.compile(r"""([{,]\s*)(["'])([\w.@/-]+)\2\s*:""")
# In {optimizer.momentum: optimizer=sgd, b: c=d}: each key and the text behind it that has a = and no quotes.
BRACED_TEXT = re.compile(r"""([{,]\s*[\w.@/-]+\s*:\s*)([^'"{}:]*=[^'"{}:]*?)(?=\s*(?:\}|,\s*[\w.@/-]+\s*:))""")
LISTED = re.compile(r"""\s*(?:'([^']*)'|"([^"]*)"|([^,]+?))\s*(?:,|\Z)""")  # one item of a list
SEARCH = "-m hydra/sweeper=optuna"


def check_arguments(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> None:
    """Raises one `SpecError` with all wrong overrides of a command line.

    Args:
        arguments: The command line without the program.
        environment: What `hydra.job.env_copy` may name.
    """
    if any(SHOWS.match(argument) for argument in arguments):
        return
    parser, multirun = OverridesParser.create(), any(argument in MULTIRUN for argument in arguments)
    faults: list[Fault | str] = []
    for text in _whole(overrides_in(arguments), faults):
        if text.partition("=")[0] in OURS:
            continue
        try:
            override = parser.parse_override(text)
        except (HydraException, RecursionError) as error:
            faults.append(_unreadable(text, error))
            continue
        if not override.key_or_group:
            faults.append(_no_key(text))
            continue
        faults += _several(override, multirun) if override.is_sweep_override() else _wrong(override, environment)
    if faults:
        raise SpecError(faults)


def check_grammar(overrides: Sequence[str], source: str) -> None:
    """Raises one `SpecError` with all overrides that are not in Hydra's grammar; `source` is where they stand."""
    parser = OverridesParser.create()
    faults: list[Fault | str] = []
    for text in overrides:
        try:
            parser.parse_override(text)
        except (HydraException, RecursionError) as error:
            faults.append(f"{source}: {_unreadable(text, error)}")
    if faults:
        raise SpecError(faults)


def swept_objective(keys: Collection[str]) -> list[str]:
    """Returns a fault where trials would have different objectives, of which none is the best."""
    if "objective" not in keys:
        return []
    return [
        "objective differs between trials, so that none of them is the best; fix one, try objective=val_accuracy, or "
        "search for several at once, try 'objective=[val_accuracy,n_parameters]'"
    ]


def overrides_in(arguments: Sequence[str]) -> list[str]:
    """Returns the arguments that are overrides and not options of the command, nor their values."""
    found, is_value = [], False
    for text in arguments:
        if not is_value and not text.startswith("-"):
            found.append(text)
        is_value = not is_value and TAKES_VALUE.fullmatch(text) is not None
    return found


def _whole(overrides: Sequence[str], faults: list[Fault | str]) -> Iterator[str]:
    """Yields the overrides; adds a fault for those that a shell has split at a space, which it takes together."""
    place = 0
    while place < len(overrides):
        stop = place + 1
        if _is_open(overrides[place]):
            ends = range(place + 2, len(overrides) + 1)
            stop = next((end for end in ends if not _is_open(" ".join(overrides[place:end]))), stop)
        joined = " ".join(overrides[place:stop])
        if stop > place + 1:
            faults.append(f"{joined} was split by the shell; try {pasted(joined)}")
        else:
            yield joined
        place = stop


def _is_open(text: str) -> bool:
    """Whether a text has more opening brackets than closing ones."""
    return sum(map(text.count, "([{")) > sum(map(text.count, ")]}"))


def _no_key(text: str) -> str:
    return f"{text!r} is not of the form key=value; python train.py --help shows what can be given"


def _unreadable(text: str, error: Exception) -> str:
    """Returns the fault of an override that is not in Hydra's grammar."""
    key, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"(\+\+?|~)?[a-zA-Z_$][\w$./@:-]*", key):
        return _no_key(text)
    if value.replace(" ", "") == "choice()":
        return f"{text} has no values; try {pasted(f'{key}=choice(VALUE,VALUE)')} with values of your own"
    reason = "it is nested too deeply" if isinstance(error, RecursionError) else _short(error)
    null = re.fullmatch(r"choice\(([^()]*\bnull\b[^()]*)\)", value)
    if null:  # Hydra's function does not take it, a list of values does
        return f"{text}: choice() takes no null; try {pasted(f'{key}={null[1]}')}"
    plain = QUOTED_KEY.sub(r"\1\3:", value)
    if plain != value:
        return f"{text} cannot be read: keys inside braces take no quotes; try {pasted(f'{key}={plain}')}"
    if (with_quotes := BRACED_TEXT.sub(r"\1'\2'", value)) != value and _is_readable(f"{key}={with_quotes}"):
        return f"{text} cannot be read: text with = in braces takes quotes; try {pasted(f'{key}={with_quotes}')}"
    if (items := _items(value)) and _is_readable(listed := argument(key, items)):
        return f"{text} cannot be read: {reason}; for these texts as they are try {pasted(listed)}"
    return f"{text} cannot be read: {reason}; for the text as it is try {override(key, value)}"


def _items(value: str) -> list[str]:
    """The items of a list as a person means them who types names with spaces and brackets; empty for no plain list."""
    if not (value.startswith("[") and value.endswith("]")):
        return []
    items = ["".join(parts) for parts in LISTED.findall(value[1:-1])]
    return [] if any(set(item) & set("[]{}") for item in items) else items


def _is_readable(text: str) -> bool:
    try:
        OverridesParser.create().parse_override(text)
    except (HydraException, RecursionError):
        return False
    return True


def _short(error: Exception) -> str:
    """Returns the first line of an error of Hydra's parser."""
    line = str(error).strip().partition("\n")[0]
    return re.sub(r"^\w+ while evaluating '.*?': |^\w+Exception: ", "", line) or type(error).__name__


def _several(override: Override, multirun: bool) -> list[Fault | str]:
    """Returns a fault where several values are given to a single run, or to a key of Hydra's own."""
    text, key = override.input_line or "", override.get_key_element()
    if key.lstrip("+").startswith(("hydra.", "hydra/")):
        return [f"{text} has several values, and a key of hydra is the same for all trials; give it one"]
    if isinstance(override.value(), Glob) and key.lstrip("+") in FILES:
        typed = pasted(argument(key, text.partition("=")[2]))
        return [f"{text} is for Hydra a pattern of option names, and a pattern of files in quotes alone; try {typed}"]
    if multirun:
        return []
    if override.is_discrete_sweep():
        return [f"{text} has several values, and this is a single run; to train each of them try -m {pasted(text)}"]
    return [f"{text} is a range to search, and this is a single run; to search it try {SEARCH} {pasted(text)}"]


def _wrong(override: Override, environment: Mapping[str, str]) -> list[Fault | str]:
    """Returns the faults of a key whose value Hydra would end with a traceback for."""
    key = override.key_or_group
    if key not in (VERBOSE, ENV_COPY) or override.is_delete():
        return []
    value: Any = override.value()
    names = value if isinstance(value, list) else [value]
    are_texts = all(isinstance(name, str) for name in names)
    if key == VERBOSE:
        allowed = "true, false, the name of a logger, or a list of these names"
        return [] if are_texts or isinstance(value, bool) else [Fault(key, value, allowed, f"{VERBOSE}=true")]
    if not isinstance(value, list) or not are_texts:
        return [Fault(key, value, "a list of names of environment variables", f"{ENV_COPY}=[PATH]")]
    missing = [name for name in names if name not in environment]
    there = [name for name in names if name in environment]
    allowed = f"a list of environment variables that are set, and {', '.join(missing)} is not"
    return [Fault(key, value, allowed, f"{ENV_COPY}=[{','.join(there)}]")] if missing else []
