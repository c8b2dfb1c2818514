"""The longer subcommands of `phalanx`, one file each; `phalanx.cli` puts them together."""
