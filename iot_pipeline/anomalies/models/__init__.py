"""The life of a model: learned from earlier days, kept as plain tables, judged, promoted, used to score minutes.

Detectors are in `engine/`; how right flags are on labelled sets is in `evaluation/`.
"""
