"""Thin adapters between Hydra and `phalanx`; nothing here trains, searches or decides."""
