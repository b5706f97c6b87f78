"""Maximum temperature by day and by month: a page of the older weather system, which said when there was no data."""

from iot_pipeline.serving.reports.report import DAY, DEVICE, YEAR, Column, Query, Report
from iot_pipeline.serving.reports.weather_maximum import FLEET

_SHAPE = """
select
    figures.{period} as date,
    figures.device_id as deviceid,
    figures.max as max_temperature,
    figures.unit,
    figures.count
from device_{period} as figures
inner join dim_device as devices on figures.device_id = devices.device_id
where
    figures.{period} >= $begin and figures.{period} < $end
    and figures.metric = 'temperature'
    and devices.fleet = $fleet
    and ($device is null or figures.device_id = $device)
order by figures.{period}, figures.device_id, figures.unit
"""

REPORT = Report(
    name="weather-by-day",
    title="Weather: maximum temperature by day and month",
    question="What was the highest temperature of each station on a day, or in a month?",
    columns=(
        Column("date", "the day, or the first day of the month, UTC"),
        Column("deviceid", "the station"),
        Column("max_temperature", "highest temperature", "unit"),
        Column("unit", "unit of the temperature"),
        Column("count", "temperatures of that time"),
    ),
    parameters=(FLEET, DEVICE),
    queries={
        "day": Query(_SHAPE.format(period="day"), ("device_day", "dim_device"), 30 * DAY, 2 * YEAR),
        "month": Query(_SHAPE.format(period="month"), ("device_month", "dim_device"), YEAR, 20 * YEAR, "month"),
    },
)
