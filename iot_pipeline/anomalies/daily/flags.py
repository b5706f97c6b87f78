"""The flags of whole days on disk: one file a day, replaced whole. What is unusual is `scoring.py`."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl
import structlog
from threadpoolctl import threadpool_limits

from iot_pipeline.anomalies.daily.hours import DayHours, hours_of
from iot_pipeline.anomalies.daily.scoring import day_flags
from iot_pipeline.anomalies.daily.store import write_day_flags
from iot_pipeline.anomalies.detectors.base import no_flags
from iot_pipeline.anomalies.detectors.numbering import SERIES
from iot_pipeline.anomalies.kinds import DAY_DETECTORS
from iot_pipeline.anomalies.models.classes import class_of
from iot_pipeline.anomalies.models.fitting import BUDGET, leave_out, only_rises
from iot_pipeline.anomalies.precision import confirmed_spans, precision_table
from iot_pipeline.clock import MINUTE, day_key, day_start
from iot_pipeline.paths import DataPaths
from iot_pipeline.retained import Level, refuse_removed
from iot_pipeline.settings import Settings

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DayReport:
    """What scoring a day came to.

    Attributes:
        day: the day (UTC).
        series: that spoke in the week before it.
        flags: hours flagged.
        by_detector: flags of each detector, also 0.
    """

    day: date
    series: int
    flags: int
    by_detector: Mapping[str, int]


def score_day(settings: Settings, day: date) -> DayReport:
    """Flag the hours of `day` by what was usual on the days before it, and replace what was kept for it.

    The same hours and the same words of people give the same flags. A day without readings, or without a past, has
    none, and its file says so.

    Raises:
        RemovedError: retention removed the hours of that day; its flags are final.
        StorageUnavailable: the flags of the day are as before.
    """
    refuse_removed(settings.paths, Level.DAY, day)
    hours = hours_of(settings.paths, day)
    series = no_flags().select(SERIES) if hours is None else hours.series()
    flags = no_flags() if hours is None else _flags(settings.paths, hours, series)
    write_day_flags(settings.paths, day, flags.sort("event_ts", *SERIES, "detector"))
    found = Counter({**dict.fromkeys(DAY_DETECTORS, 0), **dict(flags.group_by("detector").len().iter_rows())})
    log.info("day scored", day=day_key(day), series=series.height, **found)
    return DayReport(day, series.height, flags.height, found)


def _flags(paths: DataPaths, hours: DayHours, series: pl.DataFrame) -> pl.DataFrame:
    series = class_of(paths, series)
    begin = day_start(hours.day)
    spans = confirmed_spans(paths, hours.first, begin - MINUTE).with_columns(
        # Whole hours, and none of the day itself: what was confirmed there is still to be flagged.
        pl.col("begin").dt.truncate("1h"),
        pl.min_horizontal("end", pl.lit(begin - MINUTE)),
    )
    of_series = BUDGET * series["device_id"].n_unique() / max(series.height, 1)
    factors = precision_table(paths).select("detector", "class", "factor")
    flags = [no_flags()]
    start = 0
    # The matrices are small, and threads add up in the order in which they end.
    with threadpool_limits(limits=1):
        for grid in hours.grids(series):
            classes = series["class"][start : start + grid.series.height].to_list()
            start += grid.series.height
            leave_out(grid, spans)
            grid.values[only_rises(grid.values[:, : hours.past])] = float("nan")
            flags.append(day_flags(grid, hours.past, classes=classes, budget=of_series, factors=factors))
    return pl.concat(flags)
