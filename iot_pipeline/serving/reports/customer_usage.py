"""One customer's usage over time: the home's view of the older utility system."""

from iot_pipeline.serving.reports.report import CUSTOMER_EXISTS, DAY, HOUR, YEAR, Column, Query, Report, Text

_SHAPE = """
select
    cast({period} as timestamptz) as time,
    customer,
    utility,
    round(usage, 4) as usage,
    unit,
    resets
from customer_usage_{period}
where
    {period} >= $begin and {period} < $end
    and customer = $customer
order by time, utility, unit
"""

# The live edge: minutes are there before the day is built. A fall of a register counts as nothing.
MINUTE = """
with meters as (
    select
        device_id,
        json_extract_string(attributes, '$.utility') as utility
    from dim_device
    where customer = $customer and fleet = 'utility'
),

registers as (
    select
        minutes.minute,
        meters.utility,
        minutes.unit,
        minutes.last,
        coalesce(
            lag(minutes.last) over (partition by minutes.device_id, minutes.unit order by minutes.minute),
            minutes.first
        ) as previous
    from device_minute as minutes
    inner join meters on minutes.device_id = meters.device_id
    where
        minutes.minute >= $begin and minutes.minute < $end
        and minutes.metric = 'register'
)

select
    minute as time,
    $customer as customer,
    utility,
    round(sum(greatest(last - previous, 0)), 4) as usage,
    unit,
    count(*) filter (where last < previous) as resets
from registers
group by minute, utility, unit
order by minute, utility, unit
"""

REPORT = Report(
    name="customer-usage",
    title="Utility: one customer's usage",
    question="How much of each utility did a customer use over time?",
    columns=(
        Column("time", "begin of the period, UTC"),
        Column("customer", "the customer"),
        Column("utility", "electricity, gas or water"),
        Column("usage", "usage in the period, four decimals", "unit"),
        Column("unit", "kWh or m3"),
        Column("resets", "times that a register was reset or replaced"),
    ),
    parameters=(Text("customer", "the customer", required=True, exists=CUSTOMER_EXISTS),),
    queries={
        "hour": Query(_SHAPE.format(period="hour"), ("customer_usage_hour",), DAY, 62 * DAY),
        "day": Query(_SHAPE.format(period="day"), ("customer_usage_day",), 30 * DAY, 2 * YEAR),
        "minute": Query(MINUTE, ("device_minute", "dim_device"), HOUR, DAY),
    },
)
