"""YAML of plain values: read without recursion, anchors, aliases, tags and merged keys.

PyYAML's loaders follow nested values by recursion, in C up to a crash, and copy what aliases refer to as often as they
say. This one makes the values out of PyYAML's events, one after the other.
"""

import re
from typing import Any

import yaml

_FLOAT = re.compile(
    r"[-+]?[0-9]+(?:_[0-9]+)*\.[0-9_]*(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9]+(?:_[0-9]+)*[eE][-+]?[0-9]+"  # YAML 1.1 takes 1e-3 for text; Hydra and OmegaConf do not
    r"|[-+]?\.[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_KINDS = ("bool", "int", "null")  # resolved as YAML 1.1 does; no dates and no merging of mappings
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where that is there
_MAX_BITS = 1000  # of a whole number: less than the largest float has
_TEXT = "tag:yaml.org,2002:str"
_STARTS = (yaml.SequenceStartEvent, yaml.MappingStartEvent)
_ENDS = (yaml.SequenceEndEvent, yaml.MappingEndEvent)


class NotPlain(ValueError):
    """The text is no YAML, or more than plain values."""


class _Scalars(yaml.constructor.SafeConstructor, yaml.resolver.BaseResolver):  # type: ignore[misc]
    """Makes Python's values of plain scalars."""

    def __init__(self) -> None:
        yaml.constructor.SafeConstructor.__init__(self)
        yaml.resolver.BaseResolver.__init__(self)

    def value(self, event: yaml.ScalarEvent) -> Any:
        tag = self.resolve(yaml.ScalarNode, event.value, event.implicit)
        if tag == _TEXT:
            return event.value
        value = self.construct_object(yaml.ScalarNode(tag, event.value, event.start_mark))
        if isinstance(value, int) and value.bit_length() > _MAX_BITS:
            raise NotPlain(f"line {event.start_mark.line + 1} has a number of more than {_MAX_BITS:,} bits")
        return value


_Scalars.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag.rpartition(":")[2] in _KINDS]
    for first, known in yaml.resolver.Resolver.yaml_implicit_resolvers.items()
}
_Scalars.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(rf"(?:{_FLOAT.pattern})\Z"), list("-+.0123456789"))


class _Builder:
    """Puts values together; `stack` has the open lists and mappings, each with the key that waits for its value."""

    def __init__(self, max_depth: int) -> None:
        self.max_depth = max_depth
        self.stack: list[tuple[Any, list[Any]]] = []
        self.result: Any = None

    def add(self, value: Any, line: int) -> None:
        """Adds a value to what is open."""
        if not self.stack:
            self.result = value
            return
        outer, key = self.stack[-1]
        if isinstance(outer, list):
            outer.append(value)
        elif key:
            outer[key.pop()] = value
        elif isinstance(value, (list, dict)):
            raise NotPlain(f"line {line} has a list or a mapping as a key")
        elif value in outer:
            raise NotPlain(f"line {line} has the key {value!r} a second time")
        else:
            key.append(value)

    def open(self, value: Any, line: int) -> None:
        """Adds an empty list or mapping that the next values belong to."""
        self.add(value, line)
        self.stack.append((value, []))
        if len(self.stack) > self.max_depth:
            raise NotPlain(f"line {line} has more than {self.max_depth} lists and mappings inside each other")


def plain_yaml(text: str, max_depth: int) -> Any:
    """Returns the values of a text with one YAML document; None for an empty one. Raises `NotPlain`.

    Args:
        text: The text.
        max_depth: How many lists and mappings may be inside each other.
    """
    try:
        return _values(text, max_depth)
    except NotPlain:
        raise
    except (yaml.YAMLError, ValueError, OverflowError, LookupError) as error:  # `int` and `float` of odd scalars too
        raise NotPlain(" ".join(str(error).split())) from error


def _values(text: str, max_depth: int) -> Any:
    builder, scalars, documents = _Builder(max_depth), _Scalars(), 0
    for event in yaml.parse(text, _LOADER):
        line = event.start_mark.line + 1
        documents += isinstance(event, yaml.DocumentStartEvent)
        if documents > 1:
            raise NotPlain(f"a second document begins in line {line}")
        if isinstance(event, yaml.NodeEvent):
            _check(event, line)
        if isinstance(event, yaml.ScalarEvent):
            builder.add(scalars.value(event), line)
        elif isinstance(event, _STARTS):
            builder.open([] if isinstance(event, yaml.SequenceStartEvent) else {}, line)
        elif isinstance(event, _ENDS):
            builder.stack.pop()
    return builder.result


def _check(event: yaml.NodeEvent, line: int) -> None:
    """Raises `NotPlain` for what is more than a plain value."""
    if event.anchor is not None:
        raise NotPlain(f"line {line} has the anchor or alias {event.anchor!r}; write the value out")
    if getattr(event, "tag", None) is not None:
        raise NotPlain(f"line {line} has the tag {event.tag!r}; write a plain value")
    plain = isinstance(event, yaml.ScalarEvent) and event.implicit[0]
    if plain and event.value == "<<":
        raise NotPlain(f"line {line} merges a mapping by '<<'; write its keys out")
