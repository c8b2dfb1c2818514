"""Figures and pages about finished runs and sweeps.

A figure is an info function, which computes numbers into a frozen dataclass, and a draw function, which makes a
matplotlib figure of that dataclass. Tests check the numbers. matplotlib is imported when the first figure is drawn.
"""
