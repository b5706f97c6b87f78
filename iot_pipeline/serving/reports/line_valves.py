"""Travel times of air valves and their trend: the air-valve app of the older industrial line."""

from iot_pipeline.serving.reports.report import DAY, DEVICE, YEAR, Column, Query, Report

SQL = """
select
    day,
    device_id as valve,
    direction,
    strokes,
    round(mean, 2) as mean,
    round(p50, 2) as median,
    round(p95, 2) as p95,
    round(min, 2) as minimum,
    round(max, 2) as maximum,
    unit,
    round(
        case when count(*) over of_valve > 2 then regr_slope(p50, day - date '1970-01-01') over of_valve end, 4
    ) as trend
from valve_travel_day
where
    day >= $begin and day < $end
    and ($device is null or device_id = $device)
window of_valve as (partition by device_id, direction, unit)
order by day, valve, direction, unit
"""

REPORT = Report(
    name="line-valves",
    title="Line: valve travel times",
    question="How long do the valves take to open and to close, and are they getting slower?",
    columns=(
        Column("day", "the day, UTC"),
        Column("valve", "the valve"),
        Column("direction", "open or close"),
        Column("strokes", "strokes of the day"),
        Column("mean", "mean travel time", "unit"),
        Column("median", "median travel time", "unit"),
        Column("p95", "95th percentile of the travel times", "unit"),
        Column("minimum", "shortest travel time", "unit"),
        Column("maximum", "longest travel time", "unit"),
        Column("unit", "unit of the travel times"),
        Column("trend", "slope of the medians over all days shown; empty below three days", "unit per day"),
    ),
    parameters=(DEVICE,),
    queries={"": Query(SQL, ("valve_travel_day",), 30 * DAY, YEAR)},
)
