"""What the line's page shows of the last hours that are not published yet: states and starts from single readings.

The rules are those of the marts `machine_state_hour` and `machine_start`. Reading files is `serving/readings.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

import polars as pl

from iot_pipeline.paths import DataPaths
from iot_pipeline.serving.pages.line.view import PHASES
from iot_pipeline.serving.readings import device_readings

STATE_HOLDS = timedelta(seconds=60)
LONGEST = timedelta(seconds=10)
NOT_FILED_YET = timedelta(minutes=5)
UNKNOWN = None


@dataclass(frozen=True, slots=True)
class Span:
    """A machine was in `state` from `begin` to `end` (UTC); state None: nobody knows."""

    state: str | None
    begin: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        """How long."""
        return (self.end - self.begin).total_seconds()


@dataclass(frozen=True, slots=True)
class Start:
    """A start: load and peak are means of the phases, A; `settled` seconds until 1.2 times the load, or None."""

    at: datetime
    load: float
    peak: float
    settled: float | None

    @property
    def ratio(self) -> float:
        """Peak by load."""
        return self.peak / self.load


@lru_cache(maxsize=256)
def told_states(paths: DataPaths, device_id: str, since: datetime, until: datetime) -> tuple[tuple[datetime, str], ...]:
    """The states that a machine told, by time. Kept: ask for whole minutes. Raises NotPublished."""
    frame = device_readings(paths, device_id, since, until, metric="state")
    rows = frame.filter(pl.col("text").is_not_null(), pl.col("value").is_null(), pl.col("quality") != "bad")
    return tuple(rows.select("event_ts", "text").iter_rows())


@lru_cache(maxsize=64)
def starts(paths: DataPaths, device_id: str, since: datetime, until: datetime) -> tuple[Start, ...]:
    """Starts of a machine, newest first. Kept: ask for whole minutes. Raises NotPublished."""
    frames = [device_readings(paths, device_id, since, until, metric=phase, unit="A") for phase in PHASES]
    return tuple(reversed(starts_of(pl.concat(frames))))


def spans(told: Sequence[tuple[datetime, str]], begin: datetime, now: datetime) -> list[Span]:
    """States as stretches of time without gaps from `begin` to `now`.

    A state holds until the next one is told, at most 60 s; what is not covered is a span of no state.
    """
    found: list[Span] = []
    at = begin
    ends = [*(following for following, _ in told[1:]), now][: len(told)]
    for (told_at, state), following in zip(told, ends, strict=True):
        start, end = max(told_at, begin), min(following, told_at + STATE_HOLDS, now)
        if end <= start:
            continue
        if start > at:
            _append(found, Span(UNKNOWN, at, start))
        _append(found, Span(state, start, end))
        at = end
    if at < now:
        _append(found, Span(UNKNOWN, at, now))
    return found


def _append(found: list[Span], span: Span) -> None:
    if found and found[-1].state == span.state and found[-1].end == span.begin:
        span = Span(span.state, found.pop().begin, span.end)
    found.append(span)


def with_live(
    told: Sequence[tuple[datetime, str]], heard: Sequence[tuple[datetime, str]]
) -> list[tuple[datetime, str]]:
    """What files tell, and after it what was heard since.

    The last minutes are in no file yet. When a machine is heard in the state in which the files leave it, at most five
    minutes later, it is taken to have been in it all along.
    """
    if not told:
        return list(heard)
    last, state = told[-1]
    since = [one for one in heard if one[0] > last]
    if not since or since[0][1] != state or since[0][0] - last > NOT_FILED_YET:
        return [*told, *since]
    count = int((since[0][0] - last) / STATE_HOLDS)
    return [*told, *((last + index * STATE_HOLDS, state) for index in range(1, count + 1)), *since]


def time_in_state(found: Sequence[Span]) -> list[tuple[str | None, float, int]]:
    """By state: seconds and how often it was entered from another that is known; longest first, unknown last."""
    seconds: dict[str | None, float] = {}
    entries: dict[str | None, int] = {}
    for at, span in enumerate(found):
        seconds[span.state] = seconds.get(span.state, 0.0) + span.seconds
        came = at > 0 and found[at - 1].state is not None
        entries[span.state] = entries.get(span.state, 0) + came
    return sorted(
        ((state, length, entries[state]) for state, length in seconds.items()),
        key=lambda row: (row[0] is None, -row[1], row[0] or ""),
    )


def starts_of(readings: pl.DataFrame) -> list[Start]:
    """Starts in readings of the three phases (columns event_ts, metric, value), by time.

    Load is the median of the currents that are at least half of their 95th percentile. A start is the first reading at
    half the load or more after one below it, at most 10 s before; its peak is looked for within 10 s. With a reading a
    second an inrush of tenths of a second is seen late and low: peaks are lower bounds.
    """
    wide = readings.pivot("metric", index="event_ts", values="value", aggregate_function="first")
    if any(phase not in wide.columns for phase in PHASES):
        return []
    wide = wide.drop_nulls(PHASES).sort("event_ts")
    current = pl.mean_horizontal(*PHASES)
    instants = wide.select("event_ts", current.alias("current"))
    half = instants["current"].quantile(0.95, interpolation="linear")
    if half is None:
        return []
    load = instants.filter(pl.col("current") >= half / 2, pl.col("current") > 0)["current"].median()
    if not isinstance(load, float):
        return []
    marked = instants.with_columns(
        (
            (pl.col("current") >= load / 2)
            & (pl.col("current").shift() < load / 2)
            & (pl.col("event_ts").diff() <= LONGEST)
        )
        .fill_null(value=False)
        .alias("is_start")
    )
    since = marked.with_columns(pl.when("is_start").then(pl.col("event_ts")).forward_fill().alias("at")).filter(
        pl.col("event_ts") - pl.col("at") <= LONGEST
    )
    rows = since.group_by("at", maintain_order=True).agg(
        pl.col("current").max().alias("peak"),
        pl.col("event_ts").filter(pl.col("current") <= 1.2 * load).min().alias("settled"),
    )
    return [
        Start(at, load, peak, None if settled is None else (settled - at).total_seconds())
        for at, peak, settled in rows.iter_rows()
    ]
