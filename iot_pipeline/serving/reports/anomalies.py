"""Anomalies per device in the last 30 minutes: a page of the older weather system, for any fleet."""

from iot_pipeline.serving.reports.report import DAY, DEVICE, FLEET_EXISTS, HOUR, Column, Query, Report, Text

SQL = """
with flagged_readings as (
    select
        flags.device_id,
        flags.event_ts,
        flags.unit,
        count(*) as flags,
        any_value(flags.value) as value,
        arg_max(flags.reason, flags.score) as reason
    from anomaly_flags as flags
    inner join dim_device as devices on flags.device_id = devices.device_id
    where
        flags.event_ts >= $begin and flags.event_ts < $end
        and ($fleet is null or devices.fleet = $fleet)
        and ($device is null or flags.device_id = $device)
    group by flags.device_id, flags.metric, flags.unit, flags.event_ts
)

select
    device_id as deviceid,
    count(*) as anomalies,
    cast(sum(flags) as bigint) as flags,
    max(event_ts) as latest,
    arg_max(value, event_ts) as value,
    arg_max(unit, event_ts) as unit,
    arg_max(reason, event_ts) as reason
from flagged_readings
group by device_id
order by device_id
"""

REPORT = Report(
    name="anomalies",
    title="Anomalies per device",
    question="How many readings of each device were found unusual in the last 30 minutes, and what was the latest?",
    columns=(
        Column("deviceid", "the device"),
        Column("anomalies", "readings that at least one detector flagged"),
        Column("flags", "flags of all detectors"),
        Column("latest", "when the latest of them happened, UTC"),
        Column("value", "the latest of them", "unit"),
        Column("unit", "unit of the value"),
        Column("reason", "why it was flagged"),
    ),
    parameters=(Text("fleet", "one fleet only", exists=FLEET_EXISTS), DEVICE),
    queries={"": Query(SQL, ("anomaly_flags", "dim_device"), HOUR / 2, DAY)},
)
