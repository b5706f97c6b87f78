"""Count of measurements per device: a page of the older weather system."""

from iot_pipeline.serving.reports.report import DAY, YEAR, Column, Query, Report
from iot_pipeline.serving.reports.weather_maximum import FLEET

SQL = """
select
    days.device_id as deviceid,
    cast(sum(days.count) as bigint) as count
from device_day as days
inner join dim_device as devices on days.device_id = devices.device_id
where
    days.day >= $begin and days.day < $end
    and days.metric = 'temperature'
    and devices.fleet = $fleet
group by days.device_id
order by days.device_id
"""

REPORT = Report(
    name="weather-count",
    title="Weather: count per device",
    question="How many temperatures did each station tell?",
    columns=(
        Column("deviceid", "the station"),
        Column("count", "temperatures that are not known to be bad"),
    ),
    parameters=(FLEET,),
    queries={"": Query(SQL, ("device_day", "dim_device"), 30 * DAY, 2 * YEAR)},
)
