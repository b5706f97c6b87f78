"""Sensors in total: the last of four outputs of the older US states system."""

from iot_pipeline.serving.reports.report import DAY, HOUR, Column, Query, Report
from iot_pipeline.serving.reports.states_sensors import SPOKE

SQL = f"""{SPOKE}
select count(*) as sensors
from spoke
inner join dim_device as sensors on spoke.device_id = sensors.device_id
where sensors.fleet = 'us_states' and json_extract_string(sensors.attributes, '$.state') is not null
"""

REPORT = Report(
    name="states-total",
    title="US states: sensors in total",
    question="How many sensors spoke in all states together?",
    columns=(Column("sensors", "sensors that spoke in that time"),),
    queries={"": Query(SQL, ("device_minute", "dim_device"), HOUR / 12, DAY)},
)
