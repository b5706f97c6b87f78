"""Columns of the marts of single fleets, in order; what they mean is in the `.yml` of each model.

Where their files lie, and the marts that every device is in, is `relations.py`. All instants are UTC with microseconds.
"""

import polars as pl

from iot_pipeline.trees import UTC_MICROSECONDS, Schema

STATE_MINUTE_SCHEMA: Schema = {
    "minute": UTC_MICROSECONDS,
    "state": pl.String(),
    "unit": pl.String(),
    "sensors": pl.Int64(),
    "messages": pl.Int64(),
    "mean": pl.Float64(),
    "min": pl.Float64(),
    "max": pl.Float64(),
}
_METER: dict[str, pl.DataType] = {
    "device_id": pl.String(),
    "unit": pl.String(),
    "customer": pl.String(),
    "kind": pl.String(),
    "utility": pl.String(),
    "region": pl.String(),
    "readings": pl.Int64(),
    "opening_register": pl.Float64(),  # before the first reading of the period
    "opening_at": UTC_MICROSECONDS,
    "closing_register": pl.Float64(),
    "closing_at": UTC_MICROSECONDS,
    "usage": pl.Float64(),
    "resets": pl.Int64(),
    "longest_gap_seconds": pl.Float64(),
}
_USED: dict[str, pl.DataType] = {"utility": pl.String(), "unit": pl.String(), "usage": pl.Float64()}
_OF_METERS: dict[str, pl.DataType] = {"meters": pl.Int64(), "readings": pl.Int64(), "resets": pl.Int64()}
_CUSTOMER: dict[str, pl.DataType] = {"customer": pl.String(), **_USED, **_OF_METERS}
_REGION: dict[str, pl.DataType] = {"region": pl.String(), **_USED, "customers": pl.Int64(), **_OF_METERS}
METER_HOUR_SCHEMA: Schema = {"hour": UTC_MICROSECONDS, **_METER}
METER_DAY_SCHEMA: Schema = {"day": pl.Date(), **_METER}
CUSTOMER_USAGE_HOUR_SCHEMA: Schema = {"hour": UTC_MICROSECONDS, **_CUSTOMER}
CUSTOMER_USAGE_DAY_SCHEMA: Schema = {"day": pl.Date(), **_CUSTOMER}
REGION_USAGE_HOUR_SCHEMA: Schema = {"hour": UTC_MICROSECONDS, **_REGION}
REGION_USAGE_DAY_SCHEMA: Schema = {"day": pl.Date(), **_REGION}
USAGE_CORRECTION_SCHEMA: Schema = {
    "day": pl.Date(),
    "customer": pl.String(),
    **_USED,
    "minute_usage": pl.Float64(),
    "difference": pl.Float64(),
    "minutes": pl.Int64(),
}
MACHINE_CURRENT_SCHEMA: Schema = {
    "hour": UTC_MICROSECONDS,
    "device_id": pl.String(),
    "charge_l1_ah": pl.Float64(),
    "covered_l1_seconds": pl.Float64(),
    "charge_l2_ah": pl.Float64(),
    "covered_l2_seconds": pl.Float64(),
    "charge_l3_ah": pl.Float64(),
    "covered_l3_seconds": pl.Float64(),
    "instants": pl.Int64(),
    "peak_a": pl.Float64(),
    "unbalance_percent": pl.Float64(),
    "unbalance_worst_minute_percent": pl.Float64(),
}
MACHINE_START_SCHEMA: Schema = {
    "started_at": UTC_MICROSECONDS,
    "device_id": pl.String(),
    "load_a": pl.Float64(),
    "peak_a": pl.Float64(),
    "peak_ratio": pl.Float64(),
    "inrush_seconds": pl.Float64(),
}
MACHINE_VIBRATION_SCHEMA: Schema = {
    "hour": UTC_MICROSECONDS,
    "device_id": pl.String(),
    "machine_group": pl.String(),
    "support": pl.String(),
    "readings": pl.Int64(),
    "mean_mm_s": pl.Float64(),
    "max_mm_s": pl.Float64(),
    "p95_mm_s": pl.Float64(),
    "zone": pl.String(),
    "readings_zone_a": pl.Int64(),
    "readings_zone_b": pl.Int64(),
    "readings_zone_c": pl.Int64(),
    "readings_zone_d": pl.Int64(),
}
MACHINE_STATE_SCHEMA: Schema = {
    "hour": UTC_MICROSECONDS,
    "device_id": pl.String(),
    "state": pl.String(),
    "seconds": pl.Float64(),
    "entries": pl.Int64(),
}
VALVE_TRAVEL_SCHEMA: Schema = {
    "day": pl.Date(),
    "device_id": pl.String(),
    "direction": pl.String(),
    "unit": pl.String(),
    "strokes": pl.Int64(),
    "mean": pl.Float64(),
    "stddev": pl.Float64(),
    "min": pl.Float64(),
    "max": pl.Float64(),
    "p50": pl.Float64(),
    "p95": pl.Float64(),
    "slope_per_day": pl.Float64(),
}
