"""Integral of the currents and their unbalance: electrical analytics of the older industrial line."""

from iot_pipeline.serving.reports.report import DAY, DEVICE, Column, Query, Report

_SHAPE = """
with sums as (
    select
        {time} as time,
        device_id,
        sum(charge_l1_ah) as l1,
        sum(charge_l2_ah) as l2,
        sum(charge_l3_ah) as l3,
        sum(covered_l1_seconds) as s1,
        sum(covered_l2_seconds) as s2,
        sum(covered_l3_seconds) as s3,
        max(peak_a) as peak_a,
        max(unbalance_worst_minute_percent) as worst
    from machine_current_hour
    where
        hour >= $begin and hour < $end
        and ($device is null or device_id = $device)
    group by {time}, device_id
),

means as (
    select
        *,
        l1 / nullif(s1, 0) as i1,
        l2 / nullif(s2, 0) as i2,
        l3 / nullif(s3, 0) as i3,
        i1 + i2 + i3 as i
    from sums
)

select
    cast(time as timestamptz) as time,
    device_id as machine,
    round(l1, 3) as charge_l1,
    round(l2, 3) as charge_l2,
    round(l3, 3) as charge_l3,
    round(100 * least(s1, s2, s3) / {seconds}, 2) as coverage,
    round(peak_a, 2) as peak,
    round(
        case when i > 0 then 100 * greatest(abs(3 * i1 - i), abs(3 * i2 - i), abs(3 * i3 - i)) / i end, 2
    ) as unbalance,
    round(worst, 2) as unbalance_worst_minute
from means
order by time, machine
"""


def _by(time: str, seconds: int) -> str:
    return _SHAPE.format(time=time, seconds=seconds)


REPORT = Report(
    name="line-currents",
    title="Line: integral of the currents, unbalance",
    question="How much charge did each phase of a machine draw in a fixed time, and how unequal were the phases?",
    columns=(
        Column("time", "begin of the hour or day, UTC"),
        Column("machine", "the machine"),
        Column("charge_l1", "integral of the current of phase 1", "A·h"),
        Column("charge_l2", "integral of the current of phase 2", "A·h"),
        Column("charge_l3", "integral of the current of phase 3", "A·h"),
        Column("coverage", "part of the time that the integrals cover, of the phase with the least", "%"),
        Column("peak", "largest current of any phase", "A"),
        Column("unbalance", "largest deviation of a phase from the mean, as NEMA MG 1 has it for voltages", "%"),
        Column("unbalance_worst_minute", "the largest such figure of a minute under load", "%"),
    ),
    parameters=(DEVICE,),
    queries={
        "hour": Query(_by("hour", 3600), ("machine_current_hour",), DAY, 62 * DAY),
        "day": Query(_by("date_trunc('day', hour)", 86400), ("machine_current_hour",), 30 * DAY, 366 * DAY),
    },
)
