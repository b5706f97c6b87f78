"""Starts of machines with their inrush: electrical analytics of the older industrial line."""

from iot_pipeline.serving.reports.report import DAY, DEVICE, Column, Query, Report

SQL = """
select
    started_at as time,
    device_id as machine,
    round(load_a, 2) as load,
    round(peak_a, 2) as peak,
    round(peak_ratio, 2) as ratio,
    round(inrush_seconds, 2) as duration
from machine_start
where
    started_at >= $begin and started_at < $end
    and ($device is null or device_id = $device)
order by time, machine
"""

REPORT = Report(
    name="line-starts",
    title="Line: starts and inrush",
    question="When did a machine start, how high was its inrush and how long did it last?",
    columns=(
        Column("time", "first reading at half the load or more, UTC"),
        Column("machine", "the machine"),
        Column("load", "what it draws when it works, mean of the phases", "A"),
        Column("peak", "largest mean of the phases within 10 s; a lower bound at one reading a second", "A"),
        Column("ratio", "peak / load"),
        Column("duration", "until the current was at most 1.2 times the load; empty when that took over 10 s", "s"),
    ),
    parameters=(DEVICE,),
    queries={"": Query(SQL, ("machine_start",), DAY, 62 * DAY)},
)
