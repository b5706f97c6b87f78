"""Runs of true rows: the events of labels and the alerts of flags.

What is counted of them is in `events.py`, `nab.py` and `vus.py`.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Segments = NDArray[np.int64]
"""One row a segment: its first and its last index, both included; in order, apart from each other."""


def segments_of(mask: ArrayLike) -> Segments:
    """The maximal runs of rows that are true (or above 0)."""
    edges = np.diff(np.concatenate(([0], (np.asarray(mask) > 0).astype(np.int8), [0])))
    return np.column_stack((np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1))


def alerts_of(flags: ArrayLike, *, quiet: int = 0, longest: int | None = None) -> Segments:
    """Flags as alerts.

    Args:
        flags: one series, in order of time.
        quiet: runs whose last and first rows are at most this far apart are one alert.
        longest: an alert of more rows is raised again after each so many: "always on" is not one lucky alert.
    """
    runs = segments_of(flags)
    if runs.size == 0:
        return runs
    apart = runs[1:, 0] - runs[:-1, 1] > quiet
    first = runs[np.concatenate(([True], apart)), 0]
    last = runs[np.concatenate((apart, [True])), 1]
    if longest is None:
        return np.column_stack((first, last))
    pieces = [np.arange(a, b + 1, max(longest, 1)) for a, b in zip(first, last, strict=True)]
    begins = np.concatenate(pieces)
    ends = np.minimum(begins + max(longest, 1) - 1, np.repeat(last, [piece.size for piece in pieces]))
    return np.column_stack((begins, ends))
