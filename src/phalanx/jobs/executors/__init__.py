"""Executors: other processes and machines that train shards of cohorts."""
