"""`phalanx new`: a folder with a small project that runs as it stands."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from phalanx.cli.options import Subparsers
from phalanx.core.errors import RequestError, pasted
from phalanx.core.files import write_text

TEMPLATES = Path(__file__).with_name("project")
SUFFIX = ".template"  # so that no tool takes them for files of the package
HELP = """\
Write a small project: train.py, conf/, extensions/ with a network, a loss, an optimizer, a metric and a data set of
your own, tests of each, and a README.

FOLDER is made. It may exist if it is empty.
"""
EXAMPLES = """\
examples:
  phalanx new my_project
  cd my_project && python train.py model=residual_net loss=focal

Exit status: 0 the project is written; 1 it cannot be written; 2 the request was wrong.
"""


def add(subparsers: Subparsers) -> None:
    """Adds the parser of this subcommand."""
    title = "write a project with options of your own"
    parser = subparsers.add_parser("new", help=title, description=HELP, epilog=EXAMPLES)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="a folder that does not exist, or is empty")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Writes the project and prints what to type. Raises `RequestError` if the folder has something in it."""
    folder: Path = arguments.folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "is not empty" if folder.is_dir() else "is a file"
        raise RequestError(f"{folder} {what}; give a folder that does not exist, such as my_project")
    for file, text in templates():
        write_text(folder / file, text.replace("<project>", folder.resolve().name))
    print(
        f"wrote {folder}; to train its network type:\n  cd {pasted(str(folder))}\n  python train.py model=residual_net"
    )


def templates() -> Iterator[tuple[Path, str]]:
    """The files of a project with their texts; `<project>` stands for its name."""
    for path in sorted(TEMPLATES.rglob(f"*{SUFFIX}")):
        yield path.relative_to(TEMPLATES).with_suffix(""), path.read_text(encoding="utf-8")
