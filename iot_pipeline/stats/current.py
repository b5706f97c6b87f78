"""The readings of event minutes as they count now: of open and sealed days and after the seal, corrected.

Which files these are is `inputs.py`; SQL over all of history for people is `warehouse.py`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from iot_pipeline.readings.schema import IDENTITY, READING_SCHEMA
from iot_pipeline.settings import Settings
from iot_pipeline.stats.corrections.applying import current_readings
from iot_pipeline.stats.inputs import SORTED_READINGS, minute_input_files
from iot_pipeline.stats.session import engine

ARRIVAL = ("received_at", "message_id")
"""What tells which of several copies arrived first."""

LEFT_OUT_FROM = 1e140
"""Size from which statistics leave numbers out, whose squares would be infinite: the macro `is_number` of dbt."""

DeviceRange = tuple[str | None, str | None]


def read_current(
    settings: Settings,
    first: datetime,
    last: datetime,
    *,
    columns: Sequence[str] = tuple(READING_SCHEMA),
    devices: DeviceRange = (None, None),
) -> pl.DataFrame:
    """All readings of the event minutes `first` to `last` (UTC), both included, each once and corrected.

    Args:
        settings: where the data is.
        first: first minute.
        last: last minute.
        columns: of READING_SCHEMA; SORTED_READINGS must be among them.
        devices: name of the first device, and of the first that is not wanted any more, in the order of bytes.

    Returns:
        `columns`, sorted by device_id, metric, event_ts, unit: the very rows that statistics are built from.
    """
    conditions, names = _within(devices)
    return _read(settings, first, last, _where(conditions), {}, columns=columns, values=names)


def read_metric(
    settings: Settings, first: datetime, last: datetime, metric: str, *, columns: Sequence[str], devices: DeviceRange
) -> pl.DataFrame:
    """As `read_current`, only of this metric: files that have none of it are passed over."""
    conditions, names = _within(devices)
    only = _where([*conditions, "metric = ?"])
    return _read(settings, first, last, only, {}, columns=columns, values=[*names, metric])


def devices_left_out(settings: Settings, first: datetime, last: datetime, *, devices: DeviceRange) -> pl.Series:
    """Devices, sorted, of whose numbers in these minutes `device_minute` leaves out some, or may do so."""
    conditions, names = _within(devices)
    only = _where([*conditions, f"(value >= {LEFT_OUT_FROM} or value <= -{LEFT_OUT_FROM})"])
    found = _read(settings, first, last, only, {}, values=names)
    return found["device_id"].unique().sort()


def _within(devices: DeviceRange) -> tuple[list[str], list[str]]:
    """Conditions, and the names that they ask for."""
    bounds = [
        (f"device_id {sign} ?", name) for sign, name in zip((">=", "<"), devices, strict=True) if name is not None
    ]
    return [text for text, _ in bounds], [name for _, name in bounds]


def _where(conditions: Sequence[str]) -> str:
    return f"where {' and '.join(conditions)}" if conditions else ""


def read_series(
    settings: Settings,
    first: datetime,
    last: datetime,
    devices: pl.Series,
    metric: str | None = None,
    *,
    columns: Sequence[str] = tuple(READING_SCHEMA),
) -> pl.DataFrame:
    """As `read_current`, only of these devices, and of this metric if one is given: a long look-back for a few."""
    wanted = devices.alias("device_id").to_frame()
    if metric is not None:
        wanted = wanted.with_columns(pl.lit(metric).alias("metric"))
    only = f"semi join wanted using ({', '.join(wanted.columns)})"
    return _read(settings, first, last, only, {"wanted": wanted}, columns=columns)


def _read(
    settings: Settings,
    first: datetime,
    last: datetime,
    only: str,
    relations: Mapping[str, pl.DataFrame],
    *,
    columns: Sequence[str] = tuple(READING_SCHEMA),
    values: Sequence[str] = (),
) -> pl.DataFrame:
    inputs = minute_input_files(settings.paths, first, last)
    with engine(settings.paths) as connection:
        for name, relation in relations.items():
            connection.register(name, relation.to_arrow())
        query = current_readings(connection, settings.paths, inputs, copies=True).query
        several = any(len(one.open) + len(one.sealed) > 1 for one in inputs if one.open)
        read = [*columns, *(name for name in ARRIVAL if several and name not in columns)]
        wanted = f"select {', '.join(read)} from ({query}) {only}"
        found: pl.DataFrame = connection.sql(wanted, params=list(values)).pl()
    # DuckDB calls the zone of the session by its full name.
    found = found.with_columns(pl.selectors.datetime().dt.convert_time_zone("UTC"))
    # Files are sorted already: Polars notices it, DuckDB takes ten times as long, and five times to find the copies.
    found = found.sort(SORTED_READINGS.split(", "), nulls_last=True)
    found = _first_copies(found) if several else found
    return found.select(columns).cast(pl.Schema({name: READING_SCHEMA[name] for name in columns}))


def _first_copies(readings: pl.DataFrame) -> pl.DataFrame:
    """Of readings that were told several times, the one that arrived first; `readings` and result in their order."""
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift()) for name in IDENTITY)
    repeated = readings.select(same.alias("repeated")).to_series()
    if not repeated.any():
        return readings
    touched = repeated | repeated.shift(-1, fill_value=False)
    order = SORTED_READINGS.split(", ")
    apart = readings.filter(touched).sort(*order, *ARRIVAL, nulls_last=True)
    apart = apart.unique(IDENTITY, keep="first", maintain_order=True)
    return pl.concat([readings.filter(~touched), apart]).sort(order, nulls_last=True)
