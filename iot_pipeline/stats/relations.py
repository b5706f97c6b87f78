"""The relations that people and later stages see: names, columns and where their files lie.

No SQL here (see `views.py`) and no writing (see `publish.py`). All instants are UTC with microseconds.

    marts/<minute model>/{open,sealed}/...               a `MinuteTree` by event minute
    marts/<day model>/dt=YYYY-MM-DD/part-000.parquet     dt = first day of the hour's day, day, month, year
    marts/dim_device/part-000.parquet                    one file
    anomaly_day_flags/dt=YYYY-MM-DD/part-000.parquet     dt = the day that was scored
    anomaly_events/dt=YYYY-MM-DD/part-000.parquet        dt = the day on which they opened
    anomaly_models/models.parquet                        one file
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from iot_pipeline.files import write_parquet
from iot_pipeline.paths import DataPaths, day_folder
from iot_pipeline.readings.schema import DEVICE_SCHEMA, INTAKE_SCHEMA, QUARANTINE_SCHEMA, READING_SCHEMA
from iot_pipeline.readings.store import open_root
from iot_pipeline.sealed_days import SEED_DAY, SealedDays
from iot_pipeline.stats import fleet_schemas as fleet
from iot_pipeline.stats.corrections.store import prepare_corrections
from iot_pipeline.trees import SEED_VERSION, UTC_MICROSECONDS, MinuteTree, Schema, write_seed

_SERIES: dict[str, pl.DataType] = {"device_id": pl.String(), "metric": pl.String(), "unit": pl.String()}
_MOMENTS: dict[str, pl.DataType] = {
    "count": pl.Int64(),
    "min": pl.Float64(),
    "max": pl.Float64(),
    "mean": pl.Float64(),
    "stddev": pl.Float64(),  # of the sample; null for a single reading
    "first": pl.Float64(),  # by event time
    "last": pl.Float64(),
}
_QUANTILES: dict[str, pl.DataType] = {"p50": pl.Float64(), "p95": pl.Float64()}

DEVICE_MINUTE_SCHEMA: Schema = {"minute": UTC_MICROSECONDS, **_SERIES, **_MOMENTS, **_QUANTILES}
DEVICE_HOUR_SCHEMA: Schema = {"hour": UTC_MICROSECONDS, **_SERIES, **_MOMENTS, **_QUANTILES}
DEVICE_DAY_SCHEMA: Schema = {"day": pl.Date(), **_SERIES, **_MOMENTS, **_QUANTILES}
DEVICE_MONTH_SCHEMA: Schema = {"month": pl.Date(), **_SERIES, **_MOMENTS}
DEVICE_YEAR_SCHEMA: Schema = {"year": pl.Date(), **_SERIES, **_MOMENTS}
DIM_DEVICE_SCHEMA: Schema = {
    "device_id": pl.String(),
    "fleet": pl.String(),
    "attributes": pl.String(),  # JSON object, sorted keys
    "type": pl.String(),
    "description": pl.String(),
    "region": pl.String(),
    "customer": pl.String(),
    "latitude": pl.Float64(),
    "longitude": pl.Float64(),
    "first_seen": UTC_MICROSECONDS,
    "last_seen": UTC_MICROSECONDS,
    "last_received_at": UTC_MICROSECONDS,
    "attributes_told": pl.String(),  # JSON object: value and time of each attribute
    "state": pl.String(),  # online, offline or stale; null for devices that do not tell
    "state_since": UTC_MICROSECONDS,
    "state_told": pl.String(),
    "state_told_since": UTC_MICROSECONDS,
    "state_told_at": UTC_MICROSECONDS,
    "host_connected_at": UTC_MICROSECONDS,
}
DEVICE_SLO_SCHEMA: Schema = {
    "day": pl.Date(),
    "device_id": pl.String(),
    "fleet": pl.String(),
    "readings": pl.Int64(),
    "expected": pl.Int64(),  # of series with an interval of their own; null without any
    "missing": pl.Int64(),
    "completeness_percent": pl.Float64(),
    "lateness_p95_seconds": pl.Float64(),
    "gaps": pl.Int64(),
    "longest_gap_seconds": pl.Float64(),
    "duplicates": pl.Int64(),
    "flat_line_minutes": pl.Int64(),
    "quarantined": pl.Int64(),
    "bad_percent": pl.Float64(),
    "series": pl.Int64(),
    "regular_series": pl.Int64(),
    "constant_series": pl.Int64(),
}
FLAGS_SCHEMA: Schema = {
    "minute": UTC_MICROSECONDS,
    "event_ts": UTC_MICROSECONDS,
    **_SERIES,
    "value": pl.Float64(),
    "detector": pl.String(),
    "detector_version": pl.String(),
    "score": pl.Float64(),  # 1.0 = threshold
    "expected_low": pl.Float64(),
    "expected_high": pl.Float64(),
    "reason": pl.String(),
}


EVENT_SCHEMA: Schema = {
    "event_id": pl.String(),
    "revision": pl.Int64(),  # 1 when it was first told, one more for each change that a later look made
    "status": pl.String(),
    "opened_at": UTC_MICROSECONDS,  # first flag
    "last_flag_at": UTC_MICROSECONDS,
    "closed_at": UTC_MICROSECONDS,  # end of the recovery window, or of the day; null while open
    "device_id": pl.String(),
    "metric": pl.String(),
    "unit": pl.String(),
    "type": pl.String(),
    "severity": pl.String(),
    "flags": pl.Int64(),
    "score": pl.Float64(),  # the highest
    "peak_at": UTC_MICROSECONDS,  # the reading with that score, and what follows is of it
    "value": pl.Float64(),
    "expected_low": pl.Float64(),
    "expected_high": pl.Float64(),
    "detector": pl.String(),
    "detector_version": pl.String(),
    "reason": pl.String(),
    "sentence": pl.String(),
    "continues": pl.Boolean(),  # the same thing was an event until midnight
    "first_message_id": pl.String(),
    "peak_message_id": pl.String(),
}
MODELS_SCHEMA: Schema = {
    "day": pl.Date(),  # the first day that it may score
    "version": pl.String(),
    "promoted": pl.Boolean(),
    "promoted_at": UTC_MICROSECONDS,
    "learned_from": pl.Date(),
    "learned_to": pl.Date(),
    "minutes": pl.Int64(),
    "left_out": pl.Int64(),
    "series": pl.Int64(),
    "ready": pl.Int64(),
    "learning": pl.Int64(),
    "classes": pl.Int64(),
    "budget": pl.Float64(),
}


@dataclass(frozen=True, slots=True)
class DayModel:
    """A mart that is published by day: its partitions begin on the first day of their period.

    Attributes:
        name: of the model and its view.
        period: hour, day, month or year. Its first column holds the begin of the period, or an instant of the day.
        schema: its columns.
        key: columns that with the first one tell its rows apart; partitions are sorted by them, then by time.
    """

    name: str
    period: str
    schema: Schema
    key: tuple[str, ...] = tuple(_SERIES)

    @property
    def time(self) -> str:
        """The column that tells the time."""
        return next(iter(self.schema))

    def partition(self, day: date) -> date:
        """First day of the period that holds `day`."""
        if self.period == "year":
            return day.replace(month=1, day=1)
        return day.replace(day=1) if self.period == "month" else day


_METER = ("device_id", "unit")
_CUSTOMER = ("customer", "utility", "unit")
_REGION = ("region", "utility", "unit")
_MACHINE = ("device_id",)
DAY_MODELS: tuple[DayModel, ...] = (
    DayModel("device_hour", "hour", DEVICE_HOUR_SCHEMA),
    DayModel("device_day", "day", DEVICE_DAY_SCHEMA),
    DayModel("device_month", "month", DEVICE_MONTH_SCHEMA),
    DayModel("device_year", "year", DEVICE_YEAR_SCHEMA),
    DayModel("device_slo", "day", DEVICE_SLO_SCHEMA, ("device_id",)),
    DayModel("meter_hour", "hour", fleet.METER_HOUR_SCHEMA, _METER),
    DayModel("meter_day", "day", fleet.METER_DAY_SCHEMA, _METER),
    DayModel("customer_usage_hour", "hour", fleet.CUSTOMER_USAGE_HOUR_SCHEMA, _CUSTOMER),
    DayModel("customer_usage_day", "day", fleet.CUSTOMER_USAGE_DAY_SCHEMA, _CUSTOMER),
    DayModel("region_usage_hour", "hour", fleet.REGION_USAGE_HOUR_SCHEMA, _REGION),
    DayModel("region_usage_day", "day", fleet.REGION_USAGE_DAY_SCHEMA, _REGION),
    DayModel("usage_correction_day", "day", fleet.USAGE_CORRECTION_SCHEMA, _CUSTOMER),
    DayModel("machine_current_hour", "hour", fleet.MACHINE_CURRENT_SCHEMA, _MACHINE),
    DayModel("machine_start", "day", fleet.MACHINE_START_SCHEMA, _MACHINE),
    DayModel("machine_vibration_hour", "hour", fleet.MACHINE_VIBRATION_SCHEMA, _MACHINE),
    DayModel("machine_state_hour", "hour", fleet.MACHINE_STATE_SCHEMA, (*_MACHINE, "state")),
    DayModel("valve_travel_day", "day", fleet.VALVE_TRAVEL_SCHEMA, (*_MACHINE, "direction", "unit")),
)


def published_file(paths: DataPaths, model: str, partition: date) -> Path:
    """Where the partition of a day model is published; it exists once it was built, also without rows."""
    return day_folder(paths.marts / model, partition) / "part-000.parquet"


def dim_device_file(paths: DataPaths) -> Path:
    """Where the device dimension is published."""
    return paths.marts / "dim_device" / "part-000.parquet"


def day_flags_file(paths: DataPaths, day: date) -> Path:
    """Where the flags of the whole of `day` (UTC) are: FLAGS_SCHEMA; it exists once the day was scored."""
    return day_folder(paths.day_flags, day) / "part-000.parquet"


def events_file(paths: DataPaths, day: date) -> Path:
    """Where the anomaly events that opened on `day` (UTC) are; it exists once there were any."""
    return day_folder(paths.events, day) / "part-000.parquet"


def models_file(paths: DataPaths) -> Path:
    """Where learned models are listed, one row a model."""
    return paths.models / "models.parquet"


def device_minute_tree(paths: DataPaths) -> MinuteTree:
    """Statistics by event minute."""
    return MinuteTree(paths.marts / "device_minute", DEVICE_MINUTE_SCHEMA)


def flags_tree(paths: DataPaths) -> MinuteTree:
    """The tree of flags, by event minute."""
    return MinuteTree(paths.flags, FLAGS_SCHEMA)


def minute_marts(paths: DataPaths) -> Mapping[str, MinuteTree]:
    """The dbt models that are published by event minute, by name."""
    return {
        "device_minute": device_minute_tree(paths),
        "state_minute": MinuteTree(paths.marts / "state_minute", fleet.STATE_MINUTE_SCHEMA),
    }


def minute_trees(paths: DataPaths) -> Mapping[str, MinuteTree]:
    """All trees by minute, under the names of their views."""
    return {
        "quarantine": MinuteTree(paths.quarantine, QUARANTINE_SCHEMA),
        "intake": MinuteTree(paths.intake, INTAKE_SCHEMA),
        "devices": MinuteTree(paths.devices, DEVICE_SCHEMA),
        **minute_marts(paths),
        "anomaly_flags": flags_tree(paths),
    }


def sealed_readings(paths: DataPaths) -> SealedDays:
    """The sealed days of readings."""
    return SealedDays(paths.readings / "sealed")


def prepare_relations(paths: DataPaths) -> None:
    """Write files without rows, so that a view over a tree without data has its columns. Idempotent.

    Raises:
        StorageUnavailable: a file cannot be written.
    """
    prepare_corrections(paths)
    for tree in minute_trees(paths).values():
        tree.prepare()
    readings = pl.DataFrame(schema=READING_SCHEMA)
    write_seed(readings, day_folder(open_root(paths), SEED_DAY) / "hm=day" / "_schema.parquet")
    write_seed(readings, day_folder(sealed_readings(paths).root, SEED_DAY) / f"v={SEED_VERSION}" / "part-000.parquet")
    for model in DAY_MODELS:
        write_seed(pl.DataFrame(schema=model.schema), published_file(paths, model.name, SEED_DAY))
    write_seed(pl.DataFrame(schema=FLAGS_SCHEMA), day_flags_file(paths, SEED_DAY))
    write_seed(pl.DataFrame(schema=EVENT_SCHEMA), events_file(paths, SEED_DAY))
    if not models_file(paths).exists():
        write_parquet(pl.DataFrame(schema=MODELS_SCHEMA), models_file(paths))
    _prepare_dim_device(dim_device_file(paths))


def _prepare_dim_device(path: Path) -> None:
    """One without rows where there is none; one of an earlier release gets the columns added since."""
    if not path.exists():
        write_parquet(pl.DataFrame(schema=DIM_DEVICE_SCHEMA), path)
    elif list(pl.read_parquet_schema(path)) != list(DIM_DEVICE_SCHEMA):
        known = pl.scan_parquet(
            path,
            hive_partitioning=False,
            schema=dict(DIM_DEVICE_SCHEMA),
            missing_columns="insert",
            extra_columns="ignore",
        )
        write_parquet(known.collect(), path)
