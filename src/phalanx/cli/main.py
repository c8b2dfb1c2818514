"""The command `phalanx`: what is done with finished runs. `train.py` does the training.

A subcommand is one function that adds its parser and names what runs it; it stands in `COMMANDS`. Exit status:
0 done, 1 it failed (a full disk) or was interrupted, 2 the request was wrong. Heavy imports happen inside the commands.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import sys
from typing import Any

from phalanx import __version__
from phalanx.cli import compare, inspect, report
from phalanx.cli.predict import _add_predict
from phalanx.cli.sync import add_sync
from phalanx.core.errors import PhalanxError, RequestError


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns its exit status. Wrong options end in argparse's `SystemExit(2)`."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a class name must not fail on a terminal that lacks it
    try:
        if arguments.run is None:
            parser.print_help()
        else:
            arguments.run(arguments)
        sys.stdout.flush()
    except RequestError as error:
        return _complain(error, 2)
    except PhalanxError as error:
        return _complain(error, 1)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        _drop_output()
    except OSError as error:
        try:
            sys.stdout.flush()
        except OSError:  # it was stdout that failed
            _drop_output()
        return _complain(error, 1)
    except KeyboardInterrupt:
        return _complain("interrupted", 1)
    return 0


def _complain(message: Any, status: int) -> int:
    print(f"phalanx: {message}", file=sys.stderr)
    return status


def _drop_output() -> None:
    """Points stdout at nothing: Python flushes it once more at exit, which would fail again with a traceback."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="phalanx",
        description="What to do with finished runs. Training is: python train.py --help",
        epilog="See phalanx COMMAND --help for the options of a command and examples.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"phalanx {__version__}")
    parser.set_defaults(run=None)
    form = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
    subparser = functools.partial(argparse.ArgumentParser, **form)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=subparser)
    for add in COMMANDS:
        add(commands)
    return parser


COMMANDS = (report.add, compare.add, inspect.add, _add_predict, add_sync)
