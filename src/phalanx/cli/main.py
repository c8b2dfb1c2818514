"""The command `phalanx`: trains as `train.py` does, writes projects, and works with finished runs.

Exit status: 0 done, 1 it failed (a full disk) or was interrupted, 2 the request was wrong. A subcommand is a module
with `add(subparsers)` and `run(arguments)`; slow imports stand inside `run`.
"""

import argparse
import io
import sys
from typing import Any

from phalanx import __version__
from phalanx.cli import calibrate, compare, diff, ensemble, inspect, new, predict, refit, report, sync, train
from phalanx.core.errors import PhalanxError, RequestError
from phalanx.core.interrupts import interruptible
from phalanx.core.output import lasting_output

COMMANDS = (new, report, compare, diff, inspect, predict, ensemble, refit, calibrate, sync)  # and train


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns its exit status.

    Raises `SystemExit` with the status for `phalanx train`, and argparse's with 2 for invalid options.
    """
    given = sys.argv[1:] if argv is None else argv
    if given[:1] == ["train"]:
        train.start(given[1:])
    parser = _parser()
    arguments = parser.parse_args(given)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for class names that the terminal cannot show
    with interruptible(), lasting_output() as lost:  # `| head` stops the printing, not the command
        status = _run(arguments, parser)
    return _complain(lost[0], 1) if lost and status == 0 else status


def _run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    try:
        if arguments.run is None:
            parser.print_help()
        else:
            arguments.run(arguments)
    except RequestError as error:
        return _complain(error, 2)
    except (PhalanxError, OSError) as error:
        return _complain(error, 1)
    except KeyboardInterrupt:
        return _complain("interrupted", 1)
    return 0


def _complain(message: object, status: int) -> int:
    print(f"phalanx: {message}", file=sys.stderr)
    return status


class _Subparser(argparse.ArgumentParser):
    """Keeps the lines of descriptions and examples as they are."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="phalanx",
        description="Train; report, compare, inspect, use and track finished runs. For the keys: phalanx train --help",
        epilog="See phalanx COMMAND --help for the options of a command and examples.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"phalanx {__version__}")
    parser.set_defaults(run=None)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Subparser)
    for command in (train, *COMMANDS):
        command.add(subparsers)
    return parser
