"""What all corrections together do: disjoint pieces of time, so that a reading meets at most one.

Pure computation; the pieces in force are kept by `store.py` and applied by `applying.py`.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import polars as pl

from iot_pipeline.stats.corrections.correction import Action, Correction
from iot_pipeline.trees import UTC_MICROSECONDS

PIECE_SCHEMA: dict[str, pl.DataType] = {
    "device_id": pl.String(),
    "metric": pl.String(),
    "unit": pl.String(),  # null: all units but those in `other_than`
    "other_than": pl.List(pl.String()),
    "from_ts": UTC_MICROSECONDS,
    "to_ts": UTC_MICROSECONDS,
    "dropped": pl.Boolean(),
    "factor": pl.Float64(),  # value * factor + addend; null: as it is
    "addend": pl.Float64(),
    "replacement": pl.Float64(),  # wins over factor and addend; null: none
    "corrected_by": pl.List(pl.String()),  # ids, in the order in which they apply
}


def pieces(corrections: Sequence[Correction]) -> list[dict[str, object]]:
    """Disjoint pieces of time with what all corrections together do in each (rows of PIECE_SCHEMA).

    Args:
        corrections: those in force, in the order in which they apply.
    """
    by_series: dict[tuple[str, str], list[Correction]] = {}
    for correction in corrections:
        by_series.setdefault((correction.device_id, correction.metric), []).append(correction)
    rows: list[dict[str, object]] = []
    for (device_id, metric), found in sorted(by_series.items()):
        units = sorted({correction.unit for correction in found if correction.unit is not None})
        for unit in (*units, None):
            others = units if unit is None else []
            place = {"device_id": device_id, "metric": metric, "unit": unit, "other_than": others}
            meeting = [correction for correction in found if correction.unit in (unit, None)]
            rows += [{**place, **piece} for piece in _cut(meeting)]
    return rows


def _cut(corrections: Sequence[Correction]) -> Iterator[dict[str, object]]:
    bounds = sorted({bound for one in corrections for bound in (one.from_ts, one.to_ts)})
    for start, end in pairwise(bounds):
        within = [one for one in corrections if one.from_ts <= start and end <= one.to_ts]
        if within:
            ids = [one.id for one in within]
            yield {"from_ts": start, "to_ts": end, **_combined(within), "corrected_by": ids}


def _combined(corrections: Iterable[Correction]) -> dict[str, object]:
    """What corrections do one after the other: a constant, or value * factor + addend, or nothing is left."""
    replacement: float | None = None
    factor: float | None = None
    addend: float | None = None
    dropped = False
    for one in corrections:
        if one.action is Action.DROP:
            dropped = True
        elif one.action is Action.REPLACE:
            replacement = one.replacement
        else:
            times, plus = (1.0 if one.factor is None else one.factor), one.addend or 0.0
            if replacement is not None:
                replacement = replacement * times + plus
            else:
                factor = times * (1.0 if factor is None else factor)
                addend = times * (addend or 0.0) + plus
    return {"dropped": dropped, "factor": factor, "addend": addend, "replacement": replacement}
