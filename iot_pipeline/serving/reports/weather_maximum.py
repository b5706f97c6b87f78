"""Maximum temperature per device: a page of the older weather system."""

from iot_pipeline.serving.reports.report import DAY, FLEET_EXISTS, YEAR, Column, Query, Report, Text

FLEET = Text("fleet", "the fleet", default="weather", exists=FLEET_EXISTS)

SQL = """
select
    days.device_id as deviceid,
    max(days.max) as max_temperature,
    days.unit
from device_day as days
inner join dim_device as devices on days.device_id = devices.device_id
where
    days.day >= $begin and days.day < $end
    and days.metric = 'temperature'
    and devices.fleet = $fleet
group by days.device_id, days.unit
order by days.device_id, days.unit
"""

REPORT = Report(
    name="weather-maximum",
    title="Weather: maximum temperature per device",
    question="What is the highest temperature of each station?",
    columns=(
        Column("deviceid", "the station"),
        Column("max_temperature", "highest temperature", "unit"),
        Column("unit", "unit of the temperature"),
    ),
    parameters=(FLEET,),
    queries={"": Query(SQL, ("device_day", "dim_device"), 30 * DAY, 2 * YEAR)},
)
