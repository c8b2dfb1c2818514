"""Generates the page "Config keys" from the files in conf/ and the spec classes in src/phalanx.

A key's default and meaning come from its line in conf/. Its type, its range and whether trials of one cohort may
differ in it come from the spec class, which is parsed and not imported, so that torch need not be installed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

SKIPPED = ("job_logging", "hydra_logging")  # logging.config dictionaries, documented by Python
TYPES = {"int": "whole number", "float": "number", "bool": "true or false", "str": "text"}
PREFIXES = {"hydra/launcher": "hydra.launcher", "hydra/sweeper": "hydra.sweeper"}
INTRO = """\
# Config keys

Every key of every config group, generated from `conf/` and from the spec classes when this site is built. Set a key on
the command line (`python train.py optimizer.lr=0.01`), select an option of a group by its name (`optimizer=sgd`).
`python train.py --cfg job` prints the composed configuration.

In the column *cohort*, **may differ** marks a key that may have different values in the trials of one cohort, and
**equal** a key by which trials are divided into cohorts. A dash marks a key that is not part of a trial.
"""


@dataclass(frozen=True)
class Key:
    """One key of a YAML file: its path from the file's root, its default as written, and its comment."""

    path: tuple[str, ...]
    default: str
    meaning: str


@dataclass(frozen=True)
class Field:
    """One field of a spec class."""

    allowed: str
    stacked: bool
    default: str


@dataclass(frozen=True)
class SpecClass:
    """A spec class: the config group, the option's name (empty where the group has one class) and all fields."""

    group: str
    name: str
    fields: dict[str, Field]


# --- files in conf/


def read_head(text: str) -> tuple[list[str], str]:
    """The commands and the description in the comment that begins a file."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    lines = [line for line in lines if not line.startswith("@package")]
    commands = [line for line in lines if line.startswith("python train.py")]
    return commands, " ".join(line for line in lines if line not in commands)


def read_keys(text: str) -> list[Key]:
    """Every key of a YAML text, in its order; keys of a nested mapping by their whole path."""
    root, lines = yaml.compose(text, yaml.SafeLoader), text.splitlines()
    return list(_walk(root, (), text, lines)) if isinstance(root, yaml.MappingNode) else []


def _walk(node: yaml.MappingNode, path: tuple[str, ...], text: str, lines: list[str]) -> Iterator[Key]:
    for key, value in node.value:
        here = (*path, key.value)
        if here == ("defaults",):
            for item in value.value:
                for group, option in item.value if isinstance(item, yaml.MappingNode) else ():
                    yield Key((group.value.removeprefix("override "),), option.value, _comment(option, lines))
        elif isinstance(value, yaml.MappingNode) and not value.flow_style:
            if meaning := _comment(key, lines):
                yield Key(here, "", meaning)
            yield from _walk(value, here, text, lines)
        else:
            yield Key(here, text[value.start_mark.index : value.end_mark.index].strip(), _comment(value, lines))


def _comment(node: yaml.Node, lines: list[str]) -> str:
    """The comment behind a node, with the lines below that continue it in the same column."""
    number, column = node.end_mark.line, node.end_mark.column
    found = re.match(r":?\s*(?:[&|>]\S*\s*)?# ?(.*)", lines[number][column:]) if number < len(lines) else None
    if found is None:
        return ""
    parts, start = [found.group(1)], lines[number].index("#", column)
    for line in lines[number + 1 :]:
        if not line.startswith(" " * start + "#"):
            break
        parts.append(line.strip().removeprefix("#").strip())
    return " ".join(parts)


# --- spec classes in src/


def read_specs(source: Path) -> list[SpecClass]:
    """Every class below `source` with a config group, inherited fields included."""
    classes, constants = {}, {}
    for file in sorted(source.rglob("*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                classes[node.name] = node
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                constants.setdefault(node.targets[0].id, node.value)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
                constants.setdefault(node.target.id, node.value)
    found = [_spec_class(node, classes, constants) for node in classes.values()]
    return [spec for spec in found if spec.fields]


def _spec_class(node: ast.ClassDef, classes: dict[str, ast.ClassDef], constants: dict[str, ast.expr]) -> SpecClass:
    family = [node]
    while bases := [b.id for b in family[-1].bases if isinstance(b, ast.Name) and b.id in classes]:
        family.append(classes[bases[0]])
    names, fields, mixed = {"config_group": "", "name": ""}, {}, False
    for cls in reversed(family):
        for item in cls.body:
            if isinstance(item, ast.FunctionDef) and item.name == "padded":
                padded = {c.value for c in ast.walk(item) if isinstance(c, ast.Constant)}
                fields |= {
                    n: replace(f, stacked=True) for n, f in fields.items() if f"{names['config_group']}.{n}" in padded
                }
            if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name) or item.value is None:
                continue
            if item.target.id in names and isinstance(item.value, ast.Constant):
                names[item.target.id] = item.value.value
            elif item.target.id == "stackable" and isinstance(item.value, ast.Constant):
                mixed = item.value.value
            elif isinstance(item.value, ast.Call) and (made := _field(item.annotation, item.value, constants)):
                fields[item.target.id] = made
    fields = {name: replace(field, stacked=True) for name, field in fields.items()} if mixed else fields
    return SpecClass(names["config_group"], names["name"], fields)


def _field(annotation: ast.expr, call: ast.Call, constants: dict[str, ast.expr]) -> Field | None:
    maker = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    keywords = {k.arg: k.value for k in call.keywords if k.arg}
    if maker not in ("static", "stacked") and not (maker == "field" and "metadata" in keywords):
        return None
    default = call.args[0] if call.args else keywords.get("default")
    limits = {name: _value(value, constants) for name, value in keywords.items()}
    return Field(_allowed(annotation, limits), maker == "stacked", ast.unparse(default) if default else "")


def _value(node: ast.expr, constants: dict[str, ast.expr]) -> object:
    """A literal, or the items of a module's constant such as `tuple(OUTPUTS)`; None for anything else."""
    while isinstance(node, ast.Call) and node.args:
        node = node.args[0]
    if isinstance(node, ast.Name) and node.id in constants:
        node = constants[node.id]
    if isinstance(node, ast.Dict):
        return tuple(key.value for key in node.keys if isinstance(key, ast.Constant))
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def _allowed(annotation: ast.expr, limits: dict[str, Any]) -> str:
    """What a field allows, in words: `number in (0, 1]`."""
    text = ast.unparse(annotation)
    optional, kind = "None" in text, text.replace(" | None", "")
    item = re.fullmatch(r"tuple\[(\w+), \.\.\.\]", kind)
    words = f"list of {TYPES.get(item[1], item[1])}s" if item else TYPES.get(kind, kind)
    if choices := limits.get("choices"):
        words = ", ".join(f"`{choice}`" for choice in choices)
    return words.replace("texts", "text") + _interval(limits) + (" or `null`" if optional else "")


def _interval(limits: dict[str, Any]) -> str:
    low, high = (limits.get(strict, limits.get(loose)) for strict, loose in (("gt", "ge"), ("lt", "le")))
    if low is None and high is None:
        return ""
    if high is None:
        return f" {'>' if 'gt' in limits else '≥'} {low:g}"
    if low is None:
        return f" {'<' if 'lt' in limits else '≤'} {high:g}"
    return f" in {'(' if 'gt' in limits else '['}{low:g}, {high:g}{')' if 'lt' in limits else ']'}"


# --- the page


def page(root: Path) -> str:
    """The page in Markdown, for the checkout at `root`."""
    conf, specs = root / "conf", read_specs(root / "src" / "phalanx")
    parts = [INTRO, "## The main config", "`conf/config.yaml`", _main_table(conf, specs)]
    for folder in _groups(conf):
        group = folder.relative_to(conf).as_posix()
        parts.append(f"## {group}")
        parts += [part for file in sorted(folder.glob("*.yaml")) for part in _option(group, file, specs)]
    return "\n\n".join(parts) + "\n"


def _groups(conf: Path) -> list[Path]:
    """Folders of options: those of the main config's defaults list in its order, then the others."""
    folders = [f for f in sorted({f.parent for f in conf.rglob("*.yaml")} - {conf}) if f.name not in SKIPPED]
    order = [key.path[0] for key in read_keys((conf / "config.yaml").read_text(encoding="utf-8"))]
    return sorted(folders, key=lambda f: order.index(g) if (g := f.relative_to(conf).as_posix()) in order else 99)


def _main_table(conf: Path, specs: list[SpecClass]) -> str:
    top = {name: field for spec in specs if not spec.group for name, field in spec.fields.items()}
    rows = []
    for key in read_keys((conf / "config.yaml").read_text(encoding="utf-8")):
        folder, name = conf / key.path[0], ".".join(key.path)
        if len(key.path) == 1 and folder.is_dir() and name != "hydra":
            options = ", ".join(f"`{f.stem}`" for f in sorted(folder.glob("*.yaml")))
            meaning = key.meaning or "config group"
            rows.append((name, key.default, options, "-", meaning))
        else:
            rows.append(_row(name, key, top.get(name)))
    return _table(rows)


def _option(group: str, file: Path, specs: list[SpecClass]) -> list[str]:
    text = file.read_text(encoding="utf-8")
    commands, description = read_head(text)
    keys, prefix = read_keys(text), _prefix(group, text)
    values = {key.path: key.default for key in keys}
    name = values.get(("name",), "")
    rows, seen = [], set()
    for key in keys:
        path = ".".join(filter(None, (prefix, *key.path)))
        owner, _, last = path.rpartition(".")
        spec = _spec(specs, owner, name)
        seen.add(owner)
        rows.append(_row(path, key, spec.fields.get(last) if spec else None))
    if prefix in ("hydra.sweeper", "hydra.launcher") and group in PREFIXES:
        rows += [
            _row(f"{spec.group}.{n}", Key((n,), f.default, ""), f)
            for spec in specs for n, f in spec.fields.items()
            if spec.group.startswith(f"{prefix}.") and spec.group not in seen and f"{spec.group.split('.')[-1]}" in
            {key.path[0] for key in keys}
        ]  # fmt: skip
    shown = "\n".join(commands)
    return [f"### {group}={file.stem}", f"```bash\n{shown}\n```", *([_sentence(description)] if description else []),
            *([_table(rows)] if rows else [])]  # fmt: skip


def _prefix(group: str, text: str) -> str:
    return "" if "@package _global_" in text else PREFIXES.get(group, group.replace("/", "."))


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + ("" if text.endswith((".", "!", ")")) else ".")


def _spec(specs: list[SpecClass], group: str, name: str) -> SpecClass | None:
    """The class of a group's option, or the group's only one."""
    found = [spec for spec in specs if spec.group == group]
    named = [spec for spec in found if spec.name == name]
    return (named or [s for s in found if len(found) == 1] or [None])[0]


def _row(name: str, key: Key, spec: Field | None) -> tuple[str, str, str, str, str]:
    cohort = "-" if spec is None or name.startswith(("hydra.", "tracking.", "checkpoint.")) else (
        "may differ" if spec.stacked else "equal"
    )  # fmt: skip
    return name, key.default, spec.allowed if spec else "", cohort, key.meaning


def _table(rows: list[tuple[str, str, str, str, str]]) -> str:
    lines = ["| key | default | allowed | cohort | meaning |", "| --- | --- | --- | --- | --- |"]
    for name, default, *others in rows:
        cells = (f"`{name}`", f"`{default}`" if default else "", *others)
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |")
    return "\n".join(lines)
