"""Largest, mean and smallest measure of each device: the table PROCESSED_DATA of the older ice plant system."""

from iot_pipeline.serving.reports.report import DAY, DEVICE, FLEET_EXISTS, HOUR, YEAR, Column, Query, Report, Text

_SHAPE = """
select
    {time} as "TIMESTAMP_RX",
    figures.device_id as "DEVICE_NAME",
    devices.type as "DEVICE_TYPE",
    devices.description as "DESCRIPTION",
    round({max}, 3) as "MAXIMUM_MEASURE",
    round({mean}, 3) as "MEAN_MEASURE",
    round({min}, 3) as "MINIMUM_MEASURE",
    figures.unit as "UNIT",
    '{period}' as "BATCH"
from {relation} as figures
inner join dim_device as devices on figures.device_id = devices.device_id
where
    {column} >= $begin and {column} < $end
    and devices.fleet = $fleet
    and ($device is null or figures.device_id = $device)
{grouping}
order by 1, 2, 8
"""


def _published(period: str) -> str:
    # Days, months and years are dates; compared with instants they are their UTC midnights.
    return _SHAPE.format(
        time=f"cast(figures.{period} as timestamptz)",
        column=f"figures.{period}",
        relation=f"device_{period}",
        period=period,
        max="figures.max",
        mean="figures.mean",
        min="figures.min",
        grouping="",
    )


def _reads(period: str) -> tuple[str, str]:
    return f"device_{period}", "dim_device"


SECOND = _SHAPE.format(
    time="date_trunc('second', figures.event_ts)",
    column="figures.event_ts",
    relation="readings",
    period="second",
    max="max(figures.value)",
    mean="avg(figures.value)",
    min="min(figures.value)",
    grouping="    and figures.quality <> 'bad' and abs(figures.value) < 1e140\ngroup by 1, 2, 3, 4, 8",
)

REPORT = Report(
    name="ice-plant",
    title="Ice plant: measures by period",
    question="What are the largest, the mean and the smallest measure of each device in each period?",
    columns=(
        Column("TIMESTAMP_RX", "begin of the period, UTC"),
        Column("DEVICE_NAME", "the device"),
        Column("DEVICE_TYPE", "what kind of device it calls itself"),
        Column("DESCRIPTION", "what it measures, in its own words"),
        Column("MAXIMUM_MEASURE", "largest measure, three decimals", "UNIT"),
        Column("MEAN_MEASURE", "arithmetic mean, three decimals", "UNIT"),
        Column("MINIMUM_MEASURE", "smallest measure, three decimals", "UNIT"),
        Column("UNIT", "unit of the three"),
        Column("BATCH", "the period: year, month, day, hour, minute or second"),
    ),
    parameters=(Text("fleet", "the fleet", default="ice_plant", exists=FLEET_EXISTS), DEVICE),
    queries={
        "hour": Query(_published("hour"), _reads("hour"), DAY, 62 * DAY),
        "day": Query(_published("day"), _reads("day"), 30 * DAY, 2 * YEAR),
        "month": Query(_published("month"), _reads("month"), YEAR, 20 * YEAR, "month"),
        "year": Query(_published("year"), _reads("year"), 5 * YEAR, 100 * YEAR, "year"),
        "minute": Query(_published("minute"), _reads("minute"), HOUR, DAY),
        "second": Query(SECOND, ("readings", "dim_device"), HOUR / 12, HOUR / 6),
    },
)
