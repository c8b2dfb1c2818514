"""The command `phalanx`, for finished runs; `train.py` trains.

Exit status: 0 done, 1 it failed (a full disk) or was interrupted, 2 the request was wrong. A subcommand is a module
with `add(subparsers)` and `run(arguments)`; slow imports stand inside `run`.
"""

import argparse
import contextlib
import io
import os
import sys
from typing import Any

from phalanx import __version__
from phalanx.cli import compare, inspect, predict, report, sync
from phalanx.core.errors import PhalanxError, RequestError

COMMANDS = (report, compare, inspect, predict, sync)


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns its exit status. Raises argparse's `SystemExit(2)` for invalid options."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for class names that the terminal cannot show
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
    except BrokenPipeError:  # the reader, such as `head`, has stopped reading
        _discard_output()
    except OSError as error:
        try:
            sys.stdout.flush()
        except OSError:  # stdout itself failed
            _discard_output()
        return _complain(error, 1)
    except KeyboardInterrupt:
        return _complain("interrupted", 1)
    return 0


def _complain(message: object, status: int) -> int:
    print(f"phalanx: {message}", file=sys.stderr)
    return status


def _discard_output() -> None:
    """Redirects stdout to the null device: Python flushes it at exit, which would fail again with a traceback."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


class _Subparser(argparse.ArgumentParser):
    """Keeps the lines of descriptions and examples as they are."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="phalanx",
        description="Report, compare, inspect, use and track finished runs. To train: python train.py --help",
        epilog="See phalanx COMMAND --help for the options of a command and examples.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"phalanx {__version__}")
    parser.set_defaults(run=None)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Subparser)
    for command in COMMANDS:
        command.add(subparsers)
    return parser
