"""MkDocs hooks: pages that are generated or taken from elsewhere in the repository, and a check for outside assets.

Links between pages are written so that they also work in the repository, relative to the Markdown file. A link to a
file that has a page in the site leads to that page; of a link to any other file outside docs/ only the text stays.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))

import config_keys

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)")
ELSEWHERE = r"""["']?(?:https?:)?//"""
OUTSIDE = re.compile(rf"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)={ELSEWHERE}[^>]*|url\({ELSEWHERE}[^)]*")
FURTHER = {
    "Search without Hydra": [
        f"phalanx.study.{n}" for n in ("open_study.open_study", "suggest_from", "run_study", "Budget", "Outcome")
    ],
    "Tracked runs": ["phalanx.tracking.read_experiment", "phalanx.tracking.TrackedRun"],
}
REGISTRIES = ("DATASETS", "LOSSES", "MODELS", "OPTIMIZERS", "SCHEDULES")


def taken_pages() -> dict[str, str]:
    """Files outside docs/ that are pages or pictures of the site: path in the repository → path in the site."""
    pages = {
        "README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md",
        "SECURITY.md": "security.md", "benchmarks/README.md": "benchmarks.md",
        "experiments/references.png": "studies/references.png",
    }  # fmt: skip
    for page in sorted((ROOT / "experiments").glob("*/README.md")):
        name = page.parent.name
        pages[f"experiments/{name}/README.md"] = f"studies/{name}.md"
        pages |= {f"experiments/{name}/{p.name}": f"studies/{name}/{p.name}" for p in sorted(page.parent.glob("*.png"))}
    return pages


def relink(text: str, source: str, target: str) -> str:
    """The text of the file `source` of the repository, with links that work in the page `target` of the site."""
    taken, folder = taken_pages(), PurePosixPath(source).parent

    def link(found: re.Match[str]) -> str:
        mark, words, path, anchor = found[1], found[2], found[3], found[4] or ""
        there = os.path.normpath(folder / path)
        site = taken.get(there) or (there.removeprefix("docs/") if there.startswith("docs/") else None)
        if site is None:
            return words
        return f"{mark}[{words}]({os.path.relpath(site, PurePosixPath(target).parent)}{anchor})"

    parts = re.split(r"(^```.*?^```$)", text, flags=re.S | re.M)
    return "".join(part if part.startswith("```") else LINK.sub(link, part) for part in parts)


def public_names() -> dict[str, str]:
    """Names that `phalanx` exports, and the modules that define them, from the table in its `__init__`."""
    tree = ast.parse((ROOT / "src" / "phalanx" / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        value = getattr(node, "value", None)
        if isinstance(value, ast.Dict) and all(isinstance(v, ast.Constant) for v in value.values):
            names = ast.literal_eval(value)
            if "TrialSpec" in names:
                return {name: f"phalanx.{str(home).removeprefix('phalanx.')}" for name, home in names.items()}
    raise PluginError("src/phalanx/__init__.py has no table of its exported names")


def api_page() -> str:
    """The reference of the exported names, collected from their docstrings by mkdocstrings."""
    names = public_names()
    head = "# Python API\n\nThe names that `phalanx` exports. `import phalanx` alone does not import torch.\n"
    registries = [name for name in names if name in REGISTRIES]
    parts = [head] + [f"::: {home}.{name}" for name, home in names.items() if name not in registries]
    rows = [f"| `{name}` | `{names[name]}` |" for name in registries]
    parts.append("## Registries\n\nEach maps the name of an option to its spec class.")
    parts.append("\n".join(["| name | defined in |", "| --- | --- |", *rows]))
    for title, paths in FURTHER.items():
        parts += [f"## {title}", *(f"::: {path}\n    options:\n      heading_level: 3" for path in paths)]
    return "\n\n".join(parts) + "\n"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds the page of each study to the navigation."""
    studies = [site for site in taken_pages().values() if site.startswith("studies/") and site.endswith(".md")]
    (section,) = [part["Results"] for part in config.nav if "Results" in part]
    section += [{PurePosixPath(site).stem: site} for site in studies]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages and those taken from elsewhere in the repository."""
    for source, target in taken_pages().items():
        if target.endswith(".md"):
            content: str | bytes = relink((ROOT / source).read_text(encoding="utf-8"), source, target)
        else:
            content = (ROOT / source).read_bytes()
        files.append(File.generated(config, target, content=content))
    files.append(File.generated(config, "config.md", content=config_keys.page(ROOT)))
    files.append(File.generated(config, "api.md", content=api_page()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Turns links out of docs/ into links to pages of the site; pages from elsewhere have been done."""
    return markdown if page.file.generated_by else relink(markdown, f"docs/{page.file.src_uri}", page.file.src_uri)


def on_post_build(config: MkDocsConfig) -> None:
    """Raises `PluginError` if a page or a style sheet would load anything from another host."""
    faults = []
    for file in sorted(Path(config.site_dir).rglob("*")):
        if file.suffix in (".html", ".css"):
            found = OUTSIDE.findall(file.read_text(encoding="utf-8"))
            faults += [f"{file.relative_to(config.site_dir)}: {text}" for text in found]
    if faults:
        raise PluginError("the site asks other hosts for files:\n  " + "\n  ".join(faults))
