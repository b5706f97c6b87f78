"""The four figures of the older US states system by windows of 3 seconds, as it printed them batch by batch."""

from iot_pipeline.serving.reports.report import HOUR, Column, Integer, Query, Report

# Materialised, because else the attributes would be taken apart once for each reading.
SQL = """
with sensors as materialized (
    select
        device_id,
        json_extract_string(attributes, '$.state') as state
    from dim_device
    where fleet = 'us_states'
),

temperatures as (
    select
        time_bucket(to_seconds($seconds), readings.event_ts, timestamptz '1970-01-01 00:00:00+00') as window_start,
        sensors.state,
        readings.device_id,
        readings.value,
        readings.unit
    from readings
    inner join sensors on readings.device_id = sensors.device_id
    where
        readings.event_ts >= $begin and readings.event_ts < $end
        and readings.metric = 'temperature' and readings.quality <> 'bad' and abs(readings.value) < 1e140
)

select
    window_start,
    state,
    avg(value) as mean_temperature,
    unit,
    count(*) as messages,
    count(distinct device_id) as sensors
from temperatures
where state is not null
group by window_start, state, unit
order by window_start, mean_temperature desc, state
"""

REPORT = Report(
    name="states-windows",
    title="US states: windows of seconds",
    question="In each window of 3 seconds, how warm was it by state, and how many messages and sensors were there?",
    columns=(
        Column("window_start", "begin of the window by event time, UTC"),
        Column("state", "the state"),
        Column("mean_temperature", "mean of the temperatures of the window; the warmest state first", "unit"),
        Column("unit", "unit of the temperature"),
        Column("messages", "messages of the window from that state"),
        Column("sensors", "sensors of that state that spoke in the window"),
    ),
    parameters=(Integer("seconds", "length of a window", 1, 60, 3),),
    queries={"": Query(SQL, ("readings", "dim_device"), HOUR / 12, HOUR / 6)},
)
