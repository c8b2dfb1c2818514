"""Metrics of classifiers: `core/metrics.py` has their names, this package computes them."""
