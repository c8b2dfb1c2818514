"""Figures and pages about finished runs and sweeps.

A figure is an info function, which computes numbers into a frozen dataclass, and a draw function, which makes a
matplotlib figure of that dataclass alone, perhaps in another process (`drawing`): its module does not import torch, and
it reads nothing that was registered. Tests check the numbers. matplotlib is imported when the first figure is drawn.
"""
