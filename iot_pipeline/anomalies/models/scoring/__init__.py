"""Detectors that score minutes with what a model has learned, one a file; `in_force.py` tells which count on a day.

How a model is learned, kept and judged is beside this room, detectors that need none are in `anomalies/detectors/`.
"""
