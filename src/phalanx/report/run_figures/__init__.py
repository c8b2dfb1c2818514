"""Figures of one run and of a comparison, drawn with matplotlib: one module a figure."""
