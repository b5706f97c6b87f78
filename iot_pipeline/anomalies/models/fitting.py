"""Learning a model for a day from the days before it: scales and thresholds of each series, and of each class.

Nothing here looks at the day itself. The same files give the same tables to the last bit, in whatever order they
were written.
"""

from dataclasses import dataclass, replace
from datetime import date
from functools import partial

import numpy as np
import polars as pl
import structlog
from numpy.typing import NDArray

from iot_pipeline.anomalies.detectors.numbering import SERIES
from iot_pipeline.anomalies.engine.budget import block_columns, block_peaks, threshold
from iot_pipeline.anomalies.engine.detector import class_codes
from iot_pipeline.anomalies.engine.grid import Floats, Grid
from iot_pipeline.anomalies.engine.scale import Scale
from iot_pipeline.anomalies.models.channels_learning import CHANNEL_SHARE, learn_channels
from iot_pipeline.anomalies.models.classes import class_of
from iot_pipeline.anomalies.models.history import MOST_DAYS, History, days_before, whole_days
from iot_pipeline.anomalies.models.inputs import Sample, input_table, sample_of
from iot_pipeline.anomalies.models.machines import learn_machines
from iot_pipeline.anomalies.models.members import LEARNED, LOOKBACK, MEMBERS, RANGE, RULE, THRESHOLDS
from iot_pipeline.anomalies.models.minute_grid import minute_grid, silent_intake
from iot_pipeline.anomalies.models.model import (
    CLASS_SCHEMA,
    REVISION,
    SERIES_SCHEMA,
    Manifest,
    MinuteModel,
    SeriesState,
    digests,
    version_from,
)
from iot_pipeline.anomalies.precision import confirmed_spans, threshold_factors
from iot_pipeline.clock import MINUTE
from iot_pipeline.paths import DataPaths
from iot_pipeline.settings import Settings

log = structlog.get_logger(__name__)

BUDGET = 0.1
"""False alerts a device-day that thresholds are made for, over all series of the device and all types."""

LEAST_MINUTES = 360
"""Minutes that a series must have been read in before its own past counts: a quarter of a day."""

DAY_COLUMNS = 1440


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model, not yet stored, and what it is."""

    model: MinuteModel
    manifest: Manifest


def fit_day(settings: Settings, day: date) -> Fitted | None:
    """Learn the model of `day` from the days before it; None where there are none with data.

    Minutes of events that people confirmed are left out, and what false alarms they told of raises thresholds
    (see `precision.py`). Memory is bounded: series are learned some at a time.
    """
    paths = settings.paths
    days = days_before(paths, day)
    if not days:
        return None
    past = whole_days(paths, days)
    model, left_out = fit(past, paths)
    model = replace(model, machines=learn_machines(settings, days))
    tables = digests(model)
    state = model.series["state"]
    facts = {"day": day, "first": days[0], "last": days[-1], "budget": BUDGET, "most_days": MOST_DAYS}
    manifest = Manifest(
        day=day,
        version=version_from(tables, **facts),
        revision=REVISION,
        first=days[0],
        last=days[-1],
        minutes=int(model.series["minutes"].sum()),
        left_out=left_out,
        series=model.series.height,
        ready=int((state == SeriesState.READY).sum()),
        learning=int((state == SeriesState.LEARNING).sum()),
        classes=model.classes.height,
        budget=BUDGET,
        tables=tables,
    )
    log.info("model learned", day=str(day), version=manifest.version, series=manifest.series, ready=manifest.ready)
    return Fitted(model, manifest)


def fit(past: History, paths: DataPaths) -> tuple[MinuteModel, int]:
    """Learn from `past`; returns the model and how many of its minutes were left out as confirmed events."""
    counts = past.counts()
    # From the first minute with data to the last: days that were only begun would be mostly holes.
    past = replace(past, first=counts["minute"][0], last=counts["minute"][-1])
    series = class_of(paths, past.series())
    codes = class_codes(series["class"].to_list())[1]
    silent = silent_intake(counts, past.first, past.last, LOOKBACK)
    spans = confirmed_spans(paths, past.first, past.last)
    block = block_columns(past.minutes, DAY_COLUMNS)
    tables, samples, left_out = [], [], 0
    peaks: dict[str, list[Floats]] = {member.threshold: [] for member in MEMBERS}
    for part, rows in past.parts(series):
        grid = minute_grid(rows, part, past.first, past.last)
        left_out += leave_out(grid, spans)
        table, standard = _learn(grid, part)
        tables.append(table)
        samples.append(sample_of(grid, part))
        for member in MEMBERS:
            own = grid if member.kind.value == "gap" else standard
            raw = member.detector.score(own, member.model(table), slice(None)).score
            raw = np.where(silent, np.float32(0), raw) if member.kind.value == "gap" else raw
            # A hole has no reading, and is where a gap is found.
            known = np.ones(raw.shape, np.bool_) if member.kind.value == "gap" else np.isfinite(standard.values)
            peaks[member.threshold].append(block_peaks(np.log1p(raw), known, block))
    table = pl.concat(tables)
    limits = _limits({name: np.concatenate(found) for name, found in peaks.items()}, codes, block, series)
    table = _with_factors(table.with_columns(limits), paths)
    model = MinuteModel(
        series=table.select(pl.col(name).cast(kind) for name, kind in SERIES_SCHEMA.items()),
        classes=_classes(table),
        inputs=input_table(Sample.together(samples)),
        channels=learn_channels(
            past, table, threshold_factors(paths), budget=BUDGET, leave_out=partial(leave_out, spans=spans)
        ),
    )
    return model, left_out


def leave_out(grid: Grid, spans: pl.DataFrame) -> int:
    """Forget the cells of `grid` that lie in `spans` (SERIES, begin, end); returns how many had a number."""
    inside = spans.join(grid.series.with_row_index("row"), on=SERIES, how="inner", nulls_equal=True)
    count = 0
    for row, begin, end in inside.select("row", "begin", "end").iter_rows():
        columns = slice(grid.column_of(begin), max(grid.column_of(end + MINUTE), 0))
        count += int(np.isfinite(grid.values[row, columns]).sum())
        grid.values[row, columns] = np.nan
    return count


def _learn(grid: Grid, part: pl.DataFrame) -> tuple[pl.DataFrame, Grid]:
    """Everything but thresholds, and the grid in spreads."""
    classes = part["class"].to_list()
    rule = RULE.fit(grid, classes)
    values = np.where(RULE.impossible(grid, rule), np.nan, grid.values)
    scale = Scale.of(values)
    standard = Grid(grid.series, grid.start, grid.step, scale.standard(values))
    minutes = np.isfinite(grid.values).sum(axis=1)
    state = np.where(minutes >= LEAST_MINUTES, SeriesState.READY.value, SeriesState.LEARNING.value)
    state = np.where(only_rises(grid.values), SeriesState.COUNTER.value, state)
    table = part.with_columns(
        pl.Series("state", state, pl.String),
        pl.Series("minutes", minutes, pl.Int64),
        *(scale.table().get_columns()),
        *(rule.tables["range"][name] for name in RANGE),
    )
    learned = [column for member in MEMBERS for column in member.learned(member.detector.fit(standard, classes))]
    return table.with_columns(learned), standard


def only_rises(values: Floats) -> NDArray[np.bool_]:
    """Series that never fell and went up in most minutes: running totals."""
    steps = values[:, 1:] - values[:, :-1]
    known = np.isfinite(steps).sum(axis=1)
    return np.asarray(((steps < 0).sum(axis=1) == 0) & ((steps > 0).sum(axis=1) > known / 2) & (known >= LOOKBACK))


def _limits(peaks: dict[str, Floats], codes: NDArray[np.int64], block: int, series: pl.DataFrame) -> list[pl.Series]:
    """The threshold of each member for each series: its share of what the channels of a device leave of its budget."""
    devices = max(series["device_id"].n_unique(), 1)
    of_series = (1 - CHANNEL_SHARE) * BUDGET * block / DAY_COLUMNS / (series.height / devices)
    return [
        pl.Series(
            member.threshold,
            np.expm1(
                np.fmax(threshold(peaks[member.threshold], of_series * member.share, codes), np.log1p(member.least))
            ),
            pl.Float64,
        )
        for member in MEMBERS
    ]


def _with_factors(table: pl.DataFrame, paths: DataPaths) -> pl.DataFrame:
    """Thresholds raised where people told of false alarms: the factor is one of logarithms, as levels are."""
    factors = threshold_factors(paths)
    for member in MEMBERS:
        own = factors.filter(pl.col("type") == member.kind.value).select("class", "factor")
        table = table.join(own, on="class", how="left", maintain_order="left").with_columns(
            ((pl.col(member.threshold).log1p() * pl.col("factor").fill_null(1.0)).exp() - 1).alias(member.threshold)
        )
        table = table.drop("factor")
    return table


def _classes(table: pl.DataFrame) -> pl.DataFrame:
    """What a series without a past is measured with: medians of its class, the widest range, cautious thresholds."""
    ready = pl.col("state") == SeriesState.READY.value
    own = {name: pl.col(name).filter(ready).median() for name in LEARNED}
    own |= {name: pl.col(name).filter(ready).min() for name in ("low", "least")}
    own |= {name: pl.col(name).filter(ready).max() for name in ("high", "most")}
    own |= {name: pl.col(name).filter(ready).quantile(0.75, "higher") for name in THRESHOLDS}
    return (
        table.group_by("class")
        .agg(pl.len().alias("series"), ready.sum().alias("ready"), **own)
        .sort("class")
        .select(pl.col(name).cast(kind) for name, kind in CLASS_SCHEMA.items())
    )
