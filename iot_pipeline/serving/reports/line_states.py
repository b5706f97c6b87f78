"""Time in state: the multiple state monitor of the older industrial line."""

from iot_pipeline.serving.reports.report import DAY, DEVICE, Column, Query, Report

_SHAPE = """
select
    cast({time} as timestamptz) as time,
    device_id as machine,
    state,
    round(sum(seconds), 3) as duration,
    round(100 * sum(seconds) / {seconds}, 2) as share,
    cast(sum(entries) as bigint) as entries
from machine_state_hour
where
    hour >= $begin and hour < $end
    and ($device is null or device_id = $device)
group by {time}, device_id, state
order by time, machine, state
"""


def _by(time: str, seconds: int) -> str:
    return _SHAPE.format(time=time, seconds=seconds)


REPORT = Report(
    name="line-states",
    title="Line: time in state",
    question="How long was a machine in which state, and how often did it come into it?",
    columns=(
        Column("time", "begin of the hour or day, UTC"),
        Column("machine", "the machine"),
        Column("state", "the state, as the machine tells it"),
        Column("duration", "time in that state; silence of more than a minute is in none", "s"),
        Column("share", "of the hour or day", "%"),
        Column("entries", "times that it came into that state from another"),
    ),
    parameters=(DEVICE,),
    queries={
        "hour": Query(_by("hour", 3600), ("machine_state_hour",), DAY, 62 * DAY),
        "day": Query(_by("date_trunc('day', hour)", 86400), ("machine_state_hour",), 30 * DAY, 366 * DAY),
    },
)
