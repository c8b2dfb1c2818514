"""The command `phalanx`: one module a subcommand, each with `add(subparsers)` and `run(arguments)`."""
