"""Figures of a sweep, drawn as SVG."""
