"""What the daily recompute corrected: usage by all readings beside what the minutes of the day add up to."""

from iot_pipeline.serving.reports.report import CUSTOMER_EXISTS, DAY, Choice, Column, Query, Report, Text

SQL = """
select
    day,
    customer,
    utility,
    round(minute_usage, 4) as minute_usage,
    round(usage, 4) as usage,
    round(difference, 4) as difference,
    unit
from usage_correction_day
where
    day >= $begin and day < $end
    and ($customer is null or customer = $customer)
    and ($rows = 'all' or round(difference, 4) <> 0)
order by day, customer, utility, unit
"""

REPORT = Report(
    name="usage-corrections",
    title="Utility: corrections of the daily recompute",
    question="For which customers and days does the bill differ from what the minutes said, and by how much?",
    columns=(
        Column("day", "the day, UTC"),
        Column("customer", "the customer"),
        Column("utility", "electricity, gas or water"),
        Column("minute_usage", "what the minutes add up to, four decimals", "unit"),
        Column("usage", "usage by all readings, four decimals: what is billed", "unit"),
        Column("difference", "usage - minute_usage, four decimals", "unit"),
        Column("unit", "kWh or m3"),
    ),
    parameters=(
        Text("customer", "one customer only", exists=CUSTOMER_EXISTS),
        Choice("rows", "those that differ in the fourth decimal, or all", ("differing", "all"), "differing"),
    ),
    queries={"": Query(SQL, ("usage_correction_day", "dim_device"), 30 * DAY, 62 * DAY)},
)
