"""Data quality as it is published: what devices should have sent, what could not be read, what became of messages.

Plain figures for the page and whoever else wants them; nothing here is drawn, and nothing is computed twice: days are
`device_slo`, minutes the account of intake, and the rest lies in quarantine.
"""

import shlex
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl

from iot_pipeline.clock import DAY, MINUTE, floor_minute, minute_key, parse_day
from iot_pipeline.paths import DataPaths
from iot_pipeline.readings.quarantine import Chosen, chosen_rows, counts
from iot_pipeline.sealed_days import SEED_DAY
from iot_pipeline.serving.history import NotPublished
from iot_pipeline.stats.relations import DEVICE_SLO_SCHEMA, minute_trees, published_file

DAYS_LISTED = 31
DEVICES_LISTED = 25
REASONS_LISTED = 40
SAMPLES_LISTED = 12
SAMPLE_BYTES = 240
FAILED_LISTED = 5


@dataclass(frozen=True, slots=True)
class FleetDay:
    """A fleet on a day.

    Attributes:
        fleet: its name; None for devices that were never heard.
        devices: its devices with a row.
        silent: those of them without any reading.
        completeness_percent: readings that are there of those expected, over all its regular series; None without any.
        complete: devices of at least 99 %, of those that can be judged.
        judged: devices that can be judged.
        lateness_p95_seconds: of the device in the middle.
        worst_lateness_seconds: of the latest device.
        gaps: of all its devices.
        longest_gap_seconds: of any device.
        duplicates: readings that came again.
        quarantined: messages that could not be read and whose device is known.
        bad_percent: readings with quality bad.
        flat_devices: devices with a flat line.
    """

    fleet: str | None
    devices: int
    silent: int
    completeness_percent: float | None
    complete: int
    judged: int
    lateness_p95_seconds: float | None
    worst_lateness_seconds: float | None
    gaps: int
    longest_gap_seconds: float | None
    duplicates: int
    quarantined: int
    bad_percent: float | None
    flat_devices: int


@dataclass(frozen=True, slots=True)
class Account:
    """What became of the messages of a stretch of landing minutes.

    Attributes:
        rows: a row a minute, oldest first: minute, messages, decoded, duplicates, no_reading, quarantined,
            lag_p95_seconds.
        broken: minutes in which the parts are not the whole.
    """

    rows: pl.DataFrame
    broken: tuple[datetime, ...]

    def total(self, column: str) -> int:
        """Sum over the minutes."""
        return int(self.rows[column].sum())


@dataclass(frozen=True, slots=True)
class Reason:
    """Rows of quarantine with the same reason and mapping, most first; `unattributed` have no known device."""

    reason: str
    mapping: str | None
    messages: int
    rows: int
    unattributed: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Sample:
    """A row of quarantine as people can look at it."""

    received_at: datetime
    topic: str
    reason: str
    detail: str
    field: str | None
    device_id: str | None
    payload: str
    payload_size: int
    message_id: str


@dataclass(frozen=True, slots=True)
class FailedBuild:
    """A build of statistics that published nothing, because a model or a test failed."""

    run_id: str
    at: datetime
    database: Path


def slo_days(paths: DataPaths) -> list[date]:
    """Days with service levels, newest first."""
    folders = (paths.marts / "device_slo").glob("dt=*")
    days = sorted((parse_day(path.name.removeprefix("dt=")) for path in folders), reverse=True)
    return [day for day in days if day != SEED_DAY and published_file(paths, "device_slo", day).exists()][:DAYS_LISTED]


def fleets_of(paths: DataPaths, day: date) -> list[FleetDay]:
    """The fleets of a day, the least complete first.

    Raises:
        NotPublished: the day has no service levels, or they are being built again.
    """
    late, gap = pl.col("lateness_p95_seconds"), pl.col("longest_gap_seconds")
    whole = pl.col("completeness_percent")
    found = (
        _slo(paths, day)
        .group_by("fleet")
        .agg(
            devices=pl.len(),
            silent=(pl.col("readings") == 0).sum(),
            completeness_percent=100 * (pl.col("expected") - pl.col("missing")).sum() / pl.col("expected").sum(),
            complete=(whole >= 99).sum(),
            judged=whole.is_not_null().sum(),
            lateness_p95_seconds=late.median(),
            worst_lateness_seconds=late.max(),
            gaps=pl.col("gaps").sum(),
            longest_gap_seconds=gap.max(),
            duplicates=pl.col("duplicates").sum(),
            quarantined=pl.col("quarantined").sum(),
            bad_percent=(pl.col("bad_percent") * pl.col("readings")).sum() / pl.col("readings").sum(),
            flat_devices=(pl.col("flat_line_minutes") > 0).sum(),
        )
        .with_columns(pl.col("completeness_percent", "bad_percent").fill_nan(None))
        .sort("completeness_percent", "fleet", nulls_last=True)
    )
    return [FleetDay(**row) for row in _collected(found, day).iter_rows(named=True)]


def worst_devices(
    paths: DataPaths, day: date, *, fleet: str | None = None, limit: int = DEVICES_LISTED
) -> pl.DataFrame:
    """The devices of a day that lack readings, sent what could not be read or readings of bad quality, worst first.

    Returns:
        DEVICE_SLO_SCHEMA, at most `limit` rows: by what is missing, then by what could not be read, gaps and lateness.

    Raises:
        NotPublished: the day has no service levels, or they are being built again.
    """
    rows = _slo(paths, day)
    if fleet is not None:
        rows = rows.filter(pl.col("fleet") == fleet)
    lost = 100 - pl.col("completeness_percent").fill_null(100)
    # To a tenth of a per cent: of two that lack a reading in a million, the one with gaps is the worse.
    by = [lost.round(1), *(pl.col(name).fill_null(0) for name in ("quarantined", "gaps", "bad_percent"))]
    wrong = pl.any_horizontal(pl.col(name) > 0 for name in ("missing", "quarantined", "bad_percent"))
    ordered = rows.filter(wrong | (pl.col("completeness_percent") == 0)).sort(
        *by, "lateness_p95_seconds", descending=True, nulls_last=True, maintain_order=True
    )
    return _collected(ordered.head(limit), day)


def account(paths: DataPaths, now: datetime, span: timedelta) -> Account:
    """What became of the messages of the last `span`, by landing minute."""
    last = floor_minute(now)
    found = minute_trees(paths)["intake"].read(last - span, last)
    parts = pl.sum_horizontal("decoded", "duplicates", "no_reading", "quarantined")
    broken = found.filter(pl.col("messages") != parts)["minute"].to_list()
    columns = (
        "minute",
        "messages",
        "decoded",
        "duplicates",
        "no_reading",
        "quarantined",
        "readings",
        "lag_p95_seconds",
    )
    return Account(found.select(columns).sort("minute"), tuple(broken))


def reasons(paths: DataPaths, now: datetime, span: timedelta) -> list[Reason]:
    """Why messages of the last `span` could not be read, most frequent first."""
    chosen = Chosen(since=floor_minute(now - span))
    known = counts(paths, chosen, by=("reason", "mapping"))
    return [
        Reason(
            reason=row["reason"],
            mapping=row["mapping"],
            messages=row["messages"],
            rows=row["rows"],
            unattributed=row["unattributed"],
            first=row["first_minute"],
            last=row["last_minute"],
        )
        for row in known.head(REASONS_LISTED).iter_rows(named=True)
    ]


def samples(paths: DataPaths, now: datetime, span: timedelta, *, reason: str | None = None) -> list[Sample]:
    """The newest rows of quarantine, with the beginning of their payloads as text."""
    found = chosen_rows(paths, Chosen(reason=reason, since=floor_minute(now - span)), newest=SAMPLES_LISTED)
    return [
        Sample(
            received_at=row["received_at"],
            topic=row["topic"],
            reason=row["reason"],
            detail=row["detail"],
            field=row["field"],
            device_id=row["device_id"],
            payload=payload_text(row["payload"]),
            payload_size=row["payload_size"],
            message_id=row["message_id"],
        )
        for row in found.iter_rows(named=True)
    ]


def payload_text(payload: bytes | None) -> str:
    """The beginning of a payload as text: what is no text, and what would move a cursor, is shown by its code."""
    told = (payload or b"")[:SAMPLE_BYTES].decode("utf-8", errors="backslashreplace")
    return "".join(
        character if character.isprintable() or character == "\n" else f"\\x{ord(character):02x}" for character in told
    )


def commands(reason: Reason | None) -> list[tuple[str, str]]:
    """What to do about rows of quarantine: (what for, command line)."""
    if reason is None:
        return [("See what waits", "iot quarantine list")]
    chosen = f"--reason {shlex.quote(reason.reason)}"
    if reason.mapping is not None:
        chosen += f" --mapping {shlex.quote(reason.mapping)}"
    minutes = f"{minute_key(reason.first)}..{minute_key(reason.last + MINUTE)}"
    return [
        ("Look at them", f"iot quarantine show {chosen} --limit 3"),
        ("Try a mended mapping on what landed", f"iot mapping diff MENDED.yaml --minutes {minutes}"),
        ("Read them again with the mappings of now", f"iot quarantine retry {chosen}"),
    ]


def failed_builds(paths: DataPaths, now: datetime, span: timedelta = DAY) -> list[FailedBuild]:
    """Builds of statistics of the last `span` that failed, newest first: their databases are kept to be looked at."""
    found = []
    for folder in (paths.tmp / "dbt" / "failed").glob("*"):
        at = datetime.fromtimestamp(folder.stat().st_mtime, tz=now.tzinfo)
        if at >= now - span:
            run_id, _, _ = folder.name.rpartition("-")
            found.append(FailedBuild(run_id, at, folder / "warehouse.duckdb"))
    return sorted(found, key=lambda one: one.at, reverse=True)[:FAILED_LISTED]


def _slo(paths: DataPaths, day: date) -> pl.LazyFrame:
    path = published_file(paths, "device_slo", day)
    if not path.exists():
        raise NotPublished(
            f"the service levels of {day} are not published; those of the present day come within the hour, "
            "those of yesterday shortly after 00:20 UTC"
        )
    return pl.scan_parquet(path, hive_partitioning=False, schema=dict(DEVICE_SLO_SCHEMA))


def _collected(rows: pl.LazyFrame, day: date) -> pl.DataFrame:
    try:
        return rows.collect()
    except FileNotFoundError as error:
        raise NotPublished(f"the service levels of {day} are being built again; ask again in half a minute") from error
