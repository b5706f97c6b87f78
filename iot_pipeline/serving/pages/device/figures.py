"""The figures of one series over a range: what was read, what was expected, what was flagged, and the readings behind.

Plain functions over records of the live layer and published files; how it looks is `page.py`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from iot_pipeline.clock import DAY, MINUTE, floor_minute
from iot_pipeline.errors import TransientError
from iot_pipeline.live.model import Window
from iot_pipeline.paths import DataPaths
from iot_pipeline.serving import history
from iot_pipeline.serving.anomalies import SeenFlag, Wanted, flags
from iot_pipeline.serving.live_view import LiveView
from iot_pipeline.serving.pages.device.facts import Series
from iot_pipeline.serving.readings import device_readings

HOUR = timedelta(hours=1)
STEPS = {"minute": MINUTE, "hour": HOUR, "day": DAY}
# What was usual is told by so many windows before; fewer than half of them tell nothing.
BAND_WINDOWS = 30
READINGS_SHOWN = 200
MOST_MARKS = 500


@dataclass(frozen=True, slots=True)
class Span:
    """A range to look at. `period` is `reading`, or that of a published history.

    Attributes:
        key: its name in an address.
        label: its name for people.
        length: how far back it reaches.
        period: how wide the figures are.
        seconds: how often it is looked at again.
        asset: the Dagster asset, and dbt model, that the figures come from; None: from the live layer.
    """

    key: str
    label: str
    length: timedelta
    period: str
    seconds: float
    asset: str | None


SPANS = {
    span.key: span
    for span in (
        Span("live", "15 min", timedelta(minutes=15), "reading", 2.0, None),
        Span("6h", "6 h", timedelta(hours=6), "minute", 20.0, "device_minute"),
        Span("24h", "24 h", DAY, "minute", 60.0, "device_minute"),
        Span("7d", "7 d", 7 * DAY, "hour", 300.0, "device_hour"),
        Span("30d", "30 d", 30 * DAY, "hour", 300.0, "device_hour"),
        Span("1y", "1 y", 365 * DAY, "day", 600.0, "device_day"),
    )
}
# Flags are kept by minute; a longer range would open too many files at once.
FLAGS_LONGEST = 7 * DAY


@dataclass(frozen=True, slots=True)
class Figures:
    """One series over a range.

    Attributes:
        since: begin of the range, UTC.
        until: its end.
        points: (instant, value): single readings, or the mean of each window.
        spread: (instant, smallest, largest) of each window; empty for single readings.
        expected: (instant, low, high) of what was usual before; empty where too little is known.
        marks: flags of the series within the range, newest first.
        note: why something is missing; empty when nothing is.
    """

    since: datetime
    until: datetime
    points: list[tuple[datetime, float | None]]
    spread: list[tuple[datetime, float | None, float | None]]
    expected: list[tuple[datetime, float | None, float | None]]
    marks: list[SeenFlag]
    note: str


def recent_figures(
    live: LiveView,
    device_id: str,
    series: Series,
    span: Span,
    now: datetime,
    *,
    earlier: Sequence[tuple[datetime, float]] = (),
) -> Figures:
    """The last minutes, reading by reading; never waits. `earlier` is what is known of before the live layer's."""
    since = now - span.length
    held = [(point.ts, point.value) for point in live.recent(device_id, series.metric, series.unit, since=since)]
    first = held[0][0] if held else now
    points: list[tuple[datetime, float | None]] = [one for one in earlier if since <= one[0] < first]
    points += held
    minutes = live.minutes(device_id, series.metric, series.unit, since=since - BAND_WINDOWS * MINUTE)
    expected = _to_the_end([one for one in band_of(minutes, MINUTE) if one[0] >= since - MINUTE], now)
    marks = [
        SeenFlag(flag, published=False, feedback=None)
        for flag in live.flags(since=since, device_id=device_id, limit=MOST_MARKS)
        if (flag.metric, flag.unit) == (series.metric, series.unit)
    ]
    return Figures(since, now, points, [], expected, marks, "")


def earlier_points(
    paths: DataPaths, device_id: str, series: Series, since: datetime, until: datetime
) -> list[tuple[datetime, float]]:
    """Decoded readings of a series in [since, until), for what the live layer holds no longer; blocks.

    Empty where nothing is published: the chart then begins later.
    """
    try:
        found = device_readings(paths, device_id, since, until, metric=series.metric, unit=series.unit)
    except TransientError:
        return []
    good = _of_its_unit(found, series).filter(pl.col("value").is_finite(), pl.col("quality") != "bad")
    return list(good.select("event_ts", "value").iter_rows())


def past_figures(
    paths: DataPaths, live: LiveView, device_id: str, series: Series, *, span: Span, now: datetime
) -> Figures:
    """Published windows, followed by those that only the live layer has so far; blocks.

    Raises:
        NotPublished: there is nothing published at the moment, and nothing live either.
    """
    since, step = now - span.length, STEPS[span.period]
    before = since - BAND_WINDOWS * step
    note = ""
    windows: list[Window] = []
    try:
        windows = published_windows(paths, device_id, series, period=span.period, since=before, until=now)
    except TransientError as error:
        note = str(error)
    windows = _continued(windows, _live_windows(live, device_id, series, span.period, before), step)
    inside = [one for one in windows if one.start >= since - step]
    marks: list[SeenFlag] = []
    if span.length <= FLAGS_LONGEST:
        try:
            found = flags(paths, live, Wanted(since=since, until=now, device_id=device_id))
        except TransientError as error:
            note = note or str(error)
        else:
            marks = [one for one in found if (one.flag.metric, one.flag.unit) == (series.metric, series.unit)]
    return Figures(
        since=since,
        until=now,
        points=with_gaps([(one.start, one.mean) for one in inside], step),
        spread=[(one.start, one.min, one.max) for one in inside],
        expected=_to_the_end([one for one in band_of(windows, step) if one[0] >= since - step], now),
        marks=marks[:MOST_MARKS],
        note=note,
    )


def published_windows(
    paths: DataPaths, device_id: str, series: Series, *, period: str, since: datetime, until: datetime
) -> list[Window]:
    """The published windows of one series. Raises NotPublished."""
    rows = history.device_history(paths, device_id, period, since, until, metric=series.metric, unit=series.unit)
    figures = _of_its_unit(rows, series).select("start", "count", "min", "max", "mean", "first", "last").drop_nulls()
    seconds = int(STEPS[period].total_seconds())
    return [Window(start, seconds, *rest) for start, *rest in figures.iter_rows()]


def _live_windows(live: LiveView, device_id: str, series: Series, period: str, since: datetime) -> list[Window]:
    if period == "minute":
        return live.minutes(device_id, series.metric, series.unit, since=since)
    if period == "hour":
        return live.hours(device_id, series.metric, series.unit, since=since)
    return []


def _continued(published: list[Window], live: Iterable[Window], step: timedelta) -> list[Window]:
    """What is published, and behind it what is live only: published figures are the truth."""
    last = published[-1].start if published else None
    return published + [one for one in live if last is None or one.start >= last + step]


def band_of(windows: Sequence[Window], step: timedelta) -> list[tuple[datetime, float | None, float | None]]:
    """What was usual before each window: the middle nine tenths of what the BAND_WINDOWS before it spanned.

    From the fifth percentile of their minima to the ninety-fifth of their maxima, by nearest rank; none where fewer
    than half of them had readings. It looks at the past only, as the detectors do.
    """
    band: list[tuple[datetime, float | None, float | None]] = []
    first = 0
    for place, window in enumerate(windows):
        while windows[first].start < window.start - BAND_WINDOWS * step:
            first += 1
        past = windows[first:place]
        if len(past) * 2 < BAND_WINDOWS:
            band.append((window.start, None, None))
            continue
        cut = len(past) // 20
        lows, highs = sorted(one.min for one in past), sorted((one.max for one in past), reverse=True)
        band.append((window.start, lows[cut], highs[cut]))
    return band


def _to_the_end(
    band: list[tuple[datetime, float | None, float | None]], until: datetime
) -> list[tuple[datetime, float | None, float | None]]:
    """The last window lasts until now."""
    return [*band, (until, *band[-1][1:])] if band and band[-1][0] < until else band


def with_gaps(points: Sequence[tuple[datetime, float]], step: timedelta) -> list[tuple[datetime, float | None]]:
    """The points, with a gap wherever a window or more is missing: a line over it would tell what nobody measured."""
    shown: list[tuple[datetime, float | None]] = []
    for ts, value in points:
        if shown and ts - shown[-1][0] > 1.5 * step:
            shown.append((shown[-1][0] + step, None))
        shown.append((ts, value))
    return shown


def readings_around(paths: DataPaths, device_id: str, series: Series, at: datetime, span: Span) -> pl.DataFrame:
    """The single readings behind the point at `at`: those nearest to it, or those of its window. Blocks.

    Returns:
        `event_ts`, `value`, `text`, `quality`, `received_at`, `message_id`, oldest first, at most READINGS_SHOWN.

    Raises:
        NotPublished: nothing was decoded yet, or it is being decoded again.
    """
    if span.period == "reading":
        since, until = at - timedelta(seconds=30), at + timedelta(seconds=30)
    else:
        since = floor_minute(at)
        until = since + STEPS[span.period]
    found = device_readings(paths, device_id, since, until, metric=series.metric, unit=series.unit)
    columns = ("event_ts", "value", "text", "quality", "received_at", "message_id")
    near = (
        _of_its_unit(found, series)
        .with_columns((pl.col("event_ts") - at).abs().alias("away"))
        .sort("away")
        .head(READINGS_SHOWN)
    )
    return near.sort("event_ts").select(columns)


def _of_its_unit(rows: pl.DataFrame, series: Series) -> pl.DataFrame:
    """The rows of a series without a unit, where the question for None was answered with every unit."""
    return rows.filter(pl.col("unit").is_null()) if series.unit is None else rows
