"""Sensors by state, ascending by state: the third of four outputs of the older US states system."""

from iot_pipeline.serving.reports.report import DAY, HOUR, Column, Query, Report

# Sensors of minutes cannot be added up: one that speaks in two is one sensor.
SPOKE = """
with spoke as (
    select distinct device_id
    from device_minute
    where
        minute >= $begin and minute < $end
        and metric = 'temperature'
)
"""

SQL = f"""{SPOKE}
select
    json_extract_string(sensors.attributes, '$.state') as state,
    count(*) as sensors
from spoke
inner join dim_device as sensors on spoke.device_id = sensors.device_id
where sensors.fleet = 'us_states' and json_extract_string(sensors.attributes, '$.state') is not null
group by 1
order by 1
"""

REPORT = Report(
    name="states-sensors",
    title="US states: sensors by state",
    question="How many sensors spoke in each state?",
    columns=(Column("state", "the state"), Column("sensors", "sensors that spoke in that time")),
    queries={"": Query(SQL, ("device_minute", "dim_device"), HOUR / 12, DAY)},
)
