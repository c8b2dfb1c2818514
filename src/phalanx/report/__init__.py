"""What is drawn, tabled and tested after a run: plots of one run in `plots.py`, one module a figure.

A figure is an info function (numbers in a frozen dataclass, which tests check) and a draw function (info -> Figure).
matplotlib is imported when the first figure is drawn.
"""
