"""`phalanx train`: what `python train.py` does, in any folder."""

from collections.abc import Sequence
from typing import NoReturn

from phalanx.cli.options import Subparsers


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand to the list of them. Its arguments are Hydra's, and go to `start` as they are."""
    title = "train, sweep or search as python train.py does, with conf/ and extensions/ of this folder"
    subparsers.add_parser("train", help=title, add_help=False)


def start(arguments: Sequence[str]) -> NoReturn:
    """Trains, and exits with the status of that.

    Args:
        arguments: Those that `train.py` takes.
    """
    from hydra_plugins.phalanx.application import train

    train(arguments)
