"""Ensembles of a sweep's networks, which predict by the weighted mean of their class probabilities."""
