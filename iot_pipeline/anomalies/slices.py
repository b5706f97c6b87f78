"""Which devices are scored together: a large fleet is cut by device, so that memory does not grow with it.

Nothing is scored here. No flag depends on another device but by the silence of the whole intake, which is counted here
for all of them, and on siblings that are channels of one machine, which stay in one slice.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import polars as pl

from iot_pipeline.anomalies.detectors.minute_grids import by_minute
from iot_pipeline.trees import UTC_MICROSECONDS, MinuteTree, Schema

SMALL_BYTES = 32_000_000
"""Of files of statistics that are read at once: about a million rows. Nothing is counted then."""

ROWS_AT_ONCE = 32_000_000
"""Rows of `device_minute` of one slice: an hour of 520,000 series, some 0.6 GB of arrays. Smaller slices read more
twice, as a row group of a minute has 125,000 rows; to touch the memory of larger ones takes as long as they save."""

READINGS_AT_ONCE = 8_000_000
"""Most are read of few devices only; in a slice of which all are strange, all are."""

SPOKE: Schema = {"minute": UTC_MICROSECONDS, "series": pl.Int64()}


@dataclass(frozen=True, slots=True)
class Slice:
    """Devices from `begin` on and before `end`, by their names in the order of bytes; None where nothing bounds them.

    Attributes:
        begin: first name.
        end: first name that is not in it.
        spoke: columns minute, series: how many series of all devices said something; None if these are all.
    """

    begin: str | None = None
    end: str | None = None
    spoke: pl.DataFrame | None = None

    def where(self) -> pl.Expr | None:
        """Whether a row (device_id) is in it; None for all. Written so that whole row groups are passed over."""
        device = pl.col("device_id")
        if self.begin is None:
            return None if self.end is None else device < self.end
        return device >= self.begin if self.end is None else (device >= self.begin) & (device < self.end)


def slices_of(
    tree: MinuteTree,
    begin: datetime,
    first: datetime,
    last: datetime,
    *,
    cumulative: Sequence[str],
    together: pl.DataFrame,
) -> list[Slice]:
    """All devices, in as many slices as keep memory bounded; one for a plant.

    Args:
        tree: of `device_minute`.
        begin: first minute that is looked back at (UTC).
        first: first minute to score (UTC).
        last: last minute to score (UTC), included.
        cumulative: metrics that do not count as spoken.
        together: columns low, high: devices from `low` to `high` stay in one slice.
    """
    if tree.size(begin, last) <= SMALL_BYTES:
        return [Slice()]
    rows = _rows(tree.pieces(begin, last, ["minute"]))
    if not rows:
        return [Slice()]
    totals = _rows(tree.pieces(begin, last, ["minute"], where=pl.col("metric").is_in(cumulative)))
    readings = sum(int(piece["count"].sum()) for piece in tree.pieces(first, last, ["count"]))
    parts = max(-(-rows.total() // ROWS_AT_ONCE), -(-readings // READINGS_AT_ONCE), 1)
    fullest = max(sorted(rows), key=rows.__getitem__)
    names = pl.concat(list(tree.pieces(fullest, fullest, ["device_id"])))["device_id"].sort()
    cuts = (_moved(names[names.len() * part // parts], together) for part in range(1, parts))
    bounds = [None, *dict.fromkeys(cuts), None]
    spoke = pl.DataFrame([(minute, rows[minute] - totals[minute]) for minute in sorted(rows)], SPOKE, orient="row")
    return [Slice(low, high, spoke) for low, high in pairwise(bounds)]


def _rows(pieces: Iterable[pl.DataFrame]) -> Counter[datetime]:
    """How many rows each minute has."""
    rows: Counter[datetime] = Counter()
    for minute, told in by_minute(pieces):
        rows[minute] += told.height
    return rows


def _moved(cut: str, together: pl.DataFrame) -> str:
    """The last name up to `cut` before which a slice can end."""
    while (divided := together.filter(pl.col("low") < cut, pl.col("high") >= cut)).height:
        cut = str(divided["low"].min())
    return cut
