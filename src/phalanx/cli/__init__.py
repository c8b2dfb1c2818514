"""The longer subcommands of `phalanx`, one file each; `phalanx.cli.main` puts them together."""
