"""The country's usage by region: the other view of the older utility system."""

from iot_pipeline.serving.reports.report import DAY, YEAR, Column, Query, Report, Text

_SHAPE = """
select
    cast({time} as timestamptz) as time,
    region,
    utility,
    round(fsum(usage), 3) as usage,
    unit,
    max(customers) as customers,
    max(meters) as meters
from region_usage_{table}
where
    {table} >= $begin and {table} < $end
    and ($region is null or region = $region)
group by {time}, region, utility, unit
order by time, region, utility, unit
"""


def _by(time: str, table: str) -> str:
    return _SHAPE.format(time=time, table=table)


REPORT = Report(
    name="country-usage",
    title="Utility: the country by region",
    question="How much of each utility did each region use over time?",
    columns=(
        Column("time", "begin of the period, UTC"),
        Column("region", "the region"),
        Column("utility", "electricity, gas or water"),
        Column("usage", "usage in the period, three decimals", "unit"),
        Column("unit", "kWh or m3"),
        Column("customers", "customers with readings; of a month, on its busiest day"),
        Column("meters", "meters with readings, likewise"),
    ),
    parameters=(Text("region", "one region only"),),
    queries={
        "hour": Query(_by("hour", "hour"), ("region_usage_hour",), DAY, 62 * DAY),
        "day": Query(_by("day", "day"), ("region_usage_day",), 30 * DAY, 2 * YEAR),
        "month": Query(_by("date_trunc('month', day)", "day"), ("region_usage_day",), YEAR, 10 * YEAR, "month"),
    },
)
